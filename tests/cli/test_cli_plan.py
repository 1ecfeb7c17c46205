"""`stepwood plan`: the document of docs/reference/cli.md, names of jobs, states; and that it makes nothing."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

import pytest

from engine.forest import LINES
from engine.index import Index
from engine.records import Attempt, Prediction, Totals
from tests.cli.desk import Desk, of, sh

pytestmark = pytest.mark.root

NUMBER = (float, int, type(None))
STEP = {
    "id": str, "kind": str, "inputs": list, "op": str, "jobs": int, "cached": bool, "state": str, "seconds": NUMBER,
}  # fmt: skip
TOTALS = {
    "jobs": int, "steps": int, "distinct": int, "cached": int, "to_run": int, "seconds": NUMBER, "critical_path": NUMBER
}  # fmt: skip
FETCH = {"bases": list, "network": int}
PREDICTION = {"work": float, "unknown": int, "path": list, "path_seconds": float, "makespans": list}
STAGES = """((build one ((from bb) (shell /bin/sh -c) (run (shell "echo 1 > /1"))))
 (from bb) (copy (from (build one)) (src /1) (dst /1)) (copy (src file) (dst /file)))"""


def holds(document: dict[str, Any], schema: dict[str, Any]) -> None:
    """Exactly these keys, each of its type; a bool is no int here."""
    assert list(document) == list(schema)
    for key, kind in schema.items():
        assert isinstance(document[key], kind), key
        assert kind is bool or not isinstance(document[key], bool), key


def conforms(plan: dict[str, Any]) -> None:
    assert list(plan) == ["version", "jobs", "steps", "totals", "fetch", "prediction"]
    assert plan["version"] == 1
    holds(plan["totals"], TOTALS)
    holds(plan["fetch"], FETCH)
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
    for base in plan["fetch"]["bases"]:
        holds(base, {"id": str, "base": str, "source": str})
    bases = [step["id"] for step in plan["steps"] if (step["kind"], step["state"]) == ("base", "run")]
    assert [base["id"] for base in plan["fetch"]["bases"]] == bases
    predicted = plan["prediction"]
    if predicted is None:
        return
    holds(predicted, PREDICTION)
    states = {step["id"]: step["state"] for step in plan["steps"]}
    assert {states[id] for id in predicted["path"]} == {"run"}
    assert predicted["unknown"] == sum(step["state"] == "run" and step["seconds"] is None for step in plan["steps"])
    assert predicted["path_seconds"] <= predicted["work"]
    for makespan in predicted["makespans"]:
        holds(makespan, {"workers": int, "p50": float, "p90": float})
        assert makespan["p50"] <= makespan["p90"]


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
    base = before["steps"][0]["id"]
    assert before["fetch"] == {"bases": [{"id": base, "base": "bb", "source": f"dir:{desk.base}"}], "network": 0}
    assert before["prediction"] is None
    assert {step["seconds"] for step in before["steps"]} == {None}
    assert not desk.place.exists(), "a plan makes no store"
    desk.ok("build", "chain.spec")
    after = desk.plan("stages.spec", "chain.spec")
    conforms(after)
    assert [job["steps"] for job in after["jobs"]] == [job["steps"] for job in before["jobs"]]
    assert sorted(step["state"] for step in after["steps"]) == ["cached"] * 3 + ["run"] * 2
    assert [step["seconds"] is None for step in after["steps"]] == [not step["cached"] for step in after["steps"]]
    assert after["prediction"] is None, "no copy was ever built"
    desk.ok("build", "stages.spec")
    done = desk.plan("stages.spec", "chain.spec")
    conforms(done)
    totals = done["totals"]
    assert (totals["to_run"], totals["seconds"], totals["critical_path"]) == (0, 0, 0)
    assert (done["fetch"], done["prediction"]) == ({"bases": [], "network": 0}, None)


def test_known_failures_and_what_waits_on_them(desk: Desk) -> None:
    desk.write("a.spec", sh("true", "exit 3", "true"))
    desk.run("build", "a.spec")
    assert desk.states("a.spec") == ["cached", "cached", "run", "run"]
    plan = json.loads(desk.ok("plan", "a.spec", "--format=json", "--no-retry-failed").stdout)
    conforms(plan)
    assert [step["state"] for step in plan["steps"]] == ["cached", "cached", "failed", "blocked"]
    assert (plan["totals"]["to_run"], plan["prediction"]) == (0, None)
    again = desk.run("build", "a.spec", "--no-retry-failed")
    assert again.returncode == 1
    assert "failed before" in again.stderr or "exit 3" in again.stderr


def test_predictions_come_from_history(desk: Desk) -> None:
    desk.write("a.spec", sh("sleep 0.3"))
    desk.ok("build", "a.spec")
    desk.ok("clean")
    plan = desk.plan("a.spec")
    conforms(plan)
    totals, predicted = plan["totals"], plan["prediction"]
    assert totals["to_run"] == 2
    assert 0.3 <= totals["critical_path"] <= totals["seconds"] < 3
    assert predicted["path"] == [step["id"] for step in plan["steps"]]
    assert (predicted["path_seconds"], predicted["work"]) == (totals["critical_path"], totals["seconds"])
    (makespan,) = predicted["makespans"]
    assert makespan["workers"] == os.cpu_count(), "as `build` has it"
    assert 0.2 < makespan["p50"] < makespan["p90"] < 9


def test_a_step_that_is_new_is_expected_to_take_what_steps_like_it_did(desk: Desk) -> None:
    desk.write("a.spec", sh("sleep 0.3"))
    desk.ok("build", "a.spec")
    desk.write("a.spec", sh("sleep 0.3; echo changed", ops="(network host) "))
    plan = desk.plan("a.spec")
    conforms(plan)
    assert plan["steps"][-1]["state"] == "run"
    assert 0.3 <= plan["steps"][-1]["seconds"] < 2
    assert plan["fetch"] == {"bases": [], "network": 1}
    told = desk.ok("plan", "a.spec").stdout.splitlines()
    assert told[3] == "network: 1 step to run has it"
    assert re.fullmatch(rf"predicted at -j {os.cpu_count()}: 0\.\d s, 9 of 10 runs within \d\.\d s", told[4])
    assert re.fullmatch(r"work: 0\.\d s in all", told[5])
    assert re.fullmatch(r"critical path: 0\.\d s, 1 step, to a", told[6])


def workers(desk: Desk, *arguments: str) -> dict[int, tuple[float, float]]:
    plan = json.loads(desk.ok("plan", "--format=json", "a.spec", "b.spec", *arguments).stdout)
    conforms(plan)
    return {one["workers"]: (one["p50"], one["p90"]) for one in plan["prediction"]["makespans"]}


def test_predictions_for_other_machines(desk: Desk) -> None:
    cores = os.cpu_count() or 1
    more = cores + 64
    for name in "ab":
        desk.write(f"{name}.spec", sh(f"sleep 0.5; echo {name}"))
    desk.ok("build", "a.spec", "b.spec")
    for name in "ab":
        desk.ok("delete", desk.final(f"{name}.spec"))
    found = workers(desk, "--what-if", "-j", f"{more}")
    assert list(found) == [cores, more]
    assert found[more][0] <= found[cores][0]
    assert list(workers(desk, "-j", "3", "-j", "1")) == [3, 1]
    one, two = workers(desk, "-j", "1", "-j", "2").values()
    assert one[0] > 1.5 * two[0]
    told = desk.ok("plan", "a.spec", "b.spec", "--what-if", "-j", f"{more}").stdout
    assert re.findall(r"^predicted at -j (\d+): ", told, re.M) == [f"{cores}", f"{more}"]


def test_memory_bounds_this_machine_and_not_one_that_is_thought_of(desk: Desk) -> None:
    for name in "ab":
        desk.write(f"{name}.spec", sh(f"sleep 0.5; echo {name}"))
    desk.ok("build", "a.spec", "b.spec")
    for name in "ab":
        final = desk.final(f"{name}.spec")
        with Index.open(desk.place / "index.db") as index:
            index.record_attempts(None, [Attempt(final, 1, time.time(), 0.5, "built", exit=0, peak_memory=1 << 50)])
        desk.ok("delete", final)
    (bound,) = workers(desk, "-j", "64").values()
    (free,) = [made for number, made in workers(desk, "--what-if", "-j", "64").items() if number == 64]
    assert bound[0] > 1.5 * free[0]


def test_predictions_that_were_far_off_make_later_ones_less_sure(desk: Desk) -> None:
    desk.write("a.spec", sh("sleep 0.3"))
    desk.ok("build", "a.spec")
    with Index.open(desk.place / "index.db") as index:
        for number in range(20):
            batch = index.begin_batch("x", jobs=1, steps=1, started=number, predicted=Prediction(10.0, 10.0))
            index.finish_batch(batch, "built", Totals(built=1), finished=number + 100.0)
    desk.write("a.spec", sh("sleep 0.3; echo changed"))
    (planned,) = desk.plan("a.spec")["prediction"]["makespans"]
    built = of(desk.ok("build", "a.spec", "--json"), "batch")[0]["predicted"]
    for predicted in (planned, built):
        assert predicted["p90"] > 5 * predicted["p50"]


@pytest.mark.parametrize("arguments", [["--what-if"], ["-j", "0"], ["-j", "x"], ["-j", "-1"]])
def test_a_machine_that_cannot_be_thought_of_is_2(desk: Desk, arguments: list[str]) -> None:
    desk.write("a.spec", sh("true"))
    done = desk.run("plan", "a.spec", *arguments)
    assert (done.returncode, done.stdout, "-j" in done.stderr) == (2, "", True)


def test_text_shows_each_step_once(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1", "echo 2"))
    desk.write("b.spec", sh("echo 1", "echo 3"))
    told = desk.ok("plan", "a.spec", "b.spec").stdout
    base, one, two, three = (step["id"][:12] for step in desk.plan("a.spec", "b.spec")["steps"])
    assert (
        told
        == f"""\
