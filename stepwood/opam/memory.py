"""What opam files say, and what follows from it, remembered in the process or on disk.

On disk it is a cache: whatever is wrong with it, things are read anew, and nobody is told.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from engine.database import Database, remove
from engine.records import FileStamp
from engine.schema import Schema
from stepwood.config import cache_folder
from system.errors import StepwoodError

K = TypeVar("K")
T = TypeVar("T")

TABLES = """
CREATE TABLE things (
    key TEXT PRIMARY KEY NOT NULL,              -- made of all that the thing depends on
    thing BLOB NOT NULL                         -- packed
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
CHECK = 4
"""Bytes of a checksum."""
DAMAGED = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError)
"""What comes of unpickling what is none, by pickle's manual."""


class Memory(Protocol):
    """Remembers the contents of files, as `Entry.content` has them, and things by keys that say all that they depend
    on: what was kept under a key may be taken for what would be found anew."""

    def contents(self, files: Iterable[FileStamp]) -> Mapping[str, str]:
        """The content, by path, of those files that are still what they were."""
        ...

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None: ...

    def recall(self, keys: Iterable[str]) -> Mapping[str, object]:
        """The things, by those of these keys under which there is one."""
        ...

    def remember(self, things: Iterable[tuple[str, object]]) -> None: ...

    def close(self) -> None: ...


def recalled(memory: Memory, keys: Mapping[K, str], kind: type[T]) -> dict[K, T]:
    """What a memory has under these keys, by what they are the keys of; what is of another kind is not."""
    found = memory.recall(keys.values())
    return {one: thing for one, key in keys.items() if isinstance(thing := found.get(key), kind)}


class ProcessMemory:
    """For as long as the process lives."""

    def __init__(self) -> None:
        self._contents: dict[FileStamp, str] = {}
        self._things: dict[str, object] = {}

    def contents(self, files: Iterable[FileStamp]) -> dict[str, str]:
        return {file.path: content for file in files if (content := self._contents.get(file))}

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None:
        self._contents.update(contents)

    def recall(self, keys: Iterable[str]) -> dict[str, object]:
        return {key: self._things[key] for key in keys if key in self._things}

    def remember(self, things: Iterable[tuple[str, object]]) -> None:
        self._things.update(things)

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
        stamps = {file.path: file.numbers for file in files}
        sql = "SELECT path, content, size, mtime_ns, inode, ctime_ns FROM stamps WHERE path IN (?)"
        with suppress(StepwoodError):
            rows = self._database.rows_in(sql, stamps)
            return {path: content for path, content, *numbers in rows if tuple(numbers) == stamps[path]}
        return {}

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None:
        rows = ((file.path, *file.numbers, content) for file, content in contents)
        self._write("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?, ?, ?, ?)", rows)

    def recall(self, keys: Iterable[str]) -> dict[str, object]:
        found: dict[str, object] = {}
        with suppress(StepwoodError, *DAMAGED):
            for key, data in self._database.rows_in("SELECT key, thing FROM things WHERE key IN (?)", keys):
                found[key] = unpacked(data)
        return found

    def remember(self, things: Iterable[tuple[str, object]]) -> None:
        rows = ((key, packed(thing)) for key, thing in things)
        self._write("INSERT OR REPLACE INTO things VALUES (?, ?)", rows)

    def _write(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        with suppress(StepwoodError, RecursionError, UnicodeEncodeError):
            if rows := list(rows):
                self._database.write(sql, rows)


def packed(thing: object) -> bytes:
    """A thing as bytes that say whether they are whole."""
    data = pickle.dumps(thing, 5)
    return zlib.crc32(data).to_bytes(CHECK) + data


def unpacked(data: bytes) -> object:
    """What was packed. Raises one of `DAMAGED`."""
    if zlib.crc32(memoryview(data)[CHECK:]).to_bytes(CHECK) != data[:CHECK]:
        raise ValueError("damaged")
    found: object = pickle.loads(memoryview(data)[CHECK:])  # noqa: S301 - only we can write it: see `remembered`
    return found


def remembered(folder: Path | None = None) -> Memory:
    """The user's memory, in a folder that only they can write; else one of the process."""
    folder = folder or cache_folder()
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
    """Changes with whatever decides what is remembered: how opam files are read, and what is made of them."""
    grammar = Path(__file__).parents[2] / "grammar"
    code = [*(grammar / "opam").glob("*.py"), *Path(__file__).parent.glob("*.py")]
    files = [grammar / "opam.lark", *sorted(code)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]
