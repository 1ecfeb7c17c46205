"""The logbook: takes logs of attempts that have ended, so that they can be searched and take little room.

It has a thread and a database of its own, so that no build waits for it, and no error of it fails one: a log
that could not be taken stays as it is, and the next builds try again after a day.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine import logtext
from engine.database import Database
from engine.logtext import open_log
from engine.logwords import Line, Words
from engine.schema import LOGS
from engine.words import counted
from system.errors import StepwoodError

DATABASE = "logs.db"
"""In the store's folder."""
DAY = 86400.0
"""Seconds after which a log that nobody has taken was left by a build that died, and between looks for such."""
LINGER = 0.25
"""Seconds in which logs gather, to be written at once."""
BATCH, CHARACTERS = 256, 16 << 20
"""How many logs, and of how much text, are written at once."""
TIMEOUT = 5.0
"""Seconds to wait for another process that writes."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A log to take."""

    step: str
    path: str
    ended: float


@dataclass(frozen=True, slots=True)
class Found:
    """A log in which all words are: its step, its path, when it ended (since the epoch), lines that match."""

    step: str
    path: str
    ended: float
    lines: tuple[Line, ...]


class Logbook:
    """Takes the logs of one store while a build runs; many processes may each have one."""

    def __init__(self, folder: Path, *, timeout: float = TIMEOUT) -> None:
        """`folder` is the store's, and has `logs`. `timeout`: seconds to wait for another process that writes."""
        self._folder, self._timeout = folder, timeout
        self._queue: queue.SimpleQueue[_Ended | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._stopping = threading.Event()
        self._problems: dict[str, int] = {}
        self._database: Database | None = None
        """The thread's own, opened when it is needed."""
        self._thread = threading.Thread(target=self._run, name="logbook", daemon=True)
        self._thread.start()

    def add(self, step: str, path: str, ended: float) -> None:
        """Take a log that nobody writes any more: `path` is from the store's folder, `ended` since the epoch.

        Returns at once; may be called from any thread.
        """
        self._queue.put(_Ended(step, path, ended))

    def close(self, patience: float = 30.0) -> list[str]:
        """Finish what was added, for `patience` seconds at most; a line for each problem there was."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(patience)
        self._stopping.set()
        self._thread.join(2 * self._timeout)
        told = [(count, text) for text, count in self._problems.items() if count]
        return [f"{counted(count, 'log')} not searchable yet: {text}" for count, text in told]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- in the logbook's thread

    def _run(self) -> None:
        try:
            todo = self._left()
            while (todo or (todo := self._gathered())) and not self._stopping.is_set():
                ready, todo = todo[:BATCH], todo[BATCH:]
                with self._problem(len(ready)):
                    self._take(self._opened(), ready)
        finally:
            if self._database is not None:
                with contextlib.suppress(StepwoodError):
                    self._database.close()

    def _opened(self) -> Database:
        if self._database is None:
            self._database = Database(self._folder / DATABASE, "rwc", self._timeout, LOGS)
        return self._database

    def _gathered(self) -> list[_Ended]:
        """What was added since the last time, and a little later; nothing when there will be no more."""
        found = [self._queue.get()]
        if found[0] is not None:
            self._closing.wait(LINGER)
            with contextlib.suppress(queue.Empty):
                while len(found) < BATCH:
                    found.append(self._queue.get_nowait())
        if None in found and found[0] is not None:
            self._queue.put(None)  # to be met again when these are done
        return [one for one in found if one is not None]

    @contextlib.contextmanager
    def _problem(self, count: int = 1) -> Iterator[None]:
        """Whatever goes wrong is told at the end, of so many logs, and keeps nothing else from going on."""
        try:
            yield
        except FileNotFoundError:
            pass  # the log was deleted, or another process has compressed it
        except Exception as error:
            _LOG.debug("the logbook", exc_info=error)
            text = error.message if isinstance(error, StepwoodError) else str(error)
            self._problems[text] = self._problems.get(text, 0) + count

    def _take(self, database: Database, logs: Sequence[_Ended]) -> None:
        """First the words, then the room: a log that stands plain is tried again."""
        paths = [log.path for log in logs]
        known = {path for (path,) in database.rows_in("SELECT path FROM logs WHERE path IN (?)", paths)}
        rows: list[tuple[_Ended, int, str]] = []
        characters = 0
        for log in logs:
            if log.path not in known:
                with self._problem():
                    size, text = self._text(log)
                    rows.append((log, size, text))
                    characters += len(text)
            if characters >= CHARACTERS:
                _write(database, rows)
                rows, characters = [], 0
        _write(database, rows)
        for log in logs:
            path = self._folder / log.path
            with self._problem():
                if path.stat().st_size > logtext.BLOCK and not self._stopping.is_set():
                    logtext.compress(path, self._stopping)

    def _text(self, log: _Ended) -> tuple[int, str]:
        size = logtext.size(self._folder, log.path)
        with open_log(self._folder, log.path) as file:
            return size, logtext.searched(file, size)

    def _left(self) -> list[_Ended]:
        """Logs that nobody has taken for a day: large ones that stand plain, and all that cannot be searched."""
        now = time.time()
        found: list[_Ended] = []
        with self._problem(0):
            known: set[str] = set()
            if (self._folder / DATABASE).exists():
                database = self._opened()
                if database.rows("SELECT 1 FROM sweeps WHERE at BETWEEN ? AND ?", (now - DAY, now)):
                    return found
                with database.transaction():
                    database.write("DELETE FROM sweeps", [()])
                    database.write("INSERT INTO sweeps (at) VALUES (?)", [(now,)])
                known = set(database.column("SELECT path FROM logs"))
            found = [_Ended(*one) for one in logtext.left(self._folder, known, now - DAY)]
        return found


def _write(database: Database, rows: Sequence[tuple[_Ended, int, str]]) -> None:
    with database.transaction():
        for log, size, text in rows:
            values = (log.step, log.path, log.ended, size)
            sql = "INSERT OR IGNORE INTO logs (step, path, ended, bytes) VALUES (?, ?, ?, ?) RETURNING id"
            for (id,) in database.rows(sql, values):  # none where another process was first
                database.write("INSERT INTO words (rowid, text) VALUES (?, ?)", [(id, text)])


def search(folder: Path, words: Sequence[str], limit: int) -> list[Found]:
    """The newest `limit` logs in which all words are, newest first; none where no build has kept any.

    InputError where there is no word to look for; StoreError where the index of logs cannot be read.
    """
    wanted = Words(words)
    if not (folder / DATABASE).exists():
        return []
    sql = "SELECT step, path, ended FROM words JOIN logs ON id = words.rowid WHERE words MATCH ?"
    sql += " ORDER BY ended DESC, id DESC"
    with contextlib.closing(Database(folder / DATABASE, "rw", TIMEOUT, LOGS)) as database:
        rows = database.rows(sql, (wanted.query(),))
    found: list[Found] = []
    for step, path, ended in rows:
        if len(found) == limit:
            break
        try:
            with open_log(folder, path) as log:
                lines = wanted.lines(log)
        except OSError:
            continue  # it was deleted
        if lines:
            found.append(Found(step, path, ended, tuple(lines)))
    return found
