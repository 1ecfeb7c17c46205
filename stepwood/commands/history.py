"""`stepwood history`: batches as a table, and what changed from one to another."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from engine.comparison import Comparison, compared
from engine.index import Index
from engine.records import Batch
from engine.step import SHORT
from engine.words import printable
from stepwood import wire
from stepwood.commands import options
from stepwood.config import settings
from stepwood.console import when
from system.errors import InputError


@click.command()
@click.argument("batches", nargs=-1, metavar="[BATCH [OTHER]]")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many batches.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document.")
@options.store
def history(batches: tuple[str, ...], limit: int, as_json: bool, config: Path | None, **shared: Any) -> None:
    """List batches; or show what changed in BATCH, from OTHER or from the last one before it with the same jobs."""
    if len(batches) > 2:
        raise InputError("history takes a batch, or two")
    with wire.records(settings(config, shared)) as (_, index):
        ids = [index.resolve(batch, "batch").id for batch in batches]
        if not ids:
            _list(index, index.batches(limit=limit), as_json)
            return
        other = ids[1] if len(ids) == 2 else index.batch_before(ids[0])
        _compare(index, index.batch(ids[0]), None if other is None else index.batch(other), as_json)


def _list(index: Index, batches: Sequence[Batch], as_json: bool) -> None:
    worked = index.seconds_worked(batch.id for batch in batches)
    if as_json:
        shown = [_document(batch, worked.get(batch.id, 0.0)) for batch in batches]
        sys.stdout.write(json.dumps({"version": 1, "batches": shown}) + "\n")
        return
    _table(batches, worked)


def _document(batch: Batch, worked: float) -> dict[str, object]:
    return {
        **{name: value for name, value in asdict(batch).items() if name != "totals"},
        **asdict(batch.totals),
        "wall_seconds": _wall(batch),
        "work_seconds": round(worked, 3),
    }


def _wall(batch: Batch) -> float | None:
    return None if batch.finished is None else round(max(0.0, batch.finished - batch.started), 3)


def _table(batches: Sequence[Batch], worked: Mapping[str, float]) -> None:
    words = "batch started outcome jobs steps built cached failed wall predicted work command"
    rows: list[tuple[str, ...]] = [tuple(words.split())]
    for batch in batches:
        totals, wall = batch.totals, _wall(batch)
        rows.append(
            (
                batch.id,
                when(batch.started),
                batch.outcome or "unfinished",
                *map(str, (batch.jobs, batch.steps, totals.built, totals.cached, totals.failed)),
                "" if wall is None else f"{wall:.1f} s",
                f"{batch.predicted.p50:.1f} s" if batch.predicted else "",
                f"{worked.get(batch.id, 0.0):.1f} s",
                printable(batch.command),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if 3 <= at <= 10 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        _write("  ".join(cells).rstrip())


def _compare(index: Index, batch: Batch, other: Batch | None, as_json: bool) -> None:
    both = [batch] if other is None else [other, batch]
    worked = index.seconds_worked(one.id for one in both)
    found = None if other is None else compared(index, other, batch)
    if as_json:
        documents = [_document(one, worked.get(one.id, 0.0)) for one in reversed(both)]
        document = {"version": 1, "batch": documents[0], "other": documents[1] if other else None}
        sys.stdout.write(json.dumps(document | {"comparison": found and asdict(found)}) + "\n")
        return
    _table(both, worked)
    if found is None:
        _write("no batch before it ran any of its jobs")
    else:
        _tell(found)


def _tell(found: Comparison) -> None:
    jobs = [(one.change, one.name, f"{one.was} → {one.now}") for one in found.changed]
    jobs += [("new", name, "") for name in found.new] + [("gone", name, "") for name in found.gone]
    width = max((len(name) for _, name, _ in jobs), default=0)
    for change, name, told in jobs:
        _write(f"  {change:8} {name:{width}}  {told}".rstrip())
    for time in found.times:
        kind = "slower" if time.now > time.was else "faster"
        several = "" if time.steps_was == time.steps_now == 1 else f" (means of {time.steps_was} and {time.steps_now})"
        _write(f"  {kind:8} {time.was:8.1f} s → {time.now:8.1f} s  {time.id[:SHORT]} {printable(time.op)}{several}")
    if not jobs and not found.times:
        _write("  no job and no step changed")
    _write(f"built: {found.built_was:.1f} s → {found.built_now:.1f} s of work")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
