"""What follows from the opam files of a name."""

from __future__ import annotations

import pytest

from stepwood.opam.facts import Facts
from tests.opam.packages import facts_of, package

MANY = " | ".join(f'("a{number}" & "b{number}")' for number in range(40))
BOUNDS = " & ".join(f'(= "{number}" | >= "{number}.1")' for number in range(40))


def of(*ids: str, flagged: str = "") -> Facts:
    return facts_of([package(id, "flags: deprecated" if id in flagged.split() else "") for id in ids])[0]


def test_versions_are_in_their_order() -> None:
    assert of("a.10", "a.9", "a.9~rc1", "a.9.1").versions == ("9~rc1", "9", "9.1", "10")
    assert of("a.1.00", "a.1.0", "a.1").versions == ("1", "1.00", "1.0"), "as they come, where they are the same"


@pytest.mark.parametrize(
    ("facts", "newest"),
    [
        (of("a.9", "a.10", "a.10~rc1"), "10"),
        (of("a.9", "a.10", flagged="a.10"), "9"),
        (of("a.9", flagged="a.9"), None),
        (of("a.1.0", "a.1.00"), "1.00"),
        (of("a.1.00", "a.1.0"), "1.0"),
        (of(), None),
    ],
)
def test_newest(facts: Facts, newest: str | None) -> None:
    assert facts.newest == newest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("depends: 3", "a package, or a formula of packages, is expected"),
        ('depends: "b" {3}', '"3" is neither true nor false'),
        ('depends: "b" {["c"]}', "a condition, a variable or a text is expected"),
        ('depends: "b" {with-test & "maybe"}', '"maybe" is neither true nor false'),
        ('depends: "b" {with-test & (os = "win32") & "maybe"}', '"maybe" is neither true nor false'),
        ("depopts: [3]", "a package, or a formula of packages, is expected"),
        ("conflicts: [true]", "a package, or a formula of packages, is expected"),
        ('available: "3"', '"3" is neither true nor false'),
        ("available: [true 3]", '"3" is neither true nor false'),
        ('depexts: ["b"] {"3"}', '"3" is neither true nor false'),
        (f"depends: [{MANY}]", "its alternatives multiply to more than 10,000"),
        (f'depends: "b" {{{BOUNDS}}}', "its alternatives multiply to more than 10,000"),
    ],
)
def test_a_version_that_means_nothing_is_left_out(text: str, problem: str) -> None:
    """And told of; the others are there."""
    facts, candidates = facts_of([package("a.1"), package("a.2", text), package("a.3")])
    assert facts.versions == tuple(candidates) == ("1", "3")
    assert facts.problems == (f"packages/a/a.2/opam: {problem}",)
