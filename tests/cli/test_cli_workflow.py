"""Workflow files on the command line: check, fmt, plan, build; `--set`, `--only`; and several files together."""

from __future__ import annotations

import pytest

from tests.cli.desk import Desk, of, sh

pytestmark = pytest.mark.root

WORKFLOW = """(workflow
 (param word hello)
 (build base
  ((from bb)
   (shell /bin/sh -c)
   (workdir /w)
   (run (shell "echo base > base"))))
 (job %{kind}-%{n}
  (matrix (kind cat rev) (n 1 2) (exclude (kind rev) (n 2)))
  (labels (team core))
  ((from (build base)) (run (shell "cat base; echo %{word} %{kind} %{n}; pwd"))))
 (job last (priority high) ((from bb) (copy (from (build base)) (src /w/base) (dst /copied)) (shell /bin/sh -c)
  (run (shell "cat /copied")))))
"""


def names(desk: Desk, *arguments: str) -> list[str]:
    return [job["name"] for job in desk.plan(*arguments)["jobs"]]


def refused(desk: Desk, *arguments: str) -> str:
    done = desk.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_a_workflow_is_planned_and_built_each_distinct_step_once(desk: Desk) -> None:
    desk.write("w.workflow", WORKFLOW)
    plan = desk.plan("w.workflow")
    assert [job["name"] for job in plan["jobs"]] == ["cat-1", "cat-2", "rev-1", "last"]
    assert plan["totals"]["distinct"] == 2 + 3 + 2
    assert plan["totals"]["steps"] == 3 * 3 + 4

    done = desk.ok("build", "w.workflow", "--json")
    assert {job["name"]: job["outcome"] for job in of(done, "job")} == dict.fromkeys(names(desk, "w.workflow"), "built")
    said = "".join(event["text"] for event in of(done, "log"))
    assert sorted(said.splitlines()) == sorted(
        ["base", "hello cat 1", "/w", "base", "hello cat 2", "/w", "base", "hello rev 1", "/w", "base"]
    )
    assert set(desk.states("w.workflow")) == {"cached"}


def test_what_a_workflow_and_a_plain_spec_share_is_built_once(desk: Desk) -> None:
    desk.write("w.workflow", '(workflow (job a ((from bb) (shell /bin/sh -c) (run (shell "echo x")))))')
    desk.write("b.spec", sh("echo x", "echo y"))
    assert names(desk, "w.workflow", "b.spec") == ["a", "b"]
    assert desk.plan("w.workflow", "b.spec")["totals"]["distinct"] == 3


def test_set_wins_over_the_default(desk: Desk) -> None:
    desk.write("w.workflow", WORKFLOW)
    ops = [step["op"] for step in desk.plan("w.workflow", "--set", "word=a b=c")["steps"]]
    assert '(run (shell "cat base; echo a b=c cat 1; pwd"))' in ops


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (["team=core"], ["cat-1", "cat-2", "rev-1"]),
        (["kind=cat"], ["cat-1", "cat-2"]),
        (["kind=c*"], ["cat-1", "cat-2"]),
        (["*-1"], ["cat-1", "rev-1"]),
        (["last"], ["last"]),
        (["n=2", "last"], ["cat-2", "last"]),
    ],
)
def test_only_chooses_by_label_matrix_or_name(desk: Desk, only: list[str], chosen: list[str]) -> None:
    desk.write("w.workflow", WORKFLOW)
    assert names(desk, "w.workflow", *[word for one in only for word in ("--only", one)]) == chosen


def test_only_chooses_among_plain_specs_too(desk: Desk) -> None:
    desk.write("w.workflow", WORKFLOW)
    desk.write("one.spec", sh("true"))
    assert names(desk, "one.spec", "w.workflow", "--only", "o*") == ["one"]


def test_includes_are_read_beside_their_file_and_copy_from_there(desk: Desk) -> None:
    desk.write("lib/base.workflow", "(workflow (build base ((from bb) (copy (src file) (dst /file)))))")
    desk.write("lib/file", "from lib")
    desk.write("w.workflow", """(workflow (include lib/base.workflow)
      (job a ((from (build base)) (shell /bin/sh -c) (run (shell "cat /file")))))""")  # fmt: skip
    assert desk.ok("build", "w.workflow").stdout == "from lib"
    desk.write("lib/loop.workflow", "(workflow\n (include ../loop.workflow))")
    desk.write("loop.workflow", "(workflow (include lib/loop.workflow))")
    assert "lib/loop.workflow:2:3: an include that never ends: loop.workflow includes" in refused(
        desk, "plan", "loop.workflow"
    )


