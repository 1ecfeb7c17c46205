"""Trees as text. What is drawn is read back, by a reader that knows nothing of how it was drawn, and compared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forest import CHAIN, LINES, Line, branches, draw

Forest = tuple[list[int], list[int]]


@st.composite
def forests(draw: st.DrawFn) -> Forest:
    """Any parents, with many chains among them; any numbers of jobs."""
    size = draw(st.integers(0, 60))
    parents = [draw(st.one_of(st.just(node - 1), st.integers(-1, node - 1))) for node in range(size)]
    return parents, draw(st.lists(st.integers(1, 3), min_size=size, max_size=size))


LIMITS = st.one_of(st.none(), st.integers(0, 70))


def drawing(forest: str, limit: int | None = None) -> str:
    """The lines of a forest of `node:parent*jobs`, one job where nothing is said."""
    names: list[str] = []
    parents: list[int] = []
    jobs: list[int] = []
    for word in forest.split():
        text, _, count = word.partition("*")
        name, _, parent = text.partition(":")
        parents.append(names.index(parent) if parent else -1)
        names.append(name)
        jobs.append(int(count or 1))
    lines = []
    for line in draw(parents, jobs, limit):
        shown = " ".join(names[node] for node in line.nodes)
        what = f"{line.branches} branches: " if line.branches else ""
        lines.append(line.guides + (f"… {what}{shown}" if line.cut else shown))
    return "\n".join(lines)


def depth(line: Line) -> int:
    return len(line.guides) // 3


def joined(line: Line) -> bool:
    """Whether it hangs on the last line that is moved in less; else it goes on from the last one moved in as much."""
    return line.guides.endswith("─ ")


def read(lines: Sequence[Line], parents: Sequence[int]) -> list[int]:
    """Each node's parent as the lines show it. Of `parents` is used what no drawing shows: which nodes start a tree,
    as those stand below each other like a chain, and what hangs on what among branches that are left out."""
    found: dict[int, int] = {}
    last: list[int] = []  # by depth
    for line in lines:
        at = depth(line)
        if line.branches:
            assert line.cut
            above = last[at - 1] if joined(line) else -1
            starts = [node for node in line.nodes if parents[node] not in line.nodes]
            assert {parents[node] for node in starts} == {above}
            assert len(starts) == line.branches
            here = {node: parents[node] for node in line.nodes}
        else:
            above = last[at - 1] if joined(line) else last[at] if at < len(last) else -1
            if parents[line.nodes[0]] == -1 and not line.guides:
                above = -1
            here = dict(zip(line.nodes, [above, *line.nodes], strict=False))
            last[at:] = [line.nodes[-1]]
        assert line.nodes
        assert line.cut or len(line.nodes) == 1
        assert found.keys().isdisjoint(here), "a node stands once"
        found |= here
    return [found[node] for node in range(len(parents))]


@given(forest=forests(), limit=LIMITS)
def test_a_drawing_shows_every_node_once_and_where_it_hangs(forest: Forest, limit: int | None) -> None:
    parents, jobs = forest
    assert read(list(draw(parents, jobs, limit)), parents) == parents


@given(forest=forests(), limit=LIMITS)
def test_a_node_is_drawn_below_its_parent(forest: Forest, limit: int | None) -> None:
    """And so is one that is left out."""
    parents, jobs = forest
    places = {node: place for place, line in enumerate(draw(parents, jobs, limit)) for node in line.nodes}
    for node, parent in enumerate(parents):
        assert parent == -1 or places[parent] <= places[node]


@given(forest=forests(), limit=LIMITS)
def test_guides_begin_and_end_at_lines(forest: Forest, limit: int | None) -> None:
    """One that goes down leads to the next line's, or to what goes on there; one that has ended leads nowhere."""
    end = Line("", [len(forest[0])])
    for line, next in pairwise([*draw(*forest, limit), end]):
        guides, below = line.guides, next.guides
        marks = [guides[at : at + 3] for at in range(0, len(guides), 3)]
        assert set(marks[:-1]) <= {"│  ", "   "}
        assert set(marks[-1:]) <= {"│  ", "   ", "├─ ", "└─ "}
        assert len(below) <= len(guides) + 3
        begins = joined(next) or next is end or -1 in [forest[0][node] for node in next.nodes]
        for at, mark in enumerate(marks):
            met = below[3 * at : 3 * at + 3]
            if mark in ("├─ ", "│  "):
                assert met in ("├─ ", "└─ ", "│  ") if met else depth(next) == at and not begins
            else:
                assert met == "   " if met else depth(next) < at or begins


