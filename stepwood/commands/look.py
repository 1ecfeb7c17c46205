"""Commands that look: why, log, ls, show."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click

from engine.explain import causes, difference
from engine.index import Index
from engine.logtext import newest, open_log
from engine.step import SHORT
from engine.words import brief, counted, span
from stepwood import wire
from stepwood.commands import options
from stepwood.config import STDIN, settings
from stepwood.console import say, when
from stores.store import Store
from system.errors import InputError

JOBS = 100
"""How many jobs of a batch `ls` lists."""
ROOTS = 5
"""How many of a cause's steps are listed."""


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="STEP [OTHER] | FILE…")
@options.choice
@options.world
def why(what: tuple[str, ...], config: Path | None, **shared: Any) -> None:
    """Show what a step's id is made of; with OTHER, the first difference; for FILEs, why their jobs would run steps."""
    if any(name == STDIN or Path(name).exists() for name in what):
        _why_files(what, config, shared)
        return
    options.chosen(shared)
    if len(what) > 2:
        raise InputError("why takes a step, two steps, or files")
    with wire.records(settings(config, shared)) as (_, index):
        steps = [index.step_of(index.resolve(name, "step", "job")) for name in what]
        if len(steps) == 1:
            sys.stdout.write(f"{steps[0]} {index.step(steps[0]).op}\n")
            for name, value in index.fields(steps[0]):
                sys.stdout.write(f"  {name}: {_value(value)}\n")
        else:
            _why_two(index, *steps)


def _why_two(index: Index, one: str, two: str) -> None:
    """Down the inputs until something other than an input differs."""
    while True:
        if one == two:
            sys.stdout.write("the two are the same step\n")
            return
        sys.stdout.write("".join(f"{id[:SHORT]} {index.step(id).op}\n" for id in (one, two)))
        kinds = [index.step(id).kind for id in (one, two)]
        if kinds[0] != kinds[1]:
            sys.stdout.write(f"  one is a {kinds[0]}, the other a {kinds[1]}\n")
            return
        differs = difference(dict(index.fields(one)), dict(index.fields(two)))
        if differs is None:
            sys.stdout.write("  the index knows no difference\n")
            return
        blank = " " * len(differs.name)
        sys.stdout.write(f"  {differs.name}: {_value(differs.one)}\n  {blank}  {_value(differs.other)}\n")
        if not differs.is_input:
            return
        one, two = str(differs.one), str(differs.other)


def _why_files(files: tuple[str, ...], config: Path | None, shared: dict[str, Any]) -> None:
    from engine.estimate import NOTHING, estimate
    from engine.prospect import Prospect
    from stepwood.jobs import jobs
    from stepwood.world import planned

    choice = options.chosen(shared)
    chosen = settings(config, shared)
    with wire.looking(chosen) as (store, index):
        dag = planned(jobs(files, choice).jobs, chosen, index)
        present = store.ids()
        cached = {id for id in dag.ids if id in present}
        todo = [step for step in dag if step.id not in cached]
        prospect = Prospect(dag, cached, estimates=NOTHING if index is None else estimate(index, todo))
        found = causes(prospect, prospect.states(), index)
    for cause in found:
        sys.stdout.write(f"{cause.told}: {_cost(cause.steps, cause.seconds, cause.unknown)}\n")
        for root in cause.roots[:ROOTS]:
            sys.stdout.write(f"  {root.step[:SHORT]} {brief(dag[root.step].op)}\n")
            if root.difference is not None and not root.difference.is_input:
                sys.stdout.write(f"    {root.difference.told}\n")
        if len(cause.roots) > ROOTS:
            sys.stdout.write(f"  … and {len(cause.roots) - ROOTS:,} more\n")
    if not found:
        sys.stdout.write("nothing would run: every step is cached\n")
    elif len(found) > 1:
        sys.stdout.write(f"in all: {_cost(len(todo), *prospect.cost([step.id for step in todo]))}\n")


