"""The strategies by name, what each costs and saves, and which one suits a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from engine.analysis import tree
from engine.analysis.agglomerate import agglomerate
from engine.analysis.bits import Bits
from engine.analysis.jobs import Jobs, Orders, levels
from engine.analysis.orders import alphabetical, arbitrary, distinct, greedy, online, popular
from engine.analysis.search import search

LARGE = 8000
"""Different sets of shared items from which on the strategies whose time grows with their square are left out."""
BUDGET = 45.0
"""Seconds for `search` where none are given."""
SMALL = 200
"""`auto` searches up to so many jobs, for SMALL_BUDGET: a plan is to appear at once."""
SMALL_BUDGET = 1.0
"""Seconds."""
MEDIUM = 2000
"""`auto` agglomerates up to so many jobs. Its time grows with their square and is about a second here."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a strategy came to. `ratio` is the steps of all jobs to the distinct ones, 1.0 where there are none.

    `depth` is the number of steps that must run one after another at most. `orders` is None for `merge`, which has
    none: there a step rests on all that its item needs, and on nothing else.
    """

    name: str
    distinct: int
    ratio: float
    depth: int
    compute_seconds: float
    orders: Orders | None = field(repr=False)


def _by_agglomeration(jobs: Jobs, _seconds: float) -> Orders:
    bits = Bits.of(jobs)
    leaves = bits.leaves()
    return tree.orders(agglomerate(leaves), bits, leaves)


def _by_search(jobs: Jobs, seconds: float) -> Orders:
    bits = Bits.of(jobs)
    leaves = bits.leaves()
    return tree.orders(search(leaves, seconds), bits, leaves)


STRATEGIES: Mapping[str, Callable[[Jobs, float], Orders | None]] = MappingProxyType(
    {
        "arbitrary": lambda jobs, _: arbitrary(jobs),
        "alphabetical": lambda jobs, _: alphabetical(jobs),
        "popular": lambda jobs, _: popular(jobs),
        "greedy": lambda jobs, _: greedy(jobs),
        "online": lambda jobs, _: online(jobs),
        "agglomerative": _by_agglomeration,
        "search": _by_search,
        "merge": lambda _jobs, _: None,
    }
)
"""By name, from the simplest to the one that saves most. The number is the seconds that `search` may take."""


def feasible(jobs: Jobs) -> list[str]:
    """The names of the strategies that come to an end on such a batch."""
    slow = ("agglomerative", "search") if len(Bits.of(jobs).leaves()) > LARGE else ()
    return [name for name in STRATEGIES if name not in slow]


def evaluate(
    jobs: Jobs, names: Iterable[str], *, total: int | None = None, seconds: float = BUDGET
) -> Iterator[Result]:
    """One result a name, in their order, each when it is asked for; `seconds` bound `search` alone.

    `total` is the steps without sharing, where those are not the jobs' own. Raises ValueError for an unknown name.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in STRATEGIES]
    if unknown:
        raise ValueError(f"no strategy {unknown[0]!r}, only {', '.join(STRATEGIES)}")
    return (_result(jobs, name, seconds, total) for name in wanted)


def auto(jobs: Jobs) -> Result:
    """The strategy that saves most among those that take about a second for a batch of this size."""
    if len(jobs.jobs) <= SMALL:
        return _result(jobs, "search", SMALL_BUDGET)
    return _result(jobs, "agglomerative" if len(jobs.jobs) <= MEDIUM else "online", BUDGET)


def _result(jobs: Jobs, name: str, seconds: float, total: int | None = None) -> Result:
    begun = time.perf_counter()
    orders = STRATEGIES[name](jobs, seconds)
    taken = time.perf_counter() - begun
    if orders is None:
        level = levels(jobs)
        items = {item for job in jobs.jobs for item in job}
        steps, depth = len(items), max((level[item] for item in items), default=0)
    else:
        steps, depth = distinct(orders), max(map(len, orders), default=0)
    return Result(name, steps, (total or jobs.total) / steps if steps else 1.0, depth, taken, orders)
