"""How few steps any order must need: three lower bounds, each better and slower than the one before.

A step is at depth k if it is the k-th of its chain. docs/adr/0008-ordering.md has the proofs, tests/analysis tries
them on small cases. Time grows with the square of the number of jobs, and so does memory: a byte a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from types import MappingProxyType

from engine.analysis.bits import Bits, places
from engine.analysis.jobs import Jobs

OPTIONS = 3
"""So many numbers of charges are told apart where the cheapest way is sought. Fewer would be sound too, but weaker."""

Barriers = Sequence[tuple[int, Sequence[int]]]
"""Depths, the deepest first, each with sets: a step at that depth is free if its chain lies inside one of them."""


def spanning_tree(jobs: Jobs) -> int:
    """The jobs' steps, less the heaviest spanning tree, where two jobs are as heavy as what they have in common.

    What an inner node of a tree of jobs saves, no pair of jobs saves less that it parts; such pairs span all jobs.
    """
    sets = [*Bits.of(jobs).jobs]
    if not sets:
        return 0
    last, saved = sets.pop(), 0
    common = [0] * len(sets)
    while sets:
        common = [max(known, (last & held).bit_count()) for known, held in zip(common, sets, strict=True)]
        best = max(range(len(sets)), key=common.__getitem__)
        saved += common[best]
        last = sets[best]
        sets[best], common[best] = sets[-1], common[-1]
        sets.pop()
        common.pop()
    return jobs.total - saved


def independent(jobs: Jobs) -> int:
    """For each depth k, the largest set found of jobs that pairwise have fewer than k items in common.

    They cannot share a step at depth k, so as many steps are at that depth.
    """
    return sum(map(len, _apart(*_sets(jobs))))


def claims(jobs: Jobs) -> int:
    """`independent`, and what the other jobs must add whichever way they go.

    A step is claimed by the first job on its depth's list that holds its whole chain; a job is charged for the steps
    it claims itself. At first the lists are those of `independent`. Then each job, the smallest first, is added to
    the lists of depths that it is not on, if even the cheapest of its orders is charged there.
    """
    held, sizes = _sets(jobs)
    lists = _apart(held, sizes)
    found = sum(map(len, lists))
    members = [set(listed) for listed in lists]
    for job, size in enumerate(sizes):
        depths = [depth for depth in range(size, 0, -1) if job not in members[depth - 1]]
        if not depths or _one_covers(job, depths, held, lists, members):
            continue
        barriers = _barriers(held[job], depths, held, lists)
        if not _charged(held[job], barriers, 1):
            continue
        charged = _charged(held[job], barriers)
        for barrier in reversed(barriers):  # no more claims than are needed: they are in the way of later jobs
            fewer = [kept for kept in barriers if kept is not barrier]
            if _charged(held[job], fewer) == charged:
                barriers = fewer
        for depth, _ in barriers:
            lists[depth - 1].append(job)
            members[depth - 1].add(job)
        found += charged
    return found


BOUNDS: Mapping[str, Callable[[Jobs], int]] = MappingProxyType(
    {"spanning tree": spanning_tree, "independent": independent, "claims": claims}
)
"""By name, the weakest first."""


def _sets(jobs: Jobs) -> tuple[list[int], list[int]]:
    """Of the distinct jobs, smallest first: what they hold of shared items, and the sizes of all they hold."""
    bits = Bits.of(jobs)
    distinct = {(held.bit_count() + len(own), own[::-1], held) for held, own in zip(bits.jobs, bits.own, strict=True)}
    ordered = sorted(distinct)
    return [held for _, _, held in ordered], [size for size, _, _ in ordered]


def _apart(held: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """For each depth from 1, jobs of at least that size that pairwise have less in common."""
    # Common items by pair, a byte each. 255 stands for more too: jobs then count as closer than they are, which is
    # on the safe side. The last job comes first, for it is the highest digit below.
    common = [bytes([min((own & other).bit_count(), 255) for other in reversed(held)]) for own in held]
    found = []
    for depth in range(1, max(sizes, default=0) + 1):
        digits = bytes(ord("1") if count >= min(depth, 255) else ord("0") for count in range(256))
        jobs = [job for job, size in enumerate(sizes) if size >= depth]
        found.append(_independent({job: int(common[job].translate(digits), 2) | 1 << job for job in jobs}))
    return found


def _independent(near: Mapping[int, int]) -> list[int]:
    """Nodes of a graph that are not near each other, as many as can be found.

    `near` has each node's neighbours as a bit set, the node among them. If all of a node's neighbours are near each
    other, some largest set has the node; if all its neighbours, and itself, are near one of them, some largest set
    does without that one. Only where neither is the case a node with few neighbours is taken for want of better.
    """
    found: list[int] = []
    left = sum(1 << node for node in near)
    todo = list(near)
    while todo:
        before = left
        for node in todo:
            if left >> node & 1:
                around = near[node] & left
                over = sum(1 << other for other in places(around ^ 1 << node) if around & near[other] == around)
                if over ^ 1 << node == around:
                    found.append(node)
                    left &= ~around
                else:
                    left &= ~over
        todo = [node for node in todo if left >> node & 1]
        if todo and left == before:
            node = min(todo, key=lambda node: (near[node] & left).bit_count())
            found.append(node)
            left &= ~near[node]
    return found


def _one_covers(
    job: int, depths: Sequence[int], held: Sequence[int], lists: Sequence[Sequence[int]], members: Sequence[Set[int]]
) -> bool:
    """Whether a job has a way without charge along one other job, which is on all the lists: a short cut."""
    return any(
        (held[job] & held[other]).bit_count() >= depths[0] and all(other in members[depth - 1] for depth in depths)
        for other in lists[depths[0] - 1]
    )


def _barriers(own: int, depths: Iterable[int], held: Sequence[int], lists: Sequence[Sequence[int]]) -> Barriers:
    """What the jobs that are on the lists of these depths have in common with a job."""
    common: dict[int, int] = {}
    found = []
    for depth in depths:
        for other in lists[depth - 1]:
            if other not in common:
                common[other] = own & held[other]
        sets = {common[other] for other in lists[depth - 1]}
        found.append((depth, _largest(held for held in sets if held.bit_count() >= depth)))
    return found


def _charged(own: int, barriers: Barriers, options: int = OPTIONS) -> int:
    """At how many of the depths a job is charged, at least, whatever its order.

    From the deepest up: to be free at a depth, all above must lie in one of its sets. `ways[n]` are the largest sets
    that the chain may be held to lie in for n charges more than `least`. From `options` charges on, anything goes.
    """
    least, ways = 0, [[own]]
    for depth, sets in barriers:
        next: list[list[int]] = [[] for _ in range(len(ways) + 1)]
        for charges, way in enumerate(ways):
            narrowed = (limit & inside for limit in way for inside in sets)
            next[charges] += [limit for limit in narrowed if limit.bit_count() >= depth]
            next[charges + 1] += way
        ways = []
        known: list[int] = []
        for way in next:
            ways.append([limit for limit in _largest(way) if not _inside(limit, known)])
            known += ways[-1]
        while not ways[0]:
            least += 1
            del ways[0]
        ways[options:] = [[own]] if any(ways[options:]) else []
    return least


def _largest(sets: Iterable[int]) -> list[int]:
    """Those that are not part of another."""
    found: list[int] = []
    for held in sorted(set(sets), key=int.bit_count, reverse=True):
        if not _inside(held, found):
            found.append(held)
    return found


def _inside(held: int, sets: Iterable[int]) -> bool:
    for other in sets:  # noqa: SIM110 (any() takes twice as long, and this is where the time goes)
        if held & other == held:
            return True
    return False
