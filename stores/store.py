"""What a store is: committed root filesystems by step id, drafts that become such, and caches.

The contract, which `tests/stores/` holds every driver to:

*Drafts.* `with store.draft(id, inputs) as draft:` gives a root that starts as what the inputs left
(empty without inputs). Only `draft.commit(meta)` publishes it, at most once; leaving the block in any
other way discards it, or, after `draft.keep()`, sets the tree aside. A draft's root is mounted by one launch
only (the upper of a volatile overlay cannot be mounted twice), and so is a cache's. Publishing is one rename with
the metadata before it, so a snapshot is whole or absent whenever the process is killed. Publishing an
id that exists already keeps the one that is there and discards the draft.

*Views.* `store.view(id)` is a read-only root: it never shows a writer's changes.

*Trust.* A snapshot made in another boot of the machine is there only if a `sync` covered it.

*Inputs stay.* A snapshot is there only while its inputs are: `delete(id)` takes what was built on it too.

*Sessions.* Drafts and caches need `start()`, once a process. What it gives must outlive every process
that may still write to a draft, so the helper holds it too.

*Caches.* `with store.cache(name, uid, gid) as cache:` gives a private mutable copy of the newest
version, or an empty folder owned by uid:gid. Leaving the block, by an exception too, makes the copy
the new version, unless another user of the cache has done so since the block was entered. With
`locked`, users of the cache go one after the other; setting that event ends the wait: `Interrupted`.

*Processes.* Several processes may use a store at once. What a killed one left is swept by the next to open it.

Errors: `StoreError` and its kinds, `OutOfSpace`; an id that is not there is a `KeyError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from system.launch import Root

Meta = Mapping[str, object]
"""What a snapshot says of itself, as JSON has it. The engine writes it; a store adds its own under "store"."""


class Draft(Protocol):
    """A root being written. `scratch` is a place beside it for whoever needs a folder: nothing
    is there yet, and what is put there goes with the draft."""

    @property
    def root(self) -> Root: ...

    @property
    def scratch(self) -> Path: ...

    def commit(self, meta: Meta) -> None: ...

    def keep(self) -> None: ...


class Cache(Protocol):
    """A private mutable copy of a cache, to be mounted into a step."""

    @property
    def root(self) -> Root: ...


@dataclass(frozen=True, slots=True)
class Session:
    """A process's right to write: an empty folder for the helper's stage, and the locks the helper must share."""

    stage: Path
    locks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on disk of one part of a store, shared extents and links counted once where the store can tell."""

    name: str
    kind: str
    bytes: int


class Store(Protocol):
    """See the module for the contract."""

    @property
    def url(self) -> str:
        """`KIND:FOLDER`, as `--store` takes it."""
        ...

    @property
    def folder(self) -> Path:
        """Where index, logs and locks of this store live."""
        ...

    def ids(self) -> Set[str]:
        """The ids of all snapshots, as of now."""
        ...

    def meta(self, id: str) -> Meta: ...

    def draft(self, id: str, inputs: Sequence[str]) -> AbstractContextManager[Draft]: ...

    def prepare(self) -> None:
        """Work that can be done ahead of the next draft. Called when a step's process was started, so that its time
        is no loss; raises nothing, and a draft needs no call of it."""
        ...

    def view(self, id: str) -> Root: ...

    def cache(self, name: str, uid: int, gid: int, *, locked: Event | None = None) -> AbstractContextManager[Cache]: ...

    def start(self) -> Session:
        """Begin to write: sweep what killed processes left, and hold the store against deletion."""
        ...

    def claim(self, id: str) -> AbstractContextManager[None] | None:
        """The sole right to make a step among all processes; None while another has it."""
        ...

    def delete(self, ids: Sequence[str]) -> Sequence[str]:
        """Remove snapshots and what was built on them; the ids that went, dependents first."""
        ...

    def clean(self) -> int:
        """Remove every snapshot, cache, log and set-aside tree; how many snapshots went."""
        ...

    def delete_cache(self, name: str) -> None: ...

    def usage(self) -> Sequence[Usage]: ...

    def sync(self) -> None:
        """Make all that is committed survive a loss of power (syncfs(2)); cheap when nothing is dirty."""
        ...

    def check(self) -> Sequence[str]:
        """What is wrong with the store, a line each; reads everything, changes nothing."""
        ...

    def close(self) -> None: ...
