"""`stepwood build`: what it prints, what it runs, what a step gets, how it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.desk import Desk, events, of, sh

pytestmark = pytest.mark.root


def test_events_hold_to_the_contract(desk: Desk) -> None:
    desk.write("a.spec", sh("echo shared", "echo é; exit 3", "true"))
    desk.write("b.spec", sh("echo shared", "echo b"))
    first = desk.run("build", "a.spec", "b.spec", "--json")
    plan = desk.plan("a.spec", "b.spec")
    assert first.returncode == 1
    told = events(first)
    assert {event["event"] for event in told} == {"start", "log", "finish", "job", "batch"}
    assert all(isinstance(event["time"], float) for event in told)
    assert [event["time"] for event in told] == sorted(event["time"] for event in told)
    assert told[-1]["event"] == "batch"
    finishes = of(first, "finish")
    assert sorted(event["id"] for event in finishes) == sorted(step["id"] for step in plan["steps"])
    outcomes = {event["id"]: event["outcome"] for event in finishes}
    a, b = (job["steps"] for job in plan["jobs"])
    assert [outcomes[id] for id in a] == ["built", "built", "failed", "skipped"]
    assert [outcomes[id] for id in b] == ["built", "built", "built"]
    starts = [event["id"] for event in of(first, "start")]
    assert len(starts) == len(set(starts)) == 4, "a shared step runs once"
    for event in finishes:
        assert {"seconds", "attempts", "exit", "cause"} <= set(event)
        assert event["attempts"] == (0 if event["outcome"] == "skipped" else 1)
        expected = {"built": (0, None), "failed": (3, "exit"), "skipped": (None, None)}
        assert (event["exit"], event["cause"]) == expected[event["outcome"]]
    assert {event["name"]: event["outcome"] for event in of(first, "job")} == {"a": "failed", "b": "built"}
    assert {event["final"] for event in of(first, "job")} == {a[-1], b[-1]}
    assert sorted(event["text"] for event in of(first, "log")) == ["b\n", "shared\n", "é\n"]
    counts = {"built": 3, "cached": 0, "failed": 1, "skipped": 1, "cancelled": 0}
    assert told[-1]["totals"] == counts if "built" in told[-1]["totals"] else True

    again = desk.run("build", "b.spec", "--json")
    assert again.returncode == 0
    assert {event["outcome"] for event in of(again, "finish")} == {"cached"}
    assert [event["attempts"] for event in of(again, "finish")] == [0, 0, 0]
    assert of(again, "job")[0]["outcome"] == "cached"
    assert of(again, "start") == []


def test_the_end_tells_what_was_predicted_and_history_keeps_it(desk: Desk) -> None:
    """Of the first run nothing is known, and of one that has nothing to do there is nothing to say."""
    desk.write("a.spec", sh("sleep 0.5; echo 1"))
    first = desk.ok("build", "a.spec", "--json")
    desk.write("a.spec", sh("sleep 0.5; echo 2"))
    told = desk.ok("build", "a.spec").stderr.splitlines()[-1]
    desk.write("a.spec", sh("sleep 0.5; echo 3"))
    third = desk.ok("build", "a.spec", "--json")
    nothing = desk.ok("build", "a.spec", "--json")
    assert (of(first, "batch")[0]["predicted"], of(nothing, "batch")[0]["predicted"]) == (None, None)
    predicted = of(third, "batch")[0]["predicted"]
    assert list(predicted) == ["p50", "p90"]
    assert 0.4 < predicted["p50"] < predicted["p90"] < 5
    end = r": 1 built, 1 cached in \d\.\d s \(predicted: (\d\.\d) s, 9 of 10 within (\d\.\d) s\)"
    found = re.fullmatch(rf"batch   \S+: built, 1 job{end}", told)
    assert found, told
    kept = json.loads(desk.ok("history", "--json").stdout)["batches"]
    assert [batch["predicted"] is None for batch in kept] == [True, False, False, True], "the newest first"
    assert kept[1]["predicted"] == predicted
    assert [f"{kept[2]['predicted'][name]:.1f}" for name in ("p50", "p90")] == [found[1], found[2]]
    assert "predicted" not in desk.ok("build", "a.spec").stderr


def test_a_character_that_comes_in_two_pieces_is_one(desk: Desk) -> None:
    desk.write("a.spec", sh("printf '\\303'; sleep 0.2; printf '\\251'; printf '\\303'"))
    assert "".join(event["text"] for event in of(desk.ok("build", "a.spec", "--json"), "log")) == "é\ufffd"


def test_one_job_is_raw_and_several_have_names(desk: Desk) -> None:
    desk.write("a.spec", sh("printf 'no newline'"))
    desk.write("b.spec", sh("echo b; echo >&2 error"))
    assert desk.ok("build", "a.spec").stdout == "no newline"
    assert desk.ok("build", "b.spec").stdout == "b\nerror\n"
    both = desk.ok("build", "a.spec", "b.spec")
    assert sorted(both.stdout.splitlines()) == ["a | no newline", "b | b", "b | error"]
    assert desk.ok("build", "-q", "a.spec", "b.spec").stdout == ""


def test_fail_fast_stops_the_others(desk: Desk) -> None:
    desk.write("a.spec", sh("sleep 0.3; exit 1"))
    desk.write("b.spec", sh("sleep 71.5", "true"))
    begun = time.monotonic()
    done = desk.run("build", "-j", "2", "--fail-fast", "a.spec", "b.spec", "--json")
    assert (done.returncode, time.monotonic() - begun < 10) == (1, True)
    assert sorted(event["outcome"] for event in of(done, "finish")) == ["built", "cancelled", "cancelled", "failed"]
    assert {event["name"]: event["outcome"] for event in of(done, "job")} == {"a": "failed", "b": "cancelled"}
    desk.at_rest()


@pytest.mark.parametrize(
    ("script", "status"), [("no-such-program", 127), ("/etc/passwd", 126), ("sh -c 'kill -9 $$'; exit $?", 137)]
)
def test_a_command_that_cannot_be_run_is_a_failed_step(desk: Desk, script: str, status: int) -> None:
    desk.write("a.spec", sh(script))
    done = desk.run("build", "a.spec", "--json")
    assert done.returncode == 1
    assert [(event["exit"], event["cause"]) for event in of(done, "finish")][-1] == (status, "exit")


def test_a_missing_secret_is_2_before_anything_runs(desk: Desk) -> None:
    desk.write("a.spec", sh("echo runs")[:-2] + '(run (secrets (s (target /s))) (shell "true")))')
    done = desk.run("build", "a.spec")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'no value for the secret "s"' in done.stderr
    assert desk.states("a.spec") == ["run"] * 3
    for value in ("s", "=x", f"s={desk.folder}", "s=missing"):
        assert desk.run("build", "a.spec", "--secret", value).returncode == 2


def test_a_secret_is_for_the_users_eyes_only(desk: Desk) -> None:
    script = "[ $(cat /s) = cuckoo-9183 ]; stat -c '%a %u' /s; ! echo x 2>/dev/null >/s"
    spec = sh(script, head="(user (uid 1000) (gid 1000))", ops="(secrets (s (target /s))) ")
    desk.write("a.spec", spec)
    desk.write("value", "cuckoo-9183")
    assert desk.ok("build", "a.spec", "--secret", "s=value").stdout == "400 1000\n"
    held = subprocess.run(["grep", "-rl", "cuckoo-9183", desk.place], capture_output=True, text=True, check=False)
    assert [name for name in held.stdout.split() if "index.db" not in name and "meta.json" not in name] == []
    # The script names it, so ids hold it; another value must make no difference.
    desk.write("value", "other")
    assert desk.states("a.spec") == ["cached", "cached"]


def test_network_host_or_none(desk: Desk) -> None:
    desk.write("none.spec", sh("grep -c : /proc/net/dev"))
    desk.write("host.spec", sh("grep : /proc/net/dev | sed 's/:.*//; s/ //g' | sort", ops="(network host) "))
    assert desk.ok("build", "none.spec").stdout == "1\n", "only the loopback"
    here = sorted(line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:])
    assert sorted(desk.ok("build", "host.spec").stdout.split()) == here


def test_exit_codes_by_precedence(desk: Desk) -> None:
    desk.write("fails.spec", sh("exit 9"))
    desk.write("wrong.spec", '((from bb) (shell /bin/sh -c) (user (name nobody-here)) (run (shell "true")))')
    assert desk.run("build", "fails.spec").returncode == 1
    assert desk.run("build", "wrong.spec").returncode == 2
    done = desk.run("build", "fails.spec", "wrong.spec")
    assert done.returncode == 2
    assert "nobody-here" in done.stderr
    cache = "(cache (c (target /proc/no-place-for-it)))"  # which no kernel lets anybody make
    desk.write("machine.spec", sh("true", ops=cache))
    assert desk.run("build", "machine.spec").returncode == 3
    assert desk.run("build", "fails.spec", "machine.spec").returncode == 3
    assert desk.run("build", "fails.spec", "machine.spec", "wrong.spec").returncode == 2


def test_a_file_that_changes_while_a_build_waits_is_no_wrong_snapshot(desk: Desk) -> None:
    desk.write("file", "before")
    spec = sh("sleep 1.5")[:-2] + '(copy (src file) (dst /file)) (run (shell "cat /file")))'
    desk.write("a.spec", spec)
    with desk.started("build", "a.spec") as engine:
        assert engine.stderr is not None
        while "sleep" not in engine.stderr.readline():
            pass
        desk.write("file", "after!")
        told = engine.communicate(timeout=30)[1]
    assert engine.returncode == 2
    assert "file" in told
    assert desk.states("a.spec") == ["cached", "cached", "run", "run"]
    assert desk.ok("build", "a.spec").stdout == "after!"


def test_output_that_nobody_reads_does_not_stop_a_build(desk: Desk) -> None:
    desk.write("a.spec", sh("echo 1; sleep 0.3; echo 2; echo 3", "echo end"))
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        for options in ([], ["--json"]):
            done = subprocess.run(
                desk.argv("build", "a.spec", *options),
                **desk.settings(),
                stdout=nobody,
                stderr=subprocess.STDOUT if options else subprocess.PIPE,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0
            assert b"Traceback" not in (done.stderr or b"")
    assert set(desk.states("a.spec")) == {"cached"}


def test_debug_shows_where_an_error_of_a_step_came_from(desk: Desk) -> None:
    desk.write("a.spec", '((from bb) (shell /bin/sh -c) (user (name nobody-here)) (run (shell "true")))')
    plain = desk.run("build", "a.spec")
    assert plain.returncode == 2
    shown = desk.run("--debug", "build", "a.spec", debug=True)
    assert shown.returncode == 2
    assert "Traceback" in shown.stderr
    assert "worker.py" in shown.stderr


def test_the_tree_of_a_failed_step_is_set_aside_when_asked(desk: Desk) -> None:
    desk.write("a.spec", sh("echo left > /left; exit 3"))
    assert desk.run("build", "a.spec").returncode == 1
    assert list((desk.place / "failed").iterdir()) == []
    assert desk.run("build", "--keep-failed", "a.spec").returncode == 1
    (kept,) = (desk.place / "failed").iterdir()
    assert (kept / "layer" / "left").read_text() == "left\n"
    assert desk.states("a.spec") == ["cached", "run"], "it is no snapshot"
    assert kept.name[:40] in desk.ok("df").stdout
