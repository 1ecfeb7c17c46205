"""What goes wrong from outside: ^C, kill -9, a full disk, a busy store. Nothing stays half done, running or mounted."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from engine.index import Index
from tests.cli.desk import Desk, of, sh, until
from tests.counts import FULL
from tests.system.bed import processes

pytestmark = pytest.mark.root


@pytest.fixture
def small(tmp_path: Path, bb: Path, request: pytest.FixtureRequest) -> Desk:
    """A desk whose store is on a disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    request.addfinalizer(lambda: subprocess.run(["umount", disk], check=True))
    return Desk(tmp_path, f"overlay:{disk}/store", bb)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_an_interrupt_lets_a_step_tidy_up_and_the_next_build_goes_on(desk: Desk) -> None:
    trap = "trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    desk.write("a.spec", sh("echo first", trap, "echo last"))
    with desk.started("build", "a.spec") as engine:
        assert engine.stdout is not None
        assert [engine.stdout.readline() for _ in range(2)] == ["first\n", "ready\n"]
        engine.send_signal(signal.SIGINT)
        out, error = engine.communicate(timeout=20)
    assert (engine.returncode, out.splitlines()[-1]) == (130, "tidied")
    assert "cancelled" in error
    desk.at_rest()
    assert desk.states("a.spec") == ["cached", "cached", "cached", "run"], "it ended well, so it stays"
    assert desk.ok("build", "-q", "a.spec").stdout == "last\n"


@pytest.mark.parametrize(
    "script", ["trap '' TERM; echo ready; while :; do sleep 0.05; done", "trap '' TERM; yes ready"]
)
def test_a_second_interrupt_kills_at_once(desk: Desk, script: str) -> None:
    desk.write("a.spec", sh(script))
    with desk.started("build", "a.spec", "--json") as engine:
        assert engine.stdout is not None
        while "ready" not in engine.stdout.readline():
            pass
        engine.send_signal(signal.SIGINT)
        time.sleep(0.2)
        begun = time.monotonic()
        engine.send_signal(signal.SIGINT)
        engine.communicate(timeout=30)
    assert engine.returncode == 130
    assert time.monotonic() - begun < 4, "before the five seconds are over"
    desk.at_rest()
    assert desk.states("a.spec") == ["cached", "run"]


def test_an_interrupt_of_the_whole_group_as_a_terminal_sends_it(desk: Desk) -> None:
    desk.write("a.spec", sh("echo ready; sleep 73.25"))
    with desk.started("build", "a.spec") as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "ready\n"
        os.killpg(engine.pid, signal.SIGINT)
        error = engine.communicate(timeout=20)[1]
    assert engine.returncode == 130
    assert "Traceback" not in error
    assert processes("73.25") == []
    desk.at_rest()


LOCKED = "((from bb) (shell /bin/sh -c) (run (cache (c (target /c) (buildkit_options ((sharing locked))))) (shell {})))"


def test_an_interrupt_ends_the_wait_for_a_locked_cache_of_another_process(desk: Desk) -> None:
    desk.write("warm.spec", sh("true"))
    desk.ok("build", "warm.spec")
    desk.write("a.spec", LOCKED.format('"echo ready; sleep 20"'))
    desk.write("b.spec", LOCKED.format('"echo mine"'))
    with desk.started("build", "a.spec") as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        with desk.started("build", "b.spec") as two:
            assert two.stderr is not None
            while "echo mine" not in two.stderr.readline():
                pass
            time.sleep(0.3)
            two.send_signal(signal.SIGINT)
            begun = time.monotonic()
            out, error = two.communicate(timeout=20)
        assert time.monotonic() - begun < 4
        assert (two.returncode, out) == (130, "")
        assert "cancelled" in error
        assert one.poll() is None
        one.send_signal(signal.SIGINT)
        one.communicate(timeout=20)
    desk.at_rest()
    assert desk.ok("build", "b.spec").stdout == "mine\n"


