"""Plans, builds, questions and reports from Python: a script each, that says what it saw as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.desk import Desk

pytestmark = pytest.mark.root

HEAD = """
import io, json, sys
from stepwood import *
from system.errors import StepwoodError

saw = {{}}
out = sys.stdout = io.StringIO()  # no file, as in a notebook
trunk = build("trunk", Spec("bb", shell("/bin/sh", "-c"), run("echo trunk")))
workflow = Workflow(
    param("word", "leaf"), trunk,
    job("good", Spec(trunk, run("echo %{{word}} good"))),
    job("bad", Spec(trunk, run("echo error: bad; exit 3"))),
)
session = Session(store={store!r}, base={{"bb": "dir:{base}"}})
"""
TAIL = """
saw["printed"] = out.getvalue()
sys.__stdout__.write(json.dumps(saw))
"""


def script(desk: Desk, text: str) -> dict[str, Any]:
    """What a script put into `saw`."""
    whole = HEAD.format(store=desk.store, base=desk.base) + text + TAIL
    done = subprocess.run(
        [sys.executable, "-c", whole], **desk.settings(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    saw: dict[str, Any] = json.loads(done.stdout)
    return saw


def test_a_plan_is_what_the_command_says(desk: Desk) -> None:
    saw = script(desk, """
plan = session.plan(workflow, workers=[4])
saw |= {"text": repr(plan), "document": plan.document, "page": plan.html()[:15]}
saw["chosen"] = session.plan(workflow, only=["g*"]).document
open("w.workflow", "w").write("(workflow (job x ((from bb) (run (shell true)))))")
saw["file"] = session.plan("w.workflow").document["jobs"][0]["name"]
saw["spec"] = session.plan(Spec("bb", run("true"))).document["jobs"][0]["name"]
""")  # fmt: skip
    assert [job["name"] for job in saw["document"]["jobs"]] == ["good", "bad"]
    assert "run     ├─ " in saw["text"]
    assert "2 jobs, 6 steps, 4 distinct: 4 to run" in saw["text"]
    assert saw["page"] == "<!doctype html>"
    assert [job["name"] for job in saw["chosen"]["jobs"]] == ["good"]
    assert (saw["file"], saw["spec"]) == ("x", "spec")


def test_a_build_is_asked_about_and_reported(desk: Desk) -> None:
    saw = script(desk, """
ended = session.build(workflow, workers=2, values={"word": "root"})
saw |= {"outcome": ended.outcome, "code": ended.exit_code, "built": ended.totals.built, "batch": ended.batch}
saw["again"] = session.build(workflow, quiet=True, values={"word": "root"}).totals.cached
sql = "SELECT op, outcome FROM attempts JOIN steps ON steps.id = step WHERE outcome = ?"
saw["rows"] = session.query(sql, ["failed"])
saw["page"] = str(session.report("report", ended.batch))
""")  # fmt: skip
    assert (saw["outcome"], saw["code"], saw["built"], saw["again"]) == ("failed", 1, 3, 3)
    assert "good | root good\n" in saw["printed"]
    assert "bad | error: bad\n" in saw["printed"]
    assert saw["printed"].count("batch   ") == 1, "the quiet one prints nothing"
    assert saw["rows"][0] == {"op": '(run (shell "echo error: bad; exit 3"))', "outcome": "failed"}
    assert (desk.folder / saw["page"]).read_text().startswith("<!doctype html>")
    assert saw["batch"] in desk.ok("ls").stdout, "the same store as the command line's"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("session.query('SELECT 1')", "there is no index in"),
        ("session.report('out')", "there is no index in"),
        ("session.build(workflow, quiet=True); session.query('DELETE FROM steps')", "attempt to write"),
        ("session.build(workflow, quiet=True); session.query('SELEKT')", "the index cannot answer"),
        ("session.build(workflow, quiet=True); session.query('SELECT ?')", "the index cannot answer"),
        ("session.plan('none.spec')", "none.spec: No such file or directory"),
        ("session.plan(Spec(built('tool')))", '<python>:1:1: unknown build "tool"\nno build stands before this'),
        ("session.plan(workflow, values={'wird': 'x'})", '--set: no parameter is called "wird"'),
        ("session.plan(Workflow(job('a', Spec('x', run('%{y}')))))", 'unknown name "y"'),
        ("Session(pull='now').plan(workflow)", 'pull is "now"'),
    ],
)
def test_what_is_wrong_is_said_as_the_command_would(desk: Desk, asked: str, message: str) -> None:
    saw = script(desk, f"""
try:
    exec(compile({asked!r}, "cell", "exec"))
except StepwoodError as error:
    saw |= {{"error": str(error), "code": error.exit_code}}
""")  # fmt: skip
    assert message in saw["error"]
    assert saw["code"] == 2


def test_an_interrupt_stops_the_steps_and_python_goes_on(desk: Desk) -> None:
    saw = script(desk, """
import os, signal, threading
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
saw["outcome"] = session.build(Spec("bb", shell("/bin/sh", "-c"), run("sleep 100"))).outcome
saw["handler"] = signal.getsignal(signal.SIGINT) is signal.default_int_handler
""")  # fmt: skip
    assert (saw["outcome"], saw["handler"]) == ("cancelled", True)
    desk.at_rest()
