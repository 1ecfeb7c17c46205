"""How runs fail: time-outs, silence, retries, causes, known failures, flaky steps, and what the end of a run says."""

from __future__ import annotations

import json
import time

import pytest

from engine.index import Index
from tests.cli.desk import Desk, of, sh, until
from tests.system.bed import processes

pytestmark = pytest.mark.root


def workflow(*jobs: str) -> str:
    """Jobs of one run each: its fields."""
    bodies = (f"(job j{n} ((from bb) (shell /bin/sh -c) (run {fields})))" for n, fields in enumerate(jobs))
    return f"(workflow {' '.join(bodies)})"


def counting(desk: Desk, passes: int, otherwise: str) -> str:
    """A command that counts its runs in a cache, does `otherwise` before run `passes`, and then passes."""
    script = f"n=$(($(cat /c/n 2>/dev/null || echo 0) + 1)); echo $n > /c/n; test $n -ge {passes} || {{ {otherwise}; }}"
    return f"(cache (count (target /c))) (shell {json.dumps(script)})"


def ended(desk: Desk, *arguments: str) -> dict[str, object]:
    """The one run's finish."""
    done = desk.run("build", "--json", *arguments)
    (finish,) = [event for event in of(done, "finish") if event["outcome"] != "cached"][-1:]
    return {**finish, "code": done.returncode, "retries": [event["cause"] for event in of(done, "retry")]}


# Time.


@pytest.mark.parametrize(
    ("script", "fields", "cause"),
    [
        ("sleep 60", "(timeout 1s)", "timeout"),
        ("while :; do echo x; sleep 0.1; done", "(timeout 1s) (silence 30s)", "timeout"),
        ("echo x; sleep 60", "(silence 1s)", "silence"),
        ("exec >/dev/null 2>&1; sleep 60", "(silence 1s)", "silence"),  # it no longer can print anything
        ("sleep 60 & sleep 60 & wait", "(timeout 1s)", "timeout"),
    ],
)
def test_what_takes_too_long_is_stopped_with_all_it_started(desk: Desk, script: str, fields: str, cause: str) -> None:
    desk.write("w.workflow", workflow(f"(shell {json.dumps(script)}) {fields}"))
    began = time.monotonic()
    finish = ended(desk, "w.workflow")
    assert time.monotonic() - began < 10
    assert (finish["outcome"], finish["cause"], finish["exit"], finish["code"]) == ("failed", cause, None, 1)
    assert "stopped after 1 s" in str(finish["message"])
    assert "stepwood: stopped after 1 s" in desk.ok("log", "j0").stdout
    desk.at_rest()


def test_what_does_not_heed_a_term_is_killed_after_a_grace(desk: Desk) -> None:
    desk.write("w.workflow", workflow("(shell \"trap '' TERM; while :; do sleep 0.1; done\") (timeout 1s)"))
    began = time.monotonic()
    assert ended(desk, "w.workflow")["cause"] == "timeout"
    assert 6 <= time.monotonic() - began < 15


def test_what_heeds_a_term_can_clean_up(desk: Desk) -> None:
    desk.write(
        "w.workflow", workflow("(shell \"trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done\") (timeout 1s)")
    )
    finish = ended(desk, "w.workflow")
    assert (finish["outcome"], finish["cause"]) == ("failed", "timeout")
    assert "bye" in desk.ok("log", "j0").stdout


def test_a_step_that_prints_in_time_goes_on(desk: Desk) -> None:
    desk.write("w.workflow", workflow('(shell "for n in 1 2 3 4; do sleep 0.5; echo $n; done") (silence 1s)'))
    assert ended(desk, "w.workflow")["outcome"] == "built"


def test_the_command_line_gives_defaults(desk: Desk) -> None:
    desk.write("a.spec", sh("sleep 60"))
    assert ended(desk, "a.spec", "--timeout", "1s")["cause"] == "timeout"
    assert ended(desk, "a.spec", "--silence", "1s")["cause"] == "silence"
    desk.write("w.workflow", workflow('(shell "sleep 2") (timeout 1m)'))
    assert ended(desk, "w.workflow", "--timeout", "1s")["outcome"] == "built"
    assert "--timeout" in desk.run("build", "a.spec", "--timeout", "soon").stderr


def test_times_and_retries_are_in_no_id(desk: Desk) -> None:
    desk.write("a.workflow", workflow("(shell true)"))
    desk.write("b.workflow", workflow("(shell true) (timeout 9s) (silence 9s) (retry (exit 3))"))
    assert desk.final("a.workflow") == desk.final("b.workflow")


# Trying again.


