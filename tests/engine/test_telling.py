"""The lines of a log that tell why a command failed."""

from __future__ import annotations

import pytest

from engine.telling import AFTER, BEFORE, END, telling

NOISE = [f"compiling part {number}" for number in range(100)]


@pytest.mark.parametrize(
    "line",
    [
        'File "src/a.ml", line 3, characters 4-7: Error: Unbound value x',
        "foo.c:12:5: error: unknown type name",
        "make: *** [Makefile:3: all] Error 2",
        "E: Unable to locate package libx",
        "curl: (22) The requested URL returned error: 404",
        "[ERROR] The compilation of x failed",
        "Fatal error: exception Not_found",
        "/bin/sh: 1: dune: not found",
        "ld: undefined reference to `f'",
        "cp: cannot create regular file '/usr/x': Permission denied",
        "http://host/x is not what its sha256 says: checksum mismatch",
        "Traceback (most recent call last):",
    ],
)
def test_the_first_error_is_shown_with_what_is_around_it(line: str) -> None:
    told = telling([*NOISE, line, *NOISE])
    assert told == [*NOISE[-BEFORE:], line, *NOISE[:AFTER], "…", *NOISE[-END:]]


@pytest.mark.parametrize(
    "line",
    [
        "gcc -Werror -c error_handling.c",
        "checking for error_at_line... no",
        "foo.c:3:1: warning: this cannot be reached",
        "0 errors",
        "all tests passed",
    ],
)
def test_what_only_sounds_like_one_is_none(line: str) -> None:
    assert line not in telling([*NOISE, line, *NOISE])


def test_a_short_log_is_shown_whole() -> None:
    assert telling(["one", "two: error", "three"]) == ["one", "two: error", "three"]
    assert telling([]) == []
    assert telling(["only", "", "words"]) == ["only", "words"]


def test_without_an_error_the_end_is_shown() -> None:
    assert telling(NOISE) == NOISE[-END:]


def test_an_error_near_the_end_leaves_no_gap() -> None:
    assert telling([*NOISE, "it failed", "x", "y"]) == [*NOISE[-BEFORE:], "it failed", "x", "y"]
