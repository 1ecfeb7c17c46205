"""What all stores in a folder share: layout, sessions, publishing, trust, deletion and caches.

    format, driver    the version of this layout; the kind of store it is
    lock              held shared by every process that builds, exclusively by one that deletes
    boot, synced.json which boot swept last; up to when each boot's commits are on disk (written under `syncing`)
    snapshots/ID/     a committed snapshot: meta.json and the driver's tree
    work/SESSION/     what one process is making: see stores.work
    claims            a lock on one byte for each step in the making
    caches/NAME/      current.json and the driver's versions
    failed/ID.N/      trees that were set aside
    logs/ID.N.log     what each try said, once at rest compressed to .log.zst; logs.db to search them

A driver says how a draft's root comes from its inputs, what to add to the metadata, and how to see a snapshot.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stores import lineage
from stores.caches import Caches, TreeCache
from stores.driver import Driver
from stores.store import Meta, Session, Usage
from stores.trust import Trust
from stores.work import META, Home, Work
from system import disk
from system.errors import StoreBusy, StoreError
from system.launch import Folder, Layers, Root

FORMAT = "2"
SEARCH = ("logs.db", "logs.db-wal", "logs.db-shm")
"""The full-text index of logs: `engine.logbook`."""
PATIENCE = 10.0
"""Seconds to wait for a process that opens the store or deletes from it. A test may shorten it."""


@dataclass(slots=True)
class TreeDraft:
    """See `stores.store.Draft`."""

    root: Root
    _store: TreeStore
    _id: str
    _home: Home
    _inputs: Sequence[str]
    _parent: Mapping[str, Any] | None
    _kept: bool = False
    _done: bool = False

    @property
    def scratch(self) -> Path:
        return self._home.folder / "scratch"

    def commit(self, meta: Meta) -> None:
        assert not self._done, "a draft is committed once"
        with disk.errors("cannot keep a snapshot"):
            self._store.publish(self._id, self._home, meta, self._inputs, self._parent)
        self._done = True

    def keep(self) -> None:
        self._kept = True


class TreeStore:
    """A store in a folder; see `stores.store` for the contract."""

    def __init__(self, folder: Path, driver: Driver, *, boot: str | None = None) -> None:
        """Touches nothing. `boot`: the boot to take this for, in tests."""
        self.folder = folder
        self._driver = driver
        self._snapshots = folder / "snapshots"
        self._trust = Trust(folder, boot or disk.boot_id())
        self._caches = Caches(folder / "caches", driver, self._trust)
        self._work = Work(folder / "work", driver)
        self._lock: int | None = None
        self._metas: dict[str, Mapping[str, Any]] = {}
        self._hidden: Set[str] | None = None

    @property
    def url(self) -> str:
        return f"{self._driver.kind}:{self.folder}"

    # --- asking

    def ids(self) -> Set[str]:
        with disk.errors("cannot read the store"):
            self._check_format()
            try:
                return self.ids_present() - self._unseen()
            except FileNotFoundError:
                return set()

    def meta(self, id: str) -> Meta:
        found = self._meta(id)
        if self._lock is None and id in self._unseen():
            raise KeyError(id)
        return found

    def _unseen(self) -> Set[str]:
        """What another boot left and no sync covered, until the first session of this boot sweeps it out."""
        if self._trust.swept:
            return set()
        if self._hidden is None:
            self._hidden = self._lost(self.ids_present())
        return self._hidden

    def _meta(self, id: str) -> Mapping[str, Any]:
        if id not in self._metas:
            try:
                found = json.loads((self._snapshots / id / META).read_bytes())
                if not isinstance(found, dict) or not isinstance(found.get("store"), dict):
                    raise ValueError("no metadata of a snapshot")
                self._metas[id] = found
            except FileNotFoundError:
                raise KeyError(id) from None
            except ValueError as error:
                raise StoreError(f"the metadata of snapshot {id} cannot be read", hint="`stepwood fsck`") from error
        return self._metas[id]

    def view(self, id: str) -> Root:
        return self._driver.view(self.meta(id))

    # --- a session

    def start(self) -> Session:
        with disk.errors(f"cannot open the store {self.folder}"):
            self._make()
            shared = self._enter()
            self._metas.clear()  # another process may have deleted meanwhile
            try:
                stage, mine = self._work.begin()
            except BaseException:
                os.close(shared)
                raise
        self._lock = shared
        return Session(stage, (shared, mine))

    def _enter(self) -> int:
        """The store's lock, shared; whoever finds nobody else in the store tidies it first."""
        until = time.monotonic() + PATIENCE
        while True:
            alone = disk.try_lock(self.folder / "lock", exclusive=True)
            if alone is not None:
                with disk.holding(alone):
                    self._tidy()
            if self._trust.swept:
                shared = disk.try_lock(self.folder / "lock", exclusive=False)
                if shared is not None:
                    return shared
            if time.monotonic() > until:
                raise StoreBusy(f"another process opens the store {self.folder} or deletes from it")
            time.sleep(0.01)

    def _tidy(self) -> None:
        self._work.sweep()
        if not self._trust.swept:
            self._remove(self._lost(self.ids_present()))
            self._caches.drop_lost()
            self._trust.mark_swept()

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            self._work.end()

    def claim(self, id: str) -> contextlib.AbstractContextManager[None] | None:
        # One file for all steps: to make and remove one for each would slow down the disk (see stores.work).
        place = int.from_bytes(hashlib.sha256(id.encode()).digest()[:7])
        with disk.errors("cannot lock a step"):
            held = disk.try_lock_byte(self.folder / "claims", place)
        return None if held is None else disk.holding(held)

    # --- drafts

    @contextlib.contextmanager
    def draft(self, id: str, inputs: Sequence[str]) -> Iterator[TreeDraft]:
        parent = self.meta(inputs[0]) if inputs else None
        with disk.errors("cannot begin a snapshot"):
            home = self._work.take()
            try:
                root = self._driver.begin(home.snapshot, home.work, parent)
            except BaseException:
                disk.discard(home.folder)
                raise
        draft = TreeDraft(root, self, id, home, inputs, parent)
        try:
            yield draft
        finally:
            if draft._done:
                self._work.give_back(home)
            else:
                if draft._kept:
                    with contextlib.suppress(OSError):
                        os.rename(home.snapshot, self.folder / "failed" / f"{id}.{uuid.uuid4().hex[:8]}")
                disk.discard(home.folder)

    def prepare(self) -> None:
        self._work.ahead()

    def publish(self, id: str, home: Home, meta: Meta, inputs: Sequence[str], parent: Mapping[str, Any] | None) -> None:
        """The one place where a snapshot comes to be: metadata first, then one rename."""
        own = self._driver.finish(home.snapshot, home.work, id, parent)
        size = own.get("bytes", meta.get("bytes"))
        store = {**own, **self._trust.stamp()}
        whole = {**meta, "id": id, "inputs": list(inputs), "bytes": size, "store": store}
        with open(home.snapshot / META, "r+") as file:  # ext4 would flush one that is truncated, when it is closed
            file.write(json.dumps(whole))
        try:
            os.rename(home.snapshot, self._snapshots / id)
        except OSError:
            if not (self._snapshots / id / META).exists():
                raise
            return  # another process was first; both are the same by definition
        self._metas[id] = whole

    # --- caches

    def cache(
        self, name: str, uid: int, gid: int, *, locked: threading.Event | None = None
    ) -> contextlib.AbstractContextManager[TreeCache]:
        return self._caches.use(name, uid, gid, self._work.new_folder, locked)

    def delete_cache(self, name: str) -> None:
        with disk.errors(f"cannot delete cache {name}"), self._alone():
            self._caches.delete(name)

    # --- looking after it

    def delete(self, ids: Sequence[str]) -> Sequence[str]:
        with disk.errors("cannot delete"), self._alone():
            present = self.ids_present()
            for id in ids:
                if id not in present:
                    raise KeyError(id)
            removed = self._remove(lineage.with_dependents(self._inputs(present), ids))
            self._remove_logs(set(removed))
            return removed

    def clean(self) -> int:
        if not self._snapshots.is_dir():
            return 0
        with disk.errors("cannot clean the store"), self._alone():
            count = len(self._remove(self.ids_present()))
            for name in ("caches", "failed", "logs"):
                disk.discard(self.folder / name)
                os.mkdir(self.folder / name)
            for name in SEARCH:
                (self.folder / name).unlink(missing_ok=True)
            return count

    def ids_present(self) -> set[str]:
        return set(os.listdir(self._snapshots))

    def usage(self) -> Sequence[Usage]:
        parts = [Usage(id, "snapshot", disk.usage(self._snapshots / id)) for id in sorted(self.ids())]
        for kind, folder in (("cache", "caches"), ("failed", "failed"), ("work", "work"), ("logs", "logs")):
            if (self.folder / folder).is_dir():
                for entry in sorted(os.scandir(self.folder / folder), key=lambda entry: entry.name):
                    parts.append(Usage(entry.name, kind, disk.usage(Path(entry.path))))
        parts += [Usage(name, "search", disk.usage(path)) for name in SEARCH if (path := self.folder / name).exists()]
        return parts

    def sync(self) -> None:
        with disk.errors("cannot sync the store"):
            self._trust.sync()

    def check(self) -> Sequence[str]:
        found: list[str] = []
        present = self.ids()
        for id in sorted(present):
            try:
                meta = self.meta(id)
                missing_parts = self._missing_parts(meta)
            except (KeyError, TypeError, StoreError):
                found.append(f"{id}: its metadata is missing or cannot be read")
                continue
            found += [f"{id}: its input {input} is not there" for input in _inputs(meta) if input not in present]
            found += [f"{id}: {missing} is not there" for missing in missing_parts]
        return found

    def _missing_parts(self, meta: Meta) -> list[str]:
        match self._driver.view(meta):
            case Folder(path=path):
                return [] if os.path.isdir(path) else [path]
            case Layers(folder=folder, lowers=lowers):
                return [lower for lower in lowers if not os.path.isdir(os.path.join(folder, lower))]

    # --- inside

    def _make(self) -> None:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for name, text in (("format", FORMAT), ("driver", self._driver.kind)):
            if not (self.folder / name).exists():
                disk.replace(self.folder / name, text)
        self._check_format()
        for name in ("snapshots", "work", "caches", "failed", "logs", "scaffold", "nothing"):
            os.makedirs(self.folder / name, exist_ok=True)

    def _check_format(self) -> None:
        """That this is a store of this kind and format, or none yet."""
        found = _first(self.folder / "format")
        if found not in (None, FORMAT):
            raise StoreError(
                f"the store {self.folder} has format {found}; this Stepwood reads {FORMAT}",
                hint="use the Stepwood that made it, or another folder",
            )
        kind = _first(self.folder / "driver")
        if kind not in (None, self._driver.kind):
            text = f"{self.folder} holds a store of kind {kind}, not {self._driver.kind}"
            raise StoreError(text, hint=f"use {kind}:{self.folder}")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        held = disk.try_lock(self.folder / "lock", exclusive=True)
        if held is None:
            raise StoreBusy(f"the store {self.folder} is in use by a build; try again when it has ended")
        with disk.holding(held):
            yield

    def _lost(self, present: Set[str]) -> set[str]:
        """Snapshots of another boot that no sync covered, and all that was built on them."""
        covered = self._trust.covers()
        lost = set()
        for id in present:
            try:
                if not covered(self._meta(id)["store"]):
                    lost.add(id)
            except (KeyError, StoreError):
                lost.add(id)
        return lineage.with_dependents(self._inputs(present), lost)

    def _inputs(self, ids: Set[str]) -> dict[str, list[str]]:
        """What each of these was built on; nothing where its metadata cannot be read."""
        inputs = {}
        for id in ids:
            try:
                inputs[id] = _inputs(self._meta(id))
            except (KeyError, StoreError):
                inputs[id] = []
        return inputs

    def _remove_logs(self, ids: Set[str]) -> None:
        """The logs of these steps, compressed or not; their words stay in the full-text index, which finds no log."""
        for name in os.listdir(self.folder / "logs"):
            if name.partition(".")[0] in ids:
                (self.folder / "logs" / name).unlink(missing_ok=True)

    def _remove(self, ids: set[str]) -> list[str]:
        """Dependents first, each gone from sight by one rename before its files go."""
        order = lineage.dependents_first(self._inputs(ids), ids)
        bin = self._work.bin()
        for id in order:
            os.rename(self._snapshots / id, bin / id)
            self._metas.pop(id, None)
        disk.discard(bin)
        return order


def kind_of(folder: Path) -> str | None:
    """The kind of the store in a folder, None where there is none yet."""
    with disk.errors(f"cannot read the store {folder}"):
        return _first(folder / "driver")


def _first(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def _inputs(meta: Meta) -> list[str]:
    inputs = meta.get("inputs", [])
    return [str(input) for input in inputs] if isinstance(inputs, list) else []
