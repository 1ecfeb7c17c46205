"""Which step runs next, as a whole run shows it."""

from __future__ import annotations

import json
import time

import pytest

from engine.index import Index
from engine.records import Attempt
from tests.cli.desk import Desk, of, sh

pytestmark = pytest.mark.root


def started(desk: Desk, *arguments: str) -> list[str]:
    """The commands of the runs in the order in which they started."""
    done = desk.ok("build", "-j", "1", "--json", *arguments)
    return [event["op"].partition("(shell ")[2].rstrip(")") for event in of(done, "start") if "shell" in event["op"]]


def test_jobs_of_a_higher_priority_go_first(desk: Desk) -> None:
    jobs = "".join(
        f"(job {name} (priority {priority}) ((from bb) (shell /bin/sh -c) (run (shell {name}=1))))"
        for name, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", "normal"))
    )
    desk.write("w.workflow", f"(workflow {jobs})")
    assert started(desk, "w.workflow") == ["c=1", "b=1", "d=1", "a=1"]


def test_what_was_slow_the_last_time_goes_first(desk: Desk) -> None:
    for name in "abc":
        desk.write(f"{name}.spec", sh(f"test {name} != b || sleep 0.5; {name}=1"))
    files = [f"{name}.spec" for name in "abc"]
    started(desk, *files)
    desk.ok("clean")
    assert ["b=1" in op for op in started(desk, *files)] == [True, False, False]


def test_two_steps_that_need_most_of_the_memory_do_not_run_at_once(desk: Desk) -> None:
    files = [desk.write(f"{name}.spec", sh(f"sleep 1; {name}=1")) for name in "ab"]
    desk.ok("build", *files)
    with Index.open(desk.place / "index.db") as index:
        for file in files:
            final = desk.final(file)
            index.record_attempts(None, [Attempt(final, 1, time.time(), 1.0, "built", exit=0, peak_memory=1 << 50)])
    for file in files:
        desk.ok("delete", desk.final(file))
    done = desk.ok("build", "-j", "2", "--json", *files)
    finals = {desk.final(file) for file in files}
    told = [json.loads(line) for line in done.stdout.splitlines()]
    runs = [event["event"] for event in told if event.get("id") in finals and event["event"] in ("start", "finish")]
    assert runs == ["start", "finish", "start", "finish"]
