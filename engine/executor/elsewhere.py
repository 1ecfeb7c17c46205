"""Steps that another process is making: their logs are read as they grow, from the beginning."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from pathlib import Path

from engine.events import Output
from engine.executor.logs import CHUNK
from engine.step import StepId

_ROUND = 16
"""Pieces of one log that are read at one look, so that a talkative step keeps nobody waiting."""


class Elsewhere:
    """One such step. `given_up`: at the last look nobody was making it any more."""

    def __init__(self, id: StepId) -> None:
        self.id, self.given_up = id, False
        self._file: int | None = None
        self._name = ""

    def open(self, folder: Path, name: str) -> None:
        """Read on in the log `name`: the first one, or that of another try."""
        if name != self._name:
            self.close()
            try:
                self._file = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return  # gone in the meantime
            self._name = name

    def read(self, report: Callable[[Output], object], rounds: float) -> None:
        """Tell what has come since the last time, at most `rounds` pieces."""
        while rounds > 0:
            rounds -= 1
            data = b"" if self._file is None else os.read(self._file, CHUNK)
            if not data:
                return
            report(Output(self.id, data))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def follow(
    steps: Collection[Elsewhere], store: Path, report: Callable[[Output], object], *, to_end: bool = False
) -> None:
    """Tell what the logs of `steps` have got since the last look, all of it where they have come to their end."""
    wanted = {step.id: step for step in steps}
    newest: dict[StepId, tuple[int, str]] = {}
    with os.scandir(store / "logs") as entries:
        for entry in entries:
            id = entry.name.partition(".")[0]
            if id in wanted and entry.name.endswith(".log"):
                try:
                    newest[id] = max(newest.get(id, (0, "")), (entry.stat().st_mtime_ns, entry.name))
                except FileNotFoundError:
                    continue
    for id, (_, name) in newest.items():
        wanted[id].open(store / "logs", name)
    for step in steps:
        step.read(report, math.inf if to_end else _ROUND)
