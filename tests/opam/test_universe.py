"""What can be had on a platform, and what each version of it asks for."""

from __future__ import annotations

import pytest

from stepwood.opam.candidate import Candidate, told
from stepwood.opam.package import Package
from tests.opam.packages import LINUX, universe

KNOWN = {"a.1": "", "a.2": "", "b.1": "", "c.1": "", "d.1": "", "e.1": 'available: os = "win32"'}


def needs(depends: str) -> list[tuple[str, str]]:
    found = universe({**KNOWN, "x.1": f"depends: [{depends}]"}).needs(("x", "1"))
    return [(told(need), " ".join(sorted(map(".".join, clause)))) for need, clause in found]


@pytest.mark.parametrize(
    ("depends", "expected"),
    [
        ("", []),
        ('"a"', [("a", "a.1 a.2")]),
        ('"a" "b"', [("a", "a.1 a.2"), ("b", "b.1")]),
        ('"a" {> "1"}', [("a (> 1)", "a.2")]),
        ('"a" {>= "1" & < "2"}', [("a (>= 1 & < 2)", "a.1")]),
        ('"a" {< "1" | > "1"}', [("a (< 1 | > 1)", "a.2")]),
        ('"a" {> "2"}', [("a (> 2)", "")]),
        ('"a" {= version}', [("a (= 1)", "a.1")]),
        ('"e"', [("e", "")]),
        ('"absent"', [("absent", "")]),
        ('"a" {< "2"} | "b" | "absent"', [("a (< 2) | b | absent", "a.1 b.1")]),
        ('("a" & "b") | "c"', [("a | c", "a.1 a.2 c.1"), ("b | c", "b.1 c.1")]),
        (
            '("b" & "c") | ("d" & "x")',
            [("b | d", "b.1 d.1"), ("b | x", "b.1 x.1"), ("c | d", "c.1 d.1"), ("c | x", "c.1 x.1")],
        ),
        (
            '"d" | ("b" & ("c" | ("a" {= "1"} & "x")))',
            [("d | b", "b.1 d.1"), ("d | c | a (= 1)", "a.1 c.1 d.1"), ("d | c | x", "c.1 d.1 x.1")],
        ),
        ('"a" {with-test} | "b"', [("b", "b.1")]),
        ('"a" {post}', [("a", "a.1 a.2")]),
    ],
)
def test_needs(depends: str, expected: list[tuple[str, str]]) -> None:
    assert needs(depends) == expected


@pytest.mark.parametrize(
    ("conflicts", "expected"),
    [
        ('"a"', [("a", {("a", "1"), ("a", "2")})]),
        ('"a" {< "2"} "b" | "c"', [("a (< 2)", {("a", "1")}), ("b", {("b", "1")}), ("c", {("c", "1")})]),
        ('"a" {> "2"} "absent" "e"', []),
        ('"x" "x" {= "2"}', []),
        ('"a" {unheard-of}', []),
    ],
)
def test_excludes(conflicts: str, expected: list[object]) -> None:
    """Never a version of itself: there is one of a name anyway."""
    known = universe({**KNOWN, "x.1": f"conflicts: [{conflicts}]", "x.2": ""})
    assert [(told(need), clause) for need, clause in known.excludes(("x", "1"))] == expected


def test_what_is_not_available_is_not_there() -> None:
    known = universe(KNOWN)
    assert {".".join(id) for id in known.ids()} == {"ocaml.5", *KNOWN} - {"e.1"}
    assert known["a", "2"] == Candidate.of(Package("a", "2"), LINUX)
    with pytest.raises(KeyError):
        known["e", "1"]
