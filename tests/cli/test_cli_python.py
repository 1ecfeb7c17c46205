"""Workflows in Python, on the command line: as their text is, and what can be wrong with such a file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.desk import Desk

SPECS = Path(__file__).parents[2] / "specs"

TWO = """
from stepwood import Spec, Workflow, build, job, param, run, shell

trunk = build("trunk", Spec("bb", shell("/bin/sh", "-c"), run("echo trunk")))
workflow = Workflow(
    param("word", "leaf"),
    trunk,
    *(job(name, Spec(trunk, run(f"echo %{word} {name}")), labels={"kind": name[0]}) for name in ("aa", "bb")),
)
"""
TEXT = """(workflow
 (param word leaf)
 (build trunk ((from bb) (shell /bin/sh -c) (run (shell "echo trunk"))))
 (job aa (labels (kind a)) ((from (build trunk)) (run (shell "echo %{word} aa"))))
 (job bb (labels (kind b)) ((from (build trunk)) (run (shell "echo %{word} bb")))))
"""


def test_python_and_its_text_are_one_plan(desk: Desk) -> None:
    desk.write("a.py", TWO.replace("%{word}", "%{{word}}"))
    desk.write("a.workflow", TEXT)
    assert desk.plan("a.py") == desk.plan("a.workflow")
    assert desk.ok("dedup", "a.py").stdout.splitlines()[:9] == desk.ok("dedup", "a.workflow").stdout.splitlines()[:9]
    assert desk.ok("fmt", "a.py").stdout == desk.ok("fmt", "a.workflow").stdout
    chosen = desk.plan("a.py", "--only", "kind=a", "--set", "word=root")
    assert chosen == desk.plan("a.workflow", "--only", "kind=a", "--set", "word=root")
    assert [job["name"] for job in chosen["jobs"]] == ["aa"]


@pytest.mark.root
def test_it_is_built_and_looked_at_as_others_are(desk: Desk) -> None:
    desk.write("a.py", TWO.replace("%{word}", "%{{word}}"))
    desk.write("a.workflow", TEXT)
    assert "aa | leaf aa" in desk.ok("build", "a.py").stdout
    assert set(desk.states("a.workflow")) == {"cached"}
    assert desk.ok("why", "a.py").stdout == desk.ok("why", "a.workflow").stdout


def test_a_spec_is_one_job_of_the_files_name(desk: Desk) -> None:
    desk.write("greet.py", "from stepwood import *\nworkflow = Spec('bb', shell('/bin/sh', '-c'), run('echo hello'))\n")
    assert [job["name"] for job in desk.plan("greet.py")["jobs"]] == ["greet"]
    docker = desk.ok("dockerfile", "greet.py").stdout
    assert docker.splitlines()[-1] == "RUN echo hello"


def test_modules_beside_a_file_are_its_own(texts: Desk) -> None:
    """Though two have the same name; and what is wrong in one is told with the line that led there."""
    for folder in ("one", "two"):
        texts.write(f"{folder}/common.py", f"from stepwood import run\ndef greet(): return run('echo {folder}')\n")
        texts.write(
            f"{folder}/a.py", "from stepwood import Spec\nfrom common import greet\nworkflow = Spec('x', greet())\n"
        )
    printed = texts.ok("fmt", "one/a.py", "two/a.py").stdout
    assert "echo one" in printed
    assert "echo two" in printed
    texts.write("one/common.py", "from stepwood import run\ndef greet(): return run(7)\n")
    told = texts.run("check", "one/a.py").stderr
    assert told.startswith('one/a.py:3:1: a command must be text, not "7"')


def test_text_may_include_python_and_python_text(texts: Desk) -> None:
    texts.write("lib.py", "from stepwood import *\nworkflow = Workflow(param('a', '1'), include('more.workflow'))\n")
    texts.write("more.workflow", "(workflow (param b 2))")
    texts.write("all.workflow", "(workflow (include lib.py) (job j-%{a}-%{b} ((from x))))")
    texts.ok("check", "all.workflow")


def test_what_a_file_prints_is_no_part_of_a_plan(desk: Desk) -> None:
    desk.write("a.py", "print('reading')\n" + TWO.replace("%{word}", "%{{word}}"))
    done = desk.ok("plan", "--format=json", "a.py")
    assert json.loads(done.stdout)["jobs"]
    assert "reading" in done.stderr


def test_dataclasses_and_future_annotations_work_there(texts: Desk) -> None:
    texts.write("a.py", """from __future__ import annotations
