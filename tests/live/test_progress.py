"""What is known of a run from its events: counts by definition on random graphs, times by hand."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Attached, BatchStarted, Ended, JobEnded, Output, Retried, Started
from engine.outcome import Built, Cached, Failed, Outcome
from engine.records import Prediction
from engine.scheduler import Scheduler
from stepwood.live.progress import TAIL, Progress
from tests.engine.test_scheduler import ancestors, graph, graphs

CHAIN = {"base": [], "a": ["base"], "b": ["a"], "c": ["b"]}


def ended(id: str, outcome: Outcome | None = None, attempts: int = 1) -> Ended:
    return Ended(id, outcome or Built(1.0, 0, None), 1.0, attempts, None)


def begun(expected: dict[str, float], predicted: Prediction | None = None) -> Progress:
    """A run of `CHAIN` that begins at 100."""
    progress = Progress(graph(CHAIN))
    progress.see(BatchStarted(expected, predicted), 100.0)
    return progress


@given(edges=graphs(), chance=st.randoms(use_true_random=False))
def test_counts_are_what_they_are_called_at_every_moment(edges: dict[str, list[str]], chance: Random) -> None:
    finals = chance.choices(sorted(edges), k=3)
    jobs = {f"job {number}": sorted({*ancestors(edges, id), id}) for number, id in enumerate(finals)}
    dag = graph(edges, {**jobs, "all": sorted(edges)})
    cached = {id for id in edges if chance.random() < 0.3}
    scheduler = Scheduler(dag, cached, {})
    progress = Progress(dag)
    outcomes: dict[str, Outcome] = {}
    running: set[str] = set()

    def told() -> None:
        there = {id for id, outcome in outcomes.items() if outcome.name in ("built", "cached")}
        assert progress.ended == Counter(outcome.name for outcome in outcomes.values())
        assert progress.done == len(outcomes)
        assert progress.running.keys() == running
        ready = {id for id in edges if id not in outcomes and id not in running and there.issuperset(edges[id])}
        assert progress.ready == len(ready)
        assert progress.jobs_running == sum(any(id in running for id in plan.steps) for plan in dag.plans)
        for plan in dag.plans:
            state = progress.jobs[plan.name]
            assert state.running == sum(id in running for id in plan.steps)
            assert state.ended == sum(id in outcomes for id in plan.steps)

    for id in (step.id for step in dag if step.id in cached):
        progress.see(ended(id, Cached(), attempts=0), 0.0)
        outcomes[id] = Cached()
        told()
    while not scheduler.finished:
        while len(running) < 3 and (id := scheduler.take()) is not None:
            progress.see(chance.choice([Started, Attached])(id), 0.0)
            running.add(id)
            told()
        id = chance.choice(sorted(running))
        running.discard(id)
        for over, outcome in scheduler.finish(id, chance.choice([Built(1.0, 0, None), Failed(1, "exit", 1.0)])):
            progress.see(ended(over, outcome), 0.0)
            outcomes[over] = outcome
            told()


def test_jobs_have_their_outcome_when_they_end() -> None:
    progress = Progress(graph(CHAIN, {"one": ["base"], "two": ["base", "a"]}))
    progress.see(ended("base"), 0.0)
    progress.see(JobEnded("one", "built", "base"), 0.0)
    assert (progress.jobs["one"].outcome, progress.jobs["two"].outcome) == ("built", None)
    assert progress.job_outcomes == {"built": 1}


@pytest.mark.parametrize(
    ("written", "last"),
    [
        ([], ""),
        ([b"one\ntwo\n"], "two"),
        ([b"one\ntwo"], "two"),
        ([b"one\n", b"t", b"wo"], "two"),
        ([b"one\n \n\n"], "one"),
        ([b"10 %\r20 %\r"], "20 %"),
        ([b"a\r\n"], "a"),
        ([b"\x1b[31mred\x1b[0m\n"], "red"),
        ([b"a\x07b\x00c"], "a\ufffdb c"),
        ([b"\xff\xfe"], "\ufffd\ufffd"),
        (["\u202eevil".encode()], "\ufffdevil"),
        ([b"\tmake\t-j"], "make -j"),
        ([b"x" * 10 * TAIL], "x" * TAIL),
        ([b"end\n", b"\n" * TAIL], ""),
    ],
)
def test_the_last_line_of_a_step(written: list[bytes], last: str) -> None:
    progress = begun({})
    progress.see(Started("base"), 100.0)
    for data in written:
        progress.see(Output("base", data), 100.0)
    assert progress.running["base"].last == last
    assert len(progress.running["base"].tail) <= TAIL


def test_output_of_what_does_not_run_is_no_ones_last_line() -> None:
    progress = begun({})
    progress.see(Output("base", b"from the log of a cached step"), 100.0)
    assert not progress.running


def test_a_retry_counts_and_a_step_given_up_elsewhere_goes_on_here() -> None:
    progress = begun({})
    progress.see(Attached("base"), 100.0)
    progress.see(Started("base"), 105.0)
    progress.see(Retried("base", 1, Failed(1, "exit", 1.0), 0.0, None), 106.0)
    (step,) = progress.running.values()
    assert (step.since, step.elsewhere, step.attempt, progress.ready) == (100.0, False, 2, 0)


SECONDS = {"base": 40.0, "a": 30.0, "b": 20.0, "c": 10.0}


@pytest.mark.parametrize(
    ("events", "now", "left"),
    [
        ([], 100, (200, 400)),
        ([Started("base")], 100, (200, 400)),
        # 20 of 100 expected seconds are done in 20: 0.8 * (0.8 * 200 + 20)
        ([Started("base")], 120, (144, 288)),
        # a step that takes longer than expected: no more than that is done
        ([Started("base")], 180, (0.6 * (0.6 * 200 + 80), 1.2 * (0.6 * 200 + 80))),
        # what was predicted to take 200 s was done in 90: the rest goes as that did
        ([ended("base"), ended("a"), ended("b")], 190, (0.1 * (20 + 90), 0.2 * (20 + 90))),
        ([ended("base"), ended("a"), ended("b"), ended("c")], 200, (0, 0)),
        ([ended("base", Failed(1, "exit", 1.0)), ended("a"), ended("b"), ended("c")], 200, (0, 0)),
    ],
)
def test_the_time_left_goes_from_what_was_predicted_to_the_runs_own_pace(
    events: list[Started | Ended], now: float, left: tuple[float, float]
) -> None:
    progress = begun(SECONDS, Prediction(200.0, 400.0))
    for event in events:
        progress.see(event, 100.0)
    assert progress.left(now) == pytest.approx(left)


def test_without_a_prediction_the_pace_tells_once_some_is_done() -> None:
    progress = begun(SECONDS)
    progress.see(Started("base"), 100.0)
    assert progress.left(120) is None, "a fifth is done"
    left = progress.left(125)
    assert left is not None
    assert (left[0], left[1]) == (pytest.approx(75), None)


def test_without_a_prediction_many_steps_tell_before_a_quarter_is_done() -> None:
    steps = {str(number): [] for number in range(1000)}
    progress = Progress(graph(steps))
    progress.see(BatchStarted(dict.fromkeys(steps, 1.0)), 0.0)
    for number in range(100):
        assert (progress.left(10.0) is None) == (number < 50)
        progress.see(ended(str(number)), 1.0)
    assert progress.left(4.0) is None, "it has just begun"
    assert progress.left(10.0) == (pytest.approx(90), None)


def test_where_all_is_there_nothing_is_left_to_say() -> None:
    assert begun({}).left(101) is None


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    progress = begun(SECONDS)
    assert progress.rate(100) == 0
    progress.see(ended("base", Cached(), attempts=0), 101)
    assert progress.rate(110) == 0, "what was there has not run"
    progress.see(ended("a"), 111)
    progress.see(ended("b"), 111)
    assert progress.rate(120) == pytest.approx(2 / 20)
    for second in range(121, 160):
        progress.rate(second)
    assert progress.rate(160) == 0
    progress.see(ended("c"), 160)
    assert progress.rate(160) == pytest.approx(1 / 30, rel=0.05)
