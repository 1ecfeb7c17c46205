"""Solving with clingo, by opam's own criteria. The only file that imports it.

The criteria are those of opam 2.1 for `opam install` in an empty switch (opamBuiltinMccs.ml): as few versions as can be
that are to be avoided; of all that is there, as few newer versions as can be that there would be; as few packages as
can be. What a host lacks of system packages does not count.

The rules are those of an answer set program: nothing is there but what something asks for that is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import clingo

from stepwood.opam.libsolv import VERSION as _LIBSOLV
from stepwood.opam.libsolv import Libsolv
from stepwood.opam.possible import Possible
from stepwood.opam.solver import Solution, Unsatisfiable
from stepwood.opam.universe import Clause, Id

VERSION = f"clingo {clingo.__version__} {_LIBSOLV}"
AVOIDED, LAG, SIZE = 3, 2, 1
"""The criteria; the highest comes first."""


class Clingo:
    """See `Solver`; of solutions it finds one that nothing is better than. Whether there is one, and why not, libsolv
    says."""

    def __init__(self, possible: Possible, within: Iterable[Id]) -> None:
        """See `Backend.start`."""
        self._universe, self._possible = possible.universe, possible
        self._libsolv = Libsolv(possible, within)

    def solve(self, root: Id, tests: bool = False, besides: Sequence[Id] = ()) -> Solution | Unsatisfiable:
        found = self._libsolv.solve(root, tests, besides)
        if isinstance(found, Unsatisfiable):
            return found
        wanted = [frozenset([id]) for id in (self._possible.compiler, root, *besides)]
        if tests:
            wanted += [clause for _, clause in self._universe.tests(root)]
        return Solution(tuple(sorted(self._best(wanted, self._possible.reached([root, *besides], tests)))))

    def _best(self, wanted: Sequence[Clause], within: Sequence[Id]) -> list[Id]:
        control = clingo.Control(["--opt-strategy=usc"])
        with control.backend() as backend:
            program = _Program(backend, within)
            for clause in wanted:
                program.ask((), clause)
            for id in program.ids:
                for _, clause in self._universe.needs(id):
                    program.ask((program.atoms[id],), clause)
                for _, clause in self._universe.excludes(id):
                    program.exclude(id, clause)
            groups: defaultdict[str, list[Id]] = defaultdict(list)
            for id in program.ids:
                for group in (f"name {id[0]}", *self._universe[id].classes):
                    groups[group].append(id)
            for members in groups.values():
                program.one_of(members)
            program.minimise(AVOIDED, {id: int(id in self._universe.avoided) for id in program.ids})
            program.minimise(LAG, {id: self._possible.preference.place(id) for id in program.ids})
            program.minimise(SIZE, dict.fromkeys(program.ids, 1))
        best: list[Id] = []
        with control.solve(yield_=True) as models:
            for model in models:  # each better than the one before
                best = program.of(model)
        return best


class _Program:
    """Of package versions, each an atom that is true where it is there."""

    def __init__(self, backend: clingo.Backend, ids: Sequence[Id]) -> None:
        self._backend, self.ids = backend, ids
        self.atoms = {id: backend.add_atom() for id in ids}
        self._asked: dict[Clause, int] = {}
        self._any: dict[Clause, int] = {}

    def ask(self, body: Sequence[int], clause: Clause) -> None:
        """Where the body holds one of these is there, and whatever of them may be."""
        if clause not in self._asked:
            self._asked[clause] = asked = self._backend.add_atom()
            atoms = self._atoms(clause)
            if len(atoms) == 1:
                self._backend.add_rule(atoms, [asked])
            else:
                self._backend.add_rule(atoms, [asked], choice=True)
                self._backend.add_rule([], [asked, *(-atom for atom in atoms)])
        self._backend.add_rule([self._asked[clause]], body)

    def exclude(self, id: Id, clause: Clause) -> None:
        """None of these is there with it."""
        if clause not in self._any:
            self._any[clause] = other = self._backend.add_atom()
            for atom in self._atoms(clause):
                self._backend.add_rule([other], [atom])
        self._backend.add_rule([], [self.atoms[id], self._any[clause]])

    def one_of(self, ids: Iterable[Id]) -> None:
        """One of these at most is there."""
        self._backend.add_weight_rule([], 2, [(self.atoms[id], 1) for id in ids])

    def minimise(self, priority: int, costs: dict[Id, int]) -> None:
        self._backend.add_minimize(priority, [(self.atoms[id], costs[id]) for id in self.ids if costs[id]])

    def of(self, model: clingo.Model) -> list[Id]:
        return [id for id, atom in self.atoms.items() if model.is_true(atom)]

    def _atoms(self, clause: Collection[Id]) -> list[int]:
        return [self.atoms[id] for id in sorted(clause & self.atoms.keys())]
