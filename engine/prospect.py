"""What a run would do, before it does it: which steps run, and what that is expected to take. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from engine.dag import Dag
from engine.estimate import NOTHING, Estimates
from engine.records import Prediction
from engine.simulate import Slot, predict, schedule
from engine.step import StepId

State = Literal["cached", "run", "failed", "blocked"]
"""There already; to run; known to fail, and not run again; waiting for one that is."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the steps that run are expected to take, in seconds.

    `work` is all of them together, `path` the longest chain, which takes `path_seconds`; a step without history counts
    as a second (`engine.scheduler.DEFAULT_SECONDS`), and `unknown` of them are such. `makespans` has, for numbers of
    workers, how long a run takes.
    """

    work: float
    path: Sequence[StepId]
    path_seconds: float
    unknown: int
    makespans: Mapping[int, Prediction]


@dataclass(frozen=True, slots=True)
class Prospect:
    """A DAG, and what is known of it before it runs: `cached` steps, those known to have `failed`, what others take."""

    dag: Dag
    cached: Set[StepId]
    failed: Set[StepId] = frozenset()
    estimates: Estimates = NOTHING

    def states(self) -> dict[StepId, State]:
        """What would come of each step, in the order of the DAG."""
        states: dict[StepId, State] = {}
        for step in self.dag:
            if step.id in self.cached:
                states[step.id] = "cached"
            elif step.id in self.failed:
                states[step.id] = "failed"
            elif self.failed and any(states[input] in ("failed", "blocked") for input in step.inputs):
                states[step.id] = "blocked"
            else:
                states[step.id] = "run"
        return states

    def seconds(self, id: StepId) -> float | None:
        """What a step is expected to take; None where no step like it was ever built."""
        return None if id in self.estimates.unknown else self.estimates.seconds.get(id)

    def cost(self, ids: Collection[StepId]) -> tuple[float, int]:
        """The seconds that steps are expected to take together, and of how many of them nothing is known."""
        known = [took for id in ids if (took := self.seconds(id)) is not None]
        return math.fsum(known), len(ids) - len(known)

    def forecast(
        self,
        states: Mapping[StepId, State],
        machines: Mapping[int, int | None],
        *,
        drift: float = 0.0,
        budget: int = 50_000,
    ) -> Forecast | None:
        """None where nothing runs, or nothing is known of any step that does.

        `machines` has, by their number of workers, the bytes of memory that steps share there, None for no bound;
        `drift` is how far whole runs are off (see `predict`). `budget` is how many steps are simulated for each
        machine, though every step is once.
        """
        todo = [id for id, state in states.items() if state == "run"]
        _, unknown = self.cost(todo)
        if unknown == len(todo):
            return None
        ended = {id for id, state in states.items() if state != "run"}
        took = {id: self.estimates.seconds[id] for id in todo}
        path = self.dag.longest_path(took, ended)
        runs = min(50, max(1, budget // len(todo)))
        return Forecast(
            work=math.fsum(took.values()),
            path=path,
            path_seconds=math.fsum(took[id] for id in path),
            unknown=unknown,
            makespans={
                workers: predict(self.dag, self.estimates, workers, cached=ended, room=room, runs=runs, drift=drift)
                for workers, room in machines.items()
            },
        )

    def schedule(self, states: Mapping[StepId, State], workers: int, room: int | None = None) -> list[Slot]:
        """Which worker would run which step when, if each took just what it is expected to."""
        ended = {id for id, state in states.items() if state != "run"}
        known = self.estimates
        return schedule(self.dag, known.seconds, workers, cached=ended, memory=known.memory, room=room)
