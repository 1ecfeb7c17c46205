"""`stepwood history`: what it lists, and what it says has changed from one batch to another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from engine.index import Index
from engine.outcome import Name
from engine.records import Attempt, Prediction, Totals
from engine.step import Base, Config, Ids, Step
from tests.cli.desk import Desk, sh

START = 1_700_000_000.0
CONFIG = Config(env=(), user=Ids(), workdir="/", platform="linux/amd64")
HEAD = [
    "batch", "started", "outcome", "jobs", "steps", "built", "cached", "failed", "wall", "predicted", "work", "command",
]  # fmt: skip


@pytest.fixture
def past(tmp_path: Path) -> Desk:
    """A desk whose index is written by `ran`."""
    (tmp_path / "store").mkdir()
    return Desk(tmp_path, f"directory:{tmp_path}/store", None)


def step(op: str) -> Step:
    id = hashlib.sha256(op.encode()).hexdigest()
    return Step(id, op.partition("@")[0], Base("debian", f"sha256:{id}", CONFIG, "dir:/"))


def ran(
    desk: Desk,
    number: int,
    jobs: dict[str, Name | None],
    built: dict[str, float],
    command: str = "build",
    predicted: Prediction | None = None,
) -> str:
    """A batch, ten minutes after the one before; of an op, what follows `@` makes another step."""
    steps = [step(op) for op in ["(run end)", *built]]
    with Index.open(desk.place / "index.db") as index:
        index.add_steps(steps, lambda step: [("op", step.op)])
        started = START + 600 * number
        batch = index.begin_batch(command, jobs=len(jobs), steps=len(steps), started=started, predicted=predicted)
        rows = index.add_jobs(batch, [(name, steps[0].id) for name in jobs])
        for row, outcome in zip(rows, jobs.values(), strict=True):
            if outcome:
                index.finish_jobs([(row, outcome)])
        index.record_attempts(
            batch,
            [Attempt(step(op).id, 1, started, seconds, "built") for op, seconds in built.items()]
            + [Attempt(steps[0].id, 1, started, 2.0, "failed", 1, "exit")],
        )
        if None not in jobs.values():
            worst: Name = "failed" if "failed" in jobs.values() else "built"
            index.finish_batch(batch, worst, Totals(len(built), 3, 1), finished=started + 90.25)
    return batch


def asked(desk: Desk, *arguments: str) -> Any:
    return json.loads(desk.ok("history", *arguments, "--json").stdout)


def test_without_an_index_or_with_too_much(past: Desk) -> None:
    assert past.run("history").returncode == 2
    batch = ran(past, 0, {"a": "built"}, {})
    assert past.run("history", "nothing").returncode == 2
    assert past.run("history", batch, batch, batch).returncode == 2


def test_the_list(past: Desk) -> None:
    jobs: dict[str, Name | None] = {"a": "built", "b": "failed"}
    first = ran(past, 0, jobs, {"(run x)": 10.5}, "stepwood build w.workflow", Prediction(75.04, 120.0))
    second = ran(past, 1, {"a": None}, {}, "stepwood build odd\x1b[2J\nname")
    rows = past.ok("history").stdout.splitlines()
    assert rows[0].split() == HEAD
    assert rows[1].startswith(f"{second}  ")
    assert rows[1].endswith("stepwood build odd�[2J�name")
    cells = rows[2].split()
    assert cells[0] == first
    assert " ".join(cells[3:]) == "failed 2 2 1 3 1 90.2 s 75.0 s 12.5 s stepwood build w.workflow"
    assert rows[1].index("unfinished") == rows[0].index("outcome") == rows[2].index("failed")
    assert len(past.ok("history", "-n", "1").stdout.splitlines()) == 2
    newest, oldest = asked(past)["batches"]
    assert (newest["id"], newest["outcome"], newest["finished"], newest["wall_seconds"]) == (second, None, None, None)
    assert newest["predicted"] is None
    assert oldest == {
        "id": first, "started": START, "finished": START + 90.25, "outcome": "failed", "jobs": 2, "steps": 2,
        "command": "stepwood build w.workflow", "predicted": {"p50": 75.04, "p90": 120.0},
        "built": 1, "cached": 3, "failed": 1, "skipped": 0, "cancelled": 0, "wall_seconds": 90.25, "work_seconds": 12.5,
    }  # fmt: skip


def test_what_changed_from_the_last_batch_with_the_same_jobs(past: Desk) -> None:
    before: dict[str, Name | None] = {
        "good": "built",
        "bad": "failed",
        "worse": "built",
        "long": "cached",
        "ill": "failed",
    }
    after: dict[str, Name | None] = {"good": "cached", "bad": "built", "worse": "failed", "long": None, "ill": "failed"}
    one = ran(
        past, 0, before, {"(run slow)": 10, "(run same)@1": 5, "(run quick)": 1, "(run fast)": 20, "(run old)": 9}
    )
    ran(past, 1, {"good": "built"}, {"(run slow)": 99})
    now = {"(run slow)@2": 13, "(run same)@2": 5.9, "(run quick)@2": 1.9, "(run fast)@2": 5, "(run new)": 9}
    two = ran(past, 2, after, now)
    found = asked(past, two)
    assert (found["batch"]["id"], found["other"]["id"]) == (two, one)
    compared = found["comparison"]
    assert [(job["name"], job["change"], job["was"], job["now"]) for job in compared["changed"]] == [
        ("bad", "fixed", "failed", "built"),
        ("worse", "failing", "built", "failed"),
        ("long", "stopped", "cached", "unfinished"),
    ]
    assert (compared["new"], compared["gone"]) == ([], [])
    assert [(time["op"], time["was"], time["now"]) for time in compared["times"]] == [
        ("(run fast)", 20, 5),
        ("(run slow)", 10, 13),
    ]
    assert (compared["built_was"], compared["built_now"]) == (45, 34.8)
    told = past.ok("history", two).stdout
    assert [line.split()[0] for line in told.splitlines()] == [
        "batch", one, two, "fixed", "failing", "stopped", "faster", "slower", "built:",
    ]  # fmt: skip
    assert f"10.0 s →     13.0 s  {step('(run slow)@2').id[:12]} (run slow)" in told
    assert told.endswith("built: 45.0 s → 34.8 s of work\n")


def test_jobs_that_are_new_or_gone_and_a_batch_of_ones_choice(past: Desk) -> None:
    one = ran(past, 0, {"a": "built", "b": "built"}, {"(run x)@1": 4, "(run x)@2": 6})
    two = ran(past, 1, {"a": "built", "c": "built"}, {"(run x)@3": 30})
    three = ran(past, 2, {"d": "built"}, {})
    found = asked(past, two)
    assert found["other"]["id"] == one, "the last with any of its jobs"
    assert (found["comparison"]["new"], found["comparison"]["gone"]) == (["c"], ["b"])
    (time,) = found["comparison"]["times"]
    assert (time["steps_was"], time["steps_now"], time["was"], time["now"]) == (2, 1, 5, 30)
    assert "(means of 2 and 1)" in past.ok("history", two).stdout
    assert asked(past, one, three)["comparison"]["gone"] == ["d"]
    alone = asked(past, three)
    assert (alone["other"], alone["comparison"]) == (None, None)
    assert "no batch before it ran any of its jobs" in past.ok("history", three).stdout
    assert "no job and no step changed" in past.ok("history", one, one).stdout


@pytest.mark.root
def test_after_builds(desk: Desk) -> None:
    desk.write("a.spec", sh("true"))
    desk.ok("build", "a.spec")
    desk.write("a.spec", sh("false"))
    assert desk.run("build", "a.spec").returncode == 1
    failed, built = asked(desk)["batches"]
    assert ([failed[name] for name in ("cached", "failed")], built["built"]) == ([1, 1], 2)
    assert built["work_seconds"] > 0
    assert built["wall_seconds"] > 0
    (change,) = asked(desk, failed["id"])["comparison"]["changed"]
    assert (change["name"], change["change"]) == ("a", "failing")


def test_a_build_hands_its_logs_to_the_logbook(desk: Desk) -> None:
    desk.write("a.spec", sh("echo the quick brown fox", "yes jumps | head -n 5000; false"))
    desk.run("build", "a.spec")
    assert "the quick brown fox" in desk.ok("log", "--search", "quick fox").stdout
    assert not list(desk.place.glob("logs/*.tmp"))
    (packed,) = desk.place.glob("logs/*.log.zst")
    assert packed.stat().st_size < 4096
    assert desk.ok("log", "a").stdout == "jumps\n" * 5000
    desk.write("b.spec", sh("yes lazy | head -n 5000"))
    first = desk.ok("build", "b.spec").stdout
    assert desk.ok("build", "b.spec").stdout == first == "lazy\n" * 5000
