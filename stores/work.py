"""The work folder of a store: what its processes are making, each in a session of its own.

    work/SESSION/lock      held by its process, and by all it started that may still write there
    work/SESSION/stage/    the helper's
    work/SESSION/N/        the home of a draft (snapshot/ and work/) or of a copy of a cache

Whoever gets a session's lock may sweep it.

The home of a published draft serves again, a few times. Homes are made and renewed while a step's process runs, because
a new folder on a disk costs up to 0.1 ms, and each lies in another part of the disk: on ext4 a new file passes over
every one that was removed from its part in the last minute (fs/ext4/ialloc.c, recently_deleted), and mounting an
overlay makes and removes half a dozen.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from stores.driver import Driver
from system import disk

META = "meta.json"
"""In a snapshot; in the home of a draft it is there, empty, before it is written."""
USES = 16
"""How many drafts a home serves."""


@dataclass(slots=True)
class Home:
    """Where one draft after another grows."""

    folder: Path
    snapshot: Path
    work: Path
    uses: int = 0


class Work:
    def __init__(self, folder: Path, driver: Driver) -> None:
        self._folder, self._driver = folder, driver
        self._session: Path | None = None
        self._lock = -1
        self._numbers = itertools.count()
        self._ready: list[Home] = []
        self._used: list[Home] = []

    def begin(self) -> tuple[Path, int]:
        """Sweep, and start this process's session: its stage folder, and its lock, which is held until `end`."""
        self.sweep()
        while True:
            session = self._folder / uuid.uuid4().hex
            session.mkdir()
            with contextlib.suppress(FileNotFoundError):  # another process may sweep it before it has its lock
                lock = disk.lock(session / "lock", exclusive=True)
                try:
                    (session / "stage").mkdir()
                    disk.spread(session)
                except BaseException:
                    os.close(lock)
                    raise
                self._session, self._lock = session, lock
                return session / "stage", lock

    def end(self) -> None:
        """End the session; whatever of it another process still holds is left to a later sweep."""
        if self._session is not None:
            os.close(self._lock)
            self._session = None
            self._ready.clear()
            self._used.clear()
            self.sweep()

    def sweep(self) -> None:
        """Remove the work of processes that are gone."""
        for entry in list(os.scandir(self._folder)):
            with contextlib.suppress(FileNotFoundError):
                held = disk.try_lock(Path(entry.path, "lock"), exclusive=True)
                if held is not None:
                    with disk.holding(held):
                        disk.discard(Path(entry.path))

    # --- the homes of drafts

    def take(self) -> Home:
        """A home with an empty draft."""
        try:
            home = self._ready.pop()
        except IndexError:
            home = self._new_home()
        home.uses += 1
        return home

    def give_back(self, home: Home) -> None:
        """The home of a published draft serves again, where nothing but its work folder is left in it."""
        if home.uses < USES and os.listdir(home.folder) == ["work"]:
            self._used.append(home)
        else:
            disk.discard(home.folder)

    def ahead(self) -> None:
        """Make a home ready for a draft to come. What goes wrong, the draft that needs one will meet again."""
        with contextlib.suppress(OSError):
            try:
                home = self._used.pop()
            except IndexError:
                if not self._ready:
                    self._ready.append(self._new_home())
                return
            self._ready.append(self._furnished(home))

    def _new_home(self) -> Home:
        folder = self.new_folder("work")
        return self._furnished(Home(folder, folder / "snapshot", folder / "work"))

    def _furnished(self, home: Home) -> Home:
        try:
            os.mkdir(home.snapshot)
            open(home.snapshot / META, "x").close()
            self._driver.prepare(home.snapshot, home.work)
        except BaseException:
            disk.discard(home.folder)
            raise
        return home

    def new_folder(self, *parts: str) -> Path:
        """A folder of this session with these folders in it."""
        assert self._session is not None, "start() comes first"
        home = self._session / str(next(self._numbers))
        os.mkdir(home)
        try:
            for part in parts:
                os.mkdir(home / part)
        except OSError:
            disk.discard(home)
            raise
        return home

    def bin(self) -> Path:
        """A folder for what is on its way out: of no session, so the next sweep takes what is left of it."""
        folder = self._folder / uuid.uuid4().hex
        os.mkdir(folder)
        return folder
