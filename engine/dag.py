"""All jobs' steps as one graph by id: a step that many jobs share stands once and knows its jobs.

The only file that imports networkx.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

import networkx as nx

from engine.plan import Plan
from engine.step import Step, StepId


class Dag:
    """Grows by `add`; everything else asks. Edges lead from an input to what uses it."""

    def __init__(self) -> None:
        self._graph: nx.DiGraph[StepId] = nx.DiGraph()
        self._steps: dict[StepId, Step] = {}
        self._numbers: dict[StepId, int] = {}
        self._users: list[list[int]] = []
        self._jobs: dict[StepId, list[str]] = {}
        self._plans: list[Plan] = []

    @classmethod
    def of(cls, plans: Iterable[Plan], steps: Mapping[StepId, Step]) -> Dag:
        dag = cls()
        for plan in plans:
            dag.add(plan, steps)
        return dag

    def add(self, plan: Plan, steps: Mapping[StepId, Step]) -> None:
        """Merge a job's plan. Its steps come with inputs before what uses them, so insertion order is topological."""
        self._plans.append(plan)
        for id in plan.steps:
            if id in self._steps:
                self._jobs[id].append(plan.name)
                continue
            self._steps[id] = steps[id]
            self._jobs[id] = [plan.name]
            number = self._numbers[id] = len(self._users)
            self._users.append([])
            for input in steps[id].inputs:
                self._users[self._numbers[input]].append(number)
            self._graph.add_node(id)
            self._graph.add_edges_from((input, id) for input in steps[id].inputs)

    @property
    def plans(self) -> Sequence[Plan]:
        return self._plans

    @property
    def total(self) -> int:
        """The steps of all jobs, one that is shared counted for each."""
        return sum(len(plan.steps) for plan in self._plans)

    def __len__(self) -> int:
        return len(self._steps)

    def __contains__(self, id: object) -> bool:
        return id in self._steps

    def __iter__(self) -> Iterator[Step]:
        """Every distinct step, inputs before what uses them."""
        return iter(self._steps.values())

    def __getitem__(self, id: StepId) -> Step:
        return self._steps[id]

    @property
    def numbers(self) -> Mapping[StepId, int]:
        """Every distinct step's place in the order of iteration: lists by number are faster than dicts by id."""
        return self._numbers

    @property
    def users(self) -> Sequence[Sequence[int]]:
        """By number, the numbers of the steps that read a step's result directly."""
        return self._users

    def jobs(self, id: StepId) -> Sequence[str]:
        """The names of the jobs that need a step."""
        return self._jobs[id]

    def descendants(self, id: StepId) -> set[StepId]:
        """All steps that need a step, directly or not."""
        found: set[StepId] = nx.descendants(self._graph, id)
        return found

    def remaining(self, seconds: Mapping[StepId, float], ended: Set[StepId] = frozenset()) -> dict[StepId, float]:
        """For each step, how long the longest path from its start to the end of the graph takes.

        No path leads to or through a step of `ended`: it is waited for no more.
        """
        gone = {self._numbers[id] for id in ended if id in self._numbers}
        longest = [seconds.get(id, 0.0) for id in self._steps]
        for number in range(len(longest) - 1, -1, -1):
            if number in gone:
                longest[number] = 0.0
            elif users := self._users[number]:
                longest[number] += max([longest[user] for user in users])
        return dict(zip(self._steps, longest, strict=True))
