"""What repositories have, name by name, and what follows from it for who asks for a package.

What is known of a name depends on its opam files and on the platform alone. So it is remembered, and after a change of
a repository found anew for the names that changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from stepwood.opam import reading
from stepwood.opam.entries import Entry, Source
from stepwood.opam.filters import Variables
from stepwood.opam.formulas import Atom
from stepwood.opam.instructions import Instructions
from stepwood.opam.memory import Memory
from stepwood.opam.package import Package
from stepwood.opam.pins import NO_PINS, Pins
from stepwood.opam.reading import Watch, unwatched
from stepwood.opam.universe import Id, available, newest
from system.errors import SpecError

Origin = tuple[int, Source, Entry]
"""Where a package version stands: in which of the repositories, by number too, and its opam file. -1: it is pinned."""


class Facts(NamedTuple):
    """What there is of a name on a platform. A tuple, as thousands are remembered and read back at once.

    versions   those that are available, the oldest first
    newest     the last of them that is neither to be avoided nor deprecated
    asks       the names that one of them may depend on; `tested`: or its tests
    takes      the names that one of them is built after where they are there anyway
    meaning    another where something is other that a solver asks for
    problems   what is wrong with opam files of it, which are left out
    """

    versions: tuple[str, ...]
    newest: str | None
    asks: frozenset[str]
    tested: frozenset[str]
    takes: frozenset[str]
    meaning: bytes
    problems: tuple[str, ...]


class Catalogue:
    """Of some repositories, of which the first that has a version counts, on a platform; of what is pinned there is
    nothing but the pin."""

    def __init__(
        self,
        sources: Sequence[Source],
        memory: Memory,
        variables: Variables,
        pins: Pins = NO_PINS,
        watch: Watch = unwatched,
    ) -> None:
        self.variables = variables
        self._watch = watch
        self._sources, self._memory, self._pins = (pins.source, *sources), memory, pins.versions
        self._around = hashlib.sha256(repr(sorted(variables.items())).encode()).digest()
        self._origins: dict[str, list[Origin]] = {}
        self._digests: dict[str, bytes] = {}
        self._facts: dict[str, Facts] = {}

    @cached_property
    def names(self) -> set[str]:
        """The names of all packages that there may be."""
        return {name for source in self._sources for name in source.names()}

    @property
    def problems(self) -> Iterator[str]:
        """What is wrong with files that were looked at."""
        return (problem for name in sorted(self._facts) for problem in self._facts[name].problems)

    def facts(self, names: Collection[str]) -> Mapping[str, Facts]:
        """What there is of these names, whoever asked for it before; nothing is known of one that there is not."""
        if fresh := [name for name in names if name not in self._facts]:
            self._look_up(fresh)
        return self._facts

    def reach(self, starts: Iterable[str]) -> set[str]:
        """The names that these may depend on in any version, themselves too."""
        found: set[str] = set()
        todo = set(starts)
        while todo:
            found |= todo
            facts = self.facts(todo)
            todo = set[str]().union(*(facts[name].asks for name in todo)) - found
        return found

    def digest(self, names: Iterable[str]) -> bytes:
        """Another where what these names mean to a solver is other, or the platform."""
        names = sorted(names)
        facts = self.facts(names)
        said = b"".join([facts[name].meaning for name in names])
        return hashlib.sha256(self._around + said).digest()

    def packages(self, names: Collection[str], only: Collection[Id] | None = None) -> dict[Id, Package]:
        """The package versions of these names, or some of them."""
        found = self._found(names)
        if only is not None:
            found = [origin for origin in found if _id(origin[2]) in only]
        found.sort(key=lambda origin: origin[0])  # as a reading of everything would have it
        read = self._read(found)
        return {_id(entry): one for (_, _, entry), one in zip(found, read, strict=True) if isinstance(one, Package)}

    def instructions(self, wanted: Collection[Id]) -> Mapping[Id, Instructions]:
        """How these are built, those of them that are there and can be read."""
        origins = {_id(origin[2]): origin for origin in self._found({name for name, _ in wanted})}
        around = self._around.hex()
        keys = {id: f"instructions {around} {_said(origins[id][2])}" for id in wanted if id in origins}
        known = self._memory.recall(keys.values())
        found = {id: one for id, key in keys.items() if isinstance(one := known.get(key), Instructions)}
        unknown = [id for id in keys if id not in found]
        read = zip(unknown, self._read([origins[id] for id in unknown]), strict=True)
        fresh = {id: Instructions.of(one, self.variables) for id, one in read if isinstance(one, Package)}
        self._memory.remember((keys[id], one) for id, one in fresh.items())
        return found | fresh

    def files(self, id: Id) -> Mapping[str, bytes]:
        """What a repository has beside a package's opam file."""
        self._list({id[0]})
        return next(source.files(entry) for _, source, entry in self._origins[id[0]] if entry.version == id[1])

    # --- looking

    def _found(self, names: Collection[str]) -> list[Origin]:
        self._list(names)
        return [origin for name in sorted(names) for origin in self._origins[name]]

    def _list(self, names: Collection[str]) -> None:
        """Find where versions of these names stand."""
        fresh = {name for name in names if name not in self._origins}
        if not fresh:
            return
        found: defaultdict[str, dict[str, Origin]] = defaultdict(dict)
        for number, source in enumerate(self._sources, -1):  # the repositories from 0, whether there are pins or not
            for entry in source.entries(fresh):
                if self._pins.get(entry.name, entry.version) == entry.version:
                    found[entry.name].setdefault(entry.version, (number, source, entry))
        for name in fresh:
            self._origins[name] = origins = [*found[name].values()]
            said = [f"{number} {entry.version} {entry.content}" for number, _, entry in origins]
            self._digests[name] = hashlib.sha256("\n".join([name, *said]).encode(errors="surrogateescape")).digest()

    def _look_up(self, names: Sequence[str]) -> None:
        self._list(names)
        keys = {name: f"facts {hashlib.sha256(self._around + self._digests[name]).hexdigest()}" for name in names}
        known = self._memory.recall(keys.values())
        for name, key in keys.items():
            if isinstance(facts := known.get(key), Facts):
                self._facts[name] = facts
        unknown = [name for name in names if name not in self._facts]
        read = self._read([origin for name in unknown for origin in self._origins[name]])
        for name in unknown:
            self._facts[name] = self._find(name, [next(read) for _ in self._origins[name]])
        if unknown:
            self._memory.remember((keys[name], self._facts[name]) for name in unknown)

    def _read(self, origins: Sequence[Origin]) -> Iterator[Package | SpecError]:
        return reading.read([(source, entry) for _, source, entry in origins], self._memory, self._watch)

    def _find(self, name: str, read: Sequence[Package | SpecError]) -> Facts:
        there = available([one for one in read if isinstance(one, Package)], self.variables)
        testing = {**self.variables, "with-test": True}
        return Facts(
            tuple(package.version for package in there),
            newest(there),
            _names(atom for package in there for atom in package.dependencies(self.variables)),
            _names(atom for package in there for atom in package.dependencies(testing)),
            _names(atom for package in there for atom in package.optional(self.variables)),
            hashlib.sha256(repr([name, *map(_meaning, there)]).encode(errors="surrogateescape")).digest(),
            tuple(str(one) for one in read if isinstance(one, SpecError)),
        )


def _names(atoms: Iterable[Atom]) -> frozenset[str]:
    return frozenset(atom.name for atom in atoms)


def _meaning(package: Package) -> object:
    asked = [package.fields.get(name) for name in ("depends", "depopts", "conflicts", "conflict-class", "flags")]
    return package.version, bool(package.folder), asked


def _said(entry: Entry) -> str:
    """All that a package is made of."""
    return " ".join([entry.name, entry.version, entry.content, entry.folder])


def _id(entry: Entry) -> Id:
    return entry.name, entry.version
