"""Answers with one compiler: those that are known already, and the others.

An answer depends on what some names say to a solver, and on nothing else that changes from one commit of a repository
to the next: on the names that were looked at where no search was needed, else on all that its root can reach. So it is
kept under what those say, and beside it, which they were.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from engine.words import counted
from stepwood.opam import solutions
from stepwood.opam.backends import backend
from stepwood.opam.catalogue import Catalogue
from stepwood.opam.greedy import Found, Greedy
from stepwood.opam.memory import Memory
from stepwood.opam.reach import Reach
from stepwood.opam.reading import Watch
from stepwood.opam.solutions import Answer, Job, Refused
from stepwood.opam.solver import Solution, Unsatisfiable
from stepwood.opam.universe import Id, Universe
from stepwood.opam.versions import hint
from system.errors import InputError
from system.fork import spread

SHARE = 50
"""Roots that a process of its own searches for at least: to fork takes as long as some."""


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
        traces = {root: self._trace(root) for root in roots}
        known = self._memory.recall(traces.values())
        names = {root: said.split() for root, key in traces.items() if isinstance(said := known.get(key), str)}
        self._reach.look_up(set[str]().union(*names.values()))
        keys = {root: self._key(root, some) for root, some in names.items()}
        answers = self._memory.recall(keys.values())
        return {root: one for root, key in keys.items() if isinstance(one := answers.get(key), Job | Refused)}

    def _remember(self, solved: Mapping[Id, tuple[Answer, Collection[str]]]) -> None:
        names = {root: sorted(some) for root, (_, some) in solved.items()}
        self._memory.remember((self._trace(root), " ".join(some)) for root, some in names.items())
        self._memory.remember((self._key(root, names[root]), answer) for root, (answer, _) in solved.items())

    def _trace(self, root: Id) -> str:
        """The key of the names that the last answer depended on."""
        return self._reach.key("trace", self._asked(root), ())

    def _key(self, root: Id, names: Collection[str]) -> str:
        return self._reach.key("answer", self._asked(root), names)

    def _asked(self, root: Id) -> object:
        asked = self._question
        return root, asked.compiler, asked.besides, asked.tests, asked.oldest, self._backend.version

    # --- what is not

    def _solved(self, roots: Sequence[Id]) -> dict[Id, tuple[Answer, Collection[str]]]:
        """An answer for each, with the names that it depends on."""
        if not roots:
            return {}
        asked = self._question
        self._watch(f"solving {counted(len(roots), 'package')} with {'.'.join(asked.compiler)}")
        self._reach.look_up({name for name, _ in roots})
        reach = {root: self._reached(root[0]) for root in roots}
        universe = self._reach.universe(set[str]().union(*reach.values()))
        try:
            found = self._straight(universe, roots)
            left = [root for root in roots if root not in found]
            part = universe.part(set[str]().union(*(reach[root] for root in left)))
            found |= {root: Found(one, None) for root, one in zip(left, self._searched(part, left), strict=True)}
        except KeyError as error:
            raise InputError(f"{'.'.join(asked.compiler)} has needs of its own that cannot be met here") from error
        return {
            root: (
                solutions.answer(universe, root, asked.compiler, one.answer, asked.tests),
                reach[root] if one.names is None else one.names,
            )
            for root, one in found.items()
        }

    def _reached(self, name: str) -> set[str]:
        return self._always | self._reach.of({name}, tested=name if self._question.tests else "")

    def _straight(self, universe: Universe, roots: Sequence[Id]) -> dict[Id, Found]:
        """What needs no search."""
        asked = self._question
        if not self._backend.greedy:
            return {}
        solver = Greedy(universe, asked.compiler, asked.oldest)
        found = {root: solver.solve(root, asked.tests, asked.besides) for root in roots}
        return {root: one for root, one in found.items() if one is not None}

    def _searched(self, universe: Universe, roots: Sequence[Id]) -> list[Solution | Unsatisfiable]:
        asked = self._question
        if not roots:
            return []
        solver = self._backend.start(universe, asked.compiler, asked.oldest)

        def work(roots: Sequence[Id]) -> list[Solution | Unsatisfiable]:
            return [solver.solve(root, asked.tests, asked.besides) for root in roots]

        return spread(work, roots, SHARE)
