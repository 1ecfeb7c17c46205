"""Which jobs have ended, and how: a job has ended when all its steps have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.dag import Dag
from engine.events import JobEnded
from engine.outcome import Name
from engine.step import StepId

_ORDER: Mapping[Name, int] = {"cached": 0, "built": 1, "cancelled": 2, "failed": 3}
"""From best to worst, for jobs and batches, where a skipped step counts as failed."""


class Jobs:
    """The jobs of one run. By name: how many steps a job still waits for, and its outcome so far."""

    def __init__(self, dag: Dag, rows: Sequence[int]) -> None:
        """`rows` are the index's numbers of the jobs, in the order of the plans."""
        self._dag = dag
        self._left = {plan.name: len(plan.steps) for plan in dag.plans}
        self._outcome: dict[str, Name] = dict.fromkeys(self._left, "cached")
        self._final = {plan.name: plan.final for plan in dag.plans}
        self._row = dict(zip(self._left, rows, strict=True))

    def count(self, id: StepId, outcome: Name) -> Iterator[tuple[int, JobEnded]]:
        """A step has ended: the jobs that end with it, each with its row."""
        told: Name = "failed" if outcome == "skipped" else outcome
        for job in self._dag.jobs(id):
            self._left[job] -= 1
            if _ORDER[told] > _ORDER[self._outcome[job]]:
                self._outcome[job] = told
            if not self._left[job]:
                yield self._row[job], JobEnded(job, self._outcome[job], self._final[job])

    @property
    def worst(self) -> Name:
        """The outcome of the job that went worst."""
        return max(self._outcome.values(), key=lambda name: _ORDER[name], default="cached")