def test_a_long_build_is_synced_now_and_then(desk: Desk) -> None:
    """What was committed early in a night survives a loss of power in the middle of it."""
    desk.write("a.spec", sh("true", "echo ready; sleep 30"))
    sooner = "import engine.executor.loop as loop; loop.SYNC = 0.0; from stepwood.cli import main; main()"
    argv = [*desk.argv("build", "a.spec")]
    argv[1:3] = ["-c", sooner]
    with subprocess.Popen(argv, **desk.settings(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"ready\n"
        until((desk.place / "synced.json").exists)
        engine.send_signal(signal.SIGINT)
        engine.communicate(timeout=20)
    desk.at_rest()


def test_a_killed_helper_is_3_and_says_so(desk: Desk) -> None:
    desk.write("a.spec", sh("echo ready; sleep 74.25", "true"))
    with desk.started("build", "a.spec") as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "ready\n"
        (helper,) = children(engine.pid)
        os.kill(helper, signal.SIGKILL)
        error = engine.communicate(timeout=20)[1]
    assert engine.returncode == 3
    assert "the helper process is gone" in error
    assert "Traceback" not in error
    until(lambda: not processes("74.25"))
    desk.at_rest()
    assert desk.states("a.spec") == ["cached", "run", "run"]


def test_two_engines_share_the_work(desk: Desk) -> None:
    desk.write("a.spec", sh(*[f"sleep 0.15; echo {i}" for i in range(4)]))
    with desk.started("build", "a.spec", "--json") as one, desk.started("build", "a.spec", "--json") as two:
        told = [engine.communicate(timeout=30)[0] for engine in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0)
    starts = [event["id"] for text in told for event in of(subprocess.CompletedProcess([], 0, text), "start")]
    assert sorted(starts) == sorted(set(starts)), "no step twice"
    assert len(starts) == 5


def test_two_engines_see_each_others_failures(desk: Desk) -> None:
    desk.write("warm.spec", sh("true"))
    desk.ok("build", "warm.spec")
    desk.write("a.spec", sh("echo ready; sleep 1; exit 7", "true"))
    with desk.started("build", "a.spec", "--json") as one:
        assert one.stdout is not None
        while "ready" not in one.stdout.readline():
            pass
        other = desk.run("build", "a.spec", "--json")
        one.communicate(timeout=30)
    assert (one.returncode, other.returncode) == (1, 1)
    assert of(other, "start") == []
    assert [event["exit"] for event in of(other, "finish") if event["outcome"] == "failed"] == [7]
    with Index.open(desk.place / "index.db") as index:
        failed = next(step["id"] for step in desk.plan("a.spec")["steps"] if "exit 7" in step["op"])
        assert len([one for one in index.attempts(failed) if one.log]) == 1, "it ran once"


def test_a_full_disk_is_3_and_nothing_is_half_written(small: Desk) -> None:
    small.write("a.spec", sh("echo small", "dd if=/dev/zero of=/big bs=1M count=20 2>/dev/null && echo fits"))
    done = small.run("build", "a.spec")
    assert done.returncode in (1, 3)  # the step sees the full disk itself, and fails of it
    assert "fits" not in done.stdout
    small.at_rest()
    assert small.states("a.spec") == ["cached", "cached", "run"]


def test_a_disk_too_small_for_the_base_is_3(small: Desk, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "file").write_bytes(bytes(20 << 20))
    small.write("a.spec", f"((from dir:{tmp_path}/large))")
    done = small.run("build", "a.spec")
    assert done.returncode == 3
    assert "no space left" in done.stderr.lower()
    small.at_rest()
    assert small.states("a.spec") == ["run"]
    small.write("b.spec", sh("echo well"))
    assert small.ok("build", "b.spec").stdout == "well\n"


def test_a_store_that_cannot_be_is_3_or_2(desk: Desk) -> None:
    desk.write("a.spec", sh("true"))
    desk.place.write_text("a file")
    for command in (["build", "a.spec"], ["plan", "a.spec"], ["clean"], ["healthcheck"]):
        done = desk.run(*command)
        assert done.returncode == 3, command
        assert str(desk.place) in done.stderr
    for url in ("zfs:pool", "btrfs:/x", "xfs:/x", "rsync:/x"):
        done = Desk(desk.folder, url, desk.base).run("build", "a.spec")
        assert (done.returncode, "not supported yet" in done.stderr) == (2, True)
    desk.place.unlink()
    done = desk.run("build", "a.spec", "--sandbox", "moon")
    assert (done.returncode, "not supported yet" in done.stderr) == (2, True)


def test_a_store_of_another_kind_is_3(desk: Desk) -> None:
    desk.write("a.spec", sh("true"))
    desk.ok("build", "a.spec")
    done = Desk(desk.folder, f"directory:{desk.place}", desk.base).run("build", "a.spec")
    assert (done.returncode, f"use overlay:{desk.place}" in done.stderr) == (3, True)


def test_a_disk_that_fills_with_a_log_is_3_and_says_so(small: Desk) -> None:
    small.write("loud.spec", sh("echo before", "yes | head -c 20000000; echo after"))
    small.write("quiet.spec", sh("echo before", "echo well"))
    done = small.run("build", "-j1", "loud.spec", "quiet.spec", "--json")
    assert done.returncode == 3
    loud = next(event for event in of(done, "finish") if event["outcome"] == "failed")
    assert (loud["cause"], "no space left" in loud["message"].lower()) == ("store", True)
    assert {event["name"]: event["outcome"] for event in of(done, "job")} == {"loud": "failed", "quiet": "built"}
    small.at_rest()
    # With what filled the disk gone, the same command goes on where it was.
    for log in (small.place / "logs").iterdir():
        log.unlink()
    small.write("loud.spec", sh("echo before", "yes | head -c 2000; echo after"))
    assert "after" in small.ok("build", "loud.spec", "quiet.spec").stdout


def test_hundred_thousand_jobs_do_not_break_plan_or_build(desk: Desk) -> None:
    """In full only where there is time: a tenth else."""
    values = " ".join(f"{number:03}" for number in range(1000 if FULL else 100))
    axes = f"(matrix (a {values}) (b {' '.join(map(str, range(100)))}))"
    count = 100_000 if FULL else 10_000
    for name, word in (("same", "same"), ("own", "%{a} %{b}")):
        body = f'((from bb) (shell /bin/sh -c) (run (shell "echo {word}")))'
        desk.write(f"{name}.workflow", f"(workflow (job {name}-%{{a}}-%{{b}} {axes} {body}))")
    lines = desk.ok("plan", "own.workflow").stdout.splitlines()
    assert len(lines) < 120, "a plan is to be read"
    assert f"{count:,} jobs, {2 * count:,} steps, {count + 1:,} distinct: {count + 1:,} to run" in lines
    done = desk.ok("build", "same.workflow")
    assert done.stderr.count(": built ") == count
    assert f"{count:,} jobs: 2 built in " in done.stderr.splitlines()[-1]
    again = desk.ok("build", "same.workflow", "--json")
    assert len(of(again, "job")) == count


def test_a_build_goes_on_while_another_program_holds_the_index(desk: Desk) -> None:
    desk.write("warm.spec", sh("true"))
    desk.ok("build", "warm.spec")
    desk.write("a.spec", sh("echo ready; sleep 1", "echo two", "echo three"))
    with desk.started("build", "a.spec") as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "ready\n"
        with contextlib.closing(sqlite3.connect(desk.place / "index.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert engine.stdout.readline() == "two\n"
            assert engine.stdout.readline() == "three\n"
            other.execute("ROLLBACK")
        _, told = engine.communicate(timeout=30)
    assert engine.returncode == 0
    assert "in use by another process: the run went on, and wrote down after" in told
    with Index.open(desk.place / "index.db") as index:
        assert [attempt.outcome for attempt in index.batch_attempts(index.batches()[0].id)] == ["built"] * 3


def test_logs_of_any_bytes_pass_through_a_run(desk: Desk) -> None:
    """Ten megabytes in one line, every byte there is, and no newline at the end: as it was written, then and later."""
    every = "".join(f"\\{number:03o}" for number in range(256))
    desk.write("a.spec", sh(f"head -c 10000000 /dev/zero | tr '\\0' x; printf '{every}'", "echo after"))
    wanted = b"x" * 10_000_000 + bytes(range(256)) + b"after\n"
    for _ in ("built", "cached"):
        done = subprocess.run(desk.argv("build", "a.spec"), **desk.settings(), capture_output=True, check=True)
        assert done.stdout == wanted
    step = next(step["id"] for step in desk.plan("a.spec")["steps"] if "head" in step["op"])
    log = subprocess.run(desk.argv("log", step), **desk.settings(), capture_output=True, check=True).stdout
    assert log == wanted.removesuffix(b"after\n")
    told = "".join(event["text"] for event in of(desk.ok("build", "a.spec", "--json"), "log"))
    assert len(told) > 10_000_000 and told.endswith("after\n")
