"""What steps will take, learned from what steps took. Pure but for the index that is asked.

A step that was built before is taken to run as it did. Another one is compared with the latest builds of all steps, by
the most specific of these that was ever built: its very op (under another id: what it is built on has changed), the
first three, two or one words of its command with numbers and versions left open, or any step of its kind.

The middle is the median, and what is around it a log-normal distribution: durations are positive, and their errors are
ratios.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from engine.index import Index, OpBuild
from engine.scheduler import DEFAULT_SECONDS
from engine.step import Step, StepId

SAME, ALIKE = 30_000, 10_000
"""Latest builds that are looked at for a step without a build of its own: for its op, and for commands like its own.
It takes up to half a second …"""
PER_STEP = 100
"""… so for few steps fewer are."""
RECENT = 5
"""Latest builds of a step that say how much memory it needs: the most that one of them did."""
UPPER = 0.9
"""Quantile of the memory that alike steps needed."""
RUNS = 20
"""Latest runs that say how far predictions are off."""
MEDIAN_ERROR = 1.4826
"""Standard deviations of a normal distribution in the median of its errors."""
ENOUGH = 5
"""So many builds say how times are distributed better than an assumption does."""
OWN_SPREAD, ALIKE_SPREAD, UNKNOWN_SPREAD = 0.3, 0.7, 1.0
"""Spreads that are assumed: of a step around its own median, around that of alike ones, of one nothing is known of."""
DRIFT = 0.2
"""Spread that is assumed of whole runs around what was predicted of them: a machine may be slow, or busy."""
TRUST = 2
"""How many builds, or runs, an assumed spread counts for beside those that were seen."""
SHORTEST = 0.001
"""Seconds below which durations do not differ."""
WORDS = 3
LENGTH = 100
"""Characters of a command that may hold those words."""

# A hash, a number or a version; one sign stands for all of them.
_NUMBER = re.compile(r"\b[0-9a-f]{7,}\b|\d[\d._]*")


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is expected of steps.

    `seconds` has the median for every step asked for. `spread` has the standard deviation of the logarithm of its
    time: two thirds of all cases are between times and divided by exp(spread). `memory` has the peak in bytes where
    anything is known of it. `seen` has the times that were seen, in order, where they are enough to go by.
    `measured` are the steps that were built themselves, `unknown` those of whose kind none was.
    """

    seconds: Mapping[StepId, float]
    spread: Mapping[StepId, float]
    memory: Mapping[StepId, int]
    measured: Set[StepId]
    unknown: Set[StepId]
    seen: Mapping[StepId, Sequence[float]] = field(default_factory=dict)


NOTHING = Estimates({}, {}, {}, frozenset(), frozenset())
"""What is known where there is no index."""


@dataclass(frozen=True, slots=True)
class _Learned:
    seconds: float
    spread: float
    memory: int | None
    seen: Sequence[float] = ()


_UNKNOWN = _Learned(DEFAULT_SECONDS, UNKNOWN_SPREAD, None)


def estimate(index: Index, steps: Iterable[Step]) -> Estimates:
    """What `steps` will take. Nothing is read of other steps where all were built before."""
    steps = list(steps)
    own = index.builds(step.id for step in steps)
    learned = {}
    for id, builds in own.items():
        peaks = [peak for _, peak in builds[:RECENT] if peak]
        learned[id] = _learn([took for took, _ in builds], OWN_SPREAD, max(peaks, default=None))
    learned |= _by_likeness(index, [step for step in steps if step.id not in own])
    return Estimates(
        seconds={id: one.seconds for id, one in learned.items()},
        spread={id: one.spread for id, one in learned.items()},
        memory={id: one.memory for id, one in learned.items() if one.memory is not None},
        measured=own.keys(),
        unknown={id for id, one in learned.items() if one is _UNKNOWN},
        seen={id: one.seen for id, one in learned.items() if len(one.seen) >= ENOUGH},
    )


def drift(index: Index) -> float:
    """How far whole runs are off what is predicted of them: the standard deviation of the logarithm.

    It is taken from the median of the errors, which one run that went quite otherwise does not move.
    """
    from statistics import median  # takes 9 ms to import, and a run in which all is there need not know

    errors = [abs(math.log(max(took, SHORTEST) / middle)) for middle, took in index.predicted(RUNS)]
    return MEDIAN_ERROR * median([*errors, *[DRIFT / MEDIAN_ERROR] * TRUST])


def likenesses(op: str) -> list[str]:
    """What a step is compared by, the most specific first; `op` is its text as in the index."""
    form, _, rest = op.partition(" ")
    if rest.startswith("(merge "):
        form = "(merge"  # no kind of base
    text = (rest.partition("(shell ")[2] or rest)[:LENGTH].replace("\\n", " ")
    words = [word for word in text.split() if word[0] != "-"]
    while words[2:3] == ["&&"]:  # cd FOLDER && …
        del words[:3]
    words = _NUMBER.sub("#", " ".join(words[:WORDS]).strip('"()')).split()
    return [" ".join([form, *words[:count]]) for count in range(len(words), -1, -1)]


def _by_likeness(index: Index, steps: Sequence[Step]) -> dict[StepId, _Learned]:
    """For steps that were never built."""
    if not steps:
        return {}
    latest = index.latest_builds(min(SAME, PER_STEP * len(steps)))
    groups: dict[str, list[OpBuild]] = {step.op: [] for step in steps}
    for build in latest:
        if (group := groups.get(build[2])) is not None:
            group.append(build)
    best = {op: op for op in groups}
    if others := [op for op, group in groups.items() if not group]:
        asked = {op: likenesses(op) for op in others}
        alike = _alike(latest[:ALIKE], {key for keys in asked.values() for key in keys})
        best |= {op: next((key for key in keys if key in alike), op) for op, keys in asked.items()}
        groups |= alike
    learned = {key: _learn_alike(groups[key]) for key in set(best.values())}
    return {step.id: learned[best[step.op]] for step in steps}


def _alike(latest: Sequence[OpBuild], asked: Set[str]) -> dict[str, list[OpBuild]]:
    """The builds of each of the likenesses `asked` for, where there are any."""
    groups: defaultdict[str, list[OpBuild]] = defaultdict(list)
    known: dict[str, list[str]] = {}
    for build in latest:
        op = build[2]
        keys = known.get(op)
        if keys is None:
            keys = known[op] = [key for key in likenesses(op) if key in asked]
        for key in keys:
            groups[key].append(build)
    return groups


def _learn_alike(builds: Sequence[OpBuild]) -> _Learned:
    if not builds:
        return _UNKNOWN
    peaks = sorted(peak for _, peak, _ in builds if peak)
    memory = peaks[math.ceil(UPPER * len(peaks)) - 1] if peaks else None
    return _learn([took for took, _, _ in builds], ALIKE_SPREAD, memory)


def _learn(seconds: Sequence[float], assumed: float, memory: int | None) -> _Learned:
    """From what builds took, at least one. `assumed` is the spread that is believed beforehand."""
    took = sorted(seconds)
    middle = took[(len(took) - 1) // 2]
    center = math.log(max(middle, SHORTEST))
    errors = math.fsum((math.log(max(one, SHORTEST)) - center) ** 2 for one in took)
    spread = math.sqrt((TRUST * assumed**2 + errors) / (TRUST + len(took) - 1))
    return _Learned(middle, spread, memory, took)
