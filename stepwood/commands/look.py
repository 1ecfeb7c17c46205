"""Commands that look: why, log, ls, show."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from engine.index import Index
from stepwood import wire
from stepwood.commands import options
from stepwood.config import settings
from stepwood.console import SHORT
from stores.store import Store
from system.errors import InputError


@contextmanager
def _opened(config: Path | None, shared: dict[str, Any]) -> Iterator[tuple[Store, Index]]:
    store = wire.store(settings(config, shared))
    index = wire.index(store)
    if index is None:
        hint = "`stepwood build` makes one; `stepwood fsck --rebuild-index` restores a lost index"
        raise InputError(f"there is no index in {store.folder}", hint=hint)
    with index:
        yield store, index


@click.command()
@click.argument("step")
@click.argument("other", required=False)
@options.store
def why(step: str, other: str | None, config: Path | None, **shared: Any) -> None:
    """Show what a step's id is made of; with OTHER, the first field in which the two differ."""
    with _opened(config, shared) as (_, index):
        one = index.resolve(step, "step").id
        mine = index.fields(one)
        if other is None:
            sys.stdout.write(f"{one} {index.step(one).op}\n")
            for name, value in mine:
                sys.stdout.write(f"  {name}: {_value(value)}\n")
            return
        two = index.resolve(other, "step").id
        while True:
            found = _difference(index, one, two)
            sys.stdout.write(found.text)
            if found.inputs is None:
                return
            one, two = found.inputs


class _Difference:
    """The first field that differs, and, where that is the input, the two inputs to compare next."""

    def __init__(self, text: str, inputs: tuple[str, str] | None = None) -> None:
        self.text, self.inputs = text, inputs


def _difference(index: Index, one: str, two: str) -> _Difference:
    kinds = index.step(one).kind, index.step(two).kind
    if one == two:
        return _Difference("the two are the same step\n")
    if kinds[0] != kinds[1]:
        return _Difference(f"one is a {kinds[0]}, the other a {kinds[1]}\n")
    mine, theirs = dict(index.fields(one)), dict(index.fields(two))
    # An input is an id: what it stands for says more, but only where nothing else differs.
    names = sorted(mine.keys() | theirs.keys(), key=lambda name: (name in ("input", "from"), name))
    for name in names:
        if mine.get(name) != theirs.get(name):
            text = f"{one[:SHORT]} {index.step(one).op}\n{two[:SHORT]} {index.step(two).op}\n"
            text += f"  {name}: {_value(mine.get(name))}\n  {' ' * len(name)}  {_value(theirs.get(name))}\n"
            if name in ("input", "from"):
                return _Difference(text, (str(mine[name]), str(theirs[name])))
            return _Difference(text)
    return _Difference("the index knows no difference\n")


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@click.command()
@click.argument("id")
@click.option("-f", "--follow", is_flag=True, help="Go on while the step runs.")
@options.store
def log(id: str, follow: bool, config: Path | None, **shared: Any) -> None:
    """Print the log of a step, or of the last step of a job, as it was written."""
    with _opened(config, shared) as (store, index):
        match = index.resolve(id, "step", "job")
        step = match.id
        if match.kind == "job":
            job = index.job_by_name(match.id)
            assert job is not None
            step = job.final
        runs = _runs(store, step)
        path = _running_log(store, index, step) if runs else _log_path(store, index, step)
        if path is None and not runs and index.latest_attempt(step) is None:
            raise InputError(f"step {step[:SHORT]} has never run, so it has no log")
        seen = 0
        while True:
            runs = follow and _runs(store, step)  # asked before reading, so that the last words are read
            path = path or (_running_log(store, index, step) if runs else _log_path(store, index, step))
            if path is not None and path.exists():
                with path.open("rb") as file:
                    file.seek(seen)
                    data = file.read()
                seen += len(data)
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            if not runs:
                break
            time.sleep(0.2)


def _runs(store: Store, step: str) -> bool:
    """Whether a process is making the step just now."""
    if not (store.folder / "claims" / step).exists():
        return False
    claim = store.claim(step)
    if claim is None:
        return True
    with claim:
        return False


def _log_path(store: Store, index: Index, step: str) -> Path | None:
    """The log of the latest attempt."""
    last = index.latest_attempt(step)
    return store.folder / last.log if last is not None and last.log is not None else _running_log(store, index, step)


def _running_log(store: Store, index: Index, step: str) -> Path | None:
    """The newest log that no attempt has yet; a step's logs are named after its id."""
    known = {store.folder / attempt.log for attempt in index.attempts(step) if attempt.log is not None}
    logs = [path for path in (store.folder / "logs").glob(f"{step}.*.log") if path not in known]
    return max(logs, key=lambda path: path.stat().st_mtime, default=None)


@click.command()
@click.option("-n", "--limit", default=20, show_default=True, help="How many batches.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document.")
@options.store
def ls(limit: int, as_json: bool, config: Path | None, **shared: Any) -> None:
    """List the latest batches and their jobs."""
    with _opened(config, shared) as (_, index):
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
            sys.stdout.write(f"{batch.id} {_when(batch.started)} {batch.outcome or 'unfinished'}, {len(jobs)} jobs\n")
            for job in jobs:
                sys.stdout.write(f"  {job.outcome or 'unfinished':10} {job.final[:SHORT]} {job.name}\n")


@click.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="A JSON document.")
@options.store
def show(id: str, as_json: bool, config: Path | None, **shared: Any) -> None:
    """Show a step (its op, inputs and attempts), a job or a batch."""
    with _opened(config, shared) as (store, index):
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
            step = match.id
            if match.kind == "job":
                job = index.job_by_name(match.id)
                assert job is not None
                step = job.final
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
            sys.stdout.write(f"{name}: {_when(value) if name == 'started' and isinstance(value, float) else value}\n")


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
