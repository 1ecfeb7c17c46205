"""How long simulated runs take: by hand, against what no schedule can go below, and against other orders."""

from __future__ import annotations

import math
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import scheduling
from engine.dag import Dag
from engine.estimate import Estimates
from engine.plan import Plan
from engine.records import Prediction
from engine.simulate import Makespan, Slot, predict, schedule, simulate
from tests.engine.test_scheduler import graph, graphs

FORK = {"base": [], "short": ["base"], "other": ["base"], "long": ["base"], "end": ["long", "short"]}
SECONDS = {"base": 1.0, "short": 2.0, "other": 3.0, "long": 4.0, "end": 5.0}


def test_by_hand() -> None:
    """Two workers: base 0-1; long 1-5 and short 1-3; other 3-6; end 5-10."""
    found = simulate(graph(FORK), SECONDS, 2)
    assert found == Makespan(10.0, 15.0, 10.0, 0.75, 2)
    assert found.bound == 10.0


def test_a_schedule_by_hand() -> None:
    assert schedule(graph(FORK), SECONDS, 2) == [
        Slot("base", 0, 0.0, 1.0), Slot("long", 0, 1.0, 5.0), Slot("short", 1, 1.0, 3.0), Slot("other", 1, 3.0, 6.0),
        Slot("end", 0, 5.0, 10.0),
    ]  # fmt: skip