@given(forest=forests(), limit=LIMITS)
def test_lines_move_in_by_the_logarithm_of_the_nodes(forest: Forest, limit: int | None) -> None:
    """What is moved in has less than half of the nodes of what it is moved in from: a node that is moved in n times is
    one of 2^(n+1) - 1 at least. A line for branches that are left out may stand for all that comes after a node: it
    takes two nodes to move it in once, for once more twice as many and one.
    """
    nodes = len(forest[0])
    for line in draw(*forest, limit):
        if line.branches:
            assert 3 * 2 ** depth(line) <= 2 * (nodes + 1)
        else:
            assert 2 ** (depth(line) + 1) <= nodes + 1


@given(forest=forests(), limit=st.one_of(st.none(), st.integers(60, 100)))
def test_nothing_is_left_out_where_there_is_room_or_no_limit(forest: Forest, limit: int | None) -> None:
    lines = list(draw(*forest, limit))
    assert len(lines) == len(forest[0])
    assert not any(line.cut or line.branches for line in lines)


def most(limit: int) -> int:
    """Lines of any drawing. Where branches get more than CHAIN lines each, they are at most limit / (CHAIN + 1), and a
    line for what is left out may come after each, as after all trees. The first branch is always shown."""
    return max(limit + limit // (CHAIN + 1) + 1, CHAIN + 2)


@given(forest=forests(), limit=st.integers(0, 60))
def test_a_limit_holds_but_for_a_few_lines(forest: Forest, limit: int) -> None:
    assert len(list(draw(*forest, limit))) <= most(limit)


@pytest.mark.parametrize("width", [1, 2, 5, 10, 25])
@pytest.mark.parametrize("length", [1, 2, 4, 5, 8])
def test_the_limit_is_used(width: int, length: int) -> None:
    """Of forests of every shape it is a good half at least that is drawn, not a few lines."""
    parents: list[int] = []
    ends = [-1]
    while len(parents) < 3000:
        starts = [end for end in ends for _ in range(width)]
        ends = []
        for start in starts:
            parents.append(start)
            for _ in range(length - 1):
                parents.append(len(parents) - 1)
            ends.append(len(parents) - 1)
    lines = list(draw(parents, [1] * len(parents)))
    assert LINES / 2 <= len(lines) <= most(LINES)


CHAINS = """
a
b
c
"""
FORK = """
a
├─ b
│  c
└─ d
   e
"""
# d and what is below it are most of what comes after a: it goes on below.
TRUNK = """
a
├─ b
├─ c
d
├─ e
f
g
"""
# Of b and c the first is heavier, if not by much.
HEAVIER = """
a
├─ c
│  e
b
d
f
"""
HALVES = """
a
├─ b
│  ├─ d
│  └─ e
└─ c
   ├─ f
   └─ g
"""
TREES = """
a
├─ c
└─ d
b
e
"""
# More jobs hold d than b.
SHARED = """
a
├─ d
├─ b
└─ c
"""
PARTED_BY_JOBS = """
a
b
c
"""


@pytest.mark.parametrize(
    ("forest", "drawn"),
    [
        ("", "\n\n"),
        ("a b:a c:b", CHAINS),
        ("a b:a d:a c:b e:d", FORK),
        ("a b:a c:a d:a e:d f:d g:f", TRUNK),
        ("a b:a c:a d:b e:c f:d", HEAVIER),
        ("a b:a c:a d:b e:b f:c g:c", HALVES),
        ("a b c:a d:a e:b", TREES),
        ("a*4 b:a c:a d:a*2", SHARED),
        ("a*3 b:a*2 c:b*1", PARTED_BY_JOBS),
    ],
)
def test_a_forest_that_fits(forest: str, drawn: str) -> None:
    assert drawing(forest) == drawing(forest, 10) == drawn[1:-1]


LONG = " ".join(["n0", *(f"n{number}:n{number - 1}" for number in range(1, 12))])
CUT_CHAIN = """
n0
n1
n2
… n3 n4 n5 n6 n7 n8 n9 n10
n11
"""
# Where few branches are shown each has more lines than where there are many.
TWO_CUT_CHAINS = """
r
├─ a0
│  a1
│  … a2 a3 a4 a5
│  a6
└─ b0
   b1
   … b2 b3 b4 b5
   b6
"""
CUT_BRANCHES = """
r
├─ a
├─ b
├─ c
└─ … 2 branches: d e f
"""
CUT_BEFORE_A_TRUNK = """
r
├─ a
├─ b
├─ … 3 branches: c d e
t0
t1
… t2 t3 t4
t5
"""
CUT_TREES = """
a
b
c
… 2 branches: d e f
"""
# The first after a and the first after b come before the third after a.
CUT_EVERYWHERE = """
r
├─ a
│  ├─ a1
│  ├─ a2
│  └─ … 2 branches: a3 a4
└─ b
   ├─ b1
   └─ … 3 branches: b2 b3 b4
"""
CUT_WHOLE = """
a
└─ … 1 branches: b c d e f g h
"""


@pytest.mark.parametrize(
    ("forest", "limit", "drawn"),
    [
        (LONG, 5, CUT_CHAIN),
        (
            "r " + " ".join(f"{x}{n}:{x}{n - 1}" if n else f"{x}0:r" for n in range(7) for x in "ab"),
            12,
            TWO_CUT_CHAINS,
        ),
        ("r a:r b:r c:r d:r e:r f:e", 5, CUT_BRANCHES),
        ("r a:r b:r c:r d:r e:r t0:r t1:t0 t2:t1 t3:t2 t4:t3 t5:t4", 8, CUT_BEFORE_A_TRUNK),
        ("a b c d e f:e", 3, CUT_TREES),
        ("r a:r b:r " + " ".join(f"{x}{n}:{x}" for x in "ab" for n in range(1, 5)), 9, CUT_EVERYWHERE),
        ("a*2 b:a c:b d:c e:d f:e g:f h:g", 5, CUT_WHOLE),
    ],
)
def test_a_forest_that_does_not_fit(forest: str, limit: int, drawn: str) -> None:
    assert drawing(forest, limit) == drawn[1:-1]


@pytest.mark.parametrize("limit", [None, LINES])
@pytest.mark.parametrize("shape", ["chain", "jobs", "comb", "tree", "star"])
def test_a_hundred_thousand_nodes_need_no_deep_stack_and_little_time(shape: str, limit: int | None) -> None:
    count = 100_000
    parents = {
        "chain": [node - 1 for node in range(count)],
        "jobs": [node - 1 for node in range(count)],
        "comb": [node - 2 + node % 2 if node > 1 else node - 1 for node in range(count)],
        "tree": [(node + 1) // 2 - 1 for node in range(count)],
        "star": [min(node, 1) - 1 for node in range(count)],
    }[shape]
    jobs = [count - node for node in range(count)] if shape == "jobs" else [1] * count
    begun = time.process_time()
    lines = list(draw(parents, jobs, limit))
    assert time.process_time() - begun < 5, "it takes a tenth of that"
    assert sum(len(line.nodes) for line in lines) == count
    assert len(lines) == count if limit is None else len(lines) <= most(limit)


# --- branches


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
