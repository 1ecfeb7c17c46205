"""What the jobs of a DAG share, what keeps them from sharing more, and what they would share in another order.

An item is what a step does, whatever it does it to: the op with the context it runs in (variables, user, folder,
shell), but without the root it starts from. Jobs run the same item after different beginnings; each then is a step of
its own. A near-miss is wider: the same op, though it may run in another context.

Nothing is known of which commands need which: orders are sought as if all could change places, but for bases, which
come first, and an item that a chain has twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from engine.analysis.jobs import Jobs, Orders
from engine.analysis.orders import trie
from engine.dag import Dag
from engine.digest import fields
from engine.step import Action, Copy, FromStep, Merge, StepId, kind


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Steps with the same op, one after another, in several places that have no more than a beginning in common.

    `rows` are those that are alike, a step for each place in each row, the rows in the order in which they follow each
    other. `after` is how many steps all places have in common before. `apart` are the steps that come next, with the
    number of places behind each, the most first (None: the first row comes next). `differs` names what the steps of a
    row are made of and not all alike, besides what they start from: "cwd", or of the env "env NAME".

    `movable`: in each row all do the same on one base, and none stands behind another, so an order in which nothing
    else comes before them would make one place of all.
    """

    rows: Sequence[Sequence[StepId]]
    after: int
    apart: Sequence[tuple[StepId | None, int]]
    differs: Sequence[str]
    movable: bool

    @property
    def excess(self) -> int:
        """How many steps would go if the places were one."""
        return sum(len(row) - 1 for row in self.rows)


