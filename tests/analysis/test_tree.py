"""Trees: what they say they need is what their orders need, and taking parts off and putting them back keeps them."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.agglomerate import agglomerate
from engine.analysis.bits import Bits, places
from engine.analysis.jobs import Jobs
from engine.analysis.search import regraft, search
from engine.analysis.tree import Tree, orders
from tests.analysis.posets import batches, prefixes

LEAVES = st.sets(st.integers(0, 255), max_size=12).map(sorted)
MOVES = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.booleans()), max_size=20)
"""Which subtree goes where, and whether it stays there."""


def sound(tree: Tree) -> bool:
    """Whether the tree is what its class says."""
    nodes = tree.nodes()
    leaves = [node for node in nodes if not tree.kids[node]]
    assert sorted(leaves) == list(range(1, tree.count + 1))
    for node in [0, *nodes]:
        assert all(tree.parents[kid] == node for kid in tree.kids[node])
        if node and tree.kids[node]:
            common = -1
            for kid in tree.kids[node]:
                common &= tree.sets[kid]
            assert tree.sets[node] == common != tree.sets[tree.parents[node]]
            assert len(tree.kids[node]) > 1
    return True


@given(batches())
def test_a_tree_needs_what_its_orders_need(jobs: Jobs) -> None:
    """Where siblings had more in common than their parent holds, the orders could need less; here none have."""
    bits = Bits.of(jobs)
    leaves = bits.leaves()
    for tree in (agglomerate(leaves), search(leaves, 0.02)):
        assert sound(tree)
        assert tree.steps + bits.single == prefixes(orders(tree, bits, leaves))


@given(LEAVES, MOVES)
def test_any_subtree_may_go_anywhere(leaves: list[int], moves: list[tuple[int, int, bool]]) -> None:
    tree = agglomerate(leaves)
    for which, where, keep in moves if leaves else []:
        steps, before = tree.steps, (tree.sets.copy(), tree.parents.copy(), [list(kids) for kids in tree.kids])
        nodes = tree.nodes()
        node = nodes[which % len(nodes)]
        tree.detach(node)
        left = [0, *tree.nodes()]
        tree.attach(node, left[where % len(left)])
        assert sound(tree)
        assert tree.saved() == steps - tree.steps
        if keep:
            tree.accept()
        else:
            tree.undo()
            used = [number for number in range(len(before[0])) if tree.used(number)]
            assert [(tree.sets[number], tree.kids[number]) for number in used] == [
                (before[0][number], before[2][number]) for number in used
            ]


@given(LEAVES, st.integers(0, 99), MOVES)
def test_find_finds_the_place_that_saves_most(
    leaves: list[int], which: int, moves: list[tuple[int, int, bool]]
) -> None:
    """After any moves, kept and taken back: what it passes by holds nothing better."""
    if not leaves:
        return
    tree = agglomerate(leaves)
    for moved, where, keep in moves:
        nodes = tree.nodes()
        node = nodes[moved % len(nodes)]
        tree.detach(node)
        left = [0, *tree.nodes()]
        tree.attach(node, left[where % len(left)])
        if keep:
            tree.accept()
        else:
            tree.undo()
    nodes = tree.nodes()
    node = nodes[which % len(nodes)]
    tree.detach(node)
    wanted, off = tree.sets[node], tree.steps
    place = tree.find(wanted, lambda: False)

    def saved(place: int) -> int:
        found = (tree.sets[place] & wanted).bit_count()
        while place:
            place = tree.parents[place]
            found -= (tree.sets[place] & ~wanted).bit_count()
        return found

    foreseen = saved(place)
    assert foreseen == max(map(saved, [0, *tree.nodes()]))
    inside = tree.copy()
    tree.attach(node, place)
    assert sound(tree)
    assert tree.steps <= off + inside_of(inside, node) - foreseen


def inside_of(tree: Tree, top: int) -> int:
    """What a detached subtree needs by itself."""
    needed, todo = tree.sets[top].bit_count(), [top]
    for node in todo:
        needed += sum((tree.sets[kid] & ~tree.sets[node]).bit_count() for kid in tree.kids[node])
        todo += tree.kids[node]
    return needed


@given(LEAVES)
def test_nothing_moves_once_regrafted(leaves: list[int]) -> None:
    tree = agglomerate(leaves)
    regraft(tree, time.monotonic() + 60)
    steps = tree.steps
    regraft(tree, time.monotonic() + 60)
    assert tree.steps == steps


def test_no_time_is_no_harm() -> None:
    assert search([1, 3, 5], 0.0).steps == 3
    assert search([], 0.0).steps == 0


@given(st.integers(0, 1 << 70))
def test_places_are_the_bits(mask: int) -> None:
    assert sum(1 << place for place in places(mask)) == mask