def _cost(steps: int, seconds: float, unknown: int) -> str:
    """`312 steps, 41 min`; without a time where nothing is known."""
    cost = [counted(steps, "step")]
    if unknown < steps:
        cost.append(span(seconds) + (f" and {unknown:,} without history" if unknown else ""))
    return ", ".join(cost)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@click.command()
@click.argument("what", nargs=-1, metavar="STEP|JOB | --search WORDS…")
@click.option("-f", "--follow", is_flag=True, help="Go on while the step runs.")
@click.option("--search", metavar="WORDS", help="List the logs in which all these words are; foo* is a beginning.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many logs to list.")
@click.option("--json", "as_json", is_flag=True, help="With --search: a JSON document.")
@options.store
def log(
    what: tuple[str, ...],
    follow: bool,
    search: str | None,
    limit: int,
    as_json: bool,
    config: Path | None,
    **shared: Any,
) -> None:
    """Print the log of a step, or of the last step of a job, as it was written; or search all logs."""
    if search is not None:
        if follow:
            raise InputError("--follow goes with a step, not with --search")
        with wire.records(settings(config, shared)) as (store, index):
            _search(store, index, [search, *what], limit, as_json)
        return
    if len(what) != 1:
        raise InputError("log takes one step or job", hint="or `--search WORDS…`")
    if as_json:
        raise InputError("--json goes with --search: a log is printed as it was written")
    with wire.records(settings(config, shared)) as (store, index):
        _print_log(store, index, what[0], follow)


def _search(store: Store, index: Index, words: list[str], limit: int, as_json: bool) -> None:
    from engine import logbook

    found = logbook.search(store.folder, words, limit)
    if as_json:
        shown = [
            {"step": one.step, "op": _op(index, one.step), "ended": one.ended, "log": one.path,
             "lines": [asdict(line) for line in one.lines]}
            for one in found
        ]  # fmt: skip
        sys.stdout.write(json.dumps({"version": 1, "logs": shown}) + "\n")
        return
    for one in found:
        sys.stdout.write(f"{one.step[:SHORT]} {when(one.ended)} {_op(index, one.step)}\n")
        sys.stdout.write("".join(f"  {line.number}: {line.text}\n" for line in one.lines))
    if not found:
        say("nothing found")


def _op(index: Index, step: str) -> str:
    try:
        return index.step(step).op
    except KeyError:
        return ""  # an index made anew knows no step that only failed


def _print_log(store: Store, index: Index, id: str, follow: bool) -> None:
    step = index.step_of(index.resolve(id, "step", "job"))
    runs = _runs(store, step)
    path = _running_log(store, index, step) if runs else _log_path(store, index, step)
    if path is None and not runs and index.latest_attempt(step) is None:
        raise InputError(f"step {step[:SHORT]} has never run, so it has no log")
    with ExitStack() as held:
        log: BinaryIO | None = None
        while True:
            runs = follow and _runs(store, step)  # asked before reading, so that the last words are read
            path = path or (_running_log(store, index, step) if runs else _log_path(store, index, step))
            if log is None and path is not None:
                with suppress(FileNotFoundError):  # it was deleted, or is made with the first word
                    log = held.enter_context(open_log(store.folder, path))
            if log is not None:  # the file stays open: once compressed, it has another name, and is read to its end
                shutil.copyfileobj(log, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            if not runs:
                break
            time.sleep(0.2)


def _runs(store: Store, step: str) -> bool:
    """Whether a process is making the step just now."""
    if not (store.folder / "claims").exists():
        return False
    claim = store.claim(step)
    if claim is None:
        return True
    with claim:
        return False


def _log_path(store: Store, index: Index, step: str) -> str | None:
    """The log of the latest attempt, from the store's folder."""
    last = index.latest_attempt(step)
    return last.log if last is not None and last.log is not None else _running_log(store, index, step)


def _running_log(store: Store, index: Index, step: str) -> str | None:
    """The newest log that no attempt has yet; a step's logs are named after its id."""
    return newest(store.folder, {step: index.logs(step)}).get(step)


def _list_flaky(index: Index, limit: int, as_json: bool) -> None:
    found = index.flaky(limit=limit)
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found]) + "\n")
        return
    for one in found:
        times = f"{one.failed} failed ({one.causes}), {one.built} passed"
        sys.stdout.write(f"{one.step[:SHORT]} {when(one.last)} {times}  {one.op}\n")


