"""`stepwood plan`: a dry run. It may write pins and content hashes to an index that is there, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from engine import render
from engine.estimate import NOTHING, drift, estimate
from engine.explain import Cause, causes
from engine.failures import known_failures
from engine.forest import LINES
from engine.plan import Job
from engine.prospect import Prospect
from stepwood import wire
from stepwood.commands import options
from stepwood.config import Settings, settings
from stepwood.console import fitting, put
from stepwood.jobs import jobs
from stepwood.world import planned
from system.errors import InputError
from system.machine import free_memory


@click.command()
@options.files
@options.choice
@options.shown
@click.option("--all", "whole", is_flag=True, help=f"In text, every step, however many; default about {LINES} lines.")
def plan(files: tuple[str, ...], **shared: Any) -> None:
    """Show what a build would run, what is cached, what it would cost."""
    check(**shared)
    asked = jobs(files, options.chosen(shared))
    show(asked.jobs, asked.workflow, **shared)


def check(form: str, what_if: bool, workers: tuple[int, ...], **_: Any) -> None:
    """What is wrong with the options is said before anything is read."""
    options.known_format(form, options.FORMATS)
    if what_if and not workers:
        raise InputError("--what-if takes a -j for each machine to think of", hint="for instance --what-if -j 64")


def show(
    asked: Sequence[Job],
    workflow: bool,
    *,
    form: str,
    output: Path | None,
    whole: bool,
    workers: tuple[int, ...],
    what_if: bool,
    config: Path | None,
    **shared: Any,
) -> None:
    """Plan jobs in the world as it is now, and show it; `workflow`: failures are remembered as for one."""
    known_for = options.known_for(shared, workflow)
    chosen = settings(config, shared)
    cores, free = os.cpu_count() or 1, free_memory()
    machines = dict.fromkeys(workers, None if what_if else free)
    if what_if or not workers:
        machines = {cores: free} | machines | {cores: free}  # first, and as it is
    made, reasons = foresee(asked, chosen, known_for, machines, why=form == "html")
    if form == "html":
        put([page_of(made, reasons, machines)], output)
    else:
        put(_lines(made, form, None if whole else LINES, fitting(output)), output)


def foresee(
    asked: Sequence[Job],
    chosen: Settings,
    known_for: float | None,
    machines: Mapping[int, int | None],
    *,
    why: bool = False,
) -> tuple[render.Plan, Sequence[Cause]]:
    """What jobs would run in the world as it is now, and, where `why` is asked, the root causes of that.

    `machines` are those that times are predicted for, as `Prospect.forecast` has them.
    """
    with wire.looking(chosen) as (store, index):
        dag = planned(asked, chosen, index)
        present = store.ids()
        failed = set() if index is None else set(known_failures(index, dag.ids, known_for, time.time()))
        estimates = NOTHING if index is None else estimate(index, dag)
        off = 0.0 if index is None else drift(index)
        prospect = Prospect(dag, {id for id in dag.ids if id in present}, failed, estimates)
        states = prospect.states()
        reasons = causes(prospect, states, index) if why else ()
    return render.Plan(prospect, states, prospect.forecast(states, machines, drift=off)), reasons


def page_of(shown: render.Plan, reasons: Sequence[Cause], machines: Mapping[int, int | None]) -> str:
    """A plan as a page of HTML."""
    from stepwood.report import plans
    from stepwood.report.page import page

    schedules = {workers: shown.prospect.schedule(shown.states, workers, room) for workers, room in machines.items()}
    return page("plan", plans.title(shown.dag), plans.document(shown, reasons, schedules))


def _lines(shown: render.Plan, form: str, limit: int | None, fit: render.Fit) -> Iterable[str]:
    match form:
        case "json":
            return render.as_json(shown)
        case "dot":
            return render.as_dot(shown)
        case "mermaid":
            return render.as_mermaid(shown)
        case _:
            return render.as_text(shown, limit, fit)
