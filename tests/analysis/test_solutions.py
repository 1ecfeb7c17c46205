"""A document of package solutions becomes jobs."""

from __future__ import annotations

import pytest

from engine.analysis.solutions import read


def document(*jobs: tuple[object, object]) -> dict[str, object]:
    return {"jobs": [{"root": "x", "packages": packages, "deps": deps} for packages, deps in jobs]}


def test_an_item_is_a_version_with_its_closure() -> None:
    jobs = read(document((["a.1", "b.1"], [[1], []]), (["a.1", "b.2"], [[1], []]), (["b.2", "c.1"], [[], [0]])))
    assert jobs.names == ["b.1", "a.1", "b.2", "a.1", "c.1"]
    assert jobs.needs == [(), (0,), (), (2,), (2,)]
    assert jobs.jobs == [(0, 1), (2, 3), (2, 4)]


def test_packages_come_as_listed_each_after_what_it_depends_on() -> None:
    jobs = read(document((["a", "b", "c", "d"], [[3, 2], [], [1, 3], []])))
    assert [[jobs.names[item] for item in job] for job in jobs.jobs] == [["d", "b", "c", "a"]]


def test_what_is_said_twice_counts_once() -> None:
    assert read(document((["a", "b"], [[1, 1], []]))).needs == [(), (0,)]


def test_nothing_is_fine() -> None:
    assert read({"jobs": []}).total == 0
    assert read(document(([], []))).jobs == [()]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "jobs: not a list"),
        ({"jobs": [1]}, r"jobs\[0\]: not an object"),
        ({"jobs": [{}]}, r"jobs\[0\]\.packages: not a list of strings"),
        (document((["a", 1], [[], []])), r"jobs\[0\]\.packages: not a list of strings"),
        (document((["a", "a"], [[], []])), r"jobs\[0\]\.packages: one stands twice"),
        (document((["a"], None)), r"jobs\[0\]\.deps: not a list as long as packages"),
        (document((["a"], [[], []])), r"jobs\[0\]\.deps: not a list as long as packages"),
        (document(([], []), (["a"], [[1]])), r"jobs\[1\]\.deps\[0\]: not a list of indexes into packages"),
        (document((["a"], [[True]])), r"jobs\[0\]\.deps\[0\]: not a list of indexes into packages"),
        (document((["a"], [[-1]])), r"jobs\[0\]\.deps\[0\]: not a list of indexes into packages"),
        (document((["a"], [[0]])), r"jobs\[0\]: a depends on itself"),
        (document((["a", "b"], [[1], [0]])), r"jobs\[0\]: a depends on itself"),
    ],
)
def test_what_is_no_solution(given: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        read(given)