@click.command()
@click.option("-n", "--limit", default=20, show_default=True, help="How many batches, or flaky steps.")
@click.option("--flaky", is_flag=True, help="List steps that have failed and have passed with the same id.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document.")
@options.store
def ls(limit: int, flaky: bool, as_json: bool, config: Path | None, **shared: Any) -> None:
    """List the latest batches and their jobs."""
    with wire.records(settings(config, shared)) as (_, index):
        if flaky:
            _list_flaky(index, limit, as_json)
            return
        rows = []
        for batch in index.batches(limit=limit):
            jobs = index.jobs(batch.id, limit=100_000)
            rows.append((batch, jobs))
        if as_json:
            shown = [
                {
                    "id": batch.id,
                    "started": batch.started,
                    "finished": batch.finished,
                    "outcome": batch.outcome,
                    "jobs": [{"name": job.name, "final": job.final, "outcome": job.outcome} for job in jobs],
                }
                for batch, jobs in rows
            ]
            sys.stdout.write(json.dumps(shown) + "\n")
            return
        for batch, jobs in rows:
            told = f"{batch.outcome or 'unfinished'}, {counted(len(jobs), 'job')}"
            sys.stdout.write(f"{batch.id} {when(batch.started)} {told}\n")
            # Where there are many, those that went wrong are what one looks for.
            first = sorted(jobs, key=lambda job: len(jobs) > JOBS and job.outcome in ("built", "cached"))
            for job in first[:JOBS]:
                sys.stdout.write(f"  {job.outcome or 'unfinished':10} {job.final[:SHORT]} {job.name}\n")
            if len(jobs) > JOBS:
                sys.stdout.write(f"  … and {len(jobs) - JOBS:,} more; stepwood show {batch.id}\n")


@click.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="A JSON document.")
@options.store
def show(id: str, as_json: bool, config: Path | None, **shared: Any) -> None:
    """Show a step (its op, inputs and attempts), a job or a batch."""
    with wire.records(settings(config, shared)) as (store, index):
        match = index.resolve(id)
        document: dict[str, object]
        if match.kind == "batch":
            batch = index.batch(match.id)
            document = {"batch": batch.id, "outcome": batch.outcome, "started": batch.started, "command": batch.command}
            document["jobs"] = [
                {"name": job.name, "outcome": job.outcome, "final": job.final}
                for job in index.jobs(batch.id, limit=100_000)
            ]
        else:
            document = {}
            step = index.step_of(match)
            if match.kind == "job":
                job = index.job_by_name(match.id)
                assert job is not None
                document = {"job": job.name, "batch": job.batch, "outcome": job.outcome}
            row = index.step(step)
            document |= {"step": step, "kind": row.kind, "op": row.op, "inputs": index.inputs(step)}
            document["snapshot"] = step in store.ids()
            document["attempts"] = [
                {
                    "started": attempt.started,
                    "seconds": attempt.seconds,
                    "outcome": attempt.outcome,
                    "exit": attempt.exit,
                    "cause": attempt.cause,
                    "bytes": attempt.bytes,
                    "log": attempt.log,
                }
                for attempt in index.attempts(step)
            ]
        if as_json:
            sys.stdout.write(json.dumps(document) + "\n")
        else:
            _print(document)


def _print(document: dict[str, object]) -> None:
    for name, value in document.items():
        if isinstance(value, list):
            sys.stdout.write(f"{name}:\n")
            for item in value:
                text = (
                    " ".join(f"{k}={v}" for k, v in item.items() if v is not None) if isinstance(item, dict) else item
                )
                sys.stdout.write(f"  {text}\n")
        else:
            sys.stdout.write(f"{name}: {when(value) if name == 'started' and isinstance(value, float) else value}\n")
