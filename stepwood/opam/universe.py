"""The package versions that can be had on a platform, and what each asks for as clauses of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stepwood.opam.filters import Variables
from stepwood.opam.formulas import ANY, All, Any, Atom, Formula
from stepwood.opam.package import Package, ordering, present
from stepwood.opam.versions import key

Id = tuple[str, str]
"""A package version: its name and its version."""
Clause = frozenset[Id]
"""Package versions of which one must be there, or of which none may be."""


@dataclass(frozen=True, slots=True)
class Universe:
    """`packages` has, by name, the versions that are available where `variables` hold, the oldest first."""

    packages: Mapping[str, Mapping[str, Package]]
    variables: Variables
    # What was asked before.
    _allowed: dict[Atom, Clause] = field(default_factory=dict, init=False, repr=False, compare=False)
    _needs: dict[Id, list[tuple[str, Clause]]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _edges: dict[Id, list[Atom]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, packages: Iterable[Package], variables: Variables) -> Universe:
        """Of versions that are equal as versions, the one that comes last counts as newer."""
        found: dict[str, dict[str, Package]] = {}
        for package in packages:
            if package.available(variables):
                found.setdefault(package.name, {})[package.version] = package
        ordered = {
            name: dict(sorted(versions.items(), key=lambda one: key(one[0]))) for name, versions in found.items()
        }
        return cls(ordered, variables)

    def __getitem__(self, id: Id) -> Package:
        return self.packages[id[0]][id[1]]

    def ids(self) -> Iterable[Id]:
        return ((name, version) for name, versions in self.packages.items() for version in versions)

    def newest(self, name: str) -> Id | None:
        """The newest version that is neither to be avoided nor deprecated; None where there is none."""
        for version, package in reversed([*self.packages.get(name, {}).items()]):
            if not package.flags() & LAST_RESORT:
                return name, version
        return None

    def allowed(self, atom: Atom) -> Clause:
        """The versions that an atom lets through."""
        known = self._allowed.get(atom)
        if known is None:
            versions = self.packages.get(atom.name, {})
            kept = versions if atom.versions == ANY else filter(atom.allows, versions)
            known = self._allowed[atom] = frozenset((atom.name, version) for version in kept)
        return known

    def needs(self, id: Id) -> list[tuple[str, Clause]]:
        """What a version needs, each as people read it and as a clause; one that is empty cannot be met."""
        known = self._needs.get(id)
        if known is None:
            known = self._needs[id] = self._clauses(self[id].depends(self.variables))
        return known

    def tests(self, id: Id) -> list[tuple[str, Clause]]:
        """What a version and its tests need."""
        return self._clauses(self[id].depends({**self.variables, "with-test": True}))

    def excludes(self, id: Id) -> list[tuple[str, Clause]]:
        """What may not be there with a version."""
        others = (atom for atom in self[id].conflicts(self.variables) if atom.name != id[0])
        return [(told(atom), clause) for atom in others if (clause := self.allowed(atom))]

    def built_after(self, id: Id, chosen: Mapping[str, str]) -> set[str]:
        """The names of those packages of a solution (versions by name) that one is built after."""
        atoms = self._edges.get(id)
        if atoms is None:
            atoms = self._edges[id] = ordering(self[id], self.variables)
        return present(atoms, id[0], chosen)

    def tested_after(self, id: Id, chosen: Mapping[str, str]) -> set[str]:
        """The names of those packages of a solution that one with its tests is built after."""
        return present(ordering(self[id], {**self.variables, "with-test": True}), id[0], chosen)

    def _clauses(self, formula: Formula) -> list[tuple[str, Clause]]:
        return [(told(one), frozenset().union(*map(self.allowed, one))) for one in _conjunctive(formula)]


LAST_RESORT = frozenset(["avoid-version", "deprecated"])
"""Flags of versions that are taken only where nothing else will do."""


def told(alternatives: Sequence[Atom] | Atom) -> str:
    """`ocaml (>= 4.08 & < 5.0) | dune`, as opam writes formulas."""
    atoms = [alternatives] if isinstance(alternatives, Atom) else alternatives
    return " | ".join(map(_told, atoms))


def _told(atom: Atom) -> str:
    if atom.versions == ANY:
        return atom.name
    groups = [" & ".join(f"{op} {version}" for op, version in group) for group in atom.versions]
    return f"{atom.name} ({' | '.join(groups)})"


def _conjunctive(formula: Formula) -> list[tuple[Atom, ...]]:
    """A formula as alternatives of which each must be met: an alternative of several is multiplied out."""
    match formula:
        case Atom():
            return [(formula,)]
        case All(parts):
            return [clause for part in parts for clause in _conjunctive(part)]
        case Any(parts):
            found: list[tuple[Atom, ...]] = [()]
            for part in parts:
                found = [(*one, *other) for one in found for other in _conjunctive(part)]
            return found
