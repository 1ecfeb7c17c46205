"""What planning takes from outside: bases as they are pinned, contexts as they are now."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from engine.dag import Dag
from engine.executor.retry import retrying
from engine.index import Index
from engine.inputs import Memory, take_manifest
from engine.plan import Job, Planner
from engine.records import Pin
from engine.step import DEFAULT, Base, Manifest, Policy
from stepwood.bases import base as bases
from stepwood.config import Settings
from stepwood.console import say
from system.errors import InputError, MachineError


class Outside:
    """The planner's `World`. Without an index nothing is remembered, and nothing is written anywhere."""

    def __init__(self, settings: Settings, index: Index | None) -> None:
        self._settings, self._index = settings, index
        self._hashes = Memory() if index is None else index
        self._manifests: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Manifest] = {}

    def pin(self, base: str) -> Base:
        url = bases.resolve(base, self._settings.bases)
        local = url.startswith(("dir:", "tar:"))
        if self._settings.pull != "always" and not local and self._index is not None:
            known = self._index.pin(url)
            if known is not None:
                return Base(base, known.digest, known.config, known.source)
        if self._settings.pull == "never" and not local:
            raise InputError(f"{base} ({url}) has never been pulled", hint="run with `--pull missing` once")

        def again(number: int, error: Base | MachineError) -> None:
            assert isinstance(error, MachineError)
            say(f"{base}: {error.message}; trying again ({number + 1})")

        taken = retrying(lambda _: bases.pin(url, self._hashes), again, Event())
        if self._index is not None:
            self._index.save_pin(Pin(url, taken.digest, taken.config, taken.source, time.time()))
        return Base(base, taken.digest, taken.config, taken.source)

    def manifest(self, folder: str, sources: tuple[str, ...], exclude: tuple[str, ...]) -> Manifest:
        key = (folder, sources, exclude)
        if key not in self._manifests:
            self._manifests[key] = take_manifest(Path(folder), sources, exclude, self._hashes)
        return self._manifests[key]


def planned(asked: Sequence[Job], settings: Settings, index: Index | None, policy: Policy = DEFAULT) -> Dag:
    """The jobs' plans, with the world as it is now, as one DAG."""
    context = None if settings.context is None else os.path.abspath(settings.context)
    planner = Planner(Outside(settings, index), context, policy)
    plans = [planner.plan(job) for job in asked]
    return Dag.of(plans, planner.steps)
