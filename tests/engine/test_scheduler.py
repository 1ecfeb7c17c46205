"""What runs when: tables for the order, Hypothesis for all that must hold of any graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag import Dag
from engine.outcome import Built, Cached, Cancelled, Failed, Outcome, Skipped
from engine.plan import Plan
from engine.scheduler import Scheduler
from engine.step import Copy, FromStep, Ids, Run, Step

BUILT = Built(1.0, 0, 0)
FAILED = Failed(1, "exit", 1.0)


def step(id: str, inputs: Sequence[str]) -> Step:
    """A step that reads at most two others; enough for any shape."""
    if len(inputs) == 2:
        return Step(id, id, Copy(inputs[0], FromStep(inputs[1]), ("a",), "/", (), Ids()))
    run = Run(inputs[0] if inputs else "", id, (), "/", (), Ids())
    return Step(id, id, run)


class Root(Step):
    """A step without inputs."""

    __slots__ = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()


def graph(edges: Mapping[str, Sequence[str]], jobs: Mapping[str, Sequence[str]] | None = None) -> Dag:
    """A DAG from each step's inputs, in order; `jobs` gives each job's steps, by default one job that has all."""
    steps = {id: step(id, inputs) if inputs else Root(id, id, step(id, ()).action) for id, inputs in edges.items()}
    plans = [Plan(name, tuple(ids), ids[-1]) for name, ids in (jobs or {"job": list(edges)}).items()]
    return Dag.of(plans, steps)


def scheduler(
    edges: Mapping[str, Sequence[str]],
    cached: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
    jobs: Mapping[str, Sequence[str]] | None = None,
) -> Scheduler:
    return Scheduler(graph(edges, jobs), set(cached), seconds or {})


def taken(scheduler: Scheduler) -> list[str]:
    """All that can be taken now, in order."""
    return [id for id in iter(scheduler.take, None) if id is not None]


DIAMOND = {"base": [], "a": ["base"], "b": ["base"], "end": ["a", "b"]}


def test_a_step_is_ready_when_its_inputs_are_built() -> None:
    run = scheduler(DIAMOND)
    assert taken(run) == ["base"]
    assert run.finish("base", BUILT) == [("base", BUILT)]
    assert taken(run) == ["a", "b"]
    run.finish("b", BUILT)
    assert taken(run) == []
    run.finish("a", Cached())
    assert taken(run) == ["end"]
    assert (run.running, run.finished) == (1, False)
    run.finish("end", BUILT)
    assert (run.running, run.finished) == (0, True)
    assert run.outcomes == {"base": BUILT, "a": Cached(), "b": BUILT, "end": BUILT}


def test_cached_steps_have_ended_before_it_begins() -> None:
    run = scheduler(DIAMOND, cached=["base", "a"])
    assert run.outcomes == {"base": Cached(), "a": Cached()}
    assert taken(run) == ["b"]


def test_all_cached_is_finished() -> None:
    run = scheduler(DIAMOND, cached=list(DIAMOND))
    assert run.finished
    assert run.take() is None


def test_nothing_to_do_is_finished() -> None:
    assert Scheduler(Dag(), set(), {}).finished


def test_a_failure_skips_its_descendants_and_nothing_else() -> None:
    run = scheduler({"base": [], "a": ["base"], "b": ["a"], "c": ["b"], "other": ["base"], "after": ["other"]})
    taken(run)
    run.finish("base", BUILT)
    assert set(taken(run)) == {"a", "other"}
    assert run.finish("a", FAILED) == [("a", FAILED), ("b", Skipped("a")), ("c", Skipped("a"))]
    run.finish("other", BUILT)
    assert taken(run) == ["after"]
    run.finish("after", BUILT)
    assert run.finished


def test_what_two_failures_reach_is_skipped_once_for_the_first() -> None:
    run = scheduler(DIAMOND, cached=["base"])
    taken(run)
    assert run.finish("b", FAILED) == [("b", FAILED), ("end", Skipped("b"))]
    assert run.finish("a", FAILED) == [("a", FAILED)]
    assert run.outcomes["end"] == Skipped("b")


def test_a_cancelled_step_cancels_its_descendants() -> None:
    run = scheduler(DIAMOND, cached=["base"])
    taken(run)
    assert run.finish("a", Cancelled()) == [("a", Cancelled()), ("end", Cancelled())]


def test_cancel_ends_all_but_what_runs() -> None:
    run = scheduler({"base": [], "a": ["base"], "b": ["base"], "c": ["a"]}, cached=["base"])
    assert run.take() == "a"
    assert sorted(run.cancel(), key=str) == [("b", Cancelled()), ("c", Cancelled())]
    assert run.take() is None
    assert not run.finished, "a still runs"
    assert run.finish("a", BUILT) == [("a", BUILT)]
    assert run.finished
    assert run.cancel() == []


CHAINS = {"base": [], "short": ["base"], "long": ["base"], "long2": ["long"], "long3": ["long2"]}


def test_the_longest_remaining_path_goes_first() -> None:
    assert taken(scheduler(CHAINS, cached=["base"])) == ["long", "short"]


def test_measured_seconds_count() -> None:
    assert taken(scheduler(CHAINS, cached=["base"], seconds={"short": 60.0})) == ["short", "long"]


def test_seconds_of_what_is_cached_do_not_count() -> None:
    assert taken(scheduler(CHAINS, cached=["base", "long2"], seconds={"long2": 60.0, "short": 3.0})) == [
        "short",
        "long",
        "long3",
    ]


def test_among_equals_the_step_that_more_jobs_wait_for_goes_first() -> None:
    edges: dict[str, list[str]] = {"base": [], "a": ["base"], "b": ["base"], "c": ["base"]}
    jobs = {"1": ["base", "a"], "2": ["base", "b"], "3": ["base", "c"], "4": ["base", "b"], "5": ["base", "c"]}
    assert taken(scheduler(edges, cached=["base"], jobs={**jobs, "6": ["base", "c"]})) == ["c", "b", "a"]
    assert taken(scheduler(edges, cached=["base"], jobs=jobs)) == ["b", "c", "a"], "then in the order of plans"


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    edges: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 14))):
        inputs = draw(st.lists(st.sampled_from(sorted(edges)), max_size=2, unique=True)) if edges else []
        edges[f"{number:02}"] = inputs
    return edges


def ancestors(edges: Mapping[str, Sequence[str]], id: str) -> set[str]:
    found: set[str] = set()
    todo = [id]
    while todo:
        new = set(edges[todo.pop()]) - found
        found |= new
        todo += new
    return found


@given(edges=graphs(), slots=st.integers(1, 4), chance=st.randoms(use_true_random=False))
def test_any_run_over_any_graph(edges: dict[str, list[str]], slots: int, chance: Random) -> None:
    """Every step ends once, none starts before its inputs are built, and only what a failure reaches is skipped."""
    cached = {id for id in edges if chance.random() < 0.3}
    seconds = {id: chance.random() * 100 for id in edges if chance.random() < 0.5}
    run = scheduler(edges, sorted(cached), seconds)
    running: list[str] = []
    ended: dict[str, Outcome] = {id: Cached() for id in cached}
    cancelled = False
    while not run.finished:
        while len(running) < slots and (id := run.take()) is not None:
            assert id not in ended
            assert id not in running
            assert not cancelled
            assert all(isinstance(ended[input], Built | Cached) for input in edges[id])
            running.append(id)
        assert run.running == len(running)
        assert running, "it is not finished, so something must run"
        if chance.random() < 0.05:
            more = run.cancel()
            cancelled = True
        else:
            id = running.pop(chance.randrange(len(running)))
            more = run.finish(id, chance.choice([BUILT, BUILT, BUILT, Cached(), FAILED]))
            assert more[0][0] == id
        for id, outcome in more:
            assert id not in ended, "a step ends once"
            ended[id] = outcome
    assert not running
    assert ended.keys() == edges.keys()
    assert run.outcomes == ended
    failed = {id for id, outcome in ended.items() if isinstance(outcome, Failed)}
    for id, outcome in ended.items():
        if isinstance(outcome, Skipped):
            assert outcome.because in failed & ancestors(edges, id)
        elif isinstance(outcome, Cancelled):
            assert cancelled


@given(edges=graphs(), seconds=st.lists(st.floats(0.1, 100), min_size=14, max_size=14))
def test_what_is_taken_has_the_longest_path_of_all_that_is_ready(
    edges: dict[str, list[str]], seconds: list[float]
) -> None:
    times = dict(zip(edges, seconds, strict=False))
    path = graph(edges).remaining(times)
    run = scheduler(edges, seconds=times)
    done: set[str] = set()
    while (id := run.take()) is not None:
        ready = [other for other in edges if other not in done and set(edges[other]) <= done]
        assert path[id] == max(path[other] for other in ready)
        run.finish(id, BUILT)
        done.add(id)
    assert done == edges.keys()


@pytest.mark.parametrize("length", [5000])
def test_a_long_chain_needs_no_deep_stack(length: int) -> None:
    edges: dict[str, list[str]] = {"0": []}
    for number in range(1, length):
        edges[str(number)] = [str(number - 1)]
    run = scheduler(edges)
    assert run.take() == "0"
    assert len(run.finish("0", FAILED)) == length
