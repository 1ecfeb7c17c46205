"""What a copy takes from a context folder, pinned: its manifest, whose digest goes into the step's id.

Files are hashed once: a hash is remembered with all that changes when a file's content does.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Protocol

from engine.records import FileStamp
from engine.step import Entry, Manifest
from system.errors import InputError
from system.helper import walk
from system.helper.refused import Refused

VERSION = b"stepwood manifest 1"
GRANULARITY = 2_000_000_000
"""Nanoseconds within which a filesystem may not tell two writes apart; FAT's clock is the coarsest."""


class Hashes(Protocol):
    """A memory of files' SHA-256; `engine.index.Index` is one."""

    def file_hashes(self, files: Iterable[FileStamp]) -> Mapping[str, str]:
        """The hash, by path, of those files that are still what they were."""
        ...

    def save_file_hashes(self, hashes: Iterable[tuple[FileStamp, str]]) -> None: ...


class Memory:
    """Hashes for as long as the process lives."""

    def __init__(self) -> None:
        self._known: dict[FileStamp, str] = {}

    def file_hashes(self, files: Iterable[FileStamp]) -> dict[str, str]:
        return {file.path: self._known[file] for file in files if file in self._known}

    def save_file_hashes(self, hashes: Iterable[tuple[FileStamp, str]]) -> None:
        self._known.update(hashes)


def take_manifest(
    folder: Path,
    sources: tuple[str, ...],
    exclude: tuple[str, ...],
    hashes: Hashes,
    *,
    clock: Callable[[], int] = time.time_ns,
) -> Manifest:
    """What a copy of `sources` from `folder` takes now. See `system.helper.walk` for the rules.

    InputError, which names path and folder: a source is missing, holds `..` or goes through a link or a
    file; something cannot be read, or is a socket, a pipe or a device.
    """
    context = os.path.abspath(folder)
    now = clock()  # before any stat, so that what is written from here on counts as young
    try:
        trees = _trees(context, sources, frozenset(exclude))
        files = [item for tree in trees for item in tree if item.kind == "file"]
        stamps = {file.path: FileStamp.of(f"{context}/{file.path}", file.status) for file in files}
        known = hashed(stamps.values(), hashes, now)
    except Refused as error:
        raise InputError(f'{error} (in "{context}")') from None
    except OSError as error:
        what = error.filename.removeprefix(f"{context}/") if isinstance(error.filename, str) else context
        raise InputError(f'cannot read "{what}" (in "{context}"): {error.strerror}') from error
    grouped = [
        [
            Entry(path, kind, executable, known[stamps[path].path] if kind == "file" else target)
            for path, kind, executable, target, _ in tree
        ]
        for tree in trees
    ]
    starts = tuple(sum(map(len, grouped[:number])) for number in range(len(grouped)))
    entries = tuple(entry for group in grouped for entry in group)
    return Manifest(context, digest(grouped), entries, starts)


def digest(trees: Iterable[Iterable[Entry]]) -> str:
    """SHA-256 of what each source names. Texts go with their lengths, so that no two manifests encode alike."""
    parts = [VERSION]
    for tree in trees:
        parts.append(b"\nsource")
        for entry in tree:
            path, content = os.fsencode(entry.path), os.fsencode(entry.content)
            kind = entry.kind + ("+x" if entry.executable else "")
            parts.append(b"\n%b %d:%b %d:%b" % (kind.encode(), len(path), path, len(content), content))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _trees(context: str, sources: tuple[str, ...], exclude: frozenset[str]) -> list[list[walk.Found]]:
    top = os.open(context, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return [walk.tree(top, source, exclude) for source in sources]
    finally:
        os.close(top)


def hashed(files: Iterable[FileStamp], hashes: Hashes, now: int) -> dict[str, str]:
    """The SHA-256 of each file, by its path. `now`: nanoseconds since the epoch, from before the stamps were taken.

    OSError, with the path: a file cannot be read.
    """
    return remembered(files, hashes.file_hashes, _sha256, hashes.save_file_hashes, now)


def remembered(
    files: Iterable[FileStamp],
    look_up: Callable[[Iterable[FileStamp]], Mapping[str, str]],
    read: Callable[[str], str],
    save: Callable[[Iterable[tuple[FileStamp, str]]], None],
    now: int,
) -> dict[str, str]:
    """What `read` makes of each file, by its path: of those that are as they were, what `look_up` says it did."""
    files = list(files)
    known = dict(look_up(files))
    fresh: list[tuple[FileStamp, str]] = []
    for stamp in files:
        if stamp.path not in known:
            known[stamp.path] = read(stamp.path)
            # A younger file may be written again without a change to its stamp.
            if max(stamp.mtime_ns, stamp.ctime_ns) < now - GRANULARITY:
                fresh.append((stamp, known[stamp.path]))
    if fresh:
        save(fresh)
    return known


@contextmanager
def opened(file: str) -> Iterator[FileIO]:
    """A file's bytes, unbuffered. OSError, with the path."""
    try:
        # Should a link or a pipe stand there by now, it is not followed, and nobody waits for it.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as content:
            yield content
    except OSError as error:
        raise OSError(error.errno, error.strerror, file) from None


def _sha256(file: str) -> str:
    with opened(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