@pytest.mark.parametrize(
    ("otherwise", "rule"),
    [("exit 40", "(retry (exit 40))"), ("echo 'the moon is full'; exit 1", '(retry (log "moon is .ull"))')],
)
def test_a_workflow_says_what_is_tried_again(desk: Desk, otherwise: str, rule: str) -> None:
    desk.write("w.workflow", workflow(f"{counting(desk, 3, otherwise)} {rule}"))
    finish = ended(desk, "w.workflow")
    assert (finish["outcome"], finish["attempts"], finish["retries"]) == ("built", 3, ["exit", "exit"])
    with Index.open(desk.place / "index.db") as index:
        tries = index.attempts(str(finish["id"]))
    assert [(one.number, one.outcome) for one in tries] == [(1, "failed"), (2, "failed"), (3, "built")]
    if "echo" in otherwise:
        logs = {one.log for one in tries[:2]}
        assert len(logs) == 2 and all(log and (desk.place / log).read_text() == "the moon is full\n" for log in logs)


def test_attempts_are_all_tries(desk: Desk) -> None:
    desk.write("w.workflow", workflow('(shell "exit 40") (retry (attempts 2) (exit 40))'))
    finish = ended(desk, "w.workflow")
    assert (finish["outcome"], finish["attempts"], finish["exit"], finish["code"]) == ("failed", 2, 40, 1)


@pytest.mark.parametrize("rule", ["7", "it .assed by"])
def test_plain_specs_have_their_rules_on_the_command_line(desk: Desk, rule: str) -> None:
    run = f"(run {counting(desk, 2, 'echo it passed by; exit 7')})"
    desk.write("a.spec", f"((from bb) (shell /bin/sh -c) {run})")
    assert ended(desk, "a.spec", "--retry", rule)["attempts"] == 2


def test_rules_that_are_none(desk: Desk) -> None:
    desk.write("a.spec", sh("true"))
    for rule in ("(", "0", "300"):
        done = desk.run("build", "a.spec", "--retry", rule)
        assert (done.returncode, "--retry" in done.stderr) == (2, True)


def test_a_deterministic_failure_is_not_tried_again(desk: Desk) -> None:
    desk.write("w.workflow", workflow('(shell "exit 3") (retry (attempts 5) (exit 40))'))
    finish = ended(desk, "w.workflow")
    assert (finish["attempts"], finish["exit"], finish["cause"]) == (1, 3, "exit")


@pytest.mark.parametrize(
    ("fields", "cause", "tries", "code"),
    [
        ("(network host)", "network", 3, 3),
        ("", "exit", 1, 1),  # without a network it will never pass
    ],
)
def test_the_network_passes_only_where_there_is_one(desk: Desk, fields: str, cause: str, tries: int, code: int) -> None:
    desk.write("w.workflow", workflow(f'{fields} (shell "echo curl: Could not resolve host: x; exit 6")'))
    finish = ended(desk, "w.workflow")
    assert (finish["cause"], finish["attempts"], finish["exit"], finish["code"]) == (cause, tries, 6, code)


def test_want_of_memory_is_a_cause_of_its_own(desk: Desk) -> None:
    desk.write("w.workflow", workflow('(shell "echo gcc: fatal error: Killed signal terminated program cc1; exit 1")'))
    finish = ended(desk, "w.workflow")
    assert (finish["cause"], finish["attempts"], finish["code"]) == ("memory", 1, 1)


# Known failures.


def test_a_workflow_remembers_what_failed(desk: Desk) -> None:
    desk.write("w.workflow", workflow(counting(desk, 2, "exit 5")))
    assert ended(desk, "w.workflow")["attempts"] == 1
    again = ended(desk, "w.workflow")
    assert (again["outcome"], again["exit"], again["attempts"], again["code"]) == ("failed", 5, 0, 1)
    assert "it failed on " in str(again["message"]) and "--retry-failed runs it" in str(again["message"])
    assert desk.states("w.workflow")[-1] == "failed"
    assert desk.plan("w.workflow", "--retry-failed")["steps"][-1]["state"] == "run"
    assert ended(desk, "w.workflow", "--retry-failed")["outcome"] == "built"


def test_a_known_failure_ages(desk: Desk) -> None:
    desk.write("w.workflow", workflow(counting(desk, 2, "exit 5")))
    ended(desk, "w.workflow")
    time.sleep(1.2)
    assert ended(desk, "w.workflow", "--failures-for", "1h")["attempts"] == 0
    assert ended(desk, "w.workflow", "--failures-for", "1s")["outcome"] == "built"


def test_plain_specs_forget_unless_they_are_told(desk: Desk) -> None:
    desk.write("a.spec", sh("exit 5"))
    assert [ended(desk, "a.spec")["attempts"] for _ in range(2)] == [1, 1]
    assert ended(desk, "a.spec", "--no-retry-failed")["attempts"] == 0
    assert ended(desk, "a.spec", "--failures-for", "1h")["attempts"] == 0


