"""Solving with libsolv. The only file that imports it.

libsolv knows RPM's and Debian's versions, not opam's, and not opam's formulas. So versions are given as ranks, and
what a package needs as a name of our own that just those versions provide that would do: a clause.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import solv

from stepwood.opam.candidate import told
from stepwood.opam.possible import REASONS, Possible
from stepwood.opam.solver import Solution, Unsatisfiable
from stepwood.opam.universe import Clause, Id

_BINARY = os.stat(solv._solv.__file__)
VERSION = f"libsolv {_BINARY.st_size} {_BINARY.st_mtime_ns}"
"""Of the library that answers, by its file: to ask for its version takes 50 ms."""


class Libsolv:
    """See `Solver`. Making one takes a tenth of a second for what a thousand names have, a solution a millisecond."""

    def __init__(self, possible: Possible, within: Iterable[Id]) -> None:
        """See `Backend.start`."""
        self._universe, self._possible = possible.universe, possible
        self._pool = solv.Pool()
        self._repo = self._pool.add_repo("opam")
        self._solvables: dict[Id, solv.XSolvable] = {}
        self._ids: dict[int, Id] = {}
        self._clauses: dict[Clause, object] = {}
        self._named: dict[str, Clause] = {}
        """By the name that stands for a clause."""
        self._fill(within)
        self._pool.createwhatprovides()
        self._required = self._install(possible.compiler)
        avoided = [id for id in self._solvables if id in self._universe.avoided]
        # In one job: libsolv takes each as worse than the one before.
        self._avoided = [self._one_of(solv.Job.SOLVER_DISFAVOR, avoided)] if avoided else []

    def solve(self, root: Id, tests: bool = False, besides: Sequence[Id] = ()) -> Solution | Unsatisfiable:
        for id in (root, *besides):
            if id not in self._universe:
                return Unsatisfiable([f"{'.'.join(id)} is not available"])
            if self._possible.lost(id):
                return Unsatisfiable(self._possible.why(id).lines)
        wanted = [self._required, *map(self._install, (root, *besides))]
        for need, clause in self._universe.tests(root) if tests else ():
            kept = clause & self._solvables.keys()
            if not kept:
                return Unsatisfiable([f"{'.'.join(root)} with its tests needs {told(need)}", *self._missing(clause)])
            wanted.append(self._one_of(solv.Job.SOLVER_INSTALL, kept))
        solver = self._pool.Solver()
        problems = solver.solve([*self._avoided, *wanted])
        if problems:
            return Unsatisfiable([self._explained(problem) for problem in problems])
        return Solution(tuple(sorted(self._ids[one.id] for one in solver.transaction().newsolvables())))

    # --- the pool

    def _fill(self, within: Iterable[Id]) -> None:
        for id in within:
            solvable = self._repo.add_solvable()
            rank = len(self._universe.packages[id[0]]) - self._possible.preference.place(id)
            solvable.name, solvable.evr, solvable.arch = id[0], str(rank), "noarch"
            solvable.add_provides(self._pool.Dep(id[0]))
            self._solvables[id], self._ids[solvable.id] = solvable, id
        for id, solvable in self._solvables.items():
            for _, clause in self._universe.needs(id):
                solvable.add_requires(self._clause(clause))
            for _, clause in self._universe.excludes(id):
                solvable.add_conflicts(self._clause(clause))
            for name in self._universe[id].classes:
                shared = self._pool.Dep(f"class {name}")
                solvable.add_provides(shared)
                solvable.add_conflicts(shared)  # not with itself: libsolv does not look there

    def _clause(self, clause: Clause) -> object:
        found = self._clauses.get(clause)
        if found is None:
            name = f"clause {len(self._clauses)}"
            found = self._clauses[clause] = self._pool.Dep(name)
            self._named[name] = clause
            for id in clause & self._solvables.keys():
                self._solvables[id].add_provides(found)
        return found

    def _install(self, id: Id) -> object:
        return self._pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, self._solvables[id].id)

    def _one_of(self, kind: int, ids: Iterable[Id]) -> object:
        numbers = sorted(self._solvables[id].id for id in ids)
        return self._pool.Job(kind | solv.Job.SOLVER_SOLVABLE_ONE_OF, self._pool.towhatprovides(numbers))

    # --- reasons

    def _missing(self, clause: Clause) -> list[str]:
        """Why none of these, which are all lost, can be had."""
        first = self._possible.preference.ordered(clause)[:1]
        return [line for id in first for line in self._possible.why(id).lines[: REASONS - 1]]

    def _explained(self, problem: object) -> str:
        rules = [rule.info() for rule in problem.findallproblemrules()]  # type: ignore[attr-defined]
        told = [self._told(rule) for rule in rules if rule.solvable is not None and rule.solvable.id in self._ids]
        return "; ".join(dict.fromkeys(told)) or str(problem)

    def _told(self, rule: solv.Ruleinfo) -> str:
        id, clause = self._ids[rule.solvable.id], self._named.get(str(rule.dep))
        if rule.othersolvable is not None and clause is None:  # of one name, or of one conflict class
            return f"{'.'.join(id)} conflicts with {'.'.join(self._ids[rule.othersolvable.id])}"
        conflicts = rule.type == solv.Solver.SOLVER_RULE_PKG_CONFLICTS
        asked = self._universe.excludes(id) if conflicts else self._universe.needs(id)
        what = next((told(need) for need, one in asked if one == clause), str(rule.dep))
        return f"{'.'.join(id)} {'conflicts with' if conflicts else 'needs'} {what}"
