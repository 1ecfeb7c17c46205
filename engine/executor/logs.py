"""A step's log: one file an attempt, beside the snapshots, made when the first byte comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from system import disk
from system.errors import OutOfSpace

CHUNK = 65536
ROOM = 1 << 20
"""Bytes at the end of a log that are given up when the disk is full."""


class Log:
    """Where an attempt's output goes: the file, and whoever listens."""

    def __init__(self, folder: Path, name: str, listener: Callable[[bytes], object]) -> None:
        self._folder = folder
        self._name = f"logs/{name}.log"
        self._listener = listener
        self._file: BinaryIO | None = None

    @property
    def path(self) -> str | None:
        """From the store's folder; None while nothing was written."""
        return None if self._file is None else self._name

    def write(self, data: bytes) -> None:
        try:
            with disk.errors("cannot write a log"):
                if self._file is None:
                    self._file = open(self._folder / self._name, "wb", buffering=0)  # noqa: SIM115 - closed by close()
                left = memoryview(data)
                while left:
                    left = left[self._file.write(left) or 0 :]
        except OutOfSpace:
            self._make_room()
            raise
        self._listener(data)

    def _make_room(self) -> None:
        """Give up the end of the log: what has filled the disk must not keep others from being written down."""
        if self._file is not None:
            self._file.truncate(max(0, self._file.tell() - ROOM))
            self._file.seek(0, os.SEEK_END)

    def drain(self, pipe: int) -> None:
        """Everything that comes out of a pipe, until its last writer is gone."""
        while data := os.read(pipe, CHUNK):
            self.write(data)

    def tail(self, size: int) -> bytes:
        """The last `size` bytes so far; nothing where they cannot be read."""
        try:
            with open(self._folder / self._name, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                return file.read(size)
        except OSError:
            return b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
