"""All jobs' steps as one graph by id: a step that many jobs share stands once and knows its jobs.

The only file that imports networkx, and only where a question of the graph is asked: it takes 0.1 s to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import TYPE_CHECKING

from engine.plan import Plan
from engine.step import Step, StepId

if TYPE_CHECKING:
    import networkx as nx


class Dag:
    """Grows by `add`; everything else asks. Edges lead from an input to what uses it."""

    def __init__(self) -> None:
        self._steps: dict[StepId, Step] = {}
        self._numbers: dict[StepId, int] = {}
        self._ids: list[StepId] = []
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
        self.__dict__.pop("_graph", None)  # what was made of it is out of date
        name, jobs = plan.name, self._jobs
        for id in plan.steps:  # of jobs that share most, half a million
            known = jobs.get(id)
            if known is not None:
                known.append(name)
                continue
            step = self._steps[id] = steps[id]
            jobs[id] = [name]
            number = self._numbers[id] = len(self._ids)
            self._ids.append(id)
            self._users.append([])
            for input in step.inputs:
                self._users[self._numbers[input]].append(number)

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
    def ids(self) -> Sequence[StepId]:
        """By number, the ids of all distinct steps."""
        return self._ids

    @property
    def parents(self) -> list[int]:
        """By number, the number of the step whose root a step starts from; -1 where it starts from none."""
        return [self._numbers[step.inputs[0]] if step.inputs else -1 for step in self]

    @property
    def popularity(self) -> list[int]:
        """By number, how many jobs need a step."""
        return [len(self._jobs[id]) for id in self._ids]

    @property
    def users(self) -> Sequence[Sequence[int]]:
        """By number, the numbers of the steps that read a step's result directly."""
        return self._users

    def jobs(self, id: StepId) -> Sequence[str]:
        """The names of the jobs that need a step."""
        return self._jobs[id]

    def after(self, ids: Iterable[StepId]) -> set[StepId]:
        """These steps and all that need one of them, directly or not."""
        import networkx as nx

        graph, above = self._graph, -1
        graph.add_edges_from((above, self._numbers[id]) for id in ids)
        found = nx.descendants(graph, above) if above in graph else ()
        graph.remove_nodes_from([above])
        return {self._ids[number] for number in found}

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

    def longest_path(self, seconds: Mapping[StepId, float], ended: Set[StepId] = frozenset()) -> list[StepId]:
        """The steps of the longest path, first to last; `seconds` and `ended` are as in `remaining`."""
        remaining = self.remaining(seconds, ended)
        path: list[StepId] = []
        after: Iterable[StepId] = (id for id in self._ids if id not in ended)
        while (step := max(after, key=remaining.__getitem__, default=None)) is not None:
            path.append(step)
            users = [self._ids[user] for user in self._users[self._numbers[step]]]
            after = [user for user in users if user not in ended]
        return path

    @cached_property
    def _graph(self) -> nx.DiGraph[int]:
        """The steps by number."""
        import networkx as nx

        return nx.DiGraph(dict(enumerate(self._users)))
