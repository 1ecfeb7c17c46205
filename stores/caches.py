"""The caches of a store in a folder; see `stores.store` for the contract.

Each has a folder of its own: `current.json` names the version and the driver's folders that make it; `users` is
held shared while it is used, `turn` by a user who wants it alone, `saving` for a moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stores.driver import Driver
from stores.trust import Trust
from system import disk
from system.launch import Root


@dataclass(frozen=True, slots=True)
class TreeCache:
    """See `stores.store.Cache`."""

    root: Root


class Caches:
    def __init__(self, folder: Path, driver: Driver, trust: Trust) -> None:
        self._folder, self._driver, self._trust = folder, driver, trust

    @contextlib.contextmanager
    def use(
        self, name: str, uid: int, gid: int, new_folder: Callable[..., Path], locked: threading.Event | None
    ) -> Iterator[TreeCache]:
        """A private copy that grows in a `new_folder` and becomes the next version."""
        folder = self._place(name)
        with contextlib.ExitStack() as held:
            with disk.errors(f"cannot open cache {name}"):
                os.makedirs(folder, exist_ok=True)
                if locked is not None:
                    held.callback(os.close, disk.lock_unless(locked, folder / "turn"))
                held.callback(os.close, disk.lock(folder / "users", exclusive=False))
                before = _current(folder)
                current = [str(folder / part) for part in before.get("folders", [])]
                home = new_folder("copy", "work")
                held.callback(disk.discard, home)
                owner = None if before else (uid, gid)
                root = self._driver.begin_cache(home / "copy", home / "work", current, owner)
            try:
                yield TreeCache(root)
            finally:
                with disk.errors(f"cannot save cache {name}"):
                    self._save(folder, before, current, home / "copy")
        with disk.errors(f"cannot tidy cache {name}"):
            _tidy(folder)

    def delete(self, name: str) -> None:
        disk.discard(self._place(name))

    def drop_lost(self) -> None:
        """Remove the caches of another boot that no sync covered."""
        covered = self._trust.covers()
        for entry in list(os.scandir(self._folder)):
            if not covered(_current(Path(entry.path))):
                disk.discard(Path(entry.path))

    def _place(self, name: str) -> Path:
        return self._folder / (quote(name, safe="").replace(".", "%2E") or "%")

    def _save(self, folder: Path, before: Mapping[str, Any], current: Sequence[str], copy: Path) -> None:
        with disk.holding(disk.lock(folder / "saving", exclusive=True)):
            if _current(folder).get("version", 0) != before.get("version", 0):
                return
            folders = self._driver.finish_cache(copy, folder, current)
            if folders is not None:
                now = {"version": before.get("version", 0) + 1, "folders": list(folders)}
                disk.replace(folder / "current.json", json.dumps({**now, **self._trust.stamp()}))


def _tidy(folder: Path) -> None:
    """Remove old versions when nobody uses the cache."""
    alone = disk.try_lock(folder / "users", exclusive=True)
    if alone is None:
        return
    with disk.holding(alone):
        used = set(_current(folder).get("folders", []))
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False) and entry.name not in used:
                disk.discard(Path(entry.path))


def _current(folder: Path) -> dict[str, Any]:
    try:
        current: dict[str, Any] = json.loads((folder / "current.json").read_bytes())
        return current
    except (FileNotFoundError, ValueError):
        return {}
