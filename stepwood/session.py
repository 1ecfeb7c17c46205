"""Plans, builds, reports and questions from Python, as in a notebook: what the commands do, with values for texts."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import render
from engine.events import Event
from engine.executor.loop import Summary
from engine.explain import Cause
from engine.forest import LINES
from grammar.ast import Spec, Workflow
from grammar.source import Source
from stepwood import wire
from stepwood.commands import build as building
from stepwood.commands import options
from stepwood.commands import plan as planning
from stepwood.commands import report as reporting
from stepwood.config import Choice, Settings, settings
from stepwood.console import Plain
from stepwood.jobs import Asked, gathered, jobs
from stepwood.pyfile import checked
from system.errors import SpecError
from system.machine import free_memory

Asking = str | Spec | Workflow
"""A FILE by its path, or what such a file would say."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A plan. As text it is what `stepwood plan` prints."""

    shown: render.Plan
    causes: Sequence[Cause]
    machines: Mapping[int, int | None]

    @property
    def document(self) -> dict[str, Any]:
        """What `plan --format=json` prints: `jobs`, `steps` and so on. `pandas.DataFrame(plan.document["steps"])`."""
        found: dict[str, Any] = json.loads("\n".join(render.as_json(self.shown)))
        return found

    def __repr__(self) -> str:
        return "\n".join(render.as_text(self.shown, LINES))

    def html(self) -> str:
        """The page that `plan --format=html` writes."""
        return planning.page_of(self.shown, self.causes, self.machines)


@dataclass(frozen=True, slots=True)
class Session:
    """A store and what planning and building in it needs, as the options of the same names say it.

    What is None or empty is as in the `stepwood.toml` of the working directory, or by default. Each method opens the
    store and closes it again, and raises what the command would say (`StepwoodError`, whose `exit_code` is that of the
    command).
    """

    store: str | None = None
    base: Mapping[str, str] = field(default_factory=dict)
    context: Path | None = None
    pull: str | None = None
    sandbox: str | None = None

    def plan(
        self,
        what: Asking,
        *,
        values: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        workers: Sequence[int] = (),
        retry_failed: bool = False,
    ) -> Foreseen:
        """What would run, what is there already, what it would cost. `values` are those of parameters (`--set`)."""
        asked = _asked(what, values, only)
        known_for = options.known_for({"retry_failed": retry_failed or None, "failures_for": None}, asked.workflow)
        machines = dict.fromkeys(workers or [os.cpu_count() or 1], free_memory())
        return Foreseen(*planning.foresee(asked.jobs, self._settings, known_for, machines, why=True), machines)

    def build(
        self,
        what: Asking,
        *,
        values: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        workers: int | None = None,
        secrets: Sequence[str] = (),
        keep_going: bool = True,
        retry_failed: bool = False,
        quiet: bool = False,
    ) -> Summary:
        """Run the jobs, and print what the command prints, unless `quiet`. A build that fails raises nothing: its
        `outcome` says so. An interrupt stops the steps, and the outcome is "cancelled"."""
        asked = _asked(what, values, only)
        try:
            return building.run(
                asked.jobs,
                asked.workflow,
                shown=lambda dag: _Silent(dag, quiet=True) if quiet else _Printed(dag, quiet=True),
                workers=workers,
                quiet=True,
                plain=True,
                keep_going=keep_going,
                retry=(),
                timeout=None,
                silence=None,
                keep_failed=False,
                secrets=tuple(secrets),
                as_json=False,
                config=None,
                retry_failed=retry_failed or None,
                failures_for=None,
                **self._options,
            ).summary
        finally:
            gc.unfreeze()  # a run sets what is there aside, for a process that ends with it

    def query(self, sql: str, arguments: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT on the index, whose tables docs/reference/index.md has. It may write nothing."""
        with wire.records(self._settings) as (_, index):
            return index.query(sql, arguments)

    def report(self, into: Path | str, batch: str | None = None, other: str | None = None) -> Path:
        """The page of a batch, by default the last one, compared with another, by default the last before it with the
        same jobs: written into a folder, to be opened from disk."""
        chosen = [one for one in (batch, other) if one is not None]
        return reporting.write(self._settings, chosen, Path(into))

    @property
    def _options(self) -> dict[str, Any]:
        """As a command line gives them."""
        pairs = tuple(f"{name}={url}" for name, url in self.base.items())
        options = {"store": self.store, "context": self.context, "pull": self.pull, "sandbox": self.sandbox}
        return {**options, "base": pairs}

    @property
    def _settings(self) -> Settings:
        return settings(None, self._options)


def _asked(what: Asking, values: Mapping[str, str] | None, only: Sequence[str]) -> Asked:
    choice = Choice(values or {}, only)
    if isinstance(what, str):
        return jobs([what], choice)
    source = Source("<python>", "", os.getcwd())
    try:
        if isinstance(what, Spec):
            checked(what, source)
        return gathered([("spec", source, what)], choice)
    except SpecError as error:
        if error.file == source.file:
            error.text = None  # the line is one of a cell, which is not at hand
        raise


class _Printed(Plain):
    """Through `sys.stdout`, which in a notebook is no file."""

    def _line(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201

    def _write(self, data: bytes) -> None:
        with suppress(BrokenPipeError):
            sys.stdout.write(data.decode(errors="replace"))


class _Silent(Plain):
    def __call__(self, event: Event) -> None:
        """Nothing is shown."""
