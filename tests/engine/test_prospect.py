"""What is said of a run beforehand: states and sums by hand, and what must hold of any graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import prospect as module
from engine.dag import Dag
from engine.estimate import NOTHING, UNKNOWN_SPREAD, Estimates
from engine.prospect import Forecast, Prospect
from engine.records import Prediction
from engine.scheduler import DEFAULT_SECONDS
from tests.engine.test_scheduler import ancestors, graph, graphs

#  base ─┬─ a ─── b ─┬─ end
#        └─ c ───────┘
EDGES = {"base": [], "a": ["base"], "b": ["a"], "c": ["base"], "end": ["b", "c"]}
SECONDS = {"base": 16.0, "a": 1.0, "b": 2.0, "c": 8.0, "end": 4.0}


def known(
    seconds: Mapping[str, float],
    *,
    unknown: Iterable[str] = (),
    spread: float = 0.0,
    memory: Mapping[str, int] | None = None,
) -> Estimates:
    """As `estimate` gives them: a default for the time of what is unknown."""
    unknown = set(unknown)
    times = {**seconds, **dict.fromkeys(unknown, DEFAULT_SECONDS)}
    return Estimates(times, dict.fromkeys(times, spread), memory or {}, seconds.keys() - unknown, unknown)


def foreseen(
    estimates: Estimates, machines: Mapping[int, int | None], *, cached: str = "", failed: str = "", **more: Any
) -> Forecast | None:
    prospect = Prospect(graph(EDGES), set(cached.split()), set(failed.split()), estimates)
    return prospect.forecast(prospect.states(), machines, **more)


@pytest.mark.parametrize(
    ("cached", "failed", "states"),
    [
        ("", "", "run run run run run"),
        ("base a", "", "cached cached run run run"),
        ("base a b c end", "", "cached cached cached cached cached"),
        ("base", "a", "cached failed blocked run blocked"),
        ("base b", "a", "cached failed cached run run"),  # a is not needed: what was made of it is there
        ("base a", "a", "cached cached run run run"),  # it was built after all
        ("", "base", "failed blocked blocked blocked blocked"),
        ("base", "a b c", "cached failed failed failed blocked"),
    ],
)
def test_states(cached: str, failed: str, states: str) -> None:
    found = Prospect(graph(EDGES), set(cached.split()), set(failed.split())).states()
    assert list(found) == list(EDGES), "in the order of the DAG"
    assert list(found.values()) == states.split()


@given(edges=graphs(), chance=st.randoms(use_true_random=False))
def test_blocked_is_what_reads_a_known_failure_with_nothing_cached_between(
    edges: dict[str, list[str]], chance: Random
) -> None:
    cached = {id for id in edges if chance.random() < 0.2}
    failed = {id for id in edges if chance.random() < 0.2}
    states = Prospect(graph(edges), cached, failed).states()
    open = {id: [input for input in inputs if input not in cached] for id, inputs in edges.items()}
    for id, state in states.items():
        if id in cached:
            assert state == "cached"
        elif id in failed:
            assert state == "failed"
        else:
            assert state == ("blocked" if ancestors(open, id) & failed else "run")


def test_the_seconds_of_a_step_are_none_where_nothing_like_it_was_built() -> None:
    prospect = Prospect(graph(EDGES), set(), estimates=known({"a": 3.0, "b": 0.0}, unknown=["c"]))
    assert [prospect.seconds(id) for id in ("a", "b", "c")] == [3.0, 0.0, None]
    assert Prospect(graph(EDGES), set()).seconds("a") is None, "there is no index"


@pytest.mark.parametrize(
    ("estimates", "cached", "failed"),
    [
        (known(SECONDS), "base a b c end", ""),  # nothing to do
        (known(SECONDS), "base", "a c"),  # nothing that can be done
        (known({}, unknown=EDGES), "", ""),
        (NOTHING, "", ""),
        (known({"base": 16.0}, unknown=["a", "b", "c", "end"]), "base", ""),  # what is known is there already
    ],
)
def test_nothing_is_foreseen_where_nothing_runs_or_nothing_is_known(
    estimates: Estimates, cached: str, failed: str
) -> None:
    assert foreseen(estimates, {2: None}, cached=cached, failed=failed) is None


def test_of_an_empty_dag_nothing_is_foreseen() -> None:
    assert Prospect(Dag(), set()).forecast({}, {1: None}) is None


def test_work_path_and_makespans_by_hand() -> None:
    """Two workers: base 0-16; c 16-24; a and b 16-19; end 24-28."""
    assert foreseen(known(SECONDS), {1: None, 2: None}) == Forecast(
        work=31.0,
        path=["base", "c", "end"],
        path_seconds=28.0,
        unknown=0,
        makespans={1: Prediction(31.0, 31.0), 2: Prediction(28.0, 28.0)},
    )


def test_what_is_there_and_what_cannot_be_are_no_part_of_it() -> None:
    found = foreseen(known(SECONDS), {1: None}, cached="base", failed="c")
    assert found is not None
    assert (found.work, found.path, found.path_seconds) == (3.0, ["a", "b"], 3.0)
    assert found.makespans[1].p50 == 3.0


def test_a_step_without_history_counts_as_a_second_and_is_told() -> None:
    found = foreseen(known({"base": 16.0, "a": 0.5}, unknown=["b", "c", "end"]), {9: None}, cached="base")
    assert found is not None
    assert (found.work, found.unknown) == (3.5, 3)
    assert (found.path, found.path_seconds) == (["a", "b", "end"], 2.5)


def test_each_machine_has_its_own_memory() -> None:
    """As what-if has it: with room for one of b and c at a time, then a larger machine with no bound."""
    found = foreseen(known(SECONDS, memory={"b": 6, "c": 6, "a": 6}), {2: 10, 64: None}, cached="base")
    assert found is not None
    assert {workers: made.p50 for workers, made in found.makespans.items()} == {2: 15.0, 64: 12.0}
    assert list(found.makespans) == [2, 64], "in the order asked for"


def test_what_varies_and_how_far_whole_runs_are_off_are_heeded() -> None:
    sure = foreseen(known(SECONDS), {1: None})
    drifting = foreseen(known(SECONDS), {1: None}, drift=0.5)
    varying = foreseen(known(SECONDS, spread=UNKNOWN_SPREAD), {1: None})
    assert sure is not None and drifting is not None and varying is not None
    assert sure.makespans[1].p90 == 31.0
    assert drifting.makespans[1].p90 > 1.5 * 31.0
    assert varying.makespans[1].p90 > 1.2 * 31.0


@pytest.mark.parametrize(
    ("budget", "cached", "runs"),
    [(0, "", 1), (9, "", 1), (20, "", 4), (20, "base a b", 10), (100_000, "", 50)],
)
def test_what_is_simulated_is_bounded(monkeypatch: pytest.MonkeyPatch, budget: int, cached: str, runs: int) -> None:
    asked = []

    def predict(*_: object, runs: int, **__: object) -> Prediction:
        asked.append(runs)
        return Prediction(0.0, 0.0)

    monkeypatch.setattr(module, "predict", predict)
    foreseen(known(SECONDS), {1: None, 2: None}, cached=cached, budget=budget)
    assert asked == [runs, runs]


@given(
    seconds=st.lists(st.floats(0.01, 1000), min_size=1, max_size=20),
    spread=st.floats(0, 1),
    drift=st.floats(0, 0.5),
)
def test_more_workers_are_never_slower_for_steps_that_do_not_need_each_other(
    seconds: list[float], spread: float, drift: float
) -> None:
    """Of steps that do, they may be: Graham 1966, whose anomalies any list schedule has."""
    times = {f"{number}": took for number, took in enumerate(seconds)}
    edges: dict[str, list[str]] = {"base": [], **{id: ["base"] for id in times}}
    prospect = Prospect(graph(edges), set(), estimates=known({"base": 1.0, **times}, spread=spread))
    found = prospect.forecast(prospect.states(), dict.fromkeys([1, 2, 3, 5, 20]), drift=drift, budget=0)
    assert found is not None
    made = list(found.makespans.values())
    for fewer, more in pairwise(made):
        assert more.p50 <= fewer.p50 * (1 + 1e-9)
        assert more.p90 <= fewer.p90 * (1 + 1e-9)
    assert all(one.p50 <= one.p90 for one in made)


@given(edges=graphs(), workers=st.integers(1, 5), chance=st.randoms(use_true_random=False))
def test_what_does_not_vary_takes_what_work_and_path_allow(
    edges: dict[str, list[str]], workers: int, chance: Random
) -> None:
    """Graham 1969: no less than the greater of path and work per worker, no more than both."""
    cached = {id for id in edges if chance.random() < 0.2}
    failed = {id for id in edges if chance.random() < 0.1}
    times = {id: chance.random() * 100 for id in edges}
    prospect = Prospect(graph(edges), cached, failed, known(times))
    states = prospect.states()
    todo = {id for id, state in states.items() if state == "run"}
    found = prospect.forecast(states, {workers: None}, budget=0)
    if not todo:
        assert found is None
        return
    assert found is not None
    assert set(found.path) <= todo
    assert all(before in edges[after] for before, after in pairwise(found.path))
    assert found.path_seconds == pytest.approx(sum(times[id] for id in found.path))
    assert found.work == pytest.approx(sum(times[id] for id in todo))
    assert found.path_seconds <= found.work + 1e-9
    made = found.makespans[workers].p50
    assert max(found.path_seconds, found.work / workers) - 1e-9 <= made
    assert made <= found.work / workers + (1 - 1 / workers) * found.path_seconds + 1e-9
