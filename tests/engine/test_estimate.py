"""What is expected of steps, from what an index remembers of them and of steps like them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from engine import estimate as module
from engine.estimate import (
    ALIKE_SPREAD,
    DRIFT,
    ENOUGH,
    MEDIAN_ERROR,
    OWN_SPREAD,
    TRUST,
    UNKNOWN_SPREAD,
    drift,
    estimate,
    likenesses,
)
from engine.index import Index
from engine.outcome import Built, Cached, Failed, Outcome
from engine.records import Attempt, Prediction, Totals
from engine.scheduler import DEFAULT_SECONDS
from engine.step import Base, Config, Ids, Run, Step


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.open(tmp_path / "index.db") as opened:
        opened.add_steps([ROOT], lambda _: [])
        yield opened


ROOT = Step("0" * 64, "(from debian)", Base("debian", "sha256:0", Config(), ""))


def run(command: str, id: str) -> Step:
    return Step(id * 64, f'(run (shell "{command}"))', Run(ROOT.id, command, (), "/", (), Ids()))


def built(seconds: float, peak: int = 0) -> Built:
    return Built(seconds, None, peak)


def note(index: Index, step: Step, *outcomes: Outcome) -> None:
    index.add_steps([step], lambda _: [])
    index.record_attempts(None, [Attempt.of(step.id, outcome, started=0.0) for outcome in outcomes])


def test_without_history_there_is_a_default(index: Index) -> None:
    step = run("make", "a")
    found = estimate(index, [ROOT, step])
    assert found.seconds == {ROOT.id: DEFAULT_SECONDS, step.id: DEFAULT_SECONDS}
    assert found.spread == {ROOT.id: UNKNOWN_SPREAD, step.id: UNKNOWN_SPREAD}
    assert (found.memory, set(found.measured)) == ({}, set())
    assert found.unknown == {ROOT.id, step.id}


def test_unknown_is_that_of_whose_kind_nothing_was_built(index: Index) -> None:
    """And not what takes as long as is assumed of it."""
    same, alike, first = (run(command, id) for command, id in (("make", "a"), ("make all", "b"), ("cargo test", "c")))
    note(index, same, built(DEFAULT_SECONDS))
    found = estimate(index, [ROOT, same, alike, first])
    assert found.seconds == dict.fromkeys((ROOT.id, same.id, alike.id, first.id), DEFAULT_SECONDS)
    assert found.unknown == {ROOT.id}
    note(index, ROOT, Failed(1, "exit", 1.0), Cached())
    assert estimate(index, [ROOT]).unknown == {ROOT.id}, "that is no build"
    note(index, ROOT, built(9.0))
    assert estimate(index, [ROOT]).unknown == set()


def test_nothing_asked(index: Index) -> None:
    assert estimate(index, []).seconds == {}


def test_a_step_is_expected_to_do_as_it_did(index: Index) -> None:
    step = run("make", "a")
    failed = Failed(1, "exit", 99.0)
    note(index, step, built(1.0, 10), built(100.0, 30), failed, Cached(), built(3.0, 20))
    note(index, run("make", "b"), built(50.0, 500))
    found = estimate(index, [step])
    assert found.seconds == {step.id: 3.0}
    assert found.memory == {step.id: 30}
    assert found.measured == {step.id}


def test_only_recent_builds_say_what_memory_a_step_needs(index: Index) -> None:
    step = run("make", "a")
    note(index, step, built(1.0, 1000), *[built(1.0, 10 + number) for number in range(module.RECENT)])
    assert estimate(index, [step]).memory == {step.id: 9 + module.RECENT}


def test_the_same_op_on_another_base_comes_before_all_others(index: Index) -> None:
    note(index, run("opam install foo.1.0", "a"), built(30.0, 7))
    for number, id in enumerate("bcdef"):
        note(index, run(f"opam install foo.2.{number}", id), built(5.0, 900))
    new = run("opam install foo.1.0", "9")
    found = estimate(index, [new])
    assert (found.seconds, found.memory, set(found.measured)) == ({new.id: 30.0}, {new.id: 7}, set())


def test_from_the_most_specific_likeness_to_the_kind(index: Index) -> None:
    note(index, run("opam install foo.1.0", "a"), built(10.0))
    note(index, run("opam install bar.2.0", "b"), built(20.0))
    note(index, run("opam update", "c"), built(60.0))
    note(index, run("make -j4 all", "d"), built(70.0))
    asked = {
        "opam install foo.1.1~beta2": 10.0,
        "opam install -y baz.3": 10.0,  # the lower of two in the middle
        "opam upgrade": 20.0,
        "cargo test": 20.0,
    }
    steps = [run(command, f"{number + 1}") for number, command in enumerate(asked)]
    found = estimate(index, steps)
    assert [found.seconds[step.id] for step in steps] == list(asked.values())
    assert estimate(index, [ROOT]).seconds[ROOT.id] == DEFAULT_SECONDS, "a run says nothing of a base"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('(run (shell "make -j4 all"))', '(run (shell "make -j16 all"))'),
        ('(run (network host) (shell "curl a"))', '(run (shell "curl a"))'),
        ('(run (shell "cd foo-1.2 && dune build"))', '(run (shell "cd bar && dune build --release"))'),
        ('(run (shell "git checkout 1a2b3c4d5e"))', '(run (shell "git checkout 99887766aa"))'),
        ('(run (shell "opam install foo.1.2.3"))', '(run (shell "opam install foo.10"))'),
        ("(copy (src a1) (dst /b))", "(copy (src a2) (dst /b))"),
        ("(run (shell make))", '(run (shell "make"))'),
    ],
)
def test_commands_that_are_alike(one: str, other: str) -> None:
    first = likenesses(one)[0]
    assert " " in first, "not by its kind alone"
    assert first == likenesses(other)[0]


@pytest.mark.parametrize("op", ["", "(run)", "(", '(run (shell ""))', '(run (shell "   "))', '(run (shell "-x"))', "x"])
def test_odd_ops_have_at_least_a_kind(op: str) -> None:
    assert likenesses(op)[-1] == op.partition(" ")[0]


def test_spread_is_learned(index: Index) -> None:
    steady, wild = run("steady", "a"), run("wild", "b")
    note(index, steady, *[built(10.0)] * 50)
    note(index, wild, *[built(10.0 * math.exp(sign)) for sign in (-1.0, 1.0)] * 25, built(10.0))
    found = estimate(index, [steady, wild])
    assert found.spread[steady.id] < OWN_SPREAD / 3
    assert found.spread[wild.id] == pytest.approx(1.0, abs=0.05)


def test_one_build_changes_nothing_of_what_is_assumed(index: Index) -> None:
    step, alike = run("make", "a"), run("make", "b")
    note(index, step, built(10.0))
    found = estimate(index, [step, alike])
    assert found.spread == {step.id: pytest.approx(OWN_SPREAD), alike.id: pytest.approx(ALIKE_SPREAD)}
    assert TRUST > 0


def test_spread_is_that_of_a_log_normal(index: Index) -> None:
    chance = Random(5)
    step = run("make", "a")
    note(index, step, *[built(chance.lognormvariate(2.0, 0.8)) for _ in range(400)])
    found = estimate(index, [step])
    assert found.spread[step.id] == pytest.approx(0.8, rel=0.1)
    assert found.seconds[step.id] == pytest.approx(math.exp(2.0), rel=0.1)


def test_times_that_were_seen_are_told_where_they_are_enough(index: Index) -> None:
    """Of a step itself, or of those like it."""
    few, many, alike = run("few", "a"), run("many a", "b"), run("many b", "c")
    note(index, few, *[built(float(number)) for number in range(ENOUGH - 1)])
    note(index, many, *[built(float(number)) for number in range(ENOUGH, 0, -1)], Failed(1, "exit", 99.0))
    times = [float(number) for number in range(1, ENOUGH + 1)]
    found = estimate(index, [few, many, alike, ROOT])
    assert {id: list(seen) for id, seen in found.seen.items()} == {many.id: times, alike.id: times}


def test_steps_that_took_no_time(index: Index) -> None:
    step = run("true", "a")
    note(index, step, built(0.0), built(0.0))
    found = estimate(index, [step])
    assert found.seconds == {step.id: 0.0}
    assert 0 < found.spread[step.id] < OWN_SPREAD


def test_memory_of_alike_steps_is_an_upper_quantile(index: Index) -> None:
    for number in range(10):
        note(index, run(f"make {number}", str(number + 1 if number < 9 else "a")), built(1.0, 10 * (number + 1)))
    new = run("make 77", "b")
    assert estimate(index, [new]).memory == {new.id: 90}


def runs(index: Index, *ratios: float, predicted: float = 100.0) -> None:
    """Runs that took so many times what was predicted, the later the later."""
    for ratio in ratios:
        started = 1000.0 * len(index.batches(limit=1000))
        batch = index.begin_batch("x", jobs=1, steps=1, started=started, predicted=Prediction(predicted, predicted))
        index.finish_batch(batch, "built", Totals(built=1), finished=started + ratio * predicted)


class TestDrift:
    def test_it_is_assumed_where_nothing_was_predicted(self, index: Index) -> None:
        assert drift(index) == pytest.approx(DRIFT)
        runs(index, 50.0, predicted=0.5)
        assert drift(index) == pytest.approx(DRIFT), "so short a run says nothing"

    @pytest.mark.parametrize(
        ("errors", "found"),
        [
            ((0.1,), DRIFT / MEDIAN_ERROR),  # what is assumed counts for two
            ((0.0, 0.0), DRIFT / MEDIAN_ERROR / 2),
            ((0.0, 0.02, 0.03), 0.03),
            ((0.3, 0.4, 0.5), 0.3),
            ((0.3, 0.4, 0.5, 0.6), 0.35),
            ((0.01, 0.02, 0.03, 0.04, 9.0), 0.04),  # one that went quite otherwise moves it by no more
        ],
    )
    @pytest.mark.parametrize("sign", [1, -1])
    def test_it_is_that_of_a_normal_with_this_median_error(
        self, index: Index, errors: tuple[float, ...], found: float, sign: int
    ) -> None:
        """By their logarithms: half the time is as far off as twice the time."""
        runs(index, *[math.exp(sign * error) for error in errors])
        assert drift(index) == pytest.approx(MEDIAN_ERROR * found)

    def test_it_is_that_of_a_log_normal_of_the_latest_runs(self, index: Index) -> None:
        chance = Random(7)
        runs(index, *[9.0] * 5, *[chance.lognormvariate(0.0, 0.6) for _ in range(module.RUNS)])
        assert drift(index) == pytest.approx(0.6, rel=0.3)

    def test_just_the_latest_count(self, index: Index) -> None:
        """Of these and what is assumed half are right, so that one more that was not, or one less that was, shows."""
        right = module.RUNS // 2 + 1
        runs(index, 9.0, *[1.0] * right, *[9.0] * (module.RUNS - right))
        assert drift(index) == pytest.approx(DRIFT / 2)

    def test_a_run_that_took_no_time_is_no_error(self, index: Index) -> None:
        """A clock may be set back."""
        runs(index, 0.0, -1.0)
        assert math.isfinite(drift(index))


def test_few_steps_ask_for_little(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(index, "latest_builds", lambda limit: asked.append(limit) or [])
    step = run("make", "a")
    note(index, step, built(1.0))
    estimate(index, [step])
    assert asked == [], "it was built itself"
    estimate(index, [run("make", "b")])
    estimate(index, [run(f"make {number}", chr(1000 + number)) for number in range(2000)])
    assert asked == [module.PER_STEP, module.SAME]


def test_a_hundred_thousand_builds_are_asked_with_few_questions(index: Index) -> None:
    """bench/scheduling.py has the time."""
    statements: list[str] = []
    index._db._connection.set_trace_callback(statements.append)
    steps = [run(f"make {number}", chr(1000 + number)) for number in range(1000)]
    estimate(index, steps)
    index._db._connection.set_trace_callback(None)
    assert len(statements) <= 3
