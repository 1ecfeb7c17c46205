"""The only file that knows concrete stores and sandboxes: from settings to things that work."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.index import Index
from stepwood.config import Settings, state_folder
from stores import probe
from stores.store import Store
from system.errors import InputError

if TYPE_CHECKING:
    from engine.executor.worker import Worker
    from sandboxes.sandbox import Sandbox

INDEX = "index.db"


def store(settings: Settings) -> Store:
    """The store that the settings name. Makes nothing where there is none yet."""
    return probe.open_store(settings.store) if settings.store else probe.default(state_folder())


def sandbox(settings: Settings) -> Sandbox:
    match settings.sandbox:
        case "namespaces":
            from sandboxes.namespaces import Namespaces

            return Namespaces()
        case "oci" | "oci:runc" | "oci:crun":
            from sandboxes.oci import Oci

            return Oci("crun" if settings.sandbox == "oci:crun" else "runc")
        case name:
            raise InputError(
                f'sandbox "{name}" is not supported yet', hint="there are namespaces, oci (runc) and oci:crun"
            )


def index(of: Store) -> Index | None:
    """The index of a store, where there is one."""
    return Index.find(of.folder / INDEX)


@contextmanager
def looking(settings: Settings) -> Iterator[tuple[Store, Index | None]]:
    """A store, and its index where there is one, for who plans."""
    of = store(settings)
    with index(of) or nullcontext() as found:
        yield of, found


@contextmanager
def records(settings: Settings) -> Iterator[tuple[Store, Index]]:
    """A store and its index, for who looks. InputError where there is none."""
    of = store(settings)
    found = index(of)
    if found is None:
        hint = "`stepwood build` makes one; `stepwood fsck --rebuild-index` restores a lost index"
        raise InputError(f"there is no index in {of.folder}", hint=hint)
    with found:
        yield of, found


@dataclass(frozen=True, slots=True)
class Workshop:
    """All that a build needs, open."""

    worker: Worker
    index: Index


@contextmanager
def workshop(settings: Settings, secrets: Mapping[str, bytes], *, keep_failed: bool = False) -> Iterator[Workshop]:
    """Open the store for writing and start the helper; what is left open by an error is closed."""
    # Only who builds pays for these.
    from engine.executor.worker import Worker
    from stepwood.bases import base as bases
    from system.helper.client import Helper

    box = sandbox(settings)
    box.check()
    _prepare_process()
    with ExitStack() as held:
        into = store(settings)
        session = into.start()
        held.callback(into.close)
        helper = held.enter_context(Helper(session.stage, session.locks))
        found = held.enter_context(Index.open(into.folder / INDEX))
        yield Workshop(Worker(into, box, helper, bases.fetch, secrets, keep_failed), found)


def _prepare_process() -> None:
    """For hundreds of steps at once: descriptors for them all, and threads that hand over quickly.

    A worker that a process wakes waits for the interpreter until another thread gives it up, by default 5 ms,
    which is longer than a step.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.setswitchinterval(0.0005)
