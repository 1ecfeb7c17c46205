"""Which package versions may be there with a compiler, and why others may not.

A version is lost where what must be there with the compiler excludes it, or where it has a need that only lost ones
would meet. What remains need not be possible, but what is lost is not. Of opam's repository two thirds remain.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Set
from copy import copy
from dataclasses import dataclass

from stepwood.opam.candidate import told
from stepwood.opam.preference import Preference
from stepwood.opam.universe import Clause, Id, Universe

NOTHING: Clause = frozenset()
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
class Loss:
    """Why a version is lost.

    told    what is said of it
    choice  the versions, all lost too, of which one would have done
    names   all that it follows from, what is forced apart
    """

    told: str
    choice: Clause
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reason:
    """Lines that a person who knows opam understands, and the names whose versions they follow from."""

    lines: list[str]
    names: frozenset[str]


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
        self._free: set[Id] = set()
        """Those that nothing forced excludes."""
        self._lost: dict[Id, Loss] = {}
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
            todo = {id for clause in fresh for id in clause if id not in found and not self.lost(id)}
            found |= todo
            fresh = {clause for id in todo for _, clause in self.universe.needs(id)} - clauses
        return sorted(found)

    def names(self, id: Id) -> Set[str]:
        """The names that the loss of a lost one follows from."""
        return self._lost[id].names

    def why(self, root: Id) -> Reason:
        """Why a lost one is, in the same words whatever was asked before: down to what is missing or excluded, the
        shortest way there is, nearly."""
        fresh = self._anew()
        if not fresh._ruled_out(root):
            fresh._look(deque([root]), root)
        looked = {*fresh._held, *fresh._lost, *self._forced.items()}
        asked = (atom.name for id in looked for need in self.universe[id].needs for atom in need)
        names = frozenset([*(name for name, _ in looked), *asked])
        lines: list[str] = []
        todo: Id | None = root
        while todo is not None and len(lines) < REASONS:
            loss = fresh._lost[todo]
            lines.append(f"{'.'.join(todo)} {loss.told}")
            todo = self.preference.ordered(loss.choice)[0] if loss.choice else None
        return Reason(lines, names)

    def _anew(self) -> Possible:
        """The same, with nothing asked yet."""
        fresh = copy(self)
        fresh._lost, fresh._held, fresh._users = {}, set(), defaultdict(list)
        return fresh

    def _look(self, todo: deque[Id], until: Id | None = None) -> None:
        """At these and at what they count on, first in, first out; `until` one is lost."""
        while todo and until not in self._lost:
            id = todo.popleft()
            if id in self._held or id in self._lost:
                continue
            picked: list[Id] = []
            for need, clause in self.universe.needs(id):
                first = self._first(clause)
                if first is None:
                    missing = "" if clause else ", which is not there"
                    names = {id[0], *(atom.name for atom in need)}.union(*(self._lost[one].names for one in clause))
                    self._lost[id] = Loss(f"needs {told(need)}{missing}", clause, frozenset(names))
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
        if id in self._free:
            return False
        other = next(self._excluding(id), None)
        if other is None:
            self._free.add(id)
            return False
        self._lost[id] = Loss(f"conflicts with {'.'.join(other)}", NOTHING, frozenset([id[0]]))
        return True

    def _excluding(self, id: Id) -> Iterator[Id]:
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
