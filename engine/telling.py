"""The lines of a failed command's log that tell why it failed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

_ERROR = re.compile(
    r"\b(error|fatal|exception|traceback|undefined reference|not found|no such file|cannot|can't|denied|failed|failure"
    r"|mismatch|killed|panic|assert)\b|^E: |\*\*\* |:\d+:",
    re.IGNORECASE,
)
"""What compilers, make, apt, curl, opam and Python say of what is wrong."""
_NO_ERROR = re.compile(
    r"\b(0 errors?|no errors?|-W\S*error\S*|error_\w+|\w+_error|checking (for|whether))\b|\bwarning\b", re.IGNORECASE
)
BEFORE, AFTER, END = 2, 7, 4
"""Lines around the first that tells of an error, and at the end: what gave up there."""
SCANNED = 200_000
"""Lines that are looked at from the start; of a longer log only the end is."""


def telling(lines: Iterable[str]) -> list[str]:
    """A few lines: around the first that tells of an error, and the last ones; "…" stands for what is left out.

    Warnings do not count, nor what a configure script looks for.
    """
    return [line for _, line in numbered(lines)]


def numbered(lines: Iterable[str]) -> list[tuple[int | None, str]]:
    """The same, each with its number from 0; what is left out has none."""
    before: deque[tuple[int, str]] = deque(maxlen=BEFORE)
    last: deque[tuple[int, str]] = deque(maxlen=END)
    found: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        last.append((number, line))
        if found:
            if len(found) < BEFORE + 1 + AFTER:
                found.append((number, line))
        elif number < SCANNED and _ERROR.search(line) and not _NO_ERROR.search(line):
            found = [*before, (number, line)]
        else:
            before.append((number, line))
    ends = [one for one in last if not found or one[0] > found[-1][0]]
    gap = [(None, "…")] if found and ends and last[0][0] > found[-1][0] + 1 else []
    return [*found, *gap, *ends]
