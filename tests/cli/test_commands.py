"""The command as people and scripts run it: what it prints, where, and its exit code."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import counts

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.root

CHAIN = """((from bb) (shell /bin/sh -c)
 (run (shell "echo one; echo 1 > /a"))
 (run (shell "cat /a; echo 2 > /b")))
"""


def command(folder: Path, root: Path, *arguments: str) -> list[str]:
    """`stepwood …`, with the store and the base where the command takes them."""
    argv = [sys.executable, "-m", "stepwood", *arguments]
    if arguments[0] not in ("check", "fmt", "dockerfile", "--help"):
        argv += ["--store", f"overlay:{folder}/store"]
    if arguments[0] in ("plan", "build", "why"):
        argv += ["--base", f"bb=dir:{root}"]
    return argv


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "default"}


@pytest.fixture
def run(tmp_path: Path, bb: Path) -> Run:
    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(tmp_path, bb, *arguments),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **options,
        )
        assert "Traceback" not in done.stderr
        return done

    (tmp_path / "a.spec").write_text(CHAIN)
    return run


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# Texts


def test_check_prints_nothing_on_success_and_a_caret_otherwise(run: Run, tmp_path: Path) -> None:
    assert (run("check", "a.spec").returncode, run("check", "a.spec").stdout) == (0, "")
    (tmp_path / "bad.spec").write_text('((from bb)\n (rum (shell "x")))\n')
    done = run("check", "bad.spec")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("bad.spec:2:3: ")
    assert 'did you mean "run"?' in done.stderr


def test_fmt_is_a_fixed_point(run: Run) -> None:
    once = run("fmt", "a.spec").stdout
    assert run("fmt", "-", input=once).stdout == once


@pytest.mark.parametrize("file", ["missing.spec", "."])
def test_a_file_that_cannot_be_read_is_2(run: Run, file: str) -> None:
    assert run("check", file).returncode == 2
    assert run("build", file).returncode == 2


def test_unknown_commands_and_those_to_come_are_2(run: Run) -> None:
    done = run("biuld", "a.spec")
    assert (done.returncode, 'did you mean "build"?' in done.stderr) == (2, True)
    assert "not supported yet" in run("prune").stderr
    assert run("prune").returncode == 2


# Plans


def test_plan_makes_no_store(run: Run, tmp_path: Path) -> None:
    done = run("plan", "a.spec", "--format=json")
    plan = json.loads(done.stdout)
    assert plan["version"] == 1
    assert plan["totals"] == {
        "jobs": 1,
        "steps": 3,
        "distinct": 3,
        "cached": 0,
        "to_run": 3,
        "seconds": None,
        "critical_path": None,
    }
    seen: set[str] = set()
    for step in plan["steps"]:
        assert set(step["inputs"]) <= seen
        assert step["state"] == "run"
        seen.add(step["id"])
    assert plan["jobs"][0]["final"] == plan["steps"][-1]["id"]
    assert not (tmp_path / "store").exists()


# Builds


def test_a_second_build_is_cached_and_replays_its_logs(run: Run) -> None:
    first, second, quiet = run("build", "a.spec"), run("build", "a.spec"), run("build", "-q", "a.spec")
    assert [done.returncode for done in (first, second, quiet)] == [0, 0, 0]
    assert first.stdout == second.stdout == "one\n1\n"
    assert quiet.stdout == ""
    assert "3 built" in first.stderr
    assert "3 cached" in second.stderr


def test_several_jobs_share_steps_and_name_their_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b.spec").write_text(CHAIN.replace("echo 2 > /b", "echo 3 > /b"))
    done = run("build", "a.spec", "b.spec", "--json")
    starts = [event["id"] for event in events(done) if event["event"] == "start"]
    finishes = [event["id"] for event in events(done) if event["event"] == "finish"]
    assert len(starts) == len(set(starts)) == 4
    assert sorted(starts) == sorted(finishes)
    jobs = {event["name"]: event["outcome"] for event in events(done) if event["event"] == "job"}
    assert jobs == {"a": "built", "b": "built"}
    assert events(done)[-1]["event"] == "batch"
    again = run("build", "a.spec", "b.spec")
    assert all(line.startswith(("a | ", "b | ")) for line in again.stdout.splitlines())


def test_a_failed_step_skips_what_needs_it_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.spec").write_text(
        '((from bb) (shell /bin/sh -c) (run (shell "echo no; exit 3")) (run (shell "true")))'
    )
    done = run("build", "bad.spec", "a.spec", "--json")
    assert done.returncode == 1
    ends = {event["id"]: event for event in events(done) if event["event"] == "finish"}
    assert sorted(event["outcome"] for event in ends.values()) == ["built", "built", "built", "failed", "skipped"]
    failed = next(event for event in ends.values() if event["outcome"] == "failed")
    assert (failed["exit"], failed["cause"], failed["attempts"]) == (3, "exit", 1)
    assert run("log", failed["id"][:10]).stdout == "no\n"


def test_a_shell_that_is_not_there_is_a_failed_step(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.spec").write_text('((from bb) (shell /no/such -c) (run (shell "x")))')
    done = run("build", "c.spec", "--json")
    assert done.returncode == 1
    assert [event["exit"] for event in events(done) if event["event"] == "finish"][-1] == 127


def test_sibling_builds_run_side_by_side(run: Run, tmp_path: Path) -> None:
    builds = "".join(
        f'(build {n} ((from bb) (shell /bin/sh -c) (run (shell "sleep 1; echo {n} > /{n}"))))' for n in "xy"
    )
    copies = "".join(f"(copy (from (build {n})) (src {n}) (dst /{n}))" for n in "xy")
    (tmp_path / "d.spec").write_text(f'({builds} (from bb) (shell /bin/sh -c) {copies} (run (shell "cat /x /y")))')
    done = run("build", "-j", "2", "d.spec", "--json")
    at = [event["time"] for event in events(done) if event["event"] == "start"]
    assert done.returncode == 0
    assert events(done)[-1]["seconds"] < 1.9, at
    assert "".join(event["text"] for event in events(done) if event["event"] == "log") == "x\ny\n"


def test_a_secret_reaches_the_step_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.spec").write_text(
        "((from bb) (shell /bin/sh -c) (user (uid 1000) (gid 1000))"
        ' (run (secrets (token (target /run/token))) (shell "cat /run/token | md5sum; stat -c %a%u /run/token")))'
    )
    (tmp_path / "token").write_text("tooth-fairy-7261")
    assert run("build", "s.spec").returncode == 2
    assert "--secret token=FILE" in run("build", "s.spec").stderr
    done = run("build", "s.spec", "--secret", "token=token")
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "4001000")
    found = subprocess.run(["grep", "-r", "tooth-fairy-7261", tmp_path / "store"], capture_output=True, check=False)
    assert found.stdout == b""


def test_wrong_input_is_2_with_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e.spec").write_text("((from bb)\n (copy (src nothing) (dst /x)))")
    done = run("build", "e.spec")
    assert (done.returncode, "e.spec:2:" in done.stderr) == (2, True)
    (tmp_path / "f.spec").write_text("((from dir:/no/such/folder))")
    assert run("build", "f.spec").returncode == 2
    (tmp_path / "g.spec").write_text('((from bb) (run (network moon) (shell "x")))')
    assert run("plan", "g.spec").returncode == 2


def test_a_name_is_resolved_in_the_root(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.spec").write_text(
        '((from bb) (shell /bin/sh -c) (run (shell "mkdir -p /etc; echo bob:x:1001:1002::/home/bob: > /etc/passwd"))'
        ' (user (name bob)) (run (shell "echo $(id -u) $(id -g) $HOME")))'
    )
    assert run("build", "n.spec").stdout == "1001 1002 /home/bob\n"


def test_caches_are_shared_and_not_in_the_snapshot(run: Run, tmp_path: Path) -> None:
    for name in "pq":
        (tmp_path / f"{name}.spec").write_text(
            f'((from bb) (shell /bin/sh -c) (run (cache (c (target /c))) (shell "echo {name} >> /c/all; cat /c/all"))'
            ' (run (shell "ls /c")))'
        )
    assert run("build", "p.spec").stdout == "p\n"
    assert run("build", "q.spec").stdout == "p\nq\n"


@pytest.mark.parametrize("sandbox", ["namespaces", "oci", "oci:crun"])
def test_healthcheck_in_every_sandbox(run: Run, sandbox: str) -> None:
    done = run("healthcheck", "--sandbox", sandbox)
    assert (done.returncode, done.stderr.splitlines()[-1].endswith(": works")) == (0, True), done.stderr


# Looking and keeping


def test_a_lost_index_is_rebuilt_from_the_store(run: Run, tmp_path: Path) -> None:
    run("build", "a.spec")
    final = json.loads(run("plan", "a.spec", "--format=json").stdout)["jobs"][0]["final"]
    before = json.loads(run("show", final, "--json").stdout)
    for file in (tmp_path / "store").glob("index.db*"):
        file.unlink()
    assert run("show", final).returncode == 2
    assert run("fsck", "--rebuild-index").returncode == 0
    after = json.loads(run("show", final, "--json").stdout)
    assert after == before


def test_delete_takes_what_was_built_on_it(run: Run) -> None:
    run("build", "a.spec")
    steps = json.loads(run("plan", "a.spec", "--format=json").stdout)["steps"]
    done = run("delete", steps[1]["id"][:12])
    assert done.stderr.split() == ["deleted", steps[2]["id"][:12], "deleted", steps[1]["id"][:12]]
    states = [step["state"] for step in json.loads(run("plan", "a.spec", "--format=json").stdout)["steps"]]
    assert states == ["cached", "run", "run"]
    assert run("delete", "nothing").returncode == 2


def test_why_shows_the_first_difference(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b.spec").write_text(CHAIN.replace("echo one", "echo two"))
    run("build", "a.spec", "b.spec")
    finals = [job["final"] for job in json.loads(run("plan", "a.spec", "b.spec", "--format=json").stdout)["jobs"]]
    told = run("why", *finals).stdout
    assert '"echo one; echo 1 > /a"' in told
    assert '"echo two; echo 1 > /a"' in told
    assert "command:" in run("why", finals[0]).stdout


def test_ls_df_and_clean(run: Run) -> None:
    run("build", "a.spec")
    assert " a\n" in run("ls").stdout
    assert json.loads(run("df", "--json").stdout)["totals"]["snapshot"] > 0
    assert run("clean").returncode == 0
    assert json.loads(run("plan", "a.spec", "--format=json").stdout)["totals"]["cached"] == 0


# Faults


def alive(mark: str) -> list[str]:
    """Processes whose command line holds a mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