run     {base} (from bb)  ×2
run     {one} (run (shell "echo 1"))  ×2
run     ├─ {two} (run (shell "echo 2"))  → a
run     └─ {three} (run (shell "echo 3"))  → b
2 jobs, 6 steps, 4 distinct: 4 to run
fetch: bb from dir:{desk.base}
"""
    )
    assert desk.ok("plan", "a.spec", "b.spec", "-o", "out").stdout == ""
    assert (desk.folder / "out").read_text() == told


def test_of_many_steps_the_text_has_a_part_or_all(desk: Desk) -> None:
    values = " ".join(map(str, range(300)))
    body = '((from bb) (shell /bin/sh -c) (run (shell "echo %{n}")) (run (shell "echo end")))'
    desk.write("w.workflow", f"(workflow (job j-%{{n}} (matrix (n {values})) {body}))")
    part, whole = (desk.ok("plan", "w.workflow", *all).stdout.splitlines() for all in ([], ["--all"]))
    assert len(whole) == 601 + 2
    assert len(part) < 1.2 * LINES
    assert part[-2:] == whole[-2:], "sums are of all"
    (left,) = [line for line in part if "…" in line]
    assert re.fullmatch(r" {8}└─ … \d+ more branches, \d+ steps \(\d+ to run\)", left)
    assert not [line for line in whole if "…" in line]
    assert len(json.loads(desk.ok("plan", "w.workflow", "--format=json").stdout)["steps"]) == 601


def test_graphs_have_each_step_once_and_may_go_to_a_file(desk: Desk) -> None:
    desk.write("stages.spec", STAGES)
    desk.write("file", "x")
    desk.write("chain.spec", sh("echo 1 > /1", 'echo "2" > /2'))
    files = ["stages.spec", "chain.spec"]
    steps = desk.plan(*files)["steps"]
    edges = sum(len(step["inputs"]) for step in steps)
    dot, mermaid = ("dot", "digraph plan {\n", "\\n", " -> "), ("mermaid", "flowchart TD\n", "<br>", " --> ")
    for form, first, mark, edge in (dot, mermaid):
        graph = desk.ok("plan", *files, f"--format={form}").stdout
        assert graph.startswith(first)
        assert [graph.count(f"{step['id'][:12]}{mark}") for step in steps] == [1] * len(steps)
        assert graph.count(edge) == edges == 5
        assert desk.ok("plan", *files, f"--format={form}", "-o", form).stdout == ""
        assert (desk.folder / form).read_text() == graph


@pytest.mark.parametrize("form", ["text", "json", "dot", "mermaid"])
def test_a_file_that_cannot_be_written_is_2(desk: Desk, form: str) -> None:
    desk.write("a.spec", sh("true"))
    done = desk.run("plan", "a.spec", f"--format={form}", "-o", "no/such/folder")
    assert (done.returncode, "cannot write no/such/folder" in done.stderr) == (2, True)


def on_a_terminal(desk: Desk, *arguments: str, columns: int = 40, **more: str) -> list[str]:
    """The lines of `plan` as a terminal of that width gets them."""
    return desk.on_a_terminal("plan", *arguments, columns=columns, **more).decode().splitlines()


def half_built(desk: Desk) -> list[str]:
    """The plan of a job, half of which is there, as a pipe gets it."""
    desk.write("a.spec", sh("echo one is rather long a step", "echo two"))
    desk.ok("build", "a.spec")
    desk.write("a.spec", sh("echo one is rather long a step", "echo three is rather long a step"))
    return desk.ok("plan", "a.spec").stdout.splitlines()


def test_on_a_terminal_steps_are_cut_and_what_is_there_is_faint(desk: Desk) -> None:
    piped = half_built(desk)
    base, one, three, *sums = on_a_terminal(desk, "a.spec")
    assert base == f"\x1b[2m{piped[0][:40]}\x1b[0m"
    assert one == f"\x1b[2m{piped[1][:40]}\x1b[0m"
    assert three == piped[2][:40]
    assert sums == piped[3:]
    assert on_a_terminal(desk, "a.spec", columns=200)[2] == piped[2]


@pytest.mark.parametrize("more", [{"NO_COLOR": ""}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_gets_none(desk: Desk, more: dict[str, str]) -> None:
    piped = half_built(desk)
    assert on_a_terminal(desk, "a.spec", **more) == [*(line[:40] for line in piped[:3]), *piped[3:]]


def test_what_is_no_terminal_gets_whole_lines_without_colours(desk: Desk) -> None:
    piped = half_built(desk)
    assert max(map(len, piped[:3])) > 40
    assert "\x1b" not in "".join(piped)
    assert on_a_terminal(desk, "a.spec", "-o", "out") == []
    assert (desk.folder / "out").read_text().splitlines() == piped, "nor does a file that a terminal asks for"


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


@pytest.mark.parametrize("form", ["svg", "HTML", "DOT", ""])
def test_a_format_that_is_not_there_says_which_are(desk: Desk, form: str) -> None:
    desk.write("a.spec", sh("true"))
    done = desk.run("plan", "a.spec", f"--format={form}")
    assert (done.returncode, "not supported yet" in done.stderr) == (2, True)
    assert "text, json, dot, mermaid, html" in done.stderr


def test_a_plan_needs_no_secret(desk: Desk) -> None:
    desk.write("a.spec", sh("true", ops="(secrets (s (target /s))) "))
    assert desk.states("a.spec") == ["run", "run"]
