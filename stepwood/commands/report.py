"""`stepwood report`: a batch as a page, with its logs beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from stepwood import wire
from stepwood.commands import options
from stepwood.config import Settings, settings
from stepwood.console import put, say
from system.errors import InputError

PAGE, LOGS = "index.html", "logs"


@click.command()
@click.argument("batches", nargs=-1, metavar="[BATCH [OTHER]]")
@click.option(
    "-o", "--output", "into", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where to write it."
)
@options.store
def report(batches: tuple[str, ...], into: Path, config: Path | None, **shared: Any) -> None:
    """Write the report of BATCH, by default the last one, compared with OTHER, by default the last before it with the
    same jobs: DIR/index.html, to be opened from disk."""
    say(f"{write(settings(config, shared), batches, into)}")


def write(chosen: Settings, batches: Sequence[str], into: Path) -> Path:
    """The page of a report: of the last batch, of one, or of one compared with another."""
    from stepwood.report import batches as documents
    from stepwood.report.logs import Logs
    from stepwood.report.page import page

    if len(batches) > 2:
        raise InputError("report takes a batch, or two")
    with wire.records(chosen) as (store, index):
        ids = [index.resolve(batch, "batch").id for batch in batches] or [one.id for one in index.batches(limit=1)]
        if not ids:
            raise InputError(f"no batch ran in {store.folder}", hint="`stepwood build` runs one")
        batch = index.batch(ids[0])
        before = ids[1] if len(ids) == 2 else index.batch_before(batch.id)
        logs = Logs(store.folder, _cleared(into))
        other = None if before is None else index.batch(before)
        document = documents.document(index, batch, other, logs, _results(store.folder, batch.id))
        logs.flush()
    put([page("report", documents.title(batch), document)], into / PAGE)
    return into / PAGE


def _cleared(into: Path) -> Path:
    """The folder for logs, without those of an earlier report. InputError where something else is there."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()) and not (into / PAGE).exists():
            raise InputError(f"{into} has other files in it", hint="name a folder that is empty, or is to be")
        (into / LOGS).mkdir(exist_ok=True)
        for old in (into / LOGS).glob("*.js"):
            old.unlink()
    except OSError as error:
        raise InputError(f"cannot write {error.filename}: {error.strerror}") from error
    return into / LOGS


def _results(store: Path, batch: str) -> dict[str, Any] | None:
    """What `stepwood opam build` wrote of a batch."""
    from stepwood.commands.packages.outcomes import RESULTS

    try:
        found = json.loads((store / RESULTS / f"{batch}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("cells"), list) else None
