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
from stepwood.opam.memory import Memory
from stepwood.opam.possible import Possible
from stepwood.opam.reach import Reach
from stepwood.opam.reading import Watch
from stepwood.opam.solutions import Answer, Refused
from stepwood.opam.universe import Id
from stepwood.opam.versions import hint
from system.errors import InputError
from system.fork import spread

SHARE = 200
"""Roots that a process of its own solves at least: what one finds out about versions by the way, the others have to
find out too."""


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
    """The last answer to a question about a root, the names that it follows from, and what they meant."""

    names: str
    meaning: bytes
    answer: Answer


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
        found = self._known(there)
        solved = self._solved([root for root in there if root not in found])
        self._remember(solved)
        self.fresh += len(solved)
        found |= {root: answer for root, (answer, _) in solved.items()}
        for root in roots:
            if root not in found:
                found[root] = Refused(root, self._question.compiler, f"{'.'.join(root)} is not available there")
        return [found[root] for root in roots]

    # --- what is known already

    def _known(self, roots: Sequence[Id]) -> dict[Id, Answer]:
        """The answers for which all is as it was when they were found."""
        keys = {root: self._key(root) for root in roots}
        found = self._memory.recall(keys.values())
        kept = {root: one for root, key in keys.items() if isinstance(one := found.get(key), Kept)}
        names = {root: one.names.split() for root, one in kept.items()}
        self._reach.look_up(set[str]().union(*names.values()))
        return {root: one.answer for root, one in kept.items() if one.meaning == self._reach.meaning(names[root])}

    def _remember(self, solved: Mapping[Id, tuple[Answer, Set[str]]]) -> None:
        self._memory.remember(
            (self._key(root), Kept(" ".join(sorted(names)), self._reach.meaning(names), answer))
            for root, (answer, names) in solved.items()
        )

    def _key(self, root: Id) -> str:
        asked = self._question
        said = root, asked.compiler, asked.besides, asked.tests, asked.oldest, self._backend.version
        return f"answer {said!r}"

    # --- what is not

    def _solved(self, roots: Sequence[Id]) -> dict[Id, tuple[Answer, Set[str]]]:
        """An answer for each, with the names that it depends on."""
        if not roots:
            return {}
        asked = self._question
        universe = self._reach.universe(self._reached({name for name, _ in roots}))
        self._watch(f"solving {counted(len(roots), 'package')} with {'.'.join(asked.compiler)}")
        try:
            possible = Possible(universe, asked.compiler, asked.oldest)
        except KeyError as error:
            raise InputError(f"{'.'.join(asked.compiler)} has needs of its own that cannot be met here") from error

        def work(roots: Sequence[Id]) -> list[tuple[Answer, Set[str]]]:
            found = self._found(possible, roots)
            return [
                (
                    solutions.answer(universe, root, asked.compiler, found[root].answer, asked.tests),
                    found[root].names or self._reached({root[0]}),
                )
                for root in roots
            ]

        return dict(zip(roots, spread(work, roots, SHARE), strict=True))

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
            found |= {root: Found(solver.solve(root, asked.tests, asked.besides), None) for root in left}
        return found
