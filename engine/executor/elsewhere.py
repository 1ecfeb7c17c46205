"""Steps that another process is making: their logs are read as they grow, from the beginning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Set
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from engine.events import Output
from engine.executor.logs import CHUNK
from engine.logtext import newest, open_log
from engine.step import StepId

_ROUND = 16
"""Pieces of one log that are read at one look, so that a talkative step keeps nobody waiting."""


class Elsewhere:
    """One such step.

    `known` are logs of tries that had ended before. `given_up`: at the last look nobody was making it any more.
    """

    def __init__(self, id: StepId, known: Set[str]) -> None:
        self.id, self.known, self.given_up = id, known, False
        self._file: BinaryIO | None = None
        self._path = ""

    def open(self, folder: Path, path: str) -> None:
        """Read on in the log `path`: the first one, or that of another try."""
        if path != self._path:
            self.close()
            with suppress(FileNotFoundError):  # gone in the meantime
                self._file, self._path = open_log(folder, path), path

    def read(self, report: Callable[[Output], object], *, to_end: bool) -> None:
        """Tell what has come since the last time."""
        pieces = 0
        while self._file is not None and (to_end or pieces < _ROUND) and (data := self._file.read(CHUNK)):
            report(Output(self.id, data))
            pieces += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def follow(
    steps: Collection[Elsewhere], store: Path, report: Callable[[Output], object], *, to_end: bool = False
) -> None:
    """Tell what the logs of `steps` have got since the last look, all of it where they have come to their end."""
    paths = newest(store, {step.id: step.known for step in steps})
    for step in steps:
        if step.id in paths:
            step.open(store, paths[step.id])
        step.read(report, to_end=to_end)
