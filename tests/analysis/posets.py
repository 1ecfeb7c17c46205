"""Random jobs, and what is to be had of orders, done without the code that is tested: by hand or by trying all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from hypothesis import strategies as st

from engine.analysis.jobs import Jobs, Orders


@st.composite
def batches(draw: st.DrawFn, *, items: int = 8, jobs: int = 7) -> Jobs:
    """Any needs, any closed jobs in any order that heeds them; names may be the same."""
    count = draw(st.integers(0, items))
    needs = [tuple(draw(st.sets(st.integers(0, item - 1), max_size=2))) if item else () for item in range(count)]
    names = draw(st.lists(st.sampled_from("abcd"), min_size=count, max_size=count))
    wanted = st.sets(st.integers(0, count - 1)) if count else st.just(set())
    shuffled = st.permutations(range(count))
    chosen = draw(st.lists(st.tuples(wanted, shuffled), max_size=jobs))
    return Jobs(names, needs, [_placed(closed(set(want), needs), needs, rank) for want, rank in chosen])


def closed(wanted: set[int], needs: Sequence[tuple[int, ...]]) -> set[int]:
    """With all that they need; needs are smaller numbers."""
    for item in range(len(needs) - 1, -1, -1):
        if item in wanted:
            wanted |= set(needs[item])
    return wanted


def _placed(job: set[int], needs: Sequence[tuple[int, ...]], rank: Sequence[int]) -> tuple[int, ...]:
    order: list[int] = []
    while len(order) < len(job):
        ready = [item for item in job if item not in order and set(needs[item]) <= set(order)]
        order.append(min(ready, key=rank.index))
    return tuple(order)


def valid(jobs: Jobs, orders: Orders) -> bool:
    """Whether there is one order a job, of just its items, and nothing comes before what it needs."""
    return len(orders) == len(jobs.jobs) and all(
        len(order) == len(job)
        and set(order) == set(job)
        and all(set(jobs.needs[item]) <= set(order[:place]) for place, item in enumerate(order))
        for order, job in zip(orders, jobs.jobs, strict=True)
    )


def prefixes(orders: Orders) -> int:
    """The number of distinct chains that orders begin with, the empty one left out."""
    return len({order[:length] for order in orders for length in range(1, len(order) + 1)})


def least(jobs: Jobs) -> int:
    """The fewest steps, by trying all: what a first job's next item is, and who of the others goes with it."""
    sets = [frozenset(job) for job in jobs.jobs]

    @cache
    def from_node(members: tuple[int, ...], placed: frozenset[int]) -> int:
        members = tuple(member for member in members if sets[member] != placed)
        if not members:
            return 0
        first, *others = members
        found = []
        for item in sets[first] - placed:
            if not placed.issuperset(jobs.needs[item]):
                continue
            able = [other for other in others if item in sets[other]]
            for choice in range(1 << len(able)):
                along = tuple(other for place, other in enumerate(able) if choice >> place & 1)
                rest = tuple(other for other in others if other not in along)
                found.append(1 + from_node((first, *along), placed | {item}) + from_node(rest, placed))
        return min(found)

    return from_node(tuple(range(len(sets))), frozenset())
