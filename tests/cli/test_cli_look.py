"""Commands that look at a store and look after it."""

from __future__ import annotations

import json
import subprocess

import pytest

from engine.logbook import Logbook
from tests.cli.desk import Desk, sh, until

pytestmark = pytest.mark.root


def built(desk: Desk) -> str:
    desk.write("a.spec", sh("echo one", "printf 'two\\000\\377'"))
    desk.ok("build", "a.spec")
    return desk.final("a.spec")


def test_without_a_store_there_is_nothing(desk: Desk) -> None:
    for command in (["ls"], ["show", "x"], ["log", "x"], ["why", "x"], ["delete", "x"], ["fsck", "--rebuild-index"]):
        done = desk.run(*command)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert str(desk.place) in done.stderr
    for command in (["df"], ["fsck"], ["clean"]):
        assert desk.run(*command).returncode == 0
    assert not desk.place.exists()


def test_a_log_by_step_prefix_and_job(desk: Desk) -> None:
    final = built(desk)
    first = desk.plan("a.spec")["steps"][1]["id"]
    assert desk.ok("log", first).stdout == desk.ok("log", first[:10]).stdout == "one\n"
    assert desk.ok("log", final).stdout == desk.ok("log", "a").stdout == "two\0\ufffd"
    assert desk.ok("log", "-f", first).stdout == "one\n"
    done = desk.run("log", "nothing")
    assert (done.returncode, 'starts with "nothing"' in done.stderr) == (2, True)


def test_following_a_log_that_fails_again(desk: Desk) -> None:
    """The log of now, not of the time before, from its first to its last word."""
    desk.write("a.spec", sh("cat /proc/sys/kernel/random/uuid; sleep 1; echo last; exit 1"))
    assert desk.run("build", "a.spec").returncode == 1
    final = desk.final("a.spec")
    with desk.started("build", "a.spec") as engine:
        assert engine.stdout is not None
        mark = engine.stdout.readline()
        assert desk.ok("log", "-f", final).stdout == f"{mark}last\n"
        engine.communicate(timeout=20)
    assert desk.ok("log", final).stdout == f"{mark}last\n"


LONG = "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done"


def compress(desk: Desk) -> None:
    """What a build's logbook does with every log when its step has ended."""
    with Logbook(desk.place) as book:
        for file in (desk.place / "logs").glob("*.log"):
            book.add(file.name.partition(".")[0], f"logs/{file.name}", file.stat().st_mtime)


def raw(desk: Desk, *arguments: str) -> bytes:
    return subprocess.run(desk.argv(*arguments), **desk.settings(), capture_output=True, check=True, timeout=60).stdout


def test_a_compressed_log_is_printed_as_it_was_written(desk: Desk) -> None:
    desk.write("a.spec", sh(f"{LONG}; printf 'end\\000\\377'"))
    desk.ok("build", "a.spec")
    final = desk.final("a.spec")
    compress(desk)
    assert [file.suffix for file in (desk.place / "logs").glob(f"{final}.*")] == [".zst"]
    assert (
        raw(desk, "log", "a")
        == raw(desk, "log", "-f", final)
        == b"".join(b"line %d\n" % i for i in range(1000)) + (b"end\0\xff")
    )
    (attempt,) = json.loads(desk.ok("show", final, "--json").stdout)["attempts"]
    assert attempt["log"].endswith(".log")
    next((desk.place / "logs").glob(f"{final}.*")).unlink()
    assert desk.ok("log", "a").stdout == ""


def test_following_a_log_that_is_compressed_meanwhile(desk: Desk) -> None:
    desk.write("a.spec", sh(f"echo ready; {LONG}; sleep 1; {LONG}; echo last"))
    with desk.started("build", "a.spec") as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "ready\n"
        with desk.started("log", "-f", desk.final("a.spec")) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "ready\n"
            engine.communicate(timeout=20)
            compress(desk)
            rest = follower.stdout.read()
    assert rest == "".join(f"line {i}\n" for i in range(1000)) * 2 + "last\n"


