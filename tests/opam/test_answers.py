"""What a solution is made into, and the document that says it."""

from __future__ import annotations

from typing import Any

import pytest

from stepwood.opam.solutions import Job, Refused, document, read
from tests.opam.packages import COMPILER, LINUX, answers

ROUND = {
    "a.1": 'depends: "b"', "b.1": 'depends: ["c" "d"]', "c.1": 'depends: "b"', "d.1": "",
    "later.1": 'depends: "b" {post}', "self.1": 'depends: "self"',
    "one.1": 'depends: "two"', "two.1": 'depends: "one" {post}',
    "taken.1": 'depends: "takes"', "takes.1": 'depopts: "taken"',
}  # fmt: skip


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("a", "b.1 is built after c.1; c.1 is built after b.1"),
        ("c", "b.1 is built after c.1; c.1 is built after b.1"),
        ("later", "b.1 is built after c.1; c.1 is built after b.1"),
        ("taken", "taken.1 is built after takes.1; takes.1 is built after taken.1"),
        ("d", None),
        ("self", None),
        ("one", None),
        ("two", None),
        ("takes", None),
    ],
)
def test_packages_on_a_circle_cannot_be_built(root: str, reason: str | None) -> None:
    (found,) = answers(ROUND, [(root, "1")])
    if reason is None:
        assert isinstance(found, Job)
    else:
        assert found == Refused((root, "1"), COMPILER, reason)


def written(**job: object) -> dict[str, Any]:
    whole: dict[str, object] = {"root": "a", "version": "1", "packages": ["a.1", "b.1"], "deps": [[1], []]}
    return {"compiler": "ocaml.5", "jobs": [whole | job]}


def test_what_is_written_is_read() -> None:
    found = [*answers(ROUND, [("a", "1"), ("one", "1")]), *answers(ROUND, [("two", "1")], tests=True)]
    assert read(document(LINUX, ["repo"], found)) == sorted(found, key=lambda one: isinstance(one, Refused))


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"packages": ["b.1"], "deps": [[]]}, "a.1 is not among its own packages"),
        ({"packages": ["a.1", "b"]}, "b is no NAME.VERSION"),
        ({"deps": [[1]]}, "packages and deps of a.1 do not fit together"),
        ({"deps": [[2], []]}, "packages and deps of a.1 do not fit together"),
        ({"deps": [[-1], []]}, "packages and deps of a.1 do not fit together"),
        ({"tests": [2]}, "packages and deps of a.1 do not fit together"),
        ({"packages": ["a.1", "a.1"]}, "packages and deps of a.1 do not fit together"),
    ],
)
def test_what_is_no_solution_is_not_read(job: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}$"):
        read(written(**job))


def test_a_circle_that_is_written_is_refused() -> None:
    (found,) = read(written(deps=[[1], [0]]))
    assert found == Refused(("a", "1"), COMPILER, "a.1 is built after b.1; b.1 is built after a.1")
