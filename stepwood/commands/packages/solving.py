"""`stepwood opam solve` and `dedup`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.analysis.strategies import LARGE, evaluate, feasible
from engine.words import counted
from stepwood.commands import options
from stepwood.commands.packages.found import asking, found, read_document
from stepwood.console import put
from system.errors import InputError

if TYPE_CHECKING:
    from engine.analysis.jobs import Jobs
    from engine.analysis.strategies import Result


@click.command()
@asking
@click.option("--json", "as_json", is_flag=True, help="The document that `--solutions` reads.")
@options.output
def solve(as_json: bool, output: Path | None, **wanted: Any) -> int:
    """Find for each package the versions that it is built with."""
    from stepwood.opam import solutions

    answered = found(**wanted)
    answers = answered.answers
    if as_json:
        put(
            [json.dumps(solutions.document(answered.catalogue.variables, answered.asked.repositories, answers))], output
        )
    else:
        put(_told(answers), output)
    return 1 if len(answers) == 1 and isinstance(answers[0], solutions.Refused) else 0


def _told(answers: Sequence[Any]) -> Iterator[str]:
    """A line a package version where one package is asked for, else a line a job."""
    from stepwood.opam.solutions import Job, Refused, name

    several = len({one.compiler for one in answers}) > 1
    jobs = [one for one in answers if isinstance(one, Job)]
    if len(answers) == len(jobs) == 1:
        yield from map(".".join, jobs[0].packages)
        return
    for job in jobs:
        yield f"{name(job, several)}: {counted(len(job.packages), 'package')}"
    for one in answers:
        if isinstance(one, Refused):
            yield f"{name(one, several)}: no solution: {one.reason}"


@click.command()
@asking
@options.document
def dedup(form: str, output: Path | None, **wanted: Any) -> None:
    """Show how few installations the jobs of a set need in each order, each package with the same before it once."""
    from engine.analysis.solutions import read

    options.known_format(form)
    if wanted["solutions"] is not None and not wanted["repositories"]:
        others = [name for name in ("packages", "every", "revdeps", "changed", "compilers") if wanted[name]]
        if others:
            raise InputError("opam dedup takes --solutions, or packages and a --repo, not both")
        jobs = read_document(wanted["solutions"], read)
    else:
        from stepwood.opam.layouts import Batch
        from stepwood.opam.solutions import Job

        jobs = Batch.of([one for one in found(**wanted).answers if isinstance(one, Job)]).items
    results = evaluate(jobs, feasible(jobs))
    put([json.dumps(_document(jobs, list(results)))] if form == "json" else _text(jobs, results), output)


def _document(jobs: Jobs, results: Sequence[Result]) -> dict[str, object]:
    from engine.analysis.bound import independent
    from engine.analysis.report import strategies

    stands = results[0]
    return {
        "version": 1,
        "jobs": len(jobs.jobs),
        "steps": jobs.total,
        "distinct": stands.distinct,
        "ratio": stands.ratio,
        "strategies": strategies(results),
        "bound": independent(jobs) if len(jobs.jobs) <= LARGE else None,
    }


def _text(jobs: Jobs, results: Iterator[Result]) -> Iterator[str]:
    """Lines as they are known: a search takes half a minute."""
    from engine.analysis.bound import independent
    from engine.analysis.report import row, table

    yield f"{counted(len(jobs.jobs), 'job')}, {counted(jobs.total, 'installation')}"
    yield next(table([]))
    yield from map(row, results)
    if len(jobs.jobs) <= LARGE:
        yield f"no order needs fewer than {independent(jobs):,}"
