"""A database in SQLite: opening, migrating, transactions, and errors in the user's words.

It is the one door of sqlite-utils; its users are `engine.index`, `engine.logbook` and `stepwood.opam.memory`.
"""

from __future__ import annotations

import errno
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from engine.records import plain, text
from engine.schema import INDEX, Schema
from system.errors import InputError, OutOfSpace, StepwoodError, StoreBusy, StoreError

SUFFIXES = ("", "-wal", "-shm")
"""Of the files that make a database: itself, its write-ahead log, and that log's index."""

_OF_THE_QUESTION = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY)
"""SQLite's codes for what is wrong with a question, and not with its answer."""


class Database:
    """An open database in today's format, for the thread that opened it."""

    def __init__(self, path: Path, mode: Literal["rw", "rwc"], timeout: float, schema: Schema = INDEX) -> None:
        """`mode` is SQLite's: "rwc" makes the file where there is none. `timeout` is in seconds."""
        self._path, self._schema = path, schema
        with self._explained():
            url = f"{path.absolute().as_uri()}?mode={mode}"
            self._connection = sqlite3.connect(url, uri=True, timeout=timeout, isolation_level=None)
            try:
                _use_wal(self._connection, timeout)
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._migrate()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        with self._explained():
            self._connection.close()

    def be_patient(self, seconds: float) -> None:
        """Wait so long for another process that writes, from now on."""
        self._connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self._path, self._schema)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block or, after an exception, none. Within a transaction it is a part of that."""
        run, outermost = self._connection.execute, not self._connection.in_transaction
        if not outermost:
            yield
            return
        with self._explained():
            run("BEGIN IMMEDIATE")  # a deferred one that reads and then writes fails instead of waiting
        try:
            yield
            with self._explained():
                run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite has ended it where the disk is full
                run("ROLLBACK")
            raise

    def write(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run `sql` once for each row."""
        with self.transaction(), self._explained():
            self._connection.executemany(sql, rows)

    def rows(self, sql: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows at once: a cursor left open would keep SQLite from folding its log into the database."""
        with self._explained():
            return [tuple(map(plain, row)) for row in self._connection.execute(sql, arguments).fetchall()]

    def records(self, sql: str, arguments: Sequence[object] = ()) -> list[dict[str, Any]]:
        """What someone asks in words of their own, which may write nothing: rows by the names of their columns.

        InputError where SQLite does not understand it.
        """
        run = self._connection.execute
        with self._explained():
            run("PRAGMA query_only = ON")
            try:
                cursor = run(sql, arguments)
                names = [name for name, *_ in cursor.description or ()]
                return [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) in _OF_THE_QUESTION:
                    raise InputError(f"the {self._schema.title} cannot answer: {error}") from error
                raise
            finally:
                run("PRAGMA query_only = OFF")

    def column(self, sql: str, arguments: Sequence[object] = ()) -> list[Any]:
        """The first value of each row."""
        return [row[0] for row in self.rows(sql, arguments)]

    def rows_in(self, sql: str, keys: Iterable[str], size: int = 500) -> Iterator[tuple[Any, ...]]:
        """The rows of `sql`, in which `(?)` stands for `keys`, asked for `size` keys at a time."""
        left = map(text, keys)
        while chunk := list(islice(left, size)):
            yield from self.rows(sql.replace("(?)", f"({', '.join('?' * len(chunk))})"), chunk)

    def _migrate(self) -> None:
        """Apply the migrations that this database lacks."""
        schema = self._schema
        tables = set(self.column("SELECT name FROM sqlite_master WHERE type = 'table'"))
        applied = set()
        if "_sqlite_migrations" in tables:
            sql = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
            applied = set(self.column(sql, (schema.name,)))
        elif tables:
            raise StoreError(f"{self._path} is a database, but not an {schema.title} of Stepwood", hint=schema.hint)
        known = {name for name, _ in schema.migrations}
        if not applied <= known:
            raise StoreError(
                f"the {schema.title} {self._path} was written by a newer version of Stepwood",
                hint=f"use that version; or, {schema.hint}",
            )
        if applied < known:
            with self.transaction():  # of two processes that get here at once, the second finds it done
                _apply_migrations(self._connection, schema)


def _apply_migrations(connection: sqlite3.Connection, schema: Schema) -> None:
    # It takes 45 ms to import, and only a database that is new or old needs it.
    import sqlite_utils

    migrations = sqlite_utils.Migrations(schema.name)
    for name, sql in schema.migrations:

        def migrate(database: sqlite_utils.Database, sql: str = sql) -> None:
            database.executescript(sql)

        migrations(name=name)(migrate)
    # No plugins: what a user has installed for the sqlite-utils command has no say here.
    migrations.apply(sqlite_utils.Database(connection, recursive_triggers=False, execute_plugins=False))


def _use_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """Turn the write-ahead log on. Two processes that make an index at once collide here, and SQLite does not wait."""
    give_up = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        time.sleep(0.01)


def remove(path: Path) -> None:
    """Remove a closed database."""
    for suffix in SUFFIXES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def replace(path: Path, fresh: Path, kept: Path) -> None:
    """Put the closed database `fresh` in the place of `path`, which becomes `kept` if it is there."""
    if path.exists():
        remove(kept)
        # The database before its log: SQLite drops a log that has no database, but would replay it into another one.
        path.rename(kept)
        if (log := Path(f"{path}-wal")).exists():
            log.rename(f"{kept}-wal")
    remove(path)
    fresh.rename(path)


@contextmanager
def explained(path: Path, schema: Schema = INDEX) -> Iterator[None]:
    """Turn what SQLite and the file system say about `path` into an error for the user."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise  # a mistake of ours, not of the file
    except sqlite3.DatabaseError as error:
        raise _explanation(path, schema, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"no room for the {schema.title} {path}") from error
        raise StoreError(f"the {schema.title} {path} cannot be used: {error.strerror}") from error


def _explanation(path: Path, schema: Schema, error: sqlite3.DatabaseError) -> StepwoodError:
    subject = f"the {schema.title} {path}"
    if str(error).startswith("no such module"):
        hint = f"{sys.executable} needs an SQLite that has it, as those of Debian and python.org do"
        return StoreError(f"{subject} cannot be used: SQLite has {error}", hint=hint)
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"{subject} is in use by another process")
        case sqlite3.SQLITE_FULL:
            return OutOfSpace(f"no room for {subject}")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            hint = "are the file and its folder there, and yours to write?"
            return StoreError(f"{subject} cannot be used: {error}", hint=hint)
        case _:
            return StoreError(f"{subject} is damaged: {error}", hint=schema.hint)
