"""A step's log at rest: its file, plain or compressed, and what of it can be searched.

A log's path is for ever `logs/ID.XXXX.log`, from the store's folder; compressed, its file has `.zst` after that.
A log holds whatever a step wrote: any bytes, lines of megabytes, no newline at its end.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import io
import os
import re
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ZST = ".zst"
BLOCK = 4096
"""Bytes of a disk block: a log that fills no more takes no less when it is compressed."""
LEVEL = 3
ENDS = 4 << 20
"""Bytes at the beginning of a log, and as many at its end, that can be searched."""
CHUNK = 1 << 20
"""Bytes that are read at a time."""
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""A terminal's control sequences: they stand inside what a reader sees as a word."""


def open_log(folder: Path, path: str) -> BinaryIO:
    """A log's bytes as the step wrote them. FileNotFoundError where it is gone."""
    try:
        return open(folder / path, "rb")
    except FileNotFoundError:
        file = open(folder / f"{path}{ZST}", "rb")  # noqa: SIM115 - the reader closes it
    return cast(BinaryIO, io.BufferedReader(_Unpacked(file)))


class _Unpacked(io.RawIOBase):
    """What is in a compressed file, of which an error says that it is damaged."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard

        self._file, self._damage = file, zstandard.ZstdError
        self._reader = zstandard.ZstdDecompressor().stream_reader(file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        try:
            return self._reader.readinto(buffer)
        except self._damage as error:
            raise OSError(errno.EIO, f"the log is damaged: {error}", self._file.name) from error

    def close(self) -> None:
        self._file.close()
        super().close()


def size(folder: Path, path: str) -> int:
    """Bytes of a log as the step wrote it. FileNotFoundError where it is gone."""
    try:
        return os.stat(folder / path).st_size
    except FileNotFoundError:
        head = _head(folder / f"{path}{ZST}")
    import zstandard

    try:
        return max(0, zstandard.frame_content_size(head))
    except zstandard.ZstdError:
        return 0  # a power cut has emptied it


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(18)  # the longest header of a frame


def compress(path: Path, stopping: threading.Event) -> None:
    """Put `path`.zst in the place of a log that nobody writes any more; leave it as it is when the event is set.

    OSError where the disk is full: nothing has changed then.
    """
    import zstandard

    new = path.with_name(f"{path.name}{ZST}.{uuid.uuid4().hex[:8]}.new")
    try:
        with open(path, "rb") as log, open(new, "wb") as file:
            info = os.fstat(log.fileno())
            packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            with packer.stream_writer(file, size=info.st_size, closefd=False) as writer:
                for chunk in iter(lambda: log.read(CHUNK), b""):
                    writer.write(chunk)
                    if stopping.is_set():
                        raise InterruptedError
        os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns))
        os.rename(new, f"{path}{ZST}")
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, InterruptedError):
            return
        if isinstance(error, zstandard.ZstdError):
            raise OSError(f"{path.name} changes while it is compressed") from error
        raise
    path.unlink(missing_ok=True)  # a reader that has it open reads on


def searched(log: BinaryIO, size: int) -> str:
    """What of a log can be searched: the first and last `ENDS` bytes, without what only a terminal understands."""
    data = log.read(min(ENDS, size))
    if size > ENDS:
        rest = b""
        if log.seekable():
            log.seek(max(ENDS, size - ENDS))
        while chunk := log.read(CHUNK):
            rest = (rest + chunk)[-ENDS:]
        data = data + b"\n" + rest
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    # Piece by piece: to decode it all at once would keep other threads waiting.
    pieces = (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))
    return "".join(_plain(decoder.decode(piece)) for piece in pieces)


def readable(data: bytes) -> str:
    """What a person reads in a log: no control sequences, and something in the place of bytes that are no text."""
    return _plain(data.decode(errors="replace"))


def _plain(text: str) -> str:
    return _COLOURS.sub("", text).replace("\0", " ")


def newest(folder: Path, known: Mapping[str, Set[str]]) -> dict[str, str]:
    """For each step that is a key: the path of its newest log that is not among those known, where there is one."""
    found: dict[str, tuple[float, str]] = {}
    for entry in os.scandir(folder / "logs"):
        step, path = entry.name.partition(".")[0], f"logs/{entry.name.removesuffix(ZST)}"
        if step in known and path.endswith(".log") and path not in known[step]:
            with contextlib.suppress(FileNotFoundError):
                found[step] = max(found.get(step, (0.0, "")), (entry.stat().st_mtime, path))
    return {step: path for step, (_, path) in found.items()}


def left(folder: Path, known: Set[str], before: float) -> Iterator[tuple[str, str, float]]:
    """Logs from before that time (since the epoch) that are not `known`, or large and plain: step, path and time.

    Removes what compressing left half done at such a time.
    """
    for entry in os.scandir(folder / "logs"):
        with contextlib.suppress(FileNotFoundError):  # another process does the same
            info = entry.stat()
            if info.st_mtime > before:
                continue
            step, plain = entry.name.partition(".")[0], entry.name.endswith(".log")
            path = f"logs/{entry.name.removesuffix(ZST)}"
            if entry.name.endswith(".new"):
                os.unlink(entry.path)
            elif plain and (path not in known or info.st_size > BLOCK):
                if _at_rest(entry.path):
                    yield step, path, info.st_mtime
            elif entry.name.endswith(f".log{ZST}") and path not in known:
                yield step, path, info.st_mtime


def _at_rest(path: str) -> bool:
    """Whether no process has the file open to write, as a step that has been silent for a day may: fcntl(2)."""
    with open(path, "rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # for whoever opens it right now; ignored by default
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
    return True
