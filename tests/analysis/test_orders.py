"""Every strategy gives orders that may be run, and counts what they need."""

from __future__ import annotations

import pytest
from hypothesis import given

from engine.analysis import strategies
from engine.analysis.bound import BOUNDS
from engine.analysis.jobs import Jobs, levels, popularity
from engine.analysis.orders import distinct, trie
from engine.analysis.strategies import MEDIUM, SMALL, STRATEGIES, auto, evaluate, feasible
from tests.analysis.posets import batches, closed, least, prefixes, valid

NAMES = ["base", "ocaml", "lwt", "fmt", "aaa"]
NEEDS = [(), (0,), (1,), (1,), (0,)]
BATCH = Jobs(NAMES, NEEDS, [(0, 1, 2), (0, 1, 3), (0, 1, 3, 2), (0, 4, 1, 2)])
"""base and ocaml come first; then lwt; fmt; both; and aaa, which needs base alone, beside lwt."""

STEPS = {
    # base, ocaml, lwt, fmt | lwt after fmt | aaa, ocaml, lwt after base
    "arbitrary": 8,
    # the same: fmt is before lwt, and aaa is before ocaml
    "alphabetical": 8,
    # base, ocaml, lwt, fmt | fmt after lwt | aaa after lwt
    "popular": 6,
    "greedy": 6,
    "online": 6,
    "agglomerative": 6,
    "search": 6,
    # each item once
    "merge": 5,
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_example_by_hand(name: str) -> None:
    (result,) = evaluate(BATCH, [name], seconds=0.02)
    assert (result.name, result.distinct, result.ratio) == (name, STEPS[name], 14 / STEPS[name])
    assert result.depth == (3 if name == "merge" else 4)
    assert result.compute_seconds >= 0


def test_the_example_cannot_do_with_less() -> None:
    """Depths 1 and 2 need a step each. Jobs 0 and 1 have too little in common for depth 3, jobs 2 and 3 for depth 4."""
    assert BOUNDS["independent"](BATCH) == 1 + 1 + 2 + 2
    assert least(BATCH) == 6


@given(batches())
def test_orders_are_of_the_job_and_heed_the_needs(jobs: Jobs) -> None:
    for result in evaluate(jobs, STRATEGIES, seconds=0.02):
        if result.orders is None:
            assert result.name == "merge"
            continue
        assert valid(jobs, result.orders), result.name
        assert result.distinct == prefixes(result.orders), result.name
        assert result.depth == max(map(len, jobs.jobs), default=0)
        assert result.ratio == (jobs.total / result.distinct if jobs.total else 1.0)


@given(batches())
def test_the_better_strategies_are_never_worse(jobs: Jobs) -> None:
    merge, search, agglomerative = evaluate(jobs, ["merge", "search", "agglomerative"], seconds=0.02)
    assert merge.distinct <= search.distinct <= agglomerative.distinct


@given(batches(items=6, jobs=4))
def test_search_finds_the_least_of_small_batches_or_one_more(jobs: Jobs) -> None:
    (search,) = evaluate(jobs, ["search"], seconds=0.05)
    assert least(jobs) <= search.distinct <= least(jobs) + 1


@given(batches())
def test_the_same_again(jobs: Jobs) -> None:
    names = [name for name in STRATEGIES if name != "merge"]
    first, second = evaluate(jobs, names, seconds=0.02), evaluate(jobs, names, seconds=0.02)
    assert [result.orders for result in first if result.name != "search"] == [
        result.orders for result in second if result.name != "search"
    ]


@pytest.mark.parametrize("jobs", [[], [()], [(), ()], [(0, 1)], [(0, 1), (0, 1)], [(), (0,), (0,)]])
def test_what_is_hardly_a_batch(jobs: list[tuple[int, ...]]) -> None:
    batch = Jobs(["a", "b", "unused"], [(), (0,), ()], jobs)
    items = len({item for job in jobs for item in job})
    for result in evaluate(batch, STRATEGIES, seconds=0.02):
        assert result.distinct == items
        assert result.ratio == (sum(map(len, jobs)) / items if items else 1.0)
        assert result.depth == items
        assert result.orders is None or valid(batch, result.orders)
    assert [bound(batch) for bound in BOUNDS.values()] == [items] * len(BOUNDS)
    assert auto(batch).distinct == items


def test_auto_goes_by_size() -> None:
    def batch(count: int) -> Jobs:
        return Jobs(["a", "b"], [(), ()], [(0, 1)] * count)

    assert [auto(batch(count)).name for count in (SMALL, SMALL + 1, MEDIUM, MEDIUM + 1)] == [
        "search",
        "agglomerative",
        "agglomerative",
        "online",
    ]


def test_an_unknown_strategy() -> None:
    with pytest.raises(ValueError, match="no strategy 'best', only arbitrary"):
        evaluate(BATCH, ["best"])


def test_results_come_one_by_one_as_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shows them as they are known need not wait for a long search."""
    ran: list[str] = []
    noted = {name: (lambda jobs, _, name=name: ran.append(name) or list(jobs.jobs)) for name in ("slow", "quick")}
    monkeypatch.setattr(strategies, "STRATEGIES", noted)
    results = evaluate(BATCH, ["quick", "slow"])
    assert ran == []
    assert (next(results).name, ran) == ("quick", ["quick"])
    assert (next(results).name, ran) == ("slow", ["quick", "slow"])
    assert next(results, None) is None


def test_the_ratio_is_to_the_steps_that_there_are_without_sharing() -> None:
    """Those may be more than the jobs': several may have one order."""
    (own,), (given) = evaluate(BATCH, ["arbitrary"]), list(evaluate(BATCH, ["arbitrary", "merge"], total=80))
    assert own.ratio == 14 / 8
    assert [result.ratio for result in given] == [80 / 8, 80 / 5]


def test_what_grows_with_the_square_is_left_out_of_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large is what has many different sets of items that are shared: others add nothing to be ordered."""
    monkeypatch.setattr(strategies, "LARGE", 3)
    three = [(0, 1), (0, 1), (0, 1, 2), (0, 1, 2), (0,), (0, 3), (0, 4)]
    batch = Jobs([""] * 6, [(), (0,), (1,), (0,), (0,), (0,)], three)
    assert feasible(batch) == [*STRATEGIES]
    batch = Jobs(batch.names, batch.needs, [*three, (0, 5), (0, 5)])
    assert feasible(batch) == [name for name in STRATEGIES if name not in ("agglomerative", "search")]


def test_a_step_is_an_item_with_all_before_it() -> None:
    assert distinct([]) == distinct([()]) == 0
    assert distinct([(0, 1), (1, 0), (0, 1, 2)]) == 5


def test_a_trie_by_hand() -> None:
    found = trie([(0, 1), (1, 0), (0, 1, 2), (), (0, 1)])
    assert (found.parents, found.items, found.jobs) == ([-1, 0, -1, 2, 1], [0, 1, 1, 0, 2], [3, 3, 1, 1, 1])


@given(batches())
def test_the_nodes_of_a_trie_are_what_orders_begin_with(jobs: Jobs) -> None:
    found = trie(jobs.jobs)
    chains: list[tuple[int, ...]] = []
    for parent, item in zip(found.parents, found.items, strict=True):
        chains.append((*(chains[parent] if parent >= 0 else ()), item))
    assert len(set(chains)) == len(chains) == prefixes(list(jobs.jobs))
    through = [sum(job[: len(chain)] == chain for job in jobs.jobs) for chain in chains]
    assert found.jobs == through


@given(batches())
def test_levels_and_popularity(jobs: Jobs) -> None:
    found = levels(jobs)
    for item, needs in enumerate(jobs.needs):
        assert found[item] == 1 + max((found[need] for need in needs), default=0)
        assert len(closed({item}, jobs.needs)) >= found[item]
    assert popularity(jobs) == [sum(item in job for job in jobs.jobs) for item in range(len(jobs.names))]


@pytest.mark.parametrize(
    ("needs", "jobs", "wrong"),
    [
        ([()], [], "2 names, but needs of 1 items"),
        ([(), (2,)], [], "'b' needs an item that is not there"),
        ([(1,), (0,)], [], "a cycle"),
        ([(0,), ()], [], "a cycle"),
        ([(), (0,)], [(0,), (1,)], "job 1 holds 'b' without, or before, what it needs"),
        ([(), (0,)], [(1, 0)], "job 0 holds 'b' without, or before, what it needs"),
        ([(), ()], [(0, 0)], "job 0 holds 'a' twice"),
        ([(), ()], [(2,)], "job 0 holds 2, which is no item"),
        ([(), ()], [(-1,)], "job 0 holds -1, which is no item"),
    ],
)
def test_what_is_no_batch(needs: list[tuple[int, ...]], jobs: list[tuple[int, ...]], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Jobs(["a", "b"], needs, jobs)
