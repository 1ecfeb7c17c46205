"""Orders that look at one item or one job at a time, and what an order costs.

Finding the order with the fewest steps is NP-hard already without needs (Comer and Sethi, The Complexity of Trie
Index Construction, 1977), so these are heuristics, from the cheapest up.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from engine.analysis.bits import Bits, places
from engine.analysis.jobs import Jobs, Orders, popularity


@dataclass(frozen=True, slots=True)
class Trie:
    """The steps that orders come to: a step that several have, with the same steps before it, is one node.

    By node, which comes after its parent: the parent (-1: none), the item, and the number of orders through it.
    """

    parents: list[int]
    items: list[int]
    jobs: list[int]


def trie(orders: Iterable[Sequence[int]]) -> Trie:
    """The trie of some orders."""
    nodes: dict[tuple[int, int], int] = {}
    found = Trie([], [], [])
    for order in orders:
        at = -1
        for item in order:
            node = nodes.setdefault((at, item), len(nodes))
            if node == len(found.jobs):
                found.parents.append(at)
                found.items.append(item)
                found.jobs.append(0)
            found.jobs[node] += 1
            at = node
    return found


def distinct(orders: Iterable[Sequence[int]]) -> int:
    """How many steps the orders need."""
    return len(trie(orders).jobs)


def arbitrary(jobs: Jobs) -> Orders:
    """The orders as they came."""
    return list(jobs.jobs)


def alphabetical(jobs: Jobs) -> Orders:
    """Among the items that may come next, the least by name."""
    return _least_first(jobs, sorted(range(len(jobs.names)), key=lambda item: (jobs.names[item], item)))


def popular(jobs: Jobs) -> Orders:
    """Among the items that may come next, the one that most jobs hold; ties go by name."""
    count = popularity(jobs)
    return _least_first(jobs, sorted(range(len(count)), key=lambda item: (-count[item], jobs.names[item], item)))


def _least_first(jobs: Jobs, ranking: Sequence[int]) -> Orders:
    rank = [0] * len(ranking)
    for place, item in enumerate(ranking):
        rank[item] = place
    return [_order(job, jobs.needs, rank, ranking) for job in jobs.jobs]


def _order(
    job: Sequence[int], needs: Sequence[tuple[int, ...]], rank: Sequence[int], ranking: Sequence[int]
) -> tuple[int, ...]:
    users: dict[int, list[int]] = {item: [] for item in job}
    missing = {item: len(needs[item]) for item in job}
    for item in job:
        for need in needs[item]:
            users[need].append(item)
    ready = [rank[item] for item, count in missing.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        item = ranking[heapq.heappop(ready)]
        order.append(item)
        for user in users[item]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(ready, rank[user])
    return tuple(order)


def greedy(jobs: Jobs) -> Orders:
    """The trie from its root: the item that most jobs of a node hold, then the same for those that do not hold it.

    Popularity is counted anew at each node. An item that is held most is never before one that it needs.
    """
    bits = Bits.of(jobs)
    held = [tuple(places(mask)) for mask in bits.jobs]
    found: list[list[int]] = [[] for _ in held]
    nodes = [(list(range(len(held))), 0)] if held else []
    while nodes:
        members, placed = nodes.pop()
        common = bits.jobs[members[0]]
        for member in members:
            common &= bits.jobs[member]
        chain = list(places(common & ~placed))
        for member in members:
            found[member] += chain
        placed |= common
        rest = [member for member in members if bits.jobs[member] != common]
        left = {member: [place for place in held[member] if not placed >> place & 1] for member in rest}
        count = Counter(place for lacking in left.values() for place in lacking)
        while rest:
            best = max(count, key=lambda place: (count[place], -place))
            if count[best] == 1:  # nothing more is shared here
                nodes += [([member], placed) for member in rest]
                break
            with_best = [member for member in rest if bits.jobs[member] >> best & 1]
            rest = [member for member in rest if not bits.jobs[member] >> best & 1]
            for member in with_best:
                count.subtract(left[member])
            nodes.append((with_best, placed))
    return bits.ordered([[bits.items[place] for place in order] for order in found])


def online(jobs: Jobs) -> Orders:
    """Jobs one after another, the smallest first; each follows the longest chain that is there already.

    What is left of a job goes by popularity. Among jobs of the same size, the one with the rarest items is first.
    """
    count = popularity(jobs)
    rank = {item: place for place, item in enumerate(Bits.of(jobs).items)}
    weight = [sum(map(count.__getitem__, job)) for job in jobs.jobs]
    trie = _Trie()
    found: Orders = [()] * len(weight)
    for number in sorted(range(len(weight)), key=lambda number: (len(jobs.jobs[number]), weight[number])):
        job = set(jobs.jobs[number])
        node = trie.longest(job)
        chain = trie.chain(node)
        rest = sorted(job.difference(chain), key=rank.__getitem__)
        trie.extend(node, rest)
        found[number] = (*chain, *rest)
    return found


class _Trie:
    """Chains of items from one root, which is node 0."""

    def __init__(self) -> None:
        self._kids: list[dict[int, int]] = [{}]
        self._above: list[tuple[int, int]] = [(0, -1)]

    def longest(self, job: Set[int]) -> int:
        """The end of the longest chain that holds nothing but items of a job; of several, the one that came first."""
        best = (0, 0)
        nodes = [best]
        while nodes:
            depth, node = nodes.pop()
            best = max(best, (depth, -node))
            kids = self._kids[node]
            nodes += [(depth + 1, kids[item]) for item in kids.keys() & job]
        return -best[1]

    def chain(self, node: int) -> list[int]:
        """The items from the root to a node."""
        items = []
        while node:
            node, item = self._above[node]
            items.append(item)
        return items[::-1]

    def extend(self, node: int, items: Iterable[int]) -> None:
        """Add a chain that hangs at a node."""
        for item in items:
            self._kids[node][item] = len(self._kids)
            self._above.append((node, item))
            node = len(self._kids)
            self._kids.append({})
