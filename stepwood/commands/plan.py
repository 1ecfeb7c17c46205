"""`stepwood plan`: a dry run. It may write pins and content hashes to an index that is there, and nothing else."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from engine import render
from engine.failures import known_failures
from stepwood import wire
from stepwood.commands import options
from stepwood.config import settings
from stepwood.jobs import jobs
from stepwood.world import planned
from system.errors import InputError


@click.command()
@options.files
@options.choice
@options.world
@click.option("--format", "form", default="text", metavar="text|json", help="How to show the plan.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="Write to a file.")
@options.failures
def plan(files: tuple[str, ...], form: str, output: Path | None, config: Path | None, **shared: Any) -> None:
    """Show what a build would run, what is cached, what it would cost."""
    if form not in ("text", "json"):
        raise InputError(f'format "{form}" is not supported yet', hint="there are text and json")
    asked = jobs(files, options.chosen(shared))
    known_for = options.known_for(shared, asked.workflow)
    chosen = settings(config, shared)
    store = wire.store(chosen)
    with ExitStack() as held:
        index = wire.index(store)
        if index is not None:
            held.enter_context(index)
        dag = planned(asked.jobs, chosen, index)
        ids = [step.id for step in dag]
        present = store.ids()
        failed = set() if index is None else set(known_failures(index, ids, known_for, time.time()))
        seconds = {} if index is None else index.durations(ids)
        prospect = render.Prospect(dag, {id for id in ids if id in present}, failed, seconds)
        text = json.dumps(render.as_json(prospect)) + "\n" if form == "json" else render.as_text(prospect)
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, errors="surrogateescape")
        except OSError as error:
            raise InputError(f"cannot write {output}: {error.strerror}") from error
