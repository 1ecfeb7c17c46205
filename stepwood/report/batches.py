"""What the report of a batch holds: all its steps and jobs and how they ended, when, why, and what changed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from graphlib import TopologicalSorter
from typing import Any

from engine.comparison import ALL, compared
from engine.index import Index
from engine.records import Attempt, Batch, Job
from engine.step import StepId
from stepwood.report.logs import Logs

RAN = ("built", "failed", "cancelled")
"""Outcomes of tries that took time."""
WELL = ("built", "cached")
COLUMNS = 30
"""Values of a label that jobs are laid out by at most."""
FLAKY = 1000
"""Flaky steps that are looked through for those of the batch."""


def title(batch: Batch) -> str:
    return f"Batch {batch.id}"


def document(
    index: Index, batch: Batch, other: Batch | None, logs: Logs, results: Mapping[str, Any] | None = None
) -> dict[str, object]:
    """The document that docs/reference/pages.md describes. `other`: what it is compared with; `results`: what
    `stepwood opam` wrote of it."""
    steps = index.batch_steps(batch.id)
    order = list(TopologicalSorter({id: inputs for id, (_, _, inputs) in steps.items()}).static_order())
    numbers = {id: number for number, id in enumerate(order)}
    inputs = [[numbers[input] for input in steps[id][2]] for id in order]
    jobs = index.jobs(batch.id, limit=ALL)
    final = [numbers[job.final] for job in jobs]
    tries: dict[StepId, list[Attempt]] = {id: [] for id in order}
    for attempt in index.batch_attempts(batch.id):
        tries[attempt.step].append(attempt)
    last = [tries[id][-1] if tries[id] else None for id in order]
    well = [number for number, job in zip(final, jobs, strict=True) if job.outcome in WELL]
    there = _there(batch, inputs, last, well)
    outcome = [one.outcome if one else "cached" if there[number] else "unfinished" for number, one in enumerate(last)]
    popular = _popularity(inputs, final)
    flaky = {one.step: one for one in index.flaky(limit=FLAKY)}
    earlier = index.built_logs([id for id, how in zip(order, outcome, strict=True) if how == "cached"])
    known = [_log(tries[id]) or earlier.get(id) for id in order]
    return {
        "version": 1,
        "kind": "report",
        "id": order,
        "step_kind": [steps[id][0] for id in order],
        "op": [steps[id][1] for id in order],
        "inputs": inputs,
        "jobs": popular,
        "job": [job.name for job in jobs],
        "final": final,
        "job_outcome": [job.outcome or "unfinished" for job in jobs],
        "labels": [job.labels for job in jobs],
        "axes": _axes(jobs),
        "outcome": outcome,
        "seconds": [_seconds(tries[id]) for id in order],
        "tries": [sum(one.outcome in RAN for one in tries[id]) for id in order],
        "cause": [one.cause if one else None for one in last],
        "exit": [one.exit if one else None for one in last],
        "message": [one.message if one and one.outcome != "skipped" else "" for one in last],
        "because": [numbers.get(one.message) if one and one.outcome == "skipped" else None for one in last],
        "log": [None if log is None else logs.add(id, log) for id, log in zip(order, known, strict=True)],
        "logs": logs.places,
        "batch": _batch(batch, tries),
        "path": _path(inputs, tries, order),
        "timeline": _timeline(batch, tries, numbers),
        "failures": [
            {"step": number, "jobs": popular[number], "lines": logs.telling(known[number])}
            for number in sorted(range(len(order)), key=lambda number: -popular[number])
            if outcome[number] == "failed"
        ],
        "flaky": [
            {"step": numbers[id], "failed": flaky[id].failed, "built": flaky[id].built, "causes": flaky[id].causes}
            for id in flaky.keys() & numbers.keys()
        ],
        "comparison": None if other is None else {"other": _batch(other, {}), **_changes(index, other, batch, numbers)},
        "results": None if results is None else results["cells"],
    }


def _axes(jobs: Iterable[Job]) -> list[str]:
    """The labels that jobs can be laid out by, those with the fewest values first."""
    values: dict[str, set[str]] = {}
    for job in jobs:
        for name, value in job.labels.items():
            values.setdefault(name, set()).add(value)
    return sorted(
        (name for name, some in values.items() if 1 < len(some) <= COLUMNS), key=lambda name: len(values[name])
    )


def _batch(batch: Batch, tries: Mapping[StepId, Sequence[Attempt]]) -> dict[str, object]:
    """`work` is the seconds of all its tries."""
    wall = None if batch.finished is None else max(0.0, batch.finished - batch.started)
    work = sum(one.seconds for several in tries.values() for one in several)
    return {**asdict(batch), "wall": wall, "work": work}


def _log(tries: Sequence[Attempt]) -> str | None:
    return next((one.log for one in reversed(tries) if one.log is not None), None)


def _seconds(tries: Iterable[Attempt]) -> float | None:
    ran = [one.seconds for one in tries if one.outcome in RAN]
    return sum(ran) if ran else None


def _there(
    batch: Batch, inputs: Sequence[Sequence[int]], last: Sequence[Attempt | None], well: Iterable[int]
) -> list[bool]:
    """Of a step that was not tried, whether it was there already: all were where the batch came to its end; else those
    that something was built on, or a job ended well with."""
    found = [batch.finished is not None or (one is not None and one.outcome in RAN) for one in last]
    for number in well:
        found[number] = True
    for number in reversed(range(len(inputs))):
        if found[number]:
            for input in inputs[number]:
                found[input] = True
    return found


def _popularity(inputs: Sequence[Sequence[int]], final: Iterable[int]) -> list[int]:
    """How many jobs need each step."""
    found: Counter[int] = Counter()
    for end in final:
        seen = {end}
        todo = [end]
        for step in todo:
            fresh = set(inputs[step]) - seen
            seen |= fresh
            todo += fresh
        found.update(seen)
    return [found[number] for number in range(len(inputs))]


def _timeline(
    batch: Batch, tries: Mapping[StepId, Sequence[Attempt]], numbers: Mapping[StepId, int]
) -> dict[str, object]:
    """Every try on the lowest worker that was free: the index does not say which it was. Seconds from the beginning."""
    ran = sorted(
        (one.started - batch.started, one.started - batch.started + one.seconds, numbers[id])
        for id, several in tries.items()
        for one in several
        if one.outcome in RAN and one.seconds > 0
    )
    slots: list[tuple[int, int, float, float]] = []
    busy: list[tuple[float, int]] = []
    idle: list[int] = []
    workers = 0
    for start, end, step in ran:
        while busy and busy[0][0] <= start + 0.001:
            heapq.heappush(idle, heapq.heappop(busy)[1])
        if not idle:
            heapq.heappush(idle, workers)
            workers += 1
        worker = heapq.heappop(idle)
        heapq.heappush(busy, (end, worker))
        slots.append((step, worker, round(start, 3), round(end, 3)))
    return {
        "workers": workers,
        **{name: [slot[at] for slot in slots] for at, name in enumerate(("step", "worker", "start", "end"))},
    }


def _path(
    inputs: Sequence[Sequence[int]], tries: Mapping[StepId, Sequence[Attempt]], order: Sequence[StepId]
) -> list[int]:
    """Back from what ended last, always to the input that ended last: what kept the run from ending sooner."""
    ends = [max((one.started + one.seconds for one in tries[id] if one.outcome in RAN), default=0.0) for id in order]
    step = max(range(len(order)), key=ends.__getitem__, default=-1)
    found: list[int] = []
    while step >= 0 and ends[step]:
        found.append(step)
        step = max(inputs[step], key=ends.__getitem__, default=-1)
    return found[::-1]


def _changes(index: Index, other: Batch, batch: Batch, numbers: Mapping[StepId, int]) -> dict[str, object]:
    found = asdict(compared(index, other, batch))
    for time in found["times"]:
        time["step"] = numbers.get(time.pop("id"))
    return found
