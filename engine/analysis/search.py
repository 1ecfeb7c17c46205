"""Better trees: subtrees are taken off and put back where they save most.

Such a tree is one of evolution where characters are gained once and never lost (Camin and Sokal 1965), and what
helps there helps here. `regraft` moves one subtree at a time until no move saves a step (subtree pruning and
regrafting). `anneal` takes several off near each other and puts them back with a little chance (ruin and recreate:
Schrimpf and others 2000; passing over places: Christiaens and Vanden Berghe 2020), and keeps trees that are a
little worse, fewer and fewer of them (simulated annealing: Kirkpatrick, Gelatt and Vecchi 1983).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence

from engine.analysis.agglomerate import agglomerate
from engine.analysis.tree import Tree

ROUNDS = 700
"""Rounds of `anneal` for a second of budget. A usual machine does more, so that the rounds end it and not the clock."""
TAKEN = 10
"""So many subtrees at most are off at once."""
CLIMB = 4
"""They hang below one node, at most this many above a leaf's parent."""
NEAR = 400
"""So many nodes at most below that node are looked at."""
SKIPPED = 0.07
"""How often a place that is the best so far is passed over."""
HEAT = 1.0
"""At first a tree that needs this many steps more is kept with a chance of 1/e. It sinks to 0."""


def search(leaves: Sequence[int], seconds: float, seed: int = 0) -> Tree:
    """The best tree found in about so many seconds, and never worse than `agglomerate` gives.

    With the same seed it is the same tree again, unless the machine is so slow that the time ends before the rounds.
    """
    begun = time.monotonic()
    tree = agglomerate(leaves)
    regraft(tree, begun + seconds)
    known = tree.copy()
    if leaves:
        chance = random.Random(seed)  # noqa: S311 (no secret depends on it)
        anneal(tree, int(seconds * ROUNDS), begun + 0.9 * seconds, chance)
        regraft(tree, begun + seconds)
    return min(known, tree, key=lambda tree: tree.steps)


def regraft(tree: Tree, deadline: float) -> None:
    """Move subtrees one by one until none saves a step elsewhere, or time.monotonic() is past the deadline."""
    better = True
    while better:
        better = False
        for node in tree.nodes():
            if not tree.used(node):
                continue
            if time.monotonic() > deadline:
                return
            tree.detach(node)
            tree.attach(node, tree.find(tree.sets[node], lambda: False))
            if tree.saved() > 0:
                tree.accept()
                better = True
            else:
                tree.undo()
        tree.tighten()


def anneal(tree: Tree, rounds: int, deadline: float, chance: random.Random) -> None:
    """So many rounds, fewer if time.monotonic() is past the deadline before. The tree may be worse than it was."""
    begun = time.monotonic()
    for number in range(rounds):
        now = time.monotonic()
        if now >= deadline:
            break
        cooled = max(number / rounds, (now - begun) / (deadline - begun))
        if number % 512 == 0:
            tree.tighten()
        taken = []
        for node in _choose(tree, chance):
            if tree.used(node):  # and not made needless by the one before
                tree.detach(node)
                taken.append(node)
        for node in taken:
            tree.attach(node, tree.find(tree.sets[node], lambda: chance.random() < SKIPPED))
        saved = tree.saved()
        if saved >= 0 or chance.random() < math.exp(saved / (HEAT * (1 - cooled))):
            tree.accept()
        else:
            tree.undo()


def _choose(tree: Tree, chance: random.Random) -> list[int]:
    """Some nodes below one inner node, none above another, in any order."""
    top = tree.parents[chance.randint(1, tree.count)]
    for _ in range(chance.randint(1, CLIMB)):
        if tree.parents[top]:
            top = tree.parents[top]
    near: list[int] = []
    todo = list(tree.kids[top])
    while todo and len(near) < NEAR:
        node = todo.pop()
        near.append(node)
        todo += tree.kids[node]
    some = chance.sample(near, min(chance.randint(1, TAKEN), len(near)))
    return [node for node in some if not _below(tree, node, some)]


def _below(tree: Tree, node: int, nodes: Sequence[int]) -> bool:
    """Whether a node is strictly below one of others."""
    node = tree.parents[node]
    while node and node not in nodes:
        node = tree.parents[node]
    return bool(node)
