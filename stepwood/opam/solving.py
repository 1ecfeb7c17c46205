"""Answers with one compiler: those that are known already, and the others.

An answer depends on what some names say to a solver, and on nothing else that changes from one commit of a repository
to the next: on the names that were looked at where no search was needed, else on all that its root can reach. It is
kept with what those said, and is the answer as long as they still do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from engine.words import counted
from stepwood.opam import solutions
from stepwood.opam.backends import backend
from stepwood.opam.catalogue import Catalogue
from stepwood.opam.greedy import Found, Greedy
from stepwood.opam.memory import Memory, packed, recalled, unpacked
from stepwood.opam.possible import Possible
from stepwood.opam.reach import Reach
from stepwood.opam.reading import Watch
from stepwood.opam.solutions import Answer, Refused
from stepwood.opam.universe import Id, Universe
from stepwood.opam.versions import hint
from system.errors import InputError
from system.fork import spread

SHARE = 200
"""Roots that a process of its own solves at least: what one finds out about versions by the way, the others have to
find out too."""
SEARCH = 8
"""So many others take as long as one that needs a search. All that do are in as few processes as that fills: each has
to tell the solver of what there is."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each root.

    besides  what must be there with it
    tests    whether what its tests need is to be there too
    oldest   prefer older versions of what it needs
    solver   the name of what solves, see `backends`
    """

    compiler: Id
    besides: tuple[Id, ...] = ()
    tests: bool = False
    oldest: bool = False
    solver: str = "libsolv"


class Kept(NamedTuple):
    """The last answer to a question about a root.

    names     what it follows from
    meaning   of those
    searched  whether it took a search
    answer    packed: of many it is looked at only once what they follow from is known to be as it was
    """

    names: str
    meaning: bytes
    searched: bool
    answer: bytes

    def unpacked(self) -> Answer:
        answer = unpacked(self.answer)
        assert isinstance(answer, Answer)
        return answer


class Solving:
    """Answers a question in a catalogue. `fresh` answers so far had to be found."""

    def __init__(self, question: Question, catalogue: Catalogue, memory: Memory, watch: Watch) -> None:
        """Raises InputError for a compiler that is not there, and for a solver that is not known or not installed."""
        self._question, self._catalogue, self._memory, self._watch = question, catalogue, memory, watch
        self._backend = backend(question.solver)
        self.fresh = 0
        name, version = question.compiler
        known = catalogue.facts({name})[name].versions
        if version not in known:
            raise InputError(f"no {name} has the version {version}", hint=hint(version, known))
        self._reach = Reach(catalogue, memory, question.compiler)
        self._always = self._reach.of({name, *(name for name, _ in question.besides)})
        """What every root can reach."""

    def answers(self, roots: Sequence[Id]) -> list[Answer]:
        """One a root, in their order. Raises InputError where the compiler cannot be had."""
        facts = self._catalogue.facts({name for name, _ in roots})
        there = [root for root in roots if root[1] in facts[root[0]].versions]
        last = recalled(self._memory, {root: self._key(root) for root in there}, Kept)
        found = self._holding(last)
        fresh = self._solved([root for root in there if root not in found], last)
        self._memory.remember((self._key(root), kept) for root, kept in fresh.items())
        self.fresh += len(fresh)
        found |= fresh
        return [
            found[root].unpacked()
            if root in found
            else Refused(root, self._question.compiler, f"{'.'.join(root)} is not available there")
            for root in roots
        ]

    # --- what is known already

    def _holding(self, last: Mapping[Id, Kept]) -> dict[Id, Kept]:
        """The answers for which all is as it was when they were found."""
        names = {root: kept.names.split() for root, kept in last.items()}
        self._reach.look_up(set[str]().union(*names.values()))
        return {root: kept for root, kept in last.items() if kept.meaning == self._reach.meaning(names[root])}

    def _key(self, root: Id) -> str:
        asked = self._question
        said = root, asked.compiler, asked.besides, asked.tests, asked.oldest, self._backend.version
        return f"answer {said!r}"

    # --- what is not

    def _solved(self, roots: Sequence[Id], last: Mapping[Id, Kept]) -> dict[Id, Kept]:
        """`last` are answers as they once were."""
        if not roots:
            return {}
        asked = self._question
        universe = self._reach.universe(self._reached({name for name, _ in roots}))
        self._watch(f"solving {counted(len(roots), 'package')} with {'.'.join(asked.compiler)}")
        try:
            possible = Possible(universe, asked.compiler, asked.oldest)
        except KeyError as error:
            raise InputError(f"{'.'.join(asked.compiler)} has needs of its own that cannot be met here") from error

        def work(roots: Sequence[Id]) -> list[Kept]:
            found = self._found(possible, roots)
            return [self._kept(universe, root, found[root]) for root in roots]

        searched = {root for root, kept in last.items() if kept.searched}
        ordered = sorted(roots, key=searched.__contains__)
        shares = spread(work, ordered, SHARE, lambda root: SEARCH if root in searched else 1)
        return dict(zip(ordered, shares, strict=True))

    def _kept(self, universe: Universe, root: Id, found: Found) -> Kept:
        asked = self._question
        answer = solutions.answer(universe, root, asked.compiler, found.answer, asked.tests)
        names = found.names or self._reached({root[0]})
        return Kept(" ".join(sorted(names)), self._reach.meaning(names), found.searched, packed(answer))

    def _reached(self, names: Set[str]) -> set[str]:
        """All that these can reach as roots."""
        return self._always | self._reach.of(names, names if self._question.tests else frozenset())

    def _found(self, possible: Possible, roots: Sequence[Id]) -> dict[Id, Found]:
        """Without a search where that will do."""
        asked = self._question
        found: dict[Id, Found] = {}
        if self._backend.greedy:
            greedy = Greedy(possible)
            tried = ((root, greedy.solve(root, asked.tests, asked.besides)) for root in roots)
            found |= {root: one for root, one in tried if one is not None}
        left = [root for root in roots if root not in found]
        if left:
            solver = self._backend.start(possible, possible.reached([*left, *asked.besides], asked.tests))
            found |= {root: Found(solver.solve(root, asked.tests, asked.besides), None, True) for root in left}
        return found
