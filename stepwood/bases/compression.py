"""Read a compressed file as what it holds, by what it starts with, and hash it as it is."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from system.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_LZMA = b"\x5d\x00\x00"


class _Hashed(io.RawIOBase):
    """A file for reading that keeps the SHA-256 of what was read."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        size = self._file.readinto(buffer)
        self.sha256.update(memoryview(buffer)[:size])
        return size


@dataclass(frozen=True, slots=True)
class Packed:
    """A file that may be compressed: gzip, bzip2, xz, lzma or zstd.

    name        what messages call it
    digest      its SHA-256 as it is, `sha256:` and 64 digits
    """

    path: Path
    name: str
    digest: str

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], bytes]]:
        """Read the content in pieces.

        When the block ends, the rest of the file is read too: another digest is an `InputError`, as is
        damaged content, and a missing file.
        """
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise InputError(f"{self.name}: {error.strerror}") from error
        with file:
            hashed = _Hashed(file)
            source = io.BufferedReader(hashed, 1 << 20)
            inner = _decompressed(source)

            def read(size: int) -> bytes:
                try:
                    return inner(size)
                except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
                    raise InputError(f"{self.name} is damaged: {error}") from error

            yield read
            while source.read(1 << 20):
                pass
        if f"sha256:{hashed.sha256.hexdigest()}" != self.digest:
            raise InputError(f"{self.name} changed since it was pinned", hint="`--pull always` pins it anew")


def _decompressed(source: io.BufferedReader[_Hashed]) -> Callable[[int], bytes]:
    start = source.peek(6)
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=source, mode="rb").read
    if start.startswith(_BZIP2):
        return bz2.BZ2File(source).read
    if start.startswith((_XZ, _LZMA)):
        return lzma.LZMAFile(source).read
    if start.startswith(_ZSTD):
        return zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True).read
    return source.read
