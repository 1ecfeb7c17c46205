"""What all stores in a folder share: layout, sessions, publishing, trust, deletion and caches.

    format, driver    the version of this layout; the kind of store it is
    lock              held shared by every process that builds, exclusively by one that deletes
    boot, synced.json which boot swept last; up to when each boot's commits are on disk
    snapshots/ID/     a committed snapshot: meta.json and the driver's tree
    work/SESSION/     one process's drafts; whoever gets its lock may sweep it
    claims/ID         locks of steps in the making
    caches/NAME/      current.json and the driver's versions
    failed/ID.N/      trees that were set aside

A driver says how a draft's root comes from its inputs, what to add to the metadata, and how to see a snapshot.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stores.caches import Caches, TreeCache
from stores.driver import Driver
from stores.store import Meta, Session, Usage
from stores.trust import Trust
from system import disk
from system.errors import StoreBusy, StoreError
from system.launch import Folder, Layers, Root

FORMAT = "1"
META = "meta.json"
PATIENCE = 10.0
"""Seconds to wait for a process that opens the store or deletes from it. A test may shorten it."""


@dataclass(slots=True)
class TreeDraft:
    """See `stores.store.Draft`."""

    root: Root
    _store: TreeStore
    _id: str
    _home: Path
    _inputs: Sequence[str]
    _parent: Mapping[str, Any] | None
    _kept: bool = False
    _done: bool = False

    @property
    def scratch(self) -> Path:
        return self._home / "scratch"

    def commit(self, meta: Meta) -> None:
        assert not self._done, "a draft is committed once"
        with disk.errors("cannot keep a snapshot"):
            self._store.publish(self._id, self._home / "snapshot", meta, self._inputs, self._parent)
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
        self._session: Path | None = None
        self._locks: tuple[int, ...] = ()
        self._counter = iter(range(1 << 62))
        self._homes: list[Path] = []
        self._metas: dict[str, Mapping[str, Any]] = {}

    @property
    def url(self) -> str:
        return f"{self._driver.kind}:{self.folder}"

    # --- asking

    def ids(self) -> Set[str]:
        with disk.errors("cannot read the store"):
            self._check_format()
            try:
                present = set(os.listdir(self._snapshots))
            except FileNotFoundError:
                return set()
            return present if self._trust.swept else present - self._lost(present)

    def meta(self, id: str) -> Meta:
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
            self._sweep()
            session, mine = self._new_session()
        self._session, self._locks = session, (shared, mine)
        return Session(session / "stage", self._locks)

    def _enter(self) -> int:
        """The store's lock, shared; whoever finds nobody else in the store tidies it first."""
        until = time.monotonic() + PATIENCE
        while True:
            alone = disk.try_lock(self.folder / "lock", exclusive=True)
            if alone is not None:
                try:
                    self._tidy()
                finally:
                    os.close(alone)
            if self._trust.swept:
                shared = disk.try_lock(self.folder / "lock", exclusive=False)
                if shared is not None:
                    return shared
            if time.monotonic() > until:
                raise StoreBusy(f"another process opens the store {self.folder} or deletes from it")
            time.sleep(0.01)

    def _tidy(self) -> None:
        self._sweep()
        if not self._trust.swept:
            self._remove(self._lost(self.ids_present()))
            self._caches.drop_lost()
            self._trust.mark_swept()

    def close(self) -> None:
        """End the session; whatever of it another process still holds is left to the next sweep."""
        for lock in self._locks:
            os.close(lock)
        self._locks = ()
        self._homes.clear()
        if self._session is not None:
            self._sweep()
            self._session = None

    def claim(self, id: str) -> contextlib.AbstractContextManager[None] | None:
        with disk.errors("cannot lock a step"):
            path = self.folder / "claims" / id
            while True:
                held = disk.try_lock(path, exclusive=True)
                if held is None:
                    return None
                if _is_at(held, path):
                    return _holding(held, path)
                os.close(held)  # whoever had the claim took the file away between our open and our lock

    # --- drafts

    @contextlib.contextmanager
    def draft(self, id: str, inputs: Sequence[str]) -> Iterator[TreeDraft]:
        parent = self.meta(inputs[0]) if inputs else None
        with disk.errors("cannot begin a snapshot"):
            home = self._home()
            try:
                os.mkdir(home / "snapshot")
                root = self._driver.begin(home / "snapshot", home / "work", parent)
            except BaseException:
                disk.discard(home)
                raise
        draft = TreeDraft(root, self, id, home, inputs, parent)
        try:
            yield draft
        finally:
            if draft._kept and not draft._done:
                with contextlib.suppress(OSError):
                    os.rename(home / "snapshot", self.folder / "failed" / f"{id}.{uuid.uuid4().hex[:8]}")
            self._leave(home, clean=draft._done)

    def _home(self) -> Path:
        """A folder for a draft, with its work folder: one that an earlier draft left, or a new one."""
        try:
            return self._homes.pop()
        except IndexError:
            return self._new_folder("work")

    def _leave(self, home: Path, *, clean: bool) -> None:
        if clean and os.listdir(home) == ["work"]:
            try:
                self._driver.renew(home / "work")
            except OSError:
                pass  # it was used in a way that leaves more
            else:
                self._homes.append(home)
                return
        disk.discard(home)

    def publish(
        self, id: str, snapshot: Path, meta: Meta, inputs: Sequence[str], parent: Mapping[str, Any] | None
    ) -> None:
        """The one place where a snapshot comes to be: metadata first, then one rename."""
        own = self._driver.finish(snapshot, id, parent)
        size = own.get("bytes", meta.get("bytes"))
        store = {**own, **self._trust.stamp()}
        whole = {**meta, "id": id, "inputs": list(inputs), "bytes": size, "store": store}
        (snapshot / META).write_text(json.dumps(whole))
        try:
            os.rename(snapshot, self._snapshots / id)
        except OSError:
            if not (self._snapshots / id / META).exists():
                raise
            return  # another process was first; both are the same by definition
        self._metas[id] = whole

    # --- caches

    def cache(
        self, name: str, uid: int, gid: int, *, locked: bool = False
    ) -> contextlib.AbstractContextManager[TreeCache]:
        return self._caches.use(name, uid, gid, self._new_folder, locked=locked)

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
            return self._remove(self._with_dependents(present, set(ids)))

    def clean(self) -> int:
        if not self._snapshots.is_dir():
            return 0
        with disk.errors("cannot clean the store"), self._alone():
            count = len(self._remove(self.ids_present()))
            for name in ("caches", "failed", "logs"):
                disk.discard(self.folder / name)
                os.mkdir(self.folder / name)
            return count

    def ids_present(self) -> set[str]:
        return set(os.listdir(self._snapshots))

    def usage(self) -> Sequence[Usage]:
        parts = [Usage(id, "snapshot", disk.usage(self._snapshots / id)) for id in sorted(self.ids())]
        for kind, folder in (("cache", "caches"), ("failed", "failed"), ("work", "work"), ("logs", "logs")):
            if (self.folder / folder).is_dir():
                for entry in sorted(os.scandir(self.folder / folder), key=lambda entry: entry.name):
                    parts.append(Usage(entry.name, kind, disk.usage(Path(entry.path))))
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
        for name in ("snapshots", "work", "claims", "caches", "failed", "logs", "scaffold", "nothing"):
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

    def _new_session(self) -> tuple[Path, int]:
        while True:
            session = self.folder / "work" / uuid.uuid4().hex
            session.mkdir()
            with contextlib.suppress(FileNotFoundError):  # another process may sweep it before it has its lock
                mine = disk.lock(session / "lock", exclusive=True)
                try:
                    (session / "stage").mkdir()
                except BaseException:
                    os.close(mine)
                    raise
                return session, mine

    def _new_folder(self, *parts: str) -> Path:
        assert self._session is not None, "start() comes first"
        home = self._session / str(next(self._counter))
        os.mkdir(home)
        try:
            for part in parts:
                os.mkdir(home / part)
        except OSError:
            disk.discard(home)
            raise
        return home

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        held = disk.try_lock(self.folder / "lock", exclusive=True)
        if held is None:
            raise StoreBusy(f"the store {self.folder} is in use by a build; try again when it has ended")
        try:
            yield
        finally:
            os.close(held)

    def _sweep(self) -> None:
        """Remove the work of processes that are gone."""
        for entry in list(os.scandir(self.folder / "work")):
            with contextlib.suppress(FileNotFoundError):
                held = disk.try_lock(Path(entry.path, "lock"), exclusive=True)
                if held is not None:
                    disk.discard(Path(entry.path))
                    os.close(held)

    def _lost(self, present: Set[str]) -> set[str]:
        """Snapshots of another boot that no sync covered, and all that was built on them."""
        covered = self._trust.covers()
        lost = set()
        for id in present:
            try:
                stamp = self.meta(id)["store"]
                assert isinstance(stamp, dict), "meta() looked"
                if not covered(stamp):
                    lost.add(id)
            except (KeyError, StoreError):
                lost.add(id)
        return self._with_dependents(present, lost)

    def _with_dependents(self, present: Set[str], ids: set[str]) -> set[str]:
        users: dict[str, list[str]] = {}
        for id in present:
            with contextlib.suppress(KeyError, StoreError):
                for input in _inputs(self.meta(id)):
                    users.setdefault(input, []).append(id)
        reached, todo = set(ids), list(ids)
        while todo:
            new = [user for user in users.get(todo.pop(), []) if user not in reached]
            reached.update(new)
            todo += new
        return reached

    def _remove(self, ids: set[str]) -> list[str]:
        """Dependents first, each gone from sight by one rename before its files go."""
        depth: dict[str, int] = {}

        def deep(id: str) -> int:
            stack = [id]
            while stack:
                top = stack[-1]
                try:
                    inside = [input for input in _inputs(self.meta(top)) if input in ids]
                except (KeyError, StoreError):
                    inside = []
                missing = [input for input in inside if input not in depth]
                if missing:
                    stack += missing
                else:
                    depth[top] = 1 + max((depth[input] for input in inside), default=0)
                    stack.pop()
            return depth[id]

        order = sorted(ids, key=lambda id: (-deep(id), id))
        bin = self.folder / "work" / uuid.uuid4().hex
        os.mkdir(bin)
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


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _holding(descriptor: int, path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)