def test_a_workflow_from_standard_input(desk: Desk) -> None:
    done = desk.run("build", "-", input='(workflow (job in ((from bb) (shell /bin/sh -c) (run (shell "echo read")))))')
    assert (done.returncode, done.stdout) == (0, "read\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "wrod=x"], '--set: no parameter is called "wrod"\ndid you mean "word"?'),
        (["--set", "x"], '--set takes NAME=VALUE, not "x"'),
        (["--only", "team=cor"], '--only: no job matches "team=cor"\ndid you mean "team=core"?'),
        (["--only", "zzz"], '--only: no job matches "zzz"'),
    ],
)
def test_a_choice_that_chooses_nothing(desk: Desk, arguments: list[str], said: str) -> None:
    desk.write("w.workflow", WORKFLOW)
    assert said in refused(desk, "plan", "w.workflow", *arguments)


def test_a_parameter_that_must_be_set(desk: Desk) -> None:
    desk.write("w.workflow", "(workflow (param base) (job a ((from %{base}))))")
    said = refused(desk, "plan", "w.workflow")
    assert 'w.workflow:1:12: parameter "base" has no value' in said
    assert said.endswith("set it: --set base=VALUE\n")
    assert names(desk, "w.workflow", "--set", "base=bb") == ["a"]


def test_two_files_with_a_job_of_one_name(desk: Desk) -> None:
    for file in ("one.workflow", "two.workflow"):
        desk.write(file, f"(workflow (job a ((from bb) (env FILE {file}))))")
    assert '2 of these files have a job called "a"' in refused(desk, "plan", "one.workflow", "two.workflow")


def test_an_error_while_planning_names_the_file_of_the_op(desk: Desk) -> None:
    desk.write("lib.workflow", "(workflow\n (build base ((from bb) (copy (src gone) (dst /)))))")
    desk.write("w.workflow", "(workflow (include lib.workflow) (job a ((from (build base)))))")
    assert 'lib.workflow:2:26: source path "gone" not found' in refused(desk, "build", "w.workflow")


def test_check_finds_what_an_expansion_would(texts: Desk) -> None:
    texts.write("good.workflow", "(workflow (param p) (build b-%{p} ((from x))) (job a ((from (build b-%{p})))))")
    texts.write("bad.workflow", "(workflow (param p) (job a ((from %{q}))))")
    assert texts.run("check", "good.workflow").returncode == 0
    done = texts.run("check", "good.workflow", "bad.workflow")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('bad.workflow:1:35: unknown name "q"')
    texts.write("set.workflow", "(workflow (param n) (job a ((from x) (user (uid %{n}) (gid 0)))))")
    assert texts.run("check", "set.workflow").returncode == 0
    assert texts.run("check", "set.workflow", "--set", "n=me").returncode == 2


def test_fmt_writes_workflows(texts: Desk) -> None:
    texts.write("w.workflow", "(workflow (param a 1) ; one\n (job x ((from (build y)))))")
    assert texts.run("fmt", "--check", "w.workflow").returncode == 1
    texts.ok("fmt", "--write", "w.workflow")
    assert (texts.folder / "w.workflow").read_text() == (
        "(workflow\n (param a 1) ; one\n (job x\n  ((from (build y))))\n)\n"
    )
    assert texts.run("fmt", "--check", "w.workflow").returncode == 0


def test_a_workflow_has_no_dockerfile(texts: Desk) -> None:
    texts.write("w.workflow", "(workflow (job x ((from y))))")
    assert "w.workflow:1:1: this is a workflow" in texts.run("dockerfile", "w.workflow").stderr


def test_merges_are_planned_and_not_built_yet(desk: Desk) -> None:
    desk.write(
        "m.workflow",
        """(workflow (build a ((from bb) (shell /bin/sh -c) (run (shell "echo a >/a"))))
          (build b ((from bb) (shell /bin/sh -c) (run (shell "echo b >/b"))))
          (job j ((from (merge a b)) (run (shell "cat /a /b")))))""",
    )
    plan = desk.plan("m.workflow")
    assert [step["kind"] for step in plan["steps"]] == ["base", "run", "run", "merge", "run"]
    assert [len(step["inputs"]) for step in plan["steps"]] == [0, 1, 1, 2, 1]
    done = desk.run("build", "m.workflow")
    assert done.returncode == 2
    assert done.stderr.startswith("a merge cannot be built yet: merging comes next")
    assert desk.states("m.workflow") == ["run"] * 5, "nothing of it ran"
