"""Why a command failed: by exit status, by the kernel's word, by its log. And which of that may pass."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.executor import causes
from engine.executor.causes import OomKills, asks_again, of_exit
from engine.outcome import MACHINE
from engine.step import Policy
from tests.cli.desk import Desk, of, sh

GROUPS = Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("log", "network", "cause"),
    [
        ("make: *** [all] Error 2", True, "exit"),
        ("curl: (6) Could not resolve host: example.org", True, "network"),
        ("curl: (6) Could not resolve host: example.org", False, "exit"),
        ("E: Failed to fetch x  Temporary failure resolving 'deb.debian.org'", True, "network"),
        ("fatal: unable to access 'x': Connection timed out after 300 s", True, "network"),
        ("wget: server returned error: HTTP/1.1 503", True, "exit"),
        ("curl: (22) The requested URL returned error: 503", True, "network"),
        ("curl: (22) The requested URL returned error: 404", True, "exit"),
        ("tar: x: Cannot write: No space left on device", False, "store"),
        ("c++: fatal error: Killed signal terminated program cc1plus", False, "memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", False, "memory"),
        ("a line\nwith Connection refused\nand more", True, "network"),
        ("Connection\nrefused", True, "exit"),  # a pattern is looked for in single lines
        ("No space left on device, as Connection reset by peer", True, "store"),  # the first table gives it
    ],
)
def test_what_a_log_says(log: str, network: bool, cause: str) -> None:
    assert of_exit(1, log.encode(), network=network, out_of_memory=False) == cause


def test_a_log_may_be_anything() -> None:
    junk = bytes(range(256)) * 4096 + b"x" * (10 << 20) + b"\nConnection refused"
    assert of_exit(1, junk[-causes.TAIL :], network=True, out_of_memory=False) == "network"
    assert of_exit(1, b"", network=True, out_of_memory=False) == "exit"
    assert of_exit(1, b"x" * (1 << 20) + b" Connection refused", network=True, out_of_memory=False) == "exit"


def test_a_kill_is_want_of_memory_where_the_kernel_says_so() -> None:
    assert of_exit(137, b"", network=False, out_of_memory=True) == "memory"
    assert of_exit(137, b"", network=False, out_of_memory=False) == "exit"
    assert of_exit(1, b"", network=False, out_of_memory=True) == "exit"


def test_what_the_user_wants_tried_again() -> None:
    policy = Policy(exits=frozenset({40}), logs=("full moon$",))
    assert asks_again(policy, 40, b"")
    assert asks_again(policy, 1, b"a full moon\nat night")
    assert not asks_again(policy, 1, b"a full moon at night")
    assert not asks_again(Policy(), 40, b"a full moon")


def test_every_table_of_the_file_is_a_cause_that_a_command_can_have() -> None:
    tables = tomllib.loads(Path(causes.__file__).with_name("causes.toml").read_text())
    assert list(tables) == ["memory", "store", "sandbox", "network"]
    assert {"network", "store", "sandbox"} == MACHINE


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A control group for `limit` bytes of memory: its file for pids. With either version of control groups."""
    for top, name, tasks in (
        (GROUPS / "memory", "memory.limit_in_bytes", "cgroup.procs"),
        (GROUPS, "memory.max", "cgroup.procs"),
    ):
        group = top / f"stepwood-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / name).exists():
                (group / name).write_text(str(limit))
                yield group / tasks
                return
        finally:
            group.rmdir()
    pytest.skip("needs a control group for memory")


@pytest.mark.root
def test_the_kernel_counts_what_it_kills() -> None:
    kills = OomKills()
    assert not kills.rose()
    with memory_group(30 << 20) as tasks:
        script = f"open('{tasks}', 'w').write('0'); bytearray(300 << 20)"
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert kills.rose()
    assert not kills.rose()


@pytest.mark.root
def test_a_step_that_the_kernel_kills_for_want_of_memory(desk: Desk) -> None:
    desk.write("a.spec", sh("dd if=/dev/zero of=/dev/null bs=500M count=1"))
    with memory_group(200 << 20) as tasks:
        argv = ["sh", "-c", f'echo 0 > {tasks}; exec "$@"', "sh", *desk.argv("build", "a.spec", "--json")]
        done = subprocess.run(argv, **desk.settings(), capture_output=True, text=True, check=False, timeout=60)
    (finish,) = [event for event in of(done, "finish") if event["outcome"] == "failed"]
    assert (finish["cause"], finish["exit"], finish["attempts"], done.returncode) == ("memory", 137, 1, 1)
