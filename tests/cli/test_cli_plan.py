"""`stepwood plan`: the document of docs/reference/cli.md, names of jobs, states; and that it makes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.desk import Desk, sh

pytestmark = pytest.mark.root

NUMBER = (float, int, type(None))
STEP = {
    "id": str, "kind": str, "inputs": list, "op": str, "jobs": int, "cached": bool, "state": str, "seconds": NUMBER,
}  # fmt: skip
TOTALS = {
    "jobs": int, "steps": int, "distinct": int, "cached": int, "to_run": int, "seconds": NUMBER, "critical_path": NUMBER
}  # fmt: skip
STAGES = """((build one ((from bb) (shell /bin/sh -c) (run (shell "echo 1 > /1"))))
 (from bb) (copy (from (build one)) (src /1) (dst /1)) (copy (src file) (dst /file)))"""


def holds(document: dict[str, Any], schema: dict[str, Any]) -> None:
    """Exactly these keys, each of its type; a bool is no int here."""
    assert list(document) == list(schema)
    for key, kind in schema.items():
        assert isinstance(document[key], kind), key
        assert kind is bool or not isinstance(document[key], bool), key


def conforms(plan: dict[str, Any]) -> None:
    assert list(plan) == ["version", "jobs", "steps", "totals"]
    assert plan["version"] == 1
    holds(plan["totals"], TOTALS)
    by_id = {step["id"]: step for step in plan["steps"]}
    assert len(by_id) == len(plan["steps"]) == plan["totals"]["distinct"]
    seen: set[str] = set()
    for step in plan["steps"]:
        holds(step, STEP)
        assert set(step["inputs"]) <= seen, "inputs come first"
        seen.add(step["id"])
        assert step["kind"] in ("base", "run", "copy", "merge")
        assert step["state"] in ("cached", "run", "failed", "blocked")
        assert step["cached"] == (step["state"] == "cached")
        assert step["jobs"] == sum(step["id"] in job["steps"] for job in plan["jobs"])
        assert "\n" not in step["op"]
    for job in plan["jobs"]:
        holds(job, {"name": str, "final": str, "steps": list})
        assert job["final"] in job["steps"]
    totals = plan["totals"]
    assert totals["jobs"] == len(plan["jobs"])
    assert totals["steps"] == sum(len(job["steps"]) for job in plan["jobs"])
    assert totals["cached"] == sum(step["cached"] for step in plan["steps"])
    assert totals["to_run"] == sum(step["state"] == "run" for step in plan["steps"])


def test_the_document_before_and_after_a_build(desk: Desk) -> None:
    desk.write("stages.spec", STAGES)
    desk.write("file", "x")
    desk.write("chain.spec", sh("echo 1 > /1", "echo 2 > /2"))
    before = desk.plan("stages.spec", "chain.spec")
    conforms(before)
    assert [job["name"] for job in before["jobs"]] == ["stages", "chain"]
    # base and `echo 1` are in both: 4 + 3 steps, 5 of them distinct
    assert before["totals"] == {
        "jobs": 2, "steps": 7, "distinct": 5, "cached": 0, "to_run": 5, "seconds": None, "critical_path": None
    }  # fmt: skip
    assert not desk.place.exists(), "a plan makes no store"
    desk.ok("build", "chain.spec")
    after = desk.plan("stages.spec", "chain.spec")
    conforms(after)
    assert [job["steps"] for job in after["jobs"]] == [job["steps"] for job in before["jobs"]]
    assert sorted(step["state"] for step in after["steps"]) == ["cached"] * 3 + ["run"] * 2
    assert all(step["seconds"] is not None for step in after["steps"] if step["cached"])
    desk.ok("build", "stages.spec")
    totals = desk.plan("stages.spec", "chain.spec")["totals"]
    assert (totals["to_run"], totals["seconds"], totals["critical_path"]) == (0, 0, 0)


def test_known_failures_and_what_waits_on_them(desk: Desk) -> None:
    desk.write("a.spec", sh("true", "exit 3", "true"))
    desk.run("build", "a.spec")
    assert desk.states("a.spec") == ["cached", "cached", "run", "run"]
    plan = json.loads(desk.ok("plan", "a.spec", "--format=json", "--no-retry-failed").stdout)
    conforms(plan)
    assert [step["state"] for step in plan["steps"]] == ["cached", "cached", "failed", "blocked"]
    assert plan["totals"]["to_run"] == 0
    again = desk.run("build", "a.spec", "--no-retry-failed")
    assert again.returncode == 1
    assert "failed before" in again.stderr or "exit 3" in again.stderr


def test_predictions_come_from_history(desk: Desk) -> None:
    desk.write("a.spec", sh("sleep 0.3"))
    desk.ok("build", "a.spec")
    desk.ok("clean")
    totals = desk.plan("a.spec")["totals"]
    assert totals["to_run"] == 2
    assert 0.3 <= totals["critical_path"] <= totals["seconds"] < 3


def test_text_shows_each_step_once(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1", "echo 2"))
    desk.write("b.spec", sh("echo 1", "echo 3"))
    told = desk.ok("plan", "a.spec", "b.spec").stdout
    assert told.startswith("a: 3 steps\n")
    assert "b: 3 steps, 2 shown above\n" in told
    assert told.count('(run (shell "echo 1"))  ×2') == 1
    assert told.endswith("2 jobs, 6 steps, 4 distinct: 0 cached, 4 to run\n")
    assert desk.ok("plan", "a.spec", "b.spec", "-o", "out").stdout == ""
    assert (desk.folder / "out").read_text() == told


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.spec", "x/b.spec"], ["a", "b"]),
        (["x/a.spec", "y/a.spec", "b.spec"], ["x/a", "y/a", "b"]),
        (["x/a.spec", "x/a.txt"], ["x/a.spec", "x/a.txt"]),
        (["no-ending", "dots.in.it.spec"], ["no-ending", "dots.in.it"]),
    ],
)
def test_a_job_is_named_after_its_file(desk: Desk, files: list[str], names: list[str]) -> None:
    for number, file in enumerate(files):
        desk.write(file, sh(f"echo {number}"))
    assert [job["name"] for job in desk.plan(*files)["jobs"]] == names


def test_a_file_twice_is_2(desk: Desk) -> None:
    desk.write("a.spec", sh("true"))
    done = desk.run("plan", "a.spec", "a.spec")
    assert (done.returncode, done.stderr) == (2, "a.spec is given 2 times\n")


def test_ops_are_whole_and_on_one_line(desk: Desk) -> None:
    script = "echo '" + "long " * 200 + "'\necho end"
    desk.write("a.spec", sh(script))
    op = desk.plan("a.spec")["steps"][-1]["op"]
    assert len(op) > 1000
    assert op.endswith('\\necho end"))')


@pytest.mark.parametrize("form", ["dot", "mermaid", "html"])
def test_formats_to_come_say_so(desk: Desk, form: str) -> None:
    desk.write("a.spec", sh("true"))
    done = desk.run("plan", "a.spec", f"--format={form}")
    assert (done.returncode, "not supported yet" in done.stderr) == (2, True)


def test_a_plan_needs_no_secret(desk: Desk) -> None:
    desk.write("a.spec", sh("true", ops="(secrets (s (target /s))) "))
    assert desk.states("a.spec") == ["run", "run"]
