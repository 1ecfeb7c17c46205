"""Which package versions may be there with a compiler, and why others may not.

A version is lost where what must be there with the compiler excludes it, or where it has a need that only lost ones
would meet. What remains need not be possible, but what is lost is not. Of opam's repository two thirds remain.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass

from stepwood.opam.candidate import Need, told
from stepwood.opam.preference import Preference
from stepwood.opam.universe import Clause, Id, Universe

REASONS = 8
"""Lines of a chain of reasons."""


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


@dataclass(frozen=True, slots=True)
class Reason:
    """Lines that a person who knows opam understands. `names`: they are the same wherever the versions of these names
    are; None: which those are is not known."""

    lines: list[str]
    names: frozenset[str] | None


class Possible:
    """Finds out as it is asked, and looks at no more than it has to.

    A version is held possible as long as each of its needs has one that is held possible; the first such one is looked
    at next. When it turns out to be lost, those that counted on it are looked at anew. So circles are no matter, and
    what is lost is lost whatever was asked before.
    """

    def __init__(self, universe: Universe, compiler: Id, oldest: bool = False) -> None:
        """`oldest`: the older of two versions is preferred. Raises KeyError where the compiler cannot be had."""
        self.universe, self.compiler, self.preference = universe, compiler, Preference(universe, oldest)
        self._forced = forced(universe, compiler) if compiler in universe else {}
        self._excluded = {
            other: id for id in self._forced.items() for _, clause in universe.excludes(id) for other in clause
        }
        self._classes = {name: id for id in self._forced.items() for name in universe[id].classes}
        asked = (atom.name for id in self._forced.items() for need in universe[id].needs for atom in need)
        self._ground = frozenset([*self._forced, *asked])
        """The names that decide what is forced."""
        self._excluding: dict[Id, Id | None] = {}
        """By a version, the forced one that it cannot be there with."""
        self._lost: dict[Id, frozenset[str]] = {}
        """By one that is lost, the names that its loss follows from."""
        self._held: set[Id] = set()
        self._users: defaultdict[Id, list[Id]] = defaultdict(list)
        """Of one that is held possible, those that count on it."""
        if not self._forced or any(map(self.lost, self._forced.items())):
            raise KeyError(compiler)

    def lost(self, id: Id) -> bool:
        """Whether a version of the universe cannot be there."""
        if id not in self._held and id not in self._lost and not self._ruled_out(id):
            self._look(deque([id]))
        return id in self._lost

    def kept(self, clause: Clause) -> list[Id]:
        """Of these all that are not lost, the preferred first."""
        return [id for id in self.preference.ordered(clause) if not self.lost(id)]

    def reached(self, roots: Collection[Id], tests: bool = False) -> list[Id]:
        """All that may come in question for these, and with `tests` for theirs, in an order that nothing else has a say
        in."""
        found: set[Id] = set()
        clauses: set[Clause] = set()
        there = [id for id in (self.compiler, *roots) if id in self.universe]
        fresh = {frozenset([id]) for id in there}
        if tests:
            fresh.update(clause for id in there for _, clause in self.universe.tests(id))
        while fresh:
            clauses |= fresh
            todo = {id for id in frozenset().union(*fresh) - found if not self.lost(id)}
            found |= todo
            fresh = {clause for id in todo for _, clause in self.universe.needs(id)} - clauses
        return sorted(found)

    def names(self, id: Id) -> Set[str]:
        """The names that the loss of a lost one follows from."""
        return self._lost[id]

    def why(self, root: Id) -> Reason:
        """Why a lost one is: down to what is missing or excluded, the shortest way or one that is a line longer."""
        above: dict[Id, tuple[Id, Need]] = {}
        names = set(self._ground)
        known = True
        todo = deque([root])
        while todo:
            id = todo.popleft()
            names |= self._lost[id] | self._asks(id)
            end = self._end(id)
            if end is not None:
                lines = [f"{'.'.join(id)} {end}"]
                while id != root:
                    id, need = above[id]
                    lines.append(f"{'.'.join(id)} needs {told(need)}")
                return Reason(lines[: -REASONS - 1 : -1], frozenset(names) if known else None)
            for need, clause in self.universe.needs(id):
                if all(map(self.lost, clause)):
                    fresh = [one for one in self.preference.ordered(clause) if one not in above and one != root]
                    above |= dict.fromkeys(fresh, (id, need))
                    todo += fresh
                    if fresh and self._end(fresh[0]) is not None:
                        todo.appendleft(fresh[0])  # there may be as short a way, but not one to look for
                        break
                    names |= self._asks(fresh[0]) if fresh else set()
                elif clause.isdisjoint(self._forced.items()):
                    known = False  # it could be told of this need, were it not met
        raise AssertionError("what is lost is so for a reason")

    def _asks(self, id: Id) -> set[str]:
        return {atom.name for need in self.universe[id].needs for atom in need}

    def _end(self, id: Id) -> str | None:
        """What is said of a lost one that is excluded, or has a need that nothing there is would meet."""
        other = self._excluding[id]
        if other is not None:
            return f"conflicts with {'.'.join(other)}"
        missing = next((need for need, clause in self.universe.needs(id) if not clause), None)
        return None if missing is None else f"needs {told(missing)}, which is not there"

    def _look(self, todo: deque[Id]) -> None:
        """At these and at what they count on, first in, first out."""
        while todo:
            id = todo.popleft()
            if id in self._held or id in self._lost:
                continue
            picked: list[Id] = []
            for need, clause in self.universe.needs(id):
                first = self._first(clause)
                if first is None:
                    asked = (atom.name for atom in need)
                    self._lost[id] = frozenset([id[0], *asked]).union(*(self._lost[one] for one in clause))
                    users = self._users.pop(id, ())
                    self._held.difference_update(users)
                    todo += users
                    break
                picked.append(first)
            else:
                self._held.add(id)
                for first in picked:
                    self._users[first].append(id)
                todo += picked

    def _first(self, clause: Clause) -> Id | None:
        """Of these the preferred one that is not known to be lost."""
        for id in self.preference.ordered(clause):
            if id in self._held or (id not in self._lost and not self._ruled_out(id)):
                return id
        return None

    def _ruled_out(self, id: Id) -> bool:
        """Whether what is forced excludes it; then it is lost."""
        if id not in self._excluding:
            self._excluding[id] = next(self._excluders(id), None)
        if self._excluding[id] is None:
            return False
        self._lost[id] = frozenset([id[0]])
        return True

    def _excluders(self, id: Id) -> Iterator[Id]:
        """The forced ones that cannot be there with it."""
        name, version = id
        asked = self.universe[id]
        if self._forced.get(name, version) != version:
            yield name, self._forced[name]
        if id in self._excluded:
            yield self._excluded[id]
        yield from (one for shared in asked.classes if (one := self._classes.get(shared, id)) != id)
        for atom in asked.excludes:
            if atom.name in self._forced and atom.allows(self._forced[atom.name]):
                yield atom.name, self._forced[atom.name]
