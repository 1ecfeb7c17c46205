"""No bound is above what trying all orders gives."""

from __future__ import annotations

from hypothesis import given

from engine.analysis.bound import BOUNDS
from engine.analysis.jobs import Jobs
from engine.analysis.strategies import STRATEGIES, evaluate
from tests.analysis.posets import batches, least

PAIR = Jobs(["a", "b", "c", "d"], [()] * 4, [(0, 1, 2), (0, 1, 3), (2,), (3,)])
"""The two long jobs may share a and b, or each a step with a short job; not both. The ADR goes through it."""


def test_each_bound_sees_more() -> None:
    assert {name: bound(PAIR) for name, bound in BOUNDS.items()} == {
        "spanning tree": 8 - 2 - 1 - 1,
        "independent": 2 + 1 + 2,
        "claims": 6,
    }
    assert least(PAIR) == 6


@given(batches(items=7, jobs=5))
def test_no_order_needs_less(jobs: Jobs) -> None:
    fewest = least(jobs)
    found = {name: bound(jobs) for name, bound in BOUNDS.items()}
    assert max(found.values()) <= fewest
    assert found["independent"] <= found["claims"]
    for result in evaluate(jobs, STRATEGIES, seconds=0.01):
        assert result.name == "merge" or fewest <= result.distinct


def test_jobs_of_more_items_than_a_byte_counts() -> None:
    """Beyond 255 common items jobs look closer than they are. That may weaken a bound, never make it wrong."""
    common = tuple(range(300))
    jobs = Jobs([""] * 304, [()] * 304, [(*common, 300), (*common, 301, 302), (*common[:260], 303)])
    assert BOUNDS["spanning tree"](jobs) == 304
    assert 300 <= BOUNDS["independent"](jobs) <= 304