@given(graphs(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_a_schedule_is_one_that_workers_can_keep(edges: dict[str, list[str]], workers: int, chance: Random) -> None:
    dag, took = graph(edges), {id: float(chance.randint(0, 3)) for id in edges}
    cached = {"00"} if chance.random() < 0.5 else set()
    found = schedule(dag, took, workers, cached=cached)
    assert sorted(slot.id for slot in found) == sorted(edges.keys() - cached)
    ends = {slot.id: slot.end for slot in found}
    free = [0.0] * workers
    for slot in found:
        assert slot.end - slot.start == took[slot.id]
        assert slot.start >= max((ends.get(input, 0.0) for input in edges[slot.id]), default=0.0)
        assert slot.start >= free[slot.worker]
        free[slot.worker] = slot.end
    assert max(ends.values(), default=0.0) == simulate(dag, took, workers, cached=cached).makespan


def test_one_worker_takes_the_work() -> None:
    assert simulate(graph(FORK), SECONDS, 1).makespan == 15.0


def test_cached_steps_take_no_time() -> None:
    assert simulate(graph(FORK), SECONDS, 2, cached={"base", "long"}) == Makespan(7.0, 10.0, 7.0, 10 / 14, 2)


def test_another_order() -> None:
    """Short and other first: long 3-7, end 7-12."""
    ranks = {id: place for place, id in enumerate(FORK)}
    assert simulate(graph(FORK), SECONDS, 2, order=ranks.__getitem__).makespan == 12.0


def test_the_scheduler_goes_by_what_is_expected() -> None:
    assert simulate(graph(FORK), SECONDS, 2, expected={"other": 100.0, "short": 50.0}).makespan == 12.0


def test_memory_keeps_steps_apart() -> None:
    edges: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    assert simulate(graph(edges), {}, 3, memory={"a": 6, "b": 6}, room=10).makespan == 2.0
    assert simulate(graph(edges), {}, 3, memory={"a": 6, "b": 6}).makespan == 1.0


def test_nothing_to_do() -> None:
    assert simulate(Dag(), {}, 3) == Makespan(0.0, 0.0, 0.0, 0.0, 3)
    assert predict(Dag(), Estimates({}, {}, {}, set(), set()), 3).p90 == 0.0


@pytest.mark.parametrize("workers", [0, -1])
def test_there_must_be_a_worker(workers: int) -> None:
    with pytest.raises(ValueError, match="worker"):
        simulate(graph(FORK), SECONDS, workers)


@given(edges=graphs(), workers=st.integers(1, 5), chance=st.randoms(use_true_random=False))
def test_between_what_none_can_beat_and_what_any_keeps(
    edges: dict[str, list[str]], workers: int, chance: Random
) -> None:
    """Graham 1969: a list schedule takes at most work / workers + (1 - 1 / workers) * critical path."""
    seconds = {id: chance.choice([0.0, 1.0, chance.random() * 100]) for id in edges}
    cached = {id for id in edges if chance.random() < 0.2}
    order = chance.choice([None, scheduling.at_random(1), scheduling.first_come()])
    found = simulate(graph(edges), seconds, workers, cached=cached, order=order)
    most = found.work / workers + (1 - 1 / workers) * found.critical_path
    assert found.bound - 1e-9 <= found.makespan <= most + 1e-9
    assert 0 <= found.utilisation <= 1 + 1e-9


@pytest.mark.parametrize("workers", scheduling.WORKERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_on_wide_graphs_it_is_within_a_twentieth_of_the_bound(workers: int, seed: int) -> None:
    dag = scheduling.layered(6_000, 600, 2, seed)
    found = simulate(dag, scheduling.durations(dag, seed), workers)
    assert found.makespan <= 1.05 * found.bound


def merged() -> Dag:
    """The DAG of all opam solutions where they are found, or else one of about the same shape."""
    path = scheduling.solutions()
    if path is None:
        return scheduling.layered(5_762, 600, 3)
    dag = scheduling.opam(path)
    assert (len(dag), sum(len(step.inputs) for step in dag)) == (5_762, 34_534)
    return dag


def test_on_all_of_opam_it_beats_fifo_and_chance() -> None:
    dag = merged()
    seconds = scheduling.durations(dag)
    for workers in scheduling.WORKERS:
        found = {name: one.makespan for name, one in scheduling.compare(dag, seconds, workers).items()}
        assert found["ours"] < found["FIFO"]
        assert found["ours"] < found["random"]


def test_thousands_of_steps_take_little_time() -> None:
    dag = scheduling.layered(20_000, 2_000, 2)
    seconds = scheduling.durations(dag)
    begun = time.process_time()
    simulate(dag, seconds, 32)
    assert time.process_time() - begun < 4, "it takes a tenth of that; bench/scheduling.py has more"


class TestPrediction:
    def test_steps_that_do_not_vary(self) -> None:
        dag = graph(FORK)
        found = predict(dag, Estimates(SECONDS, dict.fromkeys(SECONDS, 0.0), {}, set(), set()), 2)
        assert found.p50 == found.p90 == 10.0

    def test_one_step_has_the_quantiles_of_its_own_distribution(self) -> None:
        dag = graph({"a": []})
        found = predict(dag, Estimates({"a": 10.0}, {"a": 0.5}, {}, set(), set()), 1, runs=2000)
        assert found.p50 == pytest.approx(10.0, rel=0.05)
        assert found.p90 == pytest.approx(18.98, rel=0.05)  # 10 * exp(0.5 * 1.2816)

    def test_a_seed_gives_the_same_again(self) -> None:
        estimates = Estimates(SECONDS, dict.fromkeys(SECONDS, 0.5), {}, set(), set())
        one, again, other = (predict(graph(FORK), estimates, 2, seed=seed) for seed in (1, 1, 2))
        assert one == again != other
        assert one.p50 < one.p90

    def test_memory_and_cached_steps_count(self) -> None:
        dag = Dag.of([Plan("j", ("a", "b"), "b")], {step.id: step for step in graph({"a": [], "b": []})})
        estimates = Estimates({"a": 1.0, "b": 1.0}, {}, {"a": 6, "b": 6}, set(), set())
        assert predict(dag, estimates, 2, room=10).p50 == 2.0
        assert predict(dag, estimates, 2, room=10, cached={"a"}).p50 == 1.0

    def test_whole_runs_that_are_off_widen_it_and_leave_the_middle(self) -> None:
        """One factor for a run: a log-normal one, whose tenth decile is exp(1.2816 * drift)."""
        sure = Estimates(SECONDS, dict.fromkeys(SECONDS, 0.0), {}, set(), set())
        for drift in (0.1, 0.2, 0.3):
            found = predict(graph(FORK), sure, 2, drift=drift, runs=3)
            assert found.p50 == pytest.approx(10.0)
            assert found.p90 == pytest.approx(10.0 * math.exp(1.2816 * drift), rel=0.04)

    def test_what_steps_vary_by_cancels_out_and_what_runs_do_does_not(self) -> None:
        steps = [f"{number}" for number in range(400)]
        varying = Estimates(dict.fromkeys(steps, 1.0), dict.fromkeys(steps, 0.5), {}, set(), set())
        dag = graph({id: [] for id in steps})
        steady, drifting = (predict(dag, varying, 4, drift=drift) for drift in (0.0, 0.3))
        assert steady.p90 < 1.1 * steady.p50
        assert drifting.p90 > 1.35 * drifting.p50
        assert drifting.p50 == pytest.approx(steady.p50, rel=0.05)

    def test_few_runs_do_for_one_whose_steps_do_not_vary(self) -> None:
        """The factors are no matter of chance."""
        sure = Estimates(SECONDS, {}, {}, set(), set())
        assert predict(graph(FORK), sure, 2, drift=0.3, runs=1) == predict(
            graph(FORK), sure, 2, drift=0.3, runs=50, seed=9
        )

    def test_nothing_to_do_takes_no_time_however_far_runs_are_off(self) -> None:
        assert predict(Dag(), Estimates({}, {}, {}, set(), set()), 3, drift=1.0) == Prediction(0.0, 0.0)

    def test_a_step_takes_the_times_that_were_seen_of_it(self) -> None:
        """Each as often as the others; a median and a spread do not say that a time is either short or long."""
        times = [1.0] * 8 + [100.0] * 2
        seen = Estimates({"a": 1.0}, {"a": 9.0}, {}, {"a"}, set(), {"a": times})
        found = predict(graph({"a": []}), seen, 1, runs=2000)
        assert found == Prediction(1.0, 100.0)
        rarely = Estimates({"a": 1.0}, {"a": 9.0}, {}, {"a"}, set(), {"a": [1.0] * 19 + [100.0]})
        assert predict(graph({"a": []}), rarely, 1, runs=2000) == Prediction(1.0, 1.0)

    def test_steps_take_them_independently(self) -> None:
        """Of two that take 1 or 3 seconds, one after the other, half of all runs take 4."""
        both = Estimates({"a": 1.0, "b": 1.0}, {}, {}, set(), set(), {"a": [1.0, 3.0], "b": [1.0, 3.0]})
        assert predict(graph({"a": [], "b": ["a"]}), both, 1, runs=2000) == Prediction(4.0, 6.0)