def test_an_interrupt_stops_the_step_and_keeps_what_is_built(run: Run, tmp_path: Path, bb: Path) -> None:
    (tmp_path / "i.spec").write_text(
        '((from bb) (shell /bin/sh -c) (run (shell "echo first")) (run (shell "echo here; sleep 77123")))'
    )
    with subprocess.Popen(
        command(tmp_path, bb, "build", "i.spec"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        assert [engine.stdout.readline() for _ in range(2)] == ["first\n", "here\n"]
        engine.send_signal(signal.SIGINT)
        assert engine.wait(20) == 130
    assert alive("77123") == []
    states = [step["state"] for step in json.loads(run("plan", "i.spec", "--format=json").stdout)["steps"]]
    assert states == ["cached", "cached", "run"]
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_killed_engine_leaves_nothing_half_done(run: Run, tmp_path: Path, bb: Path) -> None:
    """kill -9 at random moments; then nothing runs, nothing is mounted, the store is whole and a build succeeds."""
    (tmp_path / "k.spec").write_text(
        "((from bb) (shell /bin/sh -c)"
        + "".join(f'(run (shell "echo {i} > /f{i}; sleep 0.02"))' for i in range(8))
        + ")"
    )
    chance = random.Random(7)
    for _ in range(counts.KILLS):
        with subprocess.Popen(
            command(tmp_path, bb, "build", "-q", "k.spec"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as engine:
            time.sleep(chance.uniform(0.05, 0.7))
            engine.kill()
        until = time.monotonic() + 10
        while alive(f"{tmp_path}/store") and time.monotonic() < until:
            time.sleep(0.02)
        assert alive(f"{tmp_path}/store") == []
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
        if (tmp_path / "store" / "index.db").exists():
            checked = run("fsck")
            assert (checked.returncode, checked.stderr) == (0, "")
        if chance.random() < 0.3 and (tmp_path / "store" / "snapshots").exists():
            run("clean")
    assert run("build", "k.spec").returncode == 0


def test_a_long_chain_ends_with_all_its_files(run: Run, tmp_path: Path) -> None:
    steps = "".join(f'(run (shell "echo {i} > /f{i}"))' for i in range(counts.CHAIN))
    (tmp_path / "l.spec").write_text(f'((from bb) (shell /bin/sh -c) {steps} (run (shell "cat /f* | wc -l")))')
    assert run("build", "-q", "l.spec").stdout == f"{counts.CHAIN}\n"


def test_a_store_in_a_place_that_is_a_file_is_3(tmp_path: Path, run: Run) -> None:
    (tmp_path / "store").write_text("")
    assert run("build", "a.spec").returncode == 3


def test_why_files_names_the_root_causes_of_what_would_run(run: Run, tmp_path: Path) -> None:
    assert run("why", "a.spec").stdout.startswith("base was never built before: 3 steps\n")
    run("build", "a.spec")
    assert run("why", "a.spec").stdout == "nothing would run: every step is cached\n"
    (tmp_path / "a.spec").write_text(CHAIN.replace("(run (shell", "(env A b) (run (shell", 1))
    cause, root, change = run("why", "a.spec").stdout.splitlines()
    assert cause.startswith("run env changed: 2 steps, ")
    assert root.endswith(' (run (shell "echo one; echo 1 > /a"))')
    assert change.startswith('    [["PATH", ')
    assert ' → [["A", "b"], ["PATH", ' in change
