"""What changed from one batch to another: jobs that end otherwise, and ops that take longer or less long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.index import Index
from engine.records import Batch

SLOWER, SECONDS = 1.2, 1.0
"""A step's time has changed where both the factor and the difference are larger."""
ALL = 1_000_000
"""Jobs of a batch, at most."""


@dataclass(frozen=True, slots=True)
class Change:
    """A job that ended otherwise: "failing", "fixed", or "stopped" where it came to no end."""

    name: str
    change: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Time:
    """An op whose time has changed: how many steps each batch built of it, and their mean seconds."""

    id: str
    op: str
    steps_was: int
    steps_now: int
    was: float
    now: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from one batch to another; `built_was` and `built_now` are seconds of all steps that were built."""

    changed: Sequence[Change]
    new: Sequence[str]
    gone: Sequence[str]
    times: Sequence[Time]
    built_was: float
    built_now: float


def compared(index: Index, other: Batch, batch: Batch) -> Comparison:
    before, after = (
        {job.name: job.outcome or "unfinished" for job in index.jobs(one.id, limit=ALL)} for one in (other, batch)
    )
    changed = [
        Change(name, change, before[name], now)
        for name, now in after.items()
        if name in before and (change := _change(before[name], now))
    ]
    was, now = (index.built(one.id) for one in (other, batch))
    return Comparison(
        changed,
        [name for name in after if name not in before],
        [name for name in before if name not in after],
        _times(was, now),
        *(round(sum(seconds for *_, seconds in steps), 3) for steps in (was, now)),
    )


def _change(was: str, now: str) -> str | None:
    """None where both ended well, or both did not."""
    kinds = ["well" if outcome in ("built", "cached") else outcome for outcome in (was, now)]
    if kinds[0] == kinds[1]:
        return None
    return {"well": "fixed", "failed": "failing"}.get(kinds[1], "stopped")


def _times(was: Sequence[tuple[str, str, float]], now: Sequence[tuple[str, str, float]]) -> list[Time]:
    """A step is known again by its op, since a change before it gives it a new id. The largest changes first."""
    before, after = _by_op(was), _by_op(now)
    times = []
    for op, steps in after.items():
        if op not in before:
            continue
        old, new = (sum(found.values()) / len(found) for found in (before[op], steps))
        if max(old, new) > SLOWER * min(old, new) and abs(new - old) > SECONDS:
            times.append(Time(next(iter(steps)), op, len(before[op]), len(steps), round(old, 3), round(new, 3)))
    return sorted(times, key=lambda time: -abs(time.now - time.was))


def _by_op(steps: Sequence[tuple[str, str, float]]) -> dict[str, dict[str, float]]:
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for id, op, seconds in steps:
        found[op][id] = seconds
    return found
