"""What runs when: tables for the order, Hypothesis for all that must hold of any graph."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag import Dag
from engine.outcome import Built, Cached, Cancelled, Failed, Outcome, Skipped
from engine.plan import Plan
from engine.scheduler import PASSES, Scheduler
from engine.step import Copy, FromStep, Ids, Run, Step
from grammar.ast import Priority

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


def test_the_many_failures_of_a_long_chain_cost_no_square() -> None:
    """Each step of the chain reads the one before and a root of its own, and all roots fail."""
    count = 10_000
    edges: dict[str, list[str]] = {f"root{number}": [] for number in range(count)}
    edges["0"] = ["root0"]
    for number in range(1, count):
        edges[str(number)] = [str(number - 1), f"root{number}"]
    run = scheduler(edges)
    begun = time.process_time()
    while (id := run.take()) is not None:
        run.finish(id, FAILED)
    assert run.finished
    assert len(run.outcomes) == 2 * count
    assert time.process_time() - begun < 5, "all descendants of each failure are a hundred million steps"


def test_what_is_cached_needs_nothing_of_a_failure_before_it() -> None:
    edges = {"base": [], "kept": ["base"], "other": [], "end": ["kept", "other"]}
    run = scheduler(edges, cached=["kept"])
    assert set(taken(run)) == {"base", "other"}
    assert run.finish("base", FAILED) == [("base", FAILED)]
    run.finish("other", BUILT)
    assert taken(run) == ["end"]


class TestPriority:
    def plans(self, edges: Mapping[str, Sequence[str]], jobs: Mapping[str, tuple[Priority, list[str]]]) -> Scheduler:
        steps = {step.id: step for step in graph(edges)}
        plans = [Plan(name, tuple(ids), ids[-1], priority) for name, (priority, ids) in jobs.items()]
        return Scheduler(Dag.of(plans, steps), {"base"}, {"slow": 60.0})

    def test_it_comes_before_the_longest_path(self) -> None:
        run = self.plans(
            {"base": [], "slow": ["base"], "quick": ["base"], "least": ["base"]},
            {
                "nightly": ("low", ["base", "least"]),
                "usual": ("normal", ["base", "slow"]),
                "urgent": ("high", ["base", "quick"]),
            },
        )
        assert taken(run) == ["quick", "slow", "least"]

    def test_a_shared_step_has_the_highest_of_its_jobs(self) -> None:
        edges = {"base": [], "slow": ["base"], "shared": ["base"], "quick": ["shared"]}
        run = self.plans(
            edges,
            {
                "first": ("high", ["base", "shared", "quick"]),
                "last": ("low", ["base", "slow", "shared"]),
            },
        )
        assert taken(run) == ["shared", "slow"]
        run.finish("shared", BUILT)
        assert taken(run) == ["quick"]

    @given(edges=graphs(), chance=st.randoms(use_true_random=False))
    def test_nothing_is_taken_while_something_more_urgent_is_ready(
        self, edges: dict[str, list[str]], chance: Random
    ) -> None:
        levels: list[Priority] = ["low", "normal", "high"]
        jobs = {id: (chance.choice(levels), [*sorted(ancestors(edges, id)), id]) for id in edges}
        steps = {step.id: step for step in graph(edges)}
        run = Scheduler(
            Dag.of([Plan(id, tuple(ids), id, priority) for id, (priority, ids) in jobs.items()], steps), set(), {}
        )
        urgency = {id: max(levels.index(priority) for priority, ids in jobs.values() if id in ids) for id in edges}
        done: set[str] = set()
        while (id := run.take()) is not None:
            ready = [other for other in edges if other not in done and set(edges[other]) <= done]
            assert urgency[id] == max(urgency[other] for other in ready)
            run.finish(id, BUILT)
            done.add(id)
        assert done == edges.keys()


class TestMemory:
    def flat(self, needs: Mapping[str, int], room: int | None) -> Scheduler:
        """Steps that wait for nothing but memory, the first named first."""
        return Scheduler(graph({id: [] for id in needs}), set(), {}, memory=needs, room=room)

    def test_what_does_not_fit_waits_and_smaller_ones_pass(self) -> None:
        run = self.flat({"a": 6, "b": 5, "c": 4, "unknown": 0}, 10)
        assert taken(run) == ["a", "c", "unknown"]
        run.finish("c", BUILT)
        assert taken(run) == []
        run.finish("a", BUILT)
        assert taken(run) == ["b"]

    def test_what_never_fits_runs_alone(self) -> None:
        run = self.flat({"small": 1, "huge": 100, "unknown": 0}, 10)
        assert taken(run) == ["small", "unknown"]
        run.finish("small", BUILT)
        assert taken(run) == []
        run.finish("unknown", BUILT)
        assert taken(run) == ["huge"]

    def test_beside_what_never_fits_nothing_starts(self) -> None:
        run = self.flat({"huge": 100, "unknown": 0}, 10)
        assert taken(run) == ["huge"]
        assert not run.finished
        run.finish("huge", BUILT)
        assert taken(run) == ["unknown"]

    def test_without_a_bound_memory_does_not_count(self) -> None:
        assert taken(self.flat({"a": 60, "b": 50}, None)) == ["a", "b"]

    def test_a_step_is_passed_so_many_times_and_no_more(self) -> None:
        run = self.flat({"first": 1, "big": 10, **{f"small{number:03}": 1 for number in range(100)}}, 10)
        running = [run.take(), run.take()]
        assert running == ["first", "small000"]
        started = 1
        while running:
            id = running.pop(0)
            assert id is not None
            run.finish(id, BUILT)
            next = run.take()
            if next == "big":
                break
            if next is not None:
                running.append(next)
                started += 1
        assert started == PASSES

    def test_cancel_ends_what_waits_for_memory(self) -> None:
        run = self.flat({"a": 6, "b": 6}, 10)
        assert taken(run) == ["a"]
        assert run.cancel() == [("b", Cancelled())]
        run.finish("a", BUILT)
        assert run.finished

    @given(
        edges=graphs(),
        extra=st.integers(0, 60),
        room=st.integers(0, 20),
        slots=st.integers(1, 5),
        chance=st.randoms(use_true_random=False),
    )
    def test_it_is_never_exceeded_and_nothing_starves(
        self, edges: dict[str, list[str]], extra: int, room: int, slots: int, chance: Random
    ) -> None:
        edges |= {f"extra{number:02}": [] for number in range(extra)}
        need = {id: chance.randrange(15) for id in edges if chance.random() < 0.8}
        rank = {id: chance.randrange(5) * 100 + place for place, id in enumerate(edges)}
        run = Scheduler(graph(edges), set(), {}, memory=need, room=room, order=rank.__getitem__)
        running: list[str] = []
        ended: set[str] = set()
        passed = dict.fromkeys(edges, 0)
        while not run.finished:
            while len(running) < slots:
                ready = [id for id in edges if id not in ended and id not in running and ended.issuperset(edges[id])]
                free = room - sum(need.get(one, 0) for one in running)
                fitting = [id for id in ready if need.get(id, 0) <= free or not running]
                best = min(ready, key=rank.__getitem__, default=None)
                id = run.take()
                if id is None:
                    assert not fitting or (best not in fitting and best is not None and passed[best] == PASSES)
                    break
                assert id == min(fitting, key=rank.__getitem__), "the best of those that fit"
                if best is not None and id != best:
                    passed[best] += 1
                    assert passed[best] <= PASSES
                running.append(id)
                assert len(running) == 1 or sum(need.get(one, 0) for one in running) <= room
            assert running, "it is not finished, so something must run"
            id = running.pop(chance.randrange(len(running)))
            ended |= {id for id, _ in run.finish(id, BUILT)}
        assert ended == edges.keys()


def test_an_order_of_ones_own() -> None:
    edges: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    ranks = {"a": 1.5, "b": 0.5, "c": 0.5}
    assert taken(Scheduler(graph(edges), set(), {}, order=ranks.__getitem__)) == ["b", "c", "a"]
