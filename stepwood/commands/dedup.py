"""`stepwood dedup`: which steps jobs share, and could share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from engine.analysis.report import Report, as_json, as_text, report
from engine.estimate import NOTHING, estimate
from stepwood import wire
from stepwood.commands import options
from stepwood.config import settings
from stepwood.console import fitting, put
from stepwood.jobs import jobs
from stepwood.world import planned

FORMATS = ("text", "json", "html")


@click.command()
@options.files
@options.choice
@options.world
@options.document
def dedup(files: tuple[str, ...], form: str, output: Path | None, config: Path | None, **shared: Any) -> None:
    """Show which steps jobs share, what keeps others apart, and what another order would save."""
    options.known_format(form, FORMATS)
    asked = jobs(files, options.chosen(shared))
    chosen = settings(config, shared)
    with wire.looking(chosen) as (_, index):
        dag = planned(asked.jobs, chosen, index)
        known = NOTHING if index is None else estimate(index, dag)
        bytes = {} if index is None else index.sizes(dag.ids)
    found = report(dag, {id: known.seconds[id] for id in known.measured}, bytes)
    put(_lines(found, form, fitting(output)), output)


def _lines(found: Report, form: str, fit: Callable[[str, bool], str]) -> Iterable[str]:
    match form:
        case "json":
            return [json.dumps(as_json(found))]
        case "html":
            from stepwood.report import sharing
            from stepwood.report.page import page

            return [page("dedup", sharing.title(found), sharing.document(found))]
        case _:
            return (fit(line, False) for line in as_text(found))
