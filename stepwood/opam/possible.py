"""Which package versions may be there with a compiler, and why others may not.

Unit propagation, as SAT solvers do it: what must be there costs what it excludes; what is lost costs whatever has a
need that only lost ones would meet; a need of what must be there that one alone can still meet must be met by it. What
remains need not be possible, but what is lost is not. It leaves two thirds of opam's repository, and solving, which
goes over all that could come in question, takes a ninth of the time.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stepwood.opam.candidate import Need, told
from stepwood.opam.universe import Clause, Id, Universe

NOTHING: Clause = frozenset()


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a version is lost: what is said of it, and the versions, all lost too, of which one would have done."""

    told: str
    choice: Clause = NOTHING


def losses(universe: Universe, compiler: Id) -> Mapping[Id, Loss]:
    """The versions that cannot be there with the compiler; itself among them where nothing can."""
    return _Propagation(universe).run(compiler)


def forced(universe: Universe, compiler: Id) -> Mapping[str, str]:
    """Versions, by name, that must be there with the compiler: what it needs of which there is but one version, and so
    on from those; other versions of a name that is found do not count.

    It does not follow from what other versions need. So it is still so where their needs are left out for this.
    """
    found = dict([compiler])
    before: dict[str, str] = {}
    while len(before) < len(found):
        before = dict(found)
        for id in before.items():
            for _, clause in universe.needs(id):
                left = [other for other in clause if found.get(other[0], other[1]) == other[1]]
                if len(left) == 1:
                    found |= left
    return dict(sorted(found.items()))


class _Propagation:
    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._lost: dict[Id, Loss] = {}
        self._forced: set[Id] = set()
        # First in, first out: so reasons are short, and the same whatever else is in the universe.
        self._must: deque[Id] = deque()
        self._dropped: deque[tuple[Id, Loss]] = deque()
        self._left: dict[Clause, int] = {}
        """Of each need, how many that would meet it are not lost."""
        self._users: defaultdict[Clause, list[tuple[Id, Need]]] = defaultdict(list)
        self._clauses: defaultdict[Id, list[Clause]] = defaultdict(list)
        self._excluded_by: defaultdict[Id, list[Id]] = defaultdict(list)
        self._classes: defaultdict[str, list[Id]] = defaultdict(list)

    def run(self, compiler: Id) -> Mapping[Id, Loss]:
        for id in self._universe.ids():
            self._enter(id)
        self._force(compiler)
        while self._dropped or self._must:
            if self._dropped:
                self._drop(*self._dropped.popleft())
            else:
                self._take(self._must.popleft())
        return self._lost

    def _enter(self, id: Id) -> None:
        for need, clause in self._universe.needs(id):
            if clause not in self._left:
                self._left[clause] = len(clause)
                for other in clause:
                    self._clauses[other].append(clause)
            self._users[clause].append((id, need))
            if not clause:
                self._dropped.append((id, Loss(f"needs {told(need)}, which is not there")))
        for _, clause in self._universe.excludes(id):
            for other in clause:
                self._excluded_by[other].append(id)
        for name in self._universe[id].classes:
            self._classes[name].append(id)

    def _drop(self, id: Id, loss: Loss) -> None:
        if id in self._lost:
            return
        self._lost[id] = loss
        for clause in self._clauses[id]:
            self._left[clause] -= 1
            if not self._left[clause]:
                self._dropped += [(user, Loss(f"needs {told(need)}", clause)) for user, need in self._users[clause]]
            elif self._left[clause] == 1 and any(user in self._forced for user, _ in self._users[clause]):
                self._meet(clause)

    def _take(self, id: Id) -> None:
        """It must be there."""
        loss = Loss(f"conflicts with {'.'.join(id)}")
        name, version = id
        others: list[Id] = [(name, other) for other in self._universe.packages[name] if other != version]
        others += [other for one in self._universe[id].classes for other in self._classes[one] if other != id]
        others += self._excluded_by[id]
        others += [other for _, clause in self._universe.excludes(id) for other in sorted(clause)]
        self._dropped += [(other, loss) for other in others]
        for _, clause in self._universe.needs(id):
            if self._left[clause] == 1:
                self._meet(clause)

    def _meet(self, clause: Clause) -> None:
        for id in clause:
            if id not in self._lost:
                self._force(id)

    def _force(self, id: Id) -> None:
        if id not in self._forced:
            self._forced.add(id)
            self._must.append(id)


def why(root: Id, lost: Mapping[Id, Loss], most: int) -> Iterable[str]:
    """Down from what is lost to what is missing, `most` lines at most."""
    seen: set[Id] = set()
    todo = [root]
    while todo and most:
        id = todo.pop()
        loss = lost[id]
        yield f"{'.'.join(id)} {loss.told}"
        most -= 1
        left = loss.choice - seen
        todo += [max(left)] if left else []
        seen |= loss.choice