from dataclasses import dataclass
from stepwood import Spec
@dataclass(slots=True)
class Package:
    name: str
workflow = Spec(Package("x").name)
""")  # fmt: skip
    assert texts.ok("fmt", "a.py").stdout == "((from x)\n)\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workflow = (", "1:12: SyntaxError: '(' was never closed"),
        ("x = 1\n  y = 2\n", "2: IndentationError: unexpected indent"),
        ("\0", "1:1: source code string cannot contain null bytes"),
        ("\n\n1 / 0\n", "3:1: ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('no')\n\nf()\n", "2:5: ValueError: no"),
        ("import nothing_of_this_name\n", "1:1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("import sys\nsys.exit(3)\n", "2:1: SystemExit: 3"),
        ("x = 1\n", "1:1: it defines no `workflow`"),
        ("workflow = []\n", "1:1: `workflow` is a list, and no Workflow or Spec"),
        ("from stepwood import *\nrun('x')\nrun(\n  7)\n", '3:1: a command must be text, not "7"'),
        ("from stepwood import run\nrun('x', time=3)\n", "2:1: TypeError: run() got an unexpected keyword"),
        ("from stepwood import build, Spec\nworkflow = Spec(build('tool', Spec('x')))\n", '2:1: unknown build "tool"'),
        (
            "from stepwood import *\nworkflow = Workflow(\n  job('a', Spec('x')),\n  job('a', Spec('x')))\n",
            '4:3: job "a" stands twice',
        ),
        (
            "from stepwood import *\nworkflow = Workflow(\n  job('a', Spec('x',\n    run('make %{who}'))))\n",
            '4:15: unknown name "who"',
        ),
        ("from stepwood import *\nworkflow = Workflow(include('none.py'))\n", "2:1: none.py: No such file"),
        ("from stepwood import *\nworkflow = Workflow(include('a.py'))\n", "2:1: an include that never ends: "),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(texts: Desk, text: str, told: str) -> None:
    texts.write("a.py", text)
    done = texts.run("check", "a.py")
    assert done.returncode == 2
    place, _, message = told.partition(" ")
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"a.py:{place}")
    assert message in first


def test_debug_shows_where_a_file_raised(desk: Desk) -> None:
    desk.write("a.py", "def f():\n    raise ValueError('no')\nf()\n")
    done = desk.run("--debug", "plan", "a.py", debug=True)
    assert "Traceback" in done.stderr
    assert 'File "a.py", line 2, in f' in done.stderr


@pytest.mark.parametrize("option", ["--check", "--write"])
def test_python_is_not_rewritten(texts: Desk, option: str) -> None:
    text = "from stepwood import Spec\nworkflow = Spec('x')\n"
    texts.write("a.py", text)
    done = texts.run("fmt", option, "a.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a.py is Python, which is not rewritten" in done.stderr
    assert (texts.folder / "a.py").read_text() == text


def test_what_a_spec_cannot_say_has_no_dockerfile(texts: Desk) -> None:
    texts.write("a.py", "from stepwood import *\nworkflow = Spec('x', run('make', timeout=9))\n")
    done = texts.run("dockerfile", "a.py")
    assert done.returncode == 2
    assert "a.py as text:2:8: timeout stands in workflows only" in done.stderr
    texts.write("b.py", "from stepwood import *\nworkflow = Workflow()\n")
    assert "b.py as text:1:1: this is a workflow, and a spec is expected" in texts.run("dockerfile", "b.py").stderr


def test_the_sample_in_python_makes_the_steps_of_the_sample_in_text(desk: Desk) -> None:
    base = ("--base", f"debian=dir:{desk.base}")
    python, text = (desk.plan(str(SPECS / f"levels.{end}"), *base) for end in ("py", "workflow"))
    assert python == text
    assert len(python["steps"]) == 26


@pytest.mark.root
def test_the_how_to_says_what_happens(desk: Desk) -> None:
    text = (SPECS.parent / "docs/howto/python.md").read_text()
    file, mistake, cells = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    desk.write("night.py", file)
    desk.ok("check", "night.py")
    assert desk.ok("fmt", "night.py").stdout.count(" (job ") == 3
    desk.write("night.py", file.replace("10m", "soon"))
    assert desk.run("check", "night.py").stderr == mistake
    here = f"Session(store={desk.store!r}, "
    script = cells.replace("Session(", here).replace("debootstrap:bookworm", f"dir:{desk.base}")
    done = subprocess.run(
        [sys.executable, "-c", script], **desk.settings(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (desk.folder / "report/index.html").exists()
