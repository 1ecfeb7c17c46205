"""The logs of a report: text in files of about a megabyte, each read when one of its logs is looked at."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from engine.logtext import CHUNK, open_log, readable
from engine.step import StepId
from engine.telling import numbered

ENDS = 128 << 10
"""Bytes at the beginning of a log, and as many at its end, that a report has."""
FILE = 1 << 20
"""Characters from which on a file is full."""
LONG = 2000
"""Characters of a line that tells."""


class Logs:
    """Takes logs from a store's folder, and writes what a report has of them into a folder of its own.

    `places` has for each log: in which file it is, and at which place; what is left out between its beginning and its
    end, in bytes and lines.
    """

    def __init__(self, store: Path, into: Path) -> None:
        self._store, self._into = store, into
        self._waiting: list[tuple[str, str]] = []
        self._length = 0
        self._files = 0
        self.places: list[dict[str, int]] = []

    def add(self, step: StepId, path: str) -> int | None:
        """The log's number; None where it was pruned, or cannot be read."""
        try:
            with open_log(self._store, path) as log:
                head, tail, bytes, lines = _ends(log)
        except OSError:
            return None
        texts = readable(head), readable(tail)
        self.places.append({"file": self._files, "at": len(self._waiting), "bytes": bytes, "lines": lines})
        self._waiting.append(texts)
        self._length += sum(map(len, texts))
        if self._length > FILE:
            self.flush()
        return len(self.places) - 1

    def telling(self, path: str | None) -> list[list[int | str | None]]:
        """The lines of a failed step's log that tell, with their numbers from 1."""
        if path is None:
            return []
        try:
            with open_log(self._store, path) as log:
                lines = (line.rstrip() for line in _lines(log))
                return [[None if at is None else at + 1, line[:LONG]] for at, line in numbered(lines)]
        except OSError:
            return []

    def flush(self) -> None:
        """Write what waits: a script, as a page that was opened from disk may read nothing else."""
        if not self._waiting:
            return
        packed = gzip.compress(json.dumps(self._waiting).encode("ascii"), 6, mtime=0)
        text = f'logsArrived({self._files}, "{base64.b64encode(packed).decode("ascii")}");\n'
        (self._into / f"{self._files}.js").write_text(text)
        self._waiting, self._length, self._files = [], 0, self._files + 1


def _lines(log: BinaryIO) -> Iterator[str]:
    """A line at a time, and of one of megabytes a piece at a time."""
    text = TextIOWrapper(log, errors="replace", newline="\n")
    while line := text.readline(CHUNK):
        yield readable(line.encode(errors="replace"))


def _ends(log: BinaryIO) -> tuple[bytes, bytes, int, int]:
    """The beginning and the end of a log, and how many bytes and lines are between."""
    head = log.read(ENDS)
    tail, left, lines = b"", 0, 0
    while chunk := log.read(CHUNK):
        tail += chunk
        if len(tail) > ENDS:
            gone, tail = tail[:-ENDS], tail[-ENDS:]
            left += len(gone)
            lines += gone.count(b"\n")
    return head, tail, left, lines