def test_searching_the_logs(desk: Desk) -> None:
    desk.write("a.spec", sh("echo a needle; echo in hay"))
    desk.write("b.spec", sh("echo; printf 'b \\033[31mNeedle\\033[0m\\a\\n'; exit 1"))
    for name in ("a", "b"):
        desk.run("build", f"{name}.spec")
        compress(desk)
    told = desk.ok("log", "--search", "needle").stdout
    first, second, third, fourth = told.splitlines()
    assert first.startswith(desk.final("b.spec")[:12])
    assert first.endswith(' exit 1"))')
    assert second == "  2: b Needle\\x07"
    assert third.startswith(desk.final("a.spec")[:12])
    assert fourth == "  1: a needle"
    assert desk.ok("log", "--search", "needle", "-n", "1").stdout == f"{first}\n{second}\n"
    (found,) = json.loads(desk.ok("log", "--search", "hay", "needle", "--json").stdout)["logs"]
    assert (found["step"], found["op"].startswith("(run ")) == (desk.final("a.spec"), True)
    assert [(line["number"], line["words"]) for line in found["lines"]] == [(1, ["needle"]), (2, ["hay"])]
    nothing = desk.ok("log", "--search", "-Werror")
    assert (nothing.stdout, nothing.stderr) == ("", "nothing found\n")
    assert json.loads(desk.ok("log", "--search", "-Werror", "--json").stdout) == {"version": 1, "logs": []}
    for wrong in (["--search", "*"], ["--search", "a", "-f"], [], ["a", "b"], ["a", "--json"]):
        assert desk.run("log", *wrong).returncode == 2


def test_delete_and_clean_take_the_logs_along(desk: Desk) -> None:
    desk.write("a.spec", sh("echo needle one", f"echo needle two; {LONG}"))
    desk.ok("build", "a.spec")
    compress(desk)
    final, first = desk.final("a.spec"), desk.plan("a.spec")["steps"][1]["id"]
    desk.ok("delete", final)
    assert [file.name[:64] for file in (desk.place / "logs").iterdir()] == [first]
    assert desk.ok("log", "--search", "needle").stdout.splitlines()[1:] == ["  1: needle one"]
    desk.ok("clean")
    assert list(desk.place.glob("logs.db*")) == []
    assert "nothing found" in desk.ok("log", "--search", "needle").stderr


def test_a_step_that_never_ran_has_no_log(desk: Desk) -> None:
    desk.write("a.spec", sh("exit 1", "true"))
    desk.run("build", "a.spec")
    done = desk.run("log", desk.final("a.spec"))
    assert (done.returncode, "has never run" in done.stderr) == (2, True)


def test_ls_and_show(desk: Desk) -> None:
    final = built(desk)
    (batch,) = json.loads(desk.ok("ls", "--json").stdout)
    assert batch["jobs"] == [{"name": "a", "final": final, "outcome": "built"}]
    assert f"{final[:12]} a\n" in desk.ok("ls").stdout
    step = json.loads(desk.ok("show", final[:12], "--json").stdout)
    assert (step["kind"], step["snapshot"], step["attempts"][0]["outcome"]) == ("run", True, "built")
    assert json.loads(desk.ok("show", "a", "--json").stdout)["step"] == final
    assert json.loads(desk.ok("show", batch["id"], "--json").stdout)["jobs"][0]["name"] == "a"
    assert f"step: {final}" in desk.ok("show", final).stdout
    assert desk.run("show", "nothing").returncode == 2
    assert desk.run("show", "").returncode == 2


