"""Chains that part, drawn as text: all of them where they fit, else the trunks and a sample of each parting. Pure.

A branch is a run of nodes that follow each other, held by the same jobs. Where most of what comes after a branch is in
one branch, that one goes on below without being moved in, so that lines move in at most log2(nodes) times (as in the
heavy paths of Sleator and Tarjan, 1983).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LINES = 100
"""How many lines a drawing has, or a few more, where there is more to draw."""
CHAIN = 4
"""Lines that each branch may have in a drawing that does not show all; more where few branches are shown."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a drawing: guides that show where it hangs, and the node there, or the nodes that are left out.

    `branches` is the number of branches left out, 0 where nodes in the middle of one are.
    """

    guides: str
    nodes: Sequence[int]
    branches: int = 0
    cut: bool = False
    """Whether the nodes are left out."""


@dataclass(slots=True)
class _Branch:
    nodes: list[int]
    kids: list[_Branch]
    size: int = 0
    """Nodes in it and after it."""
    cost: int = 0
    """How far from the first of everything: drawings show the least first."""
    goes_on: bool = False
    """Whether its last kid, which is most of what comes after it, is drawn as going on with it."""


def branches(parents: Sequence[int], jobs: Sequence[int]) -> list[tuple[int, list[int]]]:
    """All branches as they are drawn, each after the one it grows from: that one's place in the list, -1 where there is
    none, and its nodes."""
    found: list[tuple[int, list[int]]] = []
    todo = [(-1, kid) for kid in reversed(_branches(parents, jobs, trunks=True).kids)]
    while todo:
        above, branch = todo.pop()
        todo += [(len(found), kid) for kid in reversed(branch.kids)]
        found.append((above, branch.nodes))
    return found


def draw(
    parents: Sequence[int], jobs: Sequence[int], limit: int | None = LINES, *, trunks: bool = True
) -> Iterator[Line]:
    """The lines, top to bottom. A node's parent comes before it, and is -1 where it has none.

    `jobs` is the number of jobs that hold each node; branches that more jobs hold are drawn first. With `limit`, what
    does not fit is left out: the first branch at each parting is kept before the second at any, and so on. With
    `trunks`, the largest branch at a parting goes on below, if it is larger than all others together.
    """
    root = _branches(parents, jobs, trunks)
    shown = None if limit is None or len(parents) <= limit else _sample(root, limit)
    room = len(parents) if shown is None or limit is None else max(CHAIN, limit // len(shown))
    # Each entry is one of: a branch to draw, with the guides of its first line and of the others; a line that is ready.
    todo: list[tuple[_Branch, str, str] | Line] = [*_kids(root, "", shown)][::-1]
    while todo:
        entry = todo.pop()
        if isinstance(entry, Line):
            yield entry
            continue
        branch, guides, after = entry
        first = len(branch.nodes) if len(branch.nodes) <= room else room - 2
        for node in branch.nodes[:first]:
            yield Line(guides, [node])
            guides = after
        if branch.nodes[first:]:
            yield Line(after, branch.nodes[first:-1], cut=True)
            yield Line(after, branch.nodes[-1:])
        todo += [*_kids(branch, after, shown)][::-1]


def _kids(branch: _Branch, guides: str, shown: set[int] | None) -> Iterator[tuple[_Branch, str, str] | Line]:
    """What comes after a branch: those of its kids that are shown, and a line for the others."""
    drawn = [kid for kid in branch.kids if shown is None or id(kid) in shown]
    left = [kid for kid in branch.kids if shown is not None and id(kid) not in shown]
    trunk = drawn.pop() if branch.goes_on and drawn and drawn[-1] is branch.kids[-1] else None
    top = not branch.nodes  # trees stand side by side: nothing joins them
    for place, kid in enumerate(drawn):
        end = trunk is None and not left and place == len(drawn) - 1
        yield kid, *(("", "") if top else (guides + ("└─ " if end else "├─ "), guides + ("   " if end else "│  ")))
    if left:
        nodes = [node for kid in left for node in _all(kid)]
        yield Line("" if top else guides + ("└─ " if trunk is None else "├─ "), nodes, len(left), cut=True)
    if trunk is not None:
        yield trunk, guides, guides


def _branches(parents: Sequence[int], jobs: Sequence[int], trunks: bool) -> _Branch:
    """All branches, as the kids of one without nodes; those of most jobs first, but a trunk that goes on is last."""
    root = _Branch([], [])
    kids: list[list[int]] = [[] for _ in parents]
    tops: list[int] = []
    for node, parent in enumerate(parents):
        (kids[parent] if parent >= 0 else tops).append(node)
    made: list[_Branch] = []
    todo = [(root, node) for node in tops]
    for above, start in todo:
        nodes = [start]
        while len(kids[nodes[-1]]) == 1 and jobs[kids[nodes[-1]][0]] == jobs[nodes[-1]]:
            nodes += kids[nodes[-1]]
        branch = _Branch(nodes, [], len(nodes))
        above.kids.append(branch)
        made.append(branch)
        todo += [(branch, kid) for kid in kids[nodes[-1]]]
    for branch, (above, _) in zip(reversed(made), reversed(todo), strict=True):
        above.size += branch.size
    for branch in (root, *made):
        branch.kids.sort(key=lambda kid: (-jobs[kid.nodes[0]], kid.nodes[0]))
        if branch.nodes and branch.kids:
            largest = max(branch.kids, key=lambda kid: kid.size)
            if trunks and 2 * largest.size > sum(kid.size for kid in branch.kids):
                branch.kids.remove(largest)
                branch.kids.append(largest)
                branch.goes_on = True
        for place, kid in enumerate(branch.kids[-1:] + branch.kids[:-1] if branch.goes_on else branch.kids):
            kid.cost = branch.cost + 1 + place
    return root


def _sample(root: _Branch, limit: int) -> set[int]:
    """Which branches are shown: the least cost first, so none before the one it hangs on."""
    every: list[_Branch] = []
    todo = [root]
    for branch in todo:
        every += branch.kids
        todo += branch.kids
    shown: set[int] = set()
    for branch in sorted(every, key=lambda branch: branch.cost):
        limit -= min(len(branch.nodes), CHAIN) + bool(branch.kids)
        if limit < 0 and shown:
            break
        shown.add(id(branch))
    return shown


def _all(branch: _Branch) -> list[int]:
    """The nodes in a branch and after it."""
    found: list[int] = []
    todo = [branch]
    for one in todo:
        found += one.nodes
        todo += one.kids
    return found