class Sharing:
    """The chains of a DAG as jobs of items: `jobs` for `engine.analysis.strategies`, `leaves` the last step of each."""

    def __init__(self, dag: Dag) -> None:
        self._dag = dag
        self._parents = dag.parents
        self._keys: list[int] = []
        """By step, a number that stands for what it does."""
        self._items: list[int] = []
        """By step, the number of its item: what it does, on which base, for the how many-th time in its chain."""
        self._name_items()
        leaves = sorted({leaf for plan in dag.plans for leaf in self._ends(plan.steps)})
        self.leaves: Sequence[StepId] = [dag.ids[leaf] for leaf in leaves]
        self.jobs = Jobs(self._names, self._needs, [self._chain(leaf) for leaf in leaves])

    def near_misses(self) -> list[NearMiss]:
        """Those that cost most steps first; of those that cost the same, by their ops, whatever ids they have."""
        places: dict[str, list[int]] = {}
        for number, step in enumerate(self._dag):
            if step.inputs:
                places.setdefault(step.op, []).append(number)
        groups = {tuple(group) for group in places.values() if len(group) > 1}
        follows: dict[tuple[int, ...], tuple[int, ...]] = {}
        for group in groups:
            above = tuple(sorted(self._parents[number] for number in group))
            if above in groups:
                follows.setdefault(above, group)
        behind = set(follows.values())
        found = [self._near_miss(group, follows) for group in groups if group not in behind]
        return sorted(found, key=lambda miss: (-miss.excess, self._dag[miss.rows[0][0]].op, miss.rows[0][0]))

    def cost(self, orders: Sequence[tuple[int, ...]], costs: Mapping[StepId, float]) -> float:
        """What the steps of an order cost by the costs of steps: each as the mean of those that do the same."""
        known: dict[int, list[float]] = {}
        for number, id in enumerate(self._dag.ids):
            if id in costs:
                known.setdefault(self._items[number], []).append(costs[id])
        count = Counter(trie(orders).items)
        return sum(sum(known[item]) / len(known[item]) * times for item, times in count.items() if item in known)

    def changed(self, orders: Orders) -> Iterator[tuple[StepId, tuple[int, ...]]]:
        """The chains that an order puts otherwise: the last step as it is now, and the items."""
        for leaf, was, now in zip(self.leaves, self.jobs.jobs, orders, strict=True):
            if was != now:
                yield leaf, now

    # --- items

    def _name_items(self) -> None:
        self._names: list[str] = []
        self._needs: list[tuple[int, ...]] = []
        keys: dict[object, int] = {}
        items: dict[tuple[int, int, int], int] = {}
        bases: list[int] = []
        chains: dict[int, int] = {}
        for number, step in enumerate(self._dag):
            above = self._parents[number]
            does = self._does(step.action, chains, keys)
            seen = does in keys
            key = keys.setdefault(does, len(keys))
            base = number if above < 0 else bases[above]
            again = sum(self._keys[before] == key for before in self._before(above)) if seen else 0
            item = items.setdefault((base, key, again), len(items))
            if item == len(self._names):
                self._names.append(step.op)
                needs = () if above < 0 else (self._items[base],)
                self._needs.append((*needs, items[base, key, again - 1]) if again else needs)
            self._keys.append(key)
            self._items.append(item)
            bases.append(base)

    def _does(self, action: Action, chains: dict[int, int], keys: dict[object, int]) -> object:
        """What a step's id is made of besides what it starts from. A build that is copied from, or merged with that,
        stands for all that it does, in whatever order."""
        builds: Sequence[StepId] = ()
        match action:
            case Copy(source=FromStep(step=build)):
                builds = (build,)
            case Merge(inputs=(_, *builds)):
                pass
        held = []
        for build in builds:
            number = self._dag.numbers[build]
            if number not in chains:
                chain = frozenset(self._items[before] for before in self._before(number))
                chains[number] = keys.setdefault(chain, len(keys))
            held.append(chains[number])
        made = [value for name, value in fields(action) if name not in ("input", "inputs", "from")]
        return json.dumps([kind(action), held, made])

    def _before(self, number: int) -> Iterator[int]:
        """A step, the one whose root it starts from, and so on."""
        while number >= 0:
            yield number
            number = self._parents[number]

    def _chain(self, leaf: int) -> tuple[int, ...]:
        return tuple(self._items[number] for number in self._before(leaf))[::-1]

    def _ends(self, steps: Iterable[StepId]) -> set[int]:
        """Of a job's steps, those whose root no other of them starts from."""
        numbers = {self._dag.numbers[id] for id in steps}
        return numbers - {self._parents[number] for number in numbers}

    # --- near-misses

    @cached_property
    def _depths(self) -> list[int]:
        depths: list[int] = []
        for parent in self._parents:
            depths.append(1 + depths[parent] if parent >= 0 else 1)
        return depths

    def _near_miss(self, group: tuple[int, ...], follows: Mapping[tuple[int, ...], tuple[int, ...]]) -> NearMiss:
        common = self._parents[group[0]]
        for number in group[1:]:
            common = self._common(common, self._parents[number])
        after = self._depths[common] if common >= 0 else 0
        apart: Counter[StepId | None] = Counter()
        for number in group:
            path = number
            while self._depths[path] > after + 1:
                path = self._parents[path]
            apart[None if path == number else self._dag.ids[path]] += 1
        rows, last = [group], group
        while last in follows:
            last = follows[last]
            behind = {self._parents[number]: number for number in last}
            rows.append(tuple(behind[number] for number in rows[-1]))  # place by place
        ids = [[self._dag.ids[number] for number in row] for row in rows]
        movable = all(len({self._items[number] for number in row}) == 1 for row in rows)
        differs = dict.fromkeys(name for row in rows for name in self._differ(row))
        return NearMiss(ids, after, apart.most_common(), list(differs), movable)

    def _differ(self, group: Sequence[int]) -> list[str]:
        """In what the steps of a group are not all alike, besides what they start from."""
        if len({self._keys[number] for number in group}) == 1:
            return []
        walks = []
        for number in group:
            action = self._dag[self._dag.ids[number]].action
            walk = {name: value for name, value in fields(action) if name not in ("input", "env")}
            walk |= {f"env {name}": value for name, value in getattr(action, "env", ())}
            walks.append(walk)
        names = dict.fromkeys(name for walk in walks for name in walk)
        return [name for name in names if any(walk.get(name) != walks[0].get(name) for walk in walks)]

    def _common(self, one: int, other: int) -> int:
        """The last step that two chains have in common; -1 where they have none."""
        while one != other:
            if one < 0 or other < 0:
                return -1
            if self._depths[one] >= self._depths[other]:
                one = self._parents[one]
            else:
                other = self._parents[other]
        return one
