"""How long a run would take: the real scheduler on a clock that does not wait. Pure, and chance only from a seed.

A discrete-event simulation: workers take steps as in a run, and time goes to the next end of a step. What a run spends
besides its steps is left out.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from random import Random

from engine.dag import Dag
from engine.estimate import Estimates
from engine.outcome import Built
from engine.records import Prediction
from engine.scheduler import DEFAULT_SECONDS, Order, Scheduler, ranking
from engine.step import StepId

_BUILT = Built(0.0, None, 0)


@dataclass(frozen=True, slots=True)
class Makespan:
    """How long all steps take on some workers. Seconds each but for `utilisation`.

    `makespan` is the time from the first start to the last end, `work` the sum of all durations, `critical_path` the
    longest chain of steps, `utilisation` the part of the workers' time in which they work (0 where there is none).
    """

    makespan: float
    work: float
    critical_path: float
    utilisation: float
    workers: int

    @property
    def bound(self) -> float:
        """What no schedule can go below."""
        return max(self.critical_path, self.work / self.workers)


@dataclass(frozen=True, slots=True)
class Slot:
    """A step on a worker, numbered from 0, from its start to its end, in seconds from the beginning of the run."""

    id: StepId
    worker: int
    start: float
    end: float


def schedule(
    dag: Dag,
    seconds: Mapping[StepId, float],
    workers: int,
    *,
    cached: Set[StepId] = frozenset(),
    memory: Mapping[StepId, int] | None = None,
    room: int | None = None,
) -> list[Slot]:
    """Which worker runs which step when, as `simulate` has it: by their starts."""
    took = {step.id: seconds.get(step.id, DEFAULT_SECONDS) for step in dag if step.id not in cached}
    return [Slot(*slot) for slot in _slots(Scheduler(dag, cached, took, memory=memory, room=room), took, workers)]


def simulate(
    dag: Dag,
    seconds: Mapping[StepId, float],
    workers: int,
    *,
    cached: Set[StepId] = frozenset(),
    expected: Mapping[StepId, float] | None = None,
    memory: Mapping[StepId, int] | None = None,
    room: int | None = None,
    order: Order | None = None,
) -> Makespan:
    """Run all steps that are not `cached`, each for its `seconds` (DEFAULT_SECONDS where it has none).

    The scheduler goes by `expected` where it is given, and is told of memory and order as `Scheduler` has them.
    """
    took = {step.id: seconds.get(step.id, DEFAULT_SECONDS) for step in dag if step.id not in cached}
    believed = took if expected is None else expected
    scheduler = Scheduler(dag, cached, believed, memory=memory, room=room, order=order)
    makespan = _run(scheduler, took, workers)
    work = math.fsum(took.values())
    critical = max(dag.remaining(took, cached).values(), default=0.0)
    return Makespan(makespan, work, critical, work / (makespan * workers) if makespan else 0.0, workers)


def predict(
    dag: Dag,
    estimates: Estimates,
    workers: int,
    *,
    cached: Set[StepId] = frozenset(),
    room: int | None = None,
    runs: int = 50,
    drift: float = 0.0,
    seed: int = 0,
) -> Prediction:
    """Simulate `runs` runs in which each step takes one of the times that were seen of it, independent of all others;
    or where those are few, a log-normal time around its estimate.

    The scheduler knows the estimates, the clock the samples. Steps that vary each by itself cancel out in a sum of
    many; what does not is a machine that is slow as a whole. So the quantiles are those of the runs, each drawn out
    or shortened by a log-normal factor of its own whose logarithm has the standard deviation `drift`.
    """
    from statistics import NormalDist  # takes 9 ms to import, and a run in which all is there foresees nothing

    chance = Random(seed)  # noqa: S311  # no secret is made of it
    todo = [step.id for step in dag if step.id not in cached]
    order = ranking(dag, cached, estimates.seconds).__getitem__
    seen = {id: estimates.seen[id] for id in todo if id in estimates.seen}
    shape = [
        (id, estimates.seconds.get(id, DEFAULT_SECONDS), estimates.spread.get(id, 0.0)) for id in todo if id not in seen
    ]
    found = []
    for _ in range(runs):
        took = {id: median * math.exp(chance.gauss(0.0, spread)) for id, median, spread in shape}
        took |= {id: times[int(len(times) * chance.random())] for id, times in seen.items()}
        scheduler = Scheduler(dag, cached, {}, memory=estimates.memory, room=room, order=order)
        found.append(_run(scheduler, took, workers))
    # Each of the runs at each twentieth of the factor's distribution, the half and nine tenths among them: no more
    # chance than is needed, though runs be few.
    deviates = [NormalDist().inv_cdf(place / 20) for place in range(1, 20)]
    found = sorted(took * math.exp(drift * deviate) for took in found for deviate in deviates)
    return Prediction(*(found[math.ceil(part * len(found)) - 1] for part in (0.5, 0.9)))


def _run(scheduler: Scheduler, took: Mapping[StepId, float], workers: int) -> float:
    """The time at which the last step ends."""
    return max((end for _, _, _, end in _slots(scheduler, took, workers)), default=0.0)


def _slots(
    scheduler: Scheduler, took: Mapping[StepId, float], workers: int
) -> Iterator[tuple[StepId, int, float, float]]:
    """Step, worker, start and end, by their starts."""
    if workers < 1:
        raise ValueError("a run needs a worker")
    now, started = 0.0, 0
    idle = list(range(workers))
    ends: list[tuple[float, int, int, StepId]] = []
    while True:
        while idle and (id := scheduler.take()) is not None:
            worker = heapq.heappop(idle)
            heapq.heappush(ends, (now + took[id], started, worker, id))
            yield id, worker, now, now + took[id]
            started += 1
        if not ends:
            return
        now, _, worker, id = heapq.heappop(ends)
        heapq.heappush(idle, worker)
        scheduler.finish(id, _BUILT)
