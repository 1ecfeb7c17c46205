"""`stepwood build`: run the jobs."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from engine.dag import Dag
from engine.events import Event, Reporter
from engine.executor.loop import Loop, Options, Summary
from engine.executor.worker import no_merge
from engine.plan import Job
from engine.step import Merge, Policy, Run
from grammar.builder import exit_status, pattern
from stepwood import wire
from stepwood.commands import options
from stepwood.config import settings
from stepwood.console import Json, Plain, on_terminal, piped, say
from stepwood.jobs import jobs
from stepwood.world import planned
from system.errors import InputError
from system.machine import free_memory


@click.command()
@options.files
@options.choice
@options.running
def build(files: tuple[str, ...], **shared: Any) -> int:
    """Run the jobs of specs: each distinct step once, steps that do not need each other side by side."""
    asked = jobs(files, options.chosen(shared))
    return run(asked.jobs, asked.workflow, **shared).summary.exit_code


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that is over: the jobs' plans as one DAG, and where its store is."""

    dag: Dag
    summary: Summary
    store: Path


def run(
    asked: Sequence[Job],
    workflow: bool,
    listener: Reporter = lambda _: None,
    *,
    shown: Callable[[Dag], Plain] | None = None,
    workers: int | None,
    quiet: bool,
    plain: bool,
    keep_going: bool,
    retry: tuple[str, ...],
    timeout: str | None,
    silence: str | None,
    keep_failed: bool,
    secrets: tuple[str, ...],
    as_json: bool,
    config: Path | None,
    **shared: Any,
) -> Ran:
    """Run jobs. `listener` is told of everything besides whoever shows it; `workflow`: failures are remembered as for
    one; `shown` makes what shows it, where that is not for the command line to say."""
    known_for = options.known_for(shared, workflow)
    policy = _policy(retry, timeout, silence)
    chosen = settings(config, shared)
    values = _secrets(secrets)
    with wire.workshop(chosen, values, keep_failed=keep_failed) as shop:
        dag = planned(asked, chosen, shop.index, policy)
        _can_start(dag, values)
        folder = shop.worker.store.folder
        reporter = shown(dag) if shown else _reporter(dag, folder, quiet=quiet, plain=plain, as_json=as_json)

        def report(event: Event) -> None:
            listener(event)
            reporter(event)

        going = Options(
            workers=workers or os.cpu_count() or 1,
            fail_fast=not keep_going,
            failures_for=known_for,
            memory=free_memory(),
            replay=reporter.replays,
            command=shlex.join(["stepwood", *sys.argv[1:]]),
        )
        try:
            ended = Loop(dag, shop.worker, shop.index, report, going).run()
        finally:
            reporter.close()
        for problem in ended.problems:
            say(problem)
        return Ran(dag, ended, shop.worker.store.folder)


def _reporter(dag: Dag, store: Path, *, quiet: bool, plain: bool, as_json: bool) -> Plain | Json:
    if as_json:
        return Json(dag, quiet=quiet)
    if plain or not _can_view():
        return Plain(dag, quiet=quiet)
    from stepwood.live.view import View

    return View(dag, store, quiet=quiet)


def _can_view() -> bool:
    """Whether a block can be drawn on the terminal, and nothing else writes there: not what `--debug` shows, nor
    whoever reads a pipe (`| tee`). Old encodings lack its characters."""
    debugging = logging.getLogger().isEnabledFor(logging.DEBUG)
    return on_terminal() and "utf" in sys.stderr.encoding and not debugging and not piped()


def _policy(retry: tuple[str, ...], timeout: str | None, silence: str | None) -> Policy:
    """What holds for runs that say nothing else."""
    return Policy(
        None if timeout is None else options.seconds("--timeout", timeout),
        None if silence is None else options.seconds("--silence", silence),
        exits=frozenset(options.parsed("--retry", rule, exit_status) for rule in retry if rule.isdecimal()),
        logs=tuple(options.parsed("--retry", rule, pattern) for rule in retry if not rule.isdecimal()),
    )


def _secrets(pairs: tuple[str, ...]) -> dict[str, bytes]:
    """The values, read once: a FILE may be a pipe."""
    values: dict[str, bytes] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not name or not path:
            raise InputError(f'--secret takes ID=FILE, not "{pair}"')
        try:
            values[name] = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f'the secret "{name}" cannot be read from {path}: {error.strerror}') from error
    return values


def _can_start(dag: Dag, values: Mapping[str, bytes]) -> None:
    """A secret that is missing, and what cannot be built yet, is said before anything runs."""
    for step in dag:
        if isinstance(step.action, Merge):
            raise no_merge()
        if isinstance(step.action, Run):
            for secret in step.action.secrets:
                if secret.name not in values:
                    hint = f"give one with `--secret {secret.name}=FILE`; the step is {step.op}"
                    raise InputError(f'no value for the secret "{secret.name}"', hint=hint)