def test_why_follows_the_first_difference_down(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1", "echo same"))
    desk.write("b.spec", sh("echo 2", "echo same"))
    desk.ok("build", "a.spec", "b.spec")
    a, b = (job["final"] for job in desk.plan("a.spec", "b.spec")["jobs"])
    told = desk.ok("why", a, b).stdout
    assert told.index("echo same") < told.index('"echo 1"') < told.index('"echo 2"')
    assert desk.ok("why", a, a).stdout == "the two are the same step\n"
    assert desk.ok("why", a).stdout.startswith(f'{a} (run (shell "echo same"))\n')
    assert desk.run("why", a, "nothing").returncode == 2


def test_a_lost_index_is_rebuilt_with_its_durations(desk: Desk) -> None:
    final = built(desk)
    before = desk.plan("a.spec")
    for file in desk.place.glob("index.db*"):
        file.unlink()
    assert desk.run("show", final).returncode == 2
    assert "3 snapshots" in desk.ok("fsck", "--rebuild-index").stderr
    assert desk.plan("a.spec") == before
    assert json.loads(desk.ok("show", final, "--json").stdout)["attempts"][0]["outcome"] == "built"
    assert desk.ok("log", final).stdout == "two\0\ufffd"
    assert "3 cached" in desk.ok("build", "a.spec").stderr


def test_fsck_finds_what_is_broken(desk: Desk) -> None:
    final = built(desk)
    assert (desk.ok("fsck").stdout, desk.ok("fsck").stderr) == ("", "")
    (desk.place / "snapshots" / final / "meta.json").write_text("{")
    done = desk.run("fsck")
    assert (done.returncode, done.stderr.startswith(f"{final}: ")) == (3, True)


def test_df_counts_bytes(desk: Desk) -> None:
    final = built(desk)
    found = json.loads(desk.ok("df", "--json").stdout)
    assert found["store"] == desk.store
    parts = {part["name"]: part["bytes"] for part in found["parts"] if part["kind"] == "snapshot"}
    assert final in parts
    assert found["totals"]["snapshot"] == sum(parts.values()) > 500_000
    assert desk.ok("df").stdout.startswith(f"{desk.store}\n")
    logs = [part["bytes"] for part in found["parts"] if part["kind"] == "logs"]
    assert len(logs) == 2
    assert found["totals"]["logs"] == sum(logs) >= 1024


def test_delete_and_clean_leave_a_busy_store_alone(desk: Desk) -> None:
    final = built(desk)
    desk.write("slow.spec", sh("echo ready; sleep 2"))
    with desk.started("build", "slow.spec") as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "ready\n"
        for command in (["delete", final], ["clean"]):
            done = desk.run(*command)
            assert (done.returncode, "in use" in done.stderr) == (3, True)
        engine.communicate(timeout=20)
    assert engine.returncode == 0
    assert desk.ok("delete", final[:10]).stderr == f"deleted {final[:12]}\n"
    assert desk.states("a.spec") == ["cached", "cached", "run"]
    desk.ok("clean")
    assert desk.states("a.spec") == ["run"] * 3
    assert list((desk.place / "logs").iterdir()) == []
    assert desk.ok("build", "a.spec").stdout == "one\ntwo\0\ufffd"
    until(lambda: list((desk.place / "work").iterdir()) == [])


def test_ls_shows_of_many_jobs_those_that_failed_first(desk: Desk) -> None:
    body = '((from bb) (shell /bin/sh -c) (run (shell "test %{n} != 7")))'
    numbers = " ".join(map(str, range(150)))
    desk.write("many.workflow", f"(workflow (job j%{{n}} (matrix (n {numbers})) {body}))")
    assert desk.run("build", "many.workflow").returncode == 1
    head, first, *_, last = desk.ok("ls").stdout.splitlines()
    assert head.endswith(" failed, 150 jobs")
    assert first.startswith("  failed ") and first.endswith(" j7")
    assert last.startswith("  … and 50 more; stepwood show ")
    assert len(json.loads(desk.ok("ls", "--json").stdout)[0]["jobs"]) == 150
