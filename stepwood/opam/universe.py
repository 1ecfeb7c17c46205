"""The package versions that can be had on a platform, and what each asks for as clauses of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from stepwood.opam.candidate import Candidate, Candidates, Need
from stepwood.opam.formulas import ANY, Atom
from stepwood.opam.versions import VersionKey, key

Id = tuple[str, str]
"""A package version: its name and its version."""
Clause = frozenset[Id]
"""Package versions of which one must be there, or of which none may be."""
Edges = list[tuple[str, set[str]]]
"""What a version is built after where that is there: names, sorted, and which versions of them."""


@dataclass(frozen=True, slots=True)
class Universe:
    """By name, the candidates among which a solver chooses; `avoided` are those that are taken only where nothing else
    will do."""

    packages: Mapping[str, Candidates]
    avoided: Set[Id]
    # What was asked before.
    _found: dict[Id, Candidate] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ordered: dict[str, tuple[list[Id], list[VersionKey]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _allowed: dict[Atom, Clause] = field(default_factory=dict, init=False, repr=False, compare=False)
    _needs: dict[Id, list[tuple[Need, Clause]]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _edges: dict[Id, Edges] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getitem__(self, id: Id) -> Candidate:
        found = self._found.get(id)
        if found is None:
            found = self._found[id] = self.packages[id[0]][id[1]]
        return found

    def __contains__(self, id: Id) -> bool:
        return id[1] in self.packages.get(id[0], {})

    def ids(self) -> Iterable[Id]:
        return ((name, version) for name, versions in self.packages.items() for version in versions)

    def allowed(self, atom: Atom) -> Clause:
        """The versions that an atom lets through."""
        known = self._allowed.get(atom)
        if known is None:
            ids, keys = self._versions(atom.name)
            kept = ids if atom.versions == ANY else [ids[place] for place in atom.places(keys)]
            known = self._allowed[atom] = frozenset(kept)
        return known

    def _versions(self, name: str) -> tuple[list[Id], list[VersionKey]]:
        known = self._ordered.get(name)
        if known is None:
            versions = self.packages.get(name, ())
            known = self._ordered[name] = [(name, version) for version in versions], [*map(key, versions)]
        return known

    def needs(self, id: Id) -> list[tuple[Need, Clause]]:
        """What a version needs, as it says and as clauses; one that is empty cannot be met."""
        known = self._needs.get(id)
        if known is None:
            known = self._needs[id] = self._clauses(self[id].needs)
        return known

    def tests(self, id: Id) -> list[tuple[Need, Clause]]:
        """What a version and its tests need."""
        return self._clauses(self[id].tested)

    def excludes(self, id: Id) -> list[tuple[Need, Clause]]:
        """What may not be there with a version."""
        return [((atom,), clause) for atom in self[id].excludes if (clause := self.allowed(atom))]

    def built_after(self, id: Id) -> Edges:
        """What a version is built after."""
        edges = self._edges.get(id)
        if edges is None:
            edges = self._edges[id] = self._allowing(self[id].after)
        return edges

    def tested_after(self, id: Id) -> Edges:
        """What a version with its tests is built after."""
        return self._allowing(self[id].tested_after)

    def _allowing(self, atoms: Iterable[Atom]) -> Edges:
        found: defaultdict[str, set[str]] = defaultdict(set)
        for atom in atoms:
            found[atom.name].update(version for _, version in self.allowed(atom))
        return sorted(found.items())

    def _clauses(self, needs: Iterable[Need]) -> list[tuple[Need, Clause]]:
        return [
            (need, self.allowed(need[0]) if len(need) == 1 else frozenset().union(*map(self.allowed, need)))
            for need in needs
        ]
