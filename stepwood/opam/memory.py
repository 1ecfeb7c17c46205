"""What opam files say, remembered by their contents, in the process or on disk.

On disk it is a cache: whatever is wrong with it, things are read anew, and nobody is told.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

from engine.database import Database, remove
from engine.records import FileStamp
from engine.schema import Schema
from grammar.opam.ast import File
from system.errors import StepwoodError

TABLES = """
CREATE TABLE files (
    content TEXT PRIMARY KEY NOT NULL,          -- `git:` and git's id of the bytes
    file BLOB NOT NULL                          -- what they say, pickled
);
CREATE TABLE stamps (
    path TEXT PRIMARY KEY NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    content TEXT NOT NULL
);
"""
SCHEMA = Schema("stepwood-opam", "memory of opam files", (("001_tables", TABLES),), "remove it: it is a cache")
LARGEST = 1 << 30
"""Bytes from which on the memory is begun anew: it holds every version of every file that was read."""
OLD = 90 * 86400
"""Seconds after which the memory of another version of Stepwood is removed."""
TIMEOUT = 1.0
"""Seconds to wait for another process that writes; what cannot be written is forgotten."""
DAMAGED = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError)
"""What comes of unpickling what is none, by pickle's manual."""


class Memory(Protocol):
    """Remembers contents of files, as `Entry.content` has them, and what such contents say."""

    def contents(self, files: Iterable[FileStamp]) -> Mapping[str, str]:
        """The content, by path, of those files that are still what they were."""
        ...

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None: ...

    def files(self, contents: Iterable[str]) -> Mapping[str, File]:
        """What those of these contents say that are known."""
        ...

    def save_files(self, files: Iterable[tuple[str, File]]) -> None: ...

    def close(self) -> None: ...


class ProcessMemory:
    """For as long as the process lives."""

    def __init__(self) -> None:
        self._contents: dict[FileStamp, str] = {}
        self._files: dict[str, File] = {}

    def contents(self, files: Iterable[FileStamp]) -> dict[str, str]:
        return {file.path: content for file in files if (content := self._contents.get(file))}

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None:
        self._contents.update(contents)

    def files(self, contents: Iterable[str]) -> dict[str, File]:
        return {content: self._files[content] for content in contents if content in self._files}

    def save_files(self, files: Iterable[tuple[str, File]]) -> None:
        self._files.update(files)

    def close(self) -> None:
        pass


class DiskMemory:
    """In a database of the user's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        with suppress(StepwoodError):
            self._database.close()

    def contents(self, files: Iterable[FileStamp]) -> dict[str, str]:
        stamps = {file.path: _numbers(file) for file in files}
        sql = "SELECT path, content, size, mtime_ns, inode, ctime_ns FROM stamps WHERE path IN (?)"
        with suppress(StepwoodError):
            rows = self._database.rows_in(sql, stamps)
            return {path: content for path, content, *numbers in rows if tuple(numbers) == stamps[path]}
        return {}

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None:
        rows = ((file.path, *_numbers(file), content) for file, content in contents)
        self._write("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?, ?, ?, ?)", rows)

    def files(self, contents: Iterable[str]) -> dict[str, File]:
        found: dict[str, File] = {}
        with suppress(
            StepwoodError, pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError, ValueError
        ):
            for content, data in self._database.rows_in(
                "SELECT content, file FROM files WHERE content IN (?)", contents
            ):
                file = pickle.loads(data)  # noqa: S301 - nobody else can write what we wrote: see `remembered`
                if isinstance(file, File):
                    found[content] = file
        return found

    def save_files(self, files: Iterable[tuple[str, File]]) -> None:
        rows = ((content, pickle.dumps(file, 5)) for content, file in files)
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?)", rows)

    def _write(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        with suppress(StepwoodError, RecursionError, UnicodeEncodeError):
            self._database.write(sql, rows)


def remembered(folder: Path | None = None) -> Memory:
    """The user's memory, in a folder that only they can write; else one of the process."""
    folder = folder or _folder()
    path = folder / f"opam-{_format()}.db"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _ours(folder) or (path.exists() and not _ours(path)):
            return ProcessMemory()
        _tidy(folder, path)
    except OSError:
        return ProcessMemory()
    for _ in range(2):
        try:
            return DiskMemory(Database(path, "rwc", TIMEOUT, SCHEMA))
        except StepwoodError as error:
            if error.transient:
                break
            with suppress(OSError):
                remove(path)  # it is damaged
    return ProcessMemory()


def _folder() -> Path:
    """`stepwood` in the user's cache folder (XDG base directories)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "stepwood"


def _ours(path: Path) -> bool:
    """Whether only this user can have written it: what is read back may run code."""
    status = path.stat(follow_symlinks=False)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _tidy(folder: Path, path: Path) -> None:
    """Remove a memory that is too large, and those that other versions left long ago."""
    for other in folder.glob("opam-*.db"):
        status = other.stat()
        if status.st_size > LARGEST if other == path else status.st_mtime < time.time() - OLD:
            remove(other)


@cache
def _format() -> str:
    """Changes with whatever decides what is remembered: how opam files are read, and into what."""
    folder = Path(__file__).parents[2] / "grammar"
    files = [folder / "opam.lark", *sorted((folder / "opam").glob("*.py")), Path(__file__)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def _numbers(stamp: FileStamp) -> tuple[int, int, int, int]:
    return stamp.size, stamp.mtime_ns, stamp.inode, stamp.ctime_ns
