"""Trees over sets: leaves are the jobs' sets, and an inner node holds what all leaves below it have in common.

What a node holds goes before what its leaves hold beyond it. The steps a tree needs are the sum, over its nodes, of
what a node holds more than its parent. The jobs are closed under needs, so intersections are too, and every tree
gives orders that heed the needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from engine.analysis.bits import Bits
from engine.analysis.jobs import Orders


class Tree:
    """Nodes are numbers: 0 the root, which holds nothing; 1 to `count` the leaves as given; above, inner nodes.

    No inner node holds just what its parent does, or has fewer than two kids. After a `detach` and until its `attach`
    a subtree hangs nowhere. What these two do is kept by `accept` and taken back by `undo`. An inner node without
    kids is not in use, and its number may serve again.
    """

    def __init__(self, leaves: Sequence[int], joins: Iterable[tuple[int, int]] = ()) -> None:
        """Each join puts two nodes below a new one, which has the next number; what is left hangs at the root."""
        self.count = len(leaves)
        self.sets = [0, *leaves]
        self.parents = [0] * len(self.sets)
        self.kids: list[list[int]] = [[] for _ in self.sets]
        self._unions = [0, *leaves]
        self._free: list[int] = []
        self._before: dict[int, tuple[int, int, list[int]]] = {}
        for a, b in joins:
            self._absorb(self._new(self.sets[a] & self.sets[b], [a, b]))
        self.kids[0] = [node for node in range(1, len(self.sets)) if not self.parents[node] and self.used(node)]
        self._absorb(0)
        self.accept()
        self.tighten()

    def nodes(self) -> list[int]:
        """All nodes but the root, parents before kids."""
        found = list(self.kids[0])
        for node in found:
            found += self.kids[node]
        return found

    def used(self, node: int) -> bool:
        """Whether a number is that of a node at present."""
        return node <= self.count or bool(self.kids[node])

    def copy(self) -> Tree:
        """Another tree with the same nodes, as last accepted."""
        other = Tree(())
        other.count = self.count
        other.sets, other.parents, other._unions = self.sets.copy(), self.parents.copy(), self._unions.copy()
        other.kids = [kids.copy() for kids in self.kids]
        other._free = self._free.copy()
        return other

    @property
    def steps(self) -> int:
        """What the whole tree needs."""
        return sum((self.sets[node] & ~self.sets[self.parents[node]]).bit_count() for node in self.nodes())

    def find(self, wanted: int, skip: Callable[[], bool]) -> int:
        """The node above which a subtree with the wanted set saves most steps; the root where it saves none.

        Above a node it saves what it has in common with the node, less what the node's ancestors hold and it does
        not: they lose that. (What is left of them may then have more in common, and more is saved; this is not
        foreseen.) Where `skip` says so, a node that would be the best so far is passed over.
        """
        sets, unions, kids = self.sets, self._unions, self.kids
        best = place = 0
        todo = [(wanted.bit_count(), 0, 0)]
        while todo:
            most, lost, node = todo.pop()
            if most <= best:
                continue
            deeper = []
            for kid in kids[node]:
                most = (wanted & unions[kid]).bit_count() - lost  # nothing in the kid's subtree saves more
                if most > best:
                    common = (wanted & sets[kid]).bit_count()
                    if common - lost > best and not skip():
                        best, place = common - lost, kid
                    if kids[kid]:
                        loss = sets[kid].bit_count() - common
                        if most - loss > best:
                            deeper.append((most - loss, lost + loss, kid))
            deeper.sort()
            todo += deeper
        return place

    def detach(self, node: int) -> None:
        """Take a subtree off; it keeps its inside."""
        parent = self.parents[node]
        self._save(parent)
        self._save(node)
        self.kids[parent].remove(node)
        self.parents[node] = -1
        self._grow(parent)

    def attach(self, node: int, place: int) -> None:
        """Put a detached subtree on the edge above a place, or below the root if that is the place."""
        self._save(node)
        top = 0
        if place:
            top = self._graft(node, place)
        else:
            self._save(0)
            self.kids[0].append(node)
            self.parents[node] = 0
        union = self._unions[node]
        while self._unions[top] | union != self._unions[top]:
            self._unions[top] |= union
            top = self.parents[top]

    def saved(self) -> int:
        """How many steps the changes since the last `accept` or `undo` save."""
        change = 0
        for node, (held, _, kids) in self._before.items():
            # All that hangs at a node saves the node's set, but for one kid. Once all are attached this sums up.
            change += max(len(self.kids[node]) - 1, 0) * self.sets[node].bit_count()
            change -= max(len(kids) - 1, 0) * held.bit_count()
        return change

    def accept(self) -> None:
        """Keep the changes."""
        self._free += [node for node in self._before if not self.used(node)]
        self._before = {}

    def undo(self) -> None:
        """Take back all changes since the last `accept` or `undo`."""
        for node, (held, parent, kids) in self._before.items():
            self.sets[node], self.parents[node], self.kids[node] = held, parent, kids
        self.accept()

    def tighten(self) -> None:
        """Make `find` fast again after many changes: it passes by subtrees that hold too little, as last known."""
        for node in reversed([0, *self.nodes()]):
            if self.kids[node]:
                self._unions[node] = 0
                for kid in self.kids[node]:
                    self._unions[node] |= self._unions[kid]

    def _graft(self, node: int, place: int) -> int:
        """Gives the lowest node whose union is to be looked at."""
        wanted = self.sets[node]
        self._save(place)
        above, losing = self.parents[place], []
        while self.sets[above] & ~wanted:
            losing.append(above)
            above = self.parents[above]
        self._save(above)
        piece = self._new(self.sets[place] & wanted, [place, node])
        self._absorb(piece)
        cut = place
        for loser in losing:  # what is left of it keeps its set, beside the piece that was cut out of it
            self._save(loser)
            self.kids[loser].remove(cut)
            piece = self._new(self.sets[loser] & wanted, [piece, loser])
            cut = loser
        siblings = self.kids[above]
        siblings[siblings.index(cut)] = piece
        self.parents[piece] = above
        for loser in losing:
            holder = self.parents[loser]
            self._grow(loser)
            self._absorb(holder)
        self._absorb(above)
        return above

    def _grow(self, node: int) -> None:
        """A kid has gone or holds more than before: make the node, and those above it, what they should be."""
        sets, parents, kids = self.sets, self.parents, self.kids
        while node > 0:
            self._save(node)
            if len(kids[node]) == 1:
                (kid,) = kids[node]
                above = parents[node]
                self._save(kid)
                self._save(above)
                kids[above][kids[above].index(node)] = kid
                parents[kid] = above
                kids[node] = []
                node = above
                continue
            held, common = sets[node], -1
            for kid in kids[node]:
                common &= sets[kid]
                if common == held:
                    return
            sets[node] = common
            self._absorb(node)
            node = parents[node]

    def _absorb(self, node: int) -> None:
        """Kids that hold just what the node does are not needed: it takes their kids."""
        for kid in [kid for kid in self.kids[node] if self.kids[kid] and self.sets[kid] == self.sets[node]]:
            self._save(node)
            self._save(kid)
            self.kids[node].remove(kid)
            for below in self.kids[kid]:
                self._save(below)
                self.parents[below] = node
            self.kids[node] += self.kids[kid]
            self.kids[kid] = []

    def _new(self, held: int, kids: list[int]) -> int:
        if self._free:
            node = self._free.pop()
        else:
            node = len(self.sets)
            self.sets.append(0)
            self.parents.append(0)
            self.kids.append([])
            self._unions.append(0)
        self._save(node)
        self.sets[node], self.kids[node], self.parents[node], self._unions[node] = held, kids, 0, 0
        for kid in kids:
            self.parents[kid] = node
            self._unions[node] |= self._unions[kid]
        return node

    def _save(self, node: int) -> None:
        if node not in self._before:
            self._before[node] = (self.sets[node], self.parents[node], self.kids[node].copy())


def orders(tree: Tree, bits: Bits, leaves: Sequence[int]) -> Orders:
    """For each job: what each node above its leaf holds, from the root down, then what only it has."""
    number = {held: place for place, held in enumerate(leaves, 1)}
    above: list[list[int]] = [[] for _ in tree.sets]
    for node in tree.nodes():
        parent = tree.parents[node]
        above[node] = above[parent] + bits.order(tree.sets[node] & ~tree.sets[parent])
    return bits.ordered([above[number[job]] for job in bits.jobs])
