"""Why a step failed, and whether that may pass by itself.

By class where the machine raised an error; by exit status, signal and log where a command failed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import cast

from engine.outcome import Cause
from engine.step import Policy
from system.errors import InputError, OutOfSpace, RegistryError, StepwoodError, StoreError

TAIL = 1 << 20
"""Bytes at the end of a log in which a cause is looked for."""
LINE = 4096
"""Characters of a line that are looked at: a pattern may take long on a longer one."""
KILLED = 128 + 9


def of_error(error: StepwoodError) -> Cause:
    """The kind of an error that ended a step."""
    match error:
        case InputError():
            return "input"
        case RegistryError():
            return "network"
        case StoreError() | OutOfSpace():
            return "store"
        case _:
            return "sandbox"


def of_exit(status: int, log: bytes, *, network: bool, out_of_memory: bool) -> Cause:
    """The cause of a command's failure. `log` is its end; `out_of_memory`: the kernel killed for want of it."""
    if status == KILLED and out_of_memory:
        return "memory"
    lines = _lines(log)
    for cause, patterns in _patterns().items():
        if (cause != "network" or network) and _found(patterns, lines):
            return cause
    return "exit"


def asks_again(policy: Policy, status: int, log: bytes) -> bool:
    """Whether the user wants this failure to be tried again."""
    if status in policy.exits:
        return True
    return bool(policy.logs) and _found(map(re.compile, policy.logs), _lines(log))


class OomKills:
    """Counts what the kernel kills for want of memory (`oom_kill` of proc_vmstat(5)), from when it was made."""

    def __init__(self) -> None:
        self._seen = self._count()

    def rose(self) -> bool:
        """Whether there was one that nobody has asked about yet."""
        rose = self._count() > self._seen
        self._seen += rose
        return rose

    @staticmethod
    def _count() -> int:
        try:
            found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.M)
        except OSError:
            return 0
        return int(found[1]) if found else 0


def _lines(log: bytes) -> list[str]:
    return [line[:LINE] for line in log.decode(errors="replace").splitlines()]


def _found(patterns: Iterable[re.Pattern[str]], lines: list[str]) -> bool:
    return any(pattern.search(line) for pattern in patterns for line in lines)


@cache
def _patterns() -> Mapping[Cause, list[re.Pattern[str]]]:
    """What causes.toml says, in its order."""
    tables = tomllib.loads(Path(__file__).with_name("causes.toml").read_text())
    return {cast(Cause, cause): list(map(re.compile, table["patterns"])) for cause, table in tables.items()}
