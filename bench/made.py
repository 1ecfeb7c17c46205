"""A made batch, to see how pictures do with many: 5,000 jobs of 50,000 distinct steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from engine import digest
from engine.dag import Dag
from engine.index import Index
from engine.outcome import Built, Failed, Name, Outcome, Skipped
from engine.plan import Job, Planner
from engine.records import Attempt, Totals
from engine.simulate import schedule
from engine.step import Base, Config, Manifest
from grammar.expand import expand
from grammar.parser import parse_any
from grammar.source import Source

JOBS = 5_000


def workflow(jobs: int = JOBS) -> str:
    """As text: jobs share a trunk, then by group, then by part of a group; what is left is their own."""
    return f"(workflow\n{''.join(_job(number, jobs) for number in range(jobs))})\n"


def _job(number: int, jobs: int) -> str:
    runs = "".join(f'  (run (shell "{command}"))\n' for command in _commands(number, jobs))
    return f"(job package-{number:04} ((from debian) (env LANG C)\n{runs}))\n"


def _commands(number: int, jobs: int) -> Iterator[str]:
    group, part = number % max(4, jobs // 100), number % max(8, jobs // 10)
    yield from (f"apt-get install -y tool-{step}" for step in range(5))
    yield from (f"install library-{group}.{step} --prefix=/usr" for step in range(4))
    yield from (f"configure part-{part}.{step} --with=everything" for step in range(3))
    yield from (f"make -C package-{number:04} target-{step}" for step in range(10 if number % 3 else 9))


class World:
    """One base, and no files."""

    def pin(self, base: str) -> Base:
        return Base(base, base, Config(), f"dir:{base}")

    def manifest(self, folder: str, sources: tuple[str, ...], exclude: tuple[str, ...]) -> Manifest:
        raise NotImplementedError


def dag(jobs: int = JOBS) -> Dag:
    source = Source("made.workflow", workflow(jobs))
    of = expand(source, parse_any(source), parse_any, lambda source, path: source, {})
    planner = Planner(World())
    plans = [planner.plan(Job(job.name, job.body, of.builds)) for job in of.jobs]
    return Dag.of(plans, planner.steps)


def batch(store: Path, jobs: int = JOBS, workers: int = 64, failures: float = 1 / 2000) -> None:
    """An index and logs in a store's folder as a run leaves them: each step takes seconds and writes 25 lines; some
    fail, and what needs them is skipped."""
    made = dag(jobs)
    chance = Random(0)
    took = {id: chance.lognormvariate(1, 1) for id in made.ids}
    begun = time.time() - 86400
    starts = {slot.id: begun + slot.start for slot in schedule(made, took, workers)}
    (store / "logs").mkdir(parents=True)
    tries: list[Attempt] = []
    lost: dict[str, str] = {}
    for step in made:
        id = step.id
        because = next((lost[input] for input in step.inputs if input in lost), None)
        outcome: Outcome = Built(took[id], None, 4096)
        if because is not None:
            outcome = Skipped(because)
        elif chance.random() < failures:
            outcome = Failed(2, "exit", took[id])
        if not isinstance(outcome, Built):
            lost[id] = because or id
        log = None if because else f"logs/{id}.0000.log"
        tries.append(Attempt.of(id, outcome, started=starts[id], log=log))
        if log is not None:
            lines = [f"[{line}/25] {step.op[13:-3]}: object {chance.random():.6f} of part {line}" for line in range(25)]
            if isinstance(outcome, Failed):
                lines[20:] = ["main.c:12:5: error: expected ';' before 'return'", "make: *** [all] Error 1"]
            (store / log).write_text("\n".join(lines) + "\n")
    with Index.open(store / "index.db") as index, index.transaction():
        index.add_steps(made, lambda step: digest.fields(step.action))
        number = index.begin_batch("stepwood build made.workflow", jobs=jobs, steps=len(made), started=begun)
        rows = index.add_jobs(number, [(plan.name, plan.final) for plan in made.plans])
        index.record_attempts(number, tries)
        ended: list[Name] = ["built" if lost.keys().isdisjoint(plan.steps) else "failed" for plan in made.plans]
        index.finish_jobs(zip(rows, ended, strict=True))
        totals = Totals(built=len(made) - len(lost), failed=len(set(lost.values())))
        index.finish_batch(number, "failed", totals, finished=max(starts[id] + took[id] for id in made.ids))
