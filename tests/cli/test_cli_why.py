"""`stepwood why FILE…`: the causes of what a build would run, with what they cost."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.desk import Desk, sh

pytestmark = pytest.mark.root

TIME = re.compile(r"\d[\d.]* (?:s|min)\b")


def why(desk: Desk, *files: str) -> list[str]:
    """The lines, with `T` for times and without ids, which must be those of steps of these files."""
    ids = {step["id"][:12] for step in desk.plan(*files)["steps"]}
    lines = desk.ok("why", *files).stdout.splitlines()
    shown = {line.split()[0] for line in lines if re.match(r"  \w{12} \(", line)}
    assert shown <= ids
    return [TIME.sub("T", re.sub(r"^  \w{12} \(", "  (", line)) for line in lines]


def changing_base(desk: Desk, tmp_path: Path) -> Desk:
    """The same desk with a base of its own."""
    assert desk.base is not None
    shutil.copytree(desk.base, tmp_path / "own", symlinks=True)
    return Desk(desk.folder, desk.store, tmp_path / "own")


def test_without_a_store_everything_is_new(desk: Desk) -> None:
    desk.write("a.spec", sh("true"))
    desk.write("b.spec", sh("false"))
    assert why(desk, "a.spec", "b.spec") == ["base was never built before: 3 steps", "  (from bb)"]
    assert not desk.place.exists(), "who only asks makes no store"


def test_where_all_is_there_nothing_would_run(desk: Desk) -> None:
    desk.write("a.spec", sh("true"))
    desk.ok("build", "a.spec")
    assert why(desk, "a.spec") == ["nothing would run: every step is cached"]


def test_a_base_that_changed(desk: Desk, tmp_path: Path) -> None:
    desk = changing_base(desk, tmp_path)
    desk.write("a.spec", sh("echo 1", "echo 2"))
    desk.write("b.spec", sh("echo 1", "echo 3"))
    desk.ok("build", "a.spec", "b.spec")
    assert desk.base is not None
    (desk.base / "news").write_text("")
    cause, root, change = why(desk, "a.spec", "b.spec")
    assert (cause, root) == ("base digest changed: 4 steps, T", "  (from bb)")
    before, now = re.fullmatch(r'    "([^"]+)" → "([^"]+)"', change).groups()  # type: ignore[union-attr]
    assert before != now


def test_a_command_that_changed_and_one_that_was_put_in(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1", "echo 2", "echo 3"))
    desk.ok("build", "a.spec")
    desk.write("a.spec", sh("echo 1", "echo two", "echo 3"))
    assert why(desk, "a.spec") == [
        "run command changed: 2 steps, T",
        '  (run (shell "echo two"))',
        '    "echo 2" → "echo two"',
    ]
    desk.write("a.spec", sh("echo 1", "echo 1.5", "echo 2", "echo 3"))
    assert why(desk, "a.spec") == ["run was never built before: 3 steps, T", '  (run (shell "echo 1.5"))']


def test_of_long_commands_what_is_around_the_change_is_shown(desk: Desk) -> None:
    desk.write("a.spec", sh(f"echo {'same ' * 50}old {'tail ' * 50}"))
    desk.ok("build", "a.spec")
    desk.write("a.spec", sh(f"echo {'same ' * 50}new {'tail ' * 50}"))
    _, root, change = why(desk, "a.spec")
    assert root.startswith('  (run (shell "echo same same')
    assert root.endswith("…")
    before, now = change.strip().split(" → ")
    assert re.fullmatch(r"…[same ]{25,35}old [tail ]{60,100}…", before)
    assert now == before.replace("old", "new")


def test_a_command_that_failed_and_what_waits_for_it(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1", "exit 3", "echo 3"))
    assert desk.run("build", "a.spec").returncode == 1
    # Of how long it takes the one that was built tells, as it is a run too.
    assert why(desk, "a.spec") == ["run failed the last time: 2 steps, T", '  (run (shell "exit 3"))']


def test_a_snapshot_that_is_gone(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1", "echo 2"))
    desk.ok("build", "a.spec")
    desk.ok("delete", desk.final("a.spec"))
    assert why(desk, "a.spec") == ["run was built, but its snapshot is gone: 1 step, T", '  (run (shell "echo 2"))']


def test_several_causes_are_summed_up(desk: Desk) -> None:
    """Those that cost most first. The copy has both as causes, and counts once in all."""
    spec = """((build one ((from bb) (shell /bin/sh -c) (run (shell "sleep 0.5; echo 1 > /1"))))
     (from bb) (copy (src file) (dst /file)) (copy (from (build one)) (src /1) (dst /1)))"""
    desk.write("file", "x")
    desk.write("a.spec", spec)
    desk.ok("build", "a.spec")
    desk.write("file", "another")
    desk.write("a.spec", spec.replace("sleep 0.5", "sleep 0.4"))
    lines = why(desk, "a.spec")
    assert [line for line in lines if not line.startswith("    ")] == [
        "run command changed: 2 steps, T",
        '  (run (shell "sleep 0.4; echo 1 > /1"))',
        "copy files changed: 2 steps, T",
        "  (copy (src file) (dst /file))",
        "in all: 3 steps, T",
    ]


def test_what_nothing_is_known_of_has_no_time(desk: Desk) -> None:
    desk.write("file", "x")
    desk.write("a.spec", sh("true"))
    desk.ok("build", "a.spec")
    desk.write("b.spec", '((from bb) (copy (src file) (dst /)) (shell /bin/sh -c) (run (shell "true")))')
    assert why(desk, "b.spec")[0] == "copy was never built before: 2 steps, T and 1 without history"
    desk.write("c.spec", "((from bb) (copy (src file) (dst /)))")
    assert why(desk, "c.spec")[0] == "copy was never built before: 1 step"


def test_of_many_alike_five_are_named(desk: Desk) -> None:
    desk.write("first.spec", sh("true"))
    desk.ok("build", "first.spec")
    files = [desk.write(f"{number}.spec", sh(f"echo {number}")) for number in range(5)]
    assert why(desk, *files) == ["run was never built before: 5 steps, T"] + [
        f'  (run (shell "echo {number}"))' for number in range(5)
    ]
    files += [desk.write(f"{number}.spec", sh(f"echo {number}")) for number in range(5, 7)]
    lines = why(desk, *files)
    assert lines[0] == "run was never built before: 7 steps, T"
    assert lines[-2:] == ['  (run (shell "echo 4"))', "  … and 2 more"]


def test_what_starts_elsewhere_shows_no_ids(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1", "echo 2"))
    desk.ok("build", "a.spec")
    desk.write("a.spec", sh("echo 2"))
    assert why(desk, "a.spec") == ["what run starts from changed: 1 step, T", '  (run (shell "echo 2"))']


def test_a_workflow_with_choices_and_a_file_that_is_not_there(desk: Desk) -> None:
    job = "(job %{n} (matrix (n one two)) ((from %{base}) (run (shell %{n}))))"
    desk.write("w.workflow", f"(workflow (param base other) {job})")
    lines = desk.ok("why", "w.workflow", "--only", "one", "--set", "base=bb").stdout.splitlines()
    assert lines[0] == "base was never built before: 2 steps"
    assert desk.run("why", "w.workflow", "--only", "three").returncode == 2
    assert desk.run("why", "no.spec").returncode == 2