def test_other_causes_are_never_remembered(desk: Desk) -> None:
    desk.write("w.workflow", workflow('(shell "sleep 60") (timeout 1s)'))
    assert [ended(desk, "w.workflow")["attempts"] for _ in range(2)] == [1, 1]


# What is said.


def test_the_end_groups_failures_by_their_causes(desk: Desk) -> None:
    jobs = "".join(f"(job j{n} ((from (build bad)) (run (shell {n}))))" for n in range(5))
    desk.write("w.workflow", f"""(workflow
      (build bad ((from bb) (shell /bin/sh -c) (run (shell "exit 3"))))
      {jobs} (job other ((from bb) (shell /bin/sh -c) (run (shell "exit 4")))) (job good ((from bb))))""")  # fmt: skip
    done = desk.run("build", "w.workflow")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    at = said.index("failed  6 jobs, 2 causes:")
    assert said[at + 1].startswith("  5 × ") and said[at + 1].endswith('(run (shell "exit 3")): exit 3')
    assert said[at + 2].startswith("  1 × ") and said[at + 2].endswith('(run (shell "exit 4")): exit 4')
    batch = of(desk.run("build", "w.workflow", "--json"), "batch")[0]
    assert (batch["failed_jobs"], [cause["jobs"] for cause in batch["causes"]]) == (6, [5, 1])


def test_a_step_that_failed_and_passed_is_flaky(desk: Desk) -> None:
    desk.write("w.workflow", workflow(counting(desk, 2, "exit 5"), "(shell true)"))
    assert "flaky" not in desk.run("build", "w.workflow").stderr
    done = desk.ok("build", "w.workflow", "--retry-failed")
    assert "flaky " in done.stderr
    (one,) = json.loads(desk.ok("ls", "--flaky", "--json").stdout)
    assert (one["failed"], one["built"], one["causes"]) == (1, 1, "exit")
    assert desk.ok("ls", "--flaky").stdout.startswith(one["step"][:12])


def test_a_skipped_step_names_what_failed(desk: Desk) -> None:
    desk.write(
        "w.workflow", '(workflow (job j ((from bb) (shell /bin/sh -c) (run (shell "exit 3")) (run (shell later)))))'
    )
    done = desk.run("build", "w.workflow", "--json")
    outcomes = {event["outcome"]: event for event in of(done, "finish")}
    assert outcomes["skipped"]["because"] == outcomes["failed"]["id"]


# Two engines.


SLOW = sh("echo one; sleep 1; echo two; sleep 2; echo three > /three; echo three")


def test_a_second_build_attaches_and_reads_the_log_from_the_beginning(desk: Desk) -> None:
    desk.write("a.spec", SLOW)
    with desk.started("build", "a.spec") as first:
        until(lambda: [log for log in desk.place.glob("logs/*.log") if "one" in log.read_text()])
        second = desk.ok("build", "a.spec")
        assert first.wait(20) == 0
    assert second.stdout == "one\ntwo\nthree\n"
    assert "attach " in second.stderr
    with Index.open(desk.place / "index.db") as index:
        assert sum(attempt.outcome == "built" for attempt in index.attempts(desk.final("a.spec"))) == 1


def test_the_log_of_an_earlier_try_is_not_taken_for_that_of_one_in_flight(desk: Desk) -> None:
    desk.write("a.spec", sh("sleep 2; cat /proc/sys/kernel/random/uuid; sleep 1; exit 3"))
    earlier = desk.run("build", "a.spec").stdout
    with desk.started("build", "a.spec") as first:
        until(lambda: processes(str(desk.place)))
        time.sleep(0.5)
        second = desk.run("build", "a.spec")
        assert first.wait(20) == 1
        assert first.stdout is not None
        assert second.stdout == first.stdout.read() != earlier
    assert "attach " in second.stderr


def test_a_second_build_sees_the_failure_of_the_first(desk: Desk) -> None:
    desk.write("a.spec", sh("echo one; sleep 2; exit 9"))
    with desk.started("build", "a.spec") as first:
        until(lambda: list(desk.place.glob("logs/*.log")))
        second = desk.run("build", "a.spec")
        assert first.wait(20) == 1
    assert (second.returncode, second.stdout) == (1, "one\n")
    assert "exit 9" in second.stderr


def test_one_engine_is_killed_and_the_other_finishes(desk: Desk) -> None:
    desk.write("a.spec", SLOW)
    with desk.started("build", "a.spec") as first:
        until(lambda: list(desk.place.glob("logs/*.log")))
        with desk.started("build", "a.spec") as second:
            until(lambda: len(processes(str(desk.place))) > 0)
            time.sleep(1)
            first.kill()
            first.wait()
            assert second.wait(30) == 0
            assert second.stdout is not None
            assert second.stdout.read().endswith("one\ntwo\nthree\n")
    assert set(desk.states("a.spec")) == {"cached"}
    desk.at_rest()
