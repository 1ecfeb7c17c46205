"""Runs of nodes that follow each other, as they are drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forest import branches, draw

Forest = tuple[list[int], list[int]]


@st.composite
def forests(draw: st.DrawFn) -> Forest:
    """Any parents, with many chains among them; any numbers of jobs."""
    size = draw(st.integers(0, 40))
    parents = [draw(st.one_of(st.just(node - 1), st.integers(-1, node - 1))) for node in range(size)]
    return parents, draw(st.lists(st.integers(1, 3), min_size=size, max_size=size))


@pytest.mark.parametrize(
    ("parents", "jobs", "found"),
    [
        ([], [], []),
        ([-1, 0, 1], [2, 2, 2], [(-1, [0, 1, 2])]),
        # Where fewer jobs go on, another branch begins.
        ([-1, 0, 1], [2, 2, 1], [(-1, [0, 1]), (0, [2])]),
        ([-1, 0, 0, 1], [2, 1, 1, 1], [(-1, [0]), (0, [2]), (0, [1, 3])]),
        # What most jobs have is first, but what is most of the rest is last; then the next tree.
        (
            [-1, -1, 0, 0, 0, 4, 5, 6],
            [9, 1, 1, 2, 3, 3, 3, 3],
            [(-1, [0]), (0, [3]), (0, [2]), (0, [4, 5, 6, 7]), (-1, [1])],
        ),
        # After a branch comes all that grows from it, before its next.
        ([-1, 0, 0, 1, 1], [4, 2, 2, 1, 1], [(-1, [0]), (0, [2]), (0, [1]), (2, [3]), (2, [4])]),
    ],
)
def test_branches_by_hand(parents: list[int], jobs: list[int], found: list[tuple[int, list[int]]]) -> None:
    assert branches(parents, jobs) == found


@given(forests())
def test_branches_are_the_runs_of_the_forest(forest: Forest) -> None:
    parents, jobs = forest
    found = branches(parents, jobs)
    assert sorted(node for _, nodes in found for node in nodes) == list(range(len(parents)))
    for place, (above, nodes) in enumerate(found):
        assert above < place
        before = -1 if above < 0 else found[above][1][-1]
        assert [parents[node] for node in nodes] == [before, *nodes[:-1]]
        assert len({jobs[node] for node in nodes}) == 1
        after = [node for node, parent in enumerate(parents) if parent == nodes[-1]]
        assert len(after) != 1 or jobs[after[0]] != jobs[nodes[0]], "it would go on"


@given(forests())
def test_branches_stand_as_they_are_drawn(forest: Forest) -> None:
    drawn = [node for line in draw(*forest, None) for node in line.nodes]
    assert [node for _, nodes in branches(*forest) for node in nodes] == drawn
