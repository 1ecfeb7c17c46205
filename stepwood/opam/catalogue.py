"""What repositories have, name by name, and what follows from it for who asks for a package.

What is known of a name depends on its opam files and on the platform alone. So it is remembered, and after a change of
a repository found anew for the names that changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property

from stepwood.opam import reading
from stepwood.opam.entries import Entry, Source
from stepwood.opam.facts import Facts, Read, find
from stepwood.opam.filters import Variables
from stepwood.opam.instructions import Instructions
from stepwood.opam.memory import Memory, recalled
from stepwood.opam.package import Package
from stepwood.opam.packed import Packed
from stepwood.opam.pins import NO_PINS, Pins
from stepwood.opam.reading import Watch, unwatched
from stepwood.opam.universe import Id
from system.errors import SpecError
from system.fork import spread

SHARE = 1000
"""Package versions of which a process of its own finds out what follows from them: 0.2 s."""
Origin = tuple[int, Source, Entry]
"""Where a package version stands: in which of the repositories, by number too, and its opam file. -1: it is pinned."""


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

    def candidates(self, names: Collection[str]) -> dict[str, Packed]:
        """What a solver may choose from of each of these names."""
        facts = self.facts(names)
        keys = {name: self._candidates_key(facts[name]) for name in names}
        found = recalled(self._memory, keys, Packed)
        return found | {name: some for name, (_, some) in self._find(keys.keys() - found.keys()).items()}

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
        found = recalled(self._memory, keys, Instructions)
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
        keys = {name: self._facts_key(name) for name in names}
        self._facts |= recalled(self._memory, keys, Facts)
        unknown = keys.keys() - self._facts.keys()
        self._facts |= {name: facts for name, (facts, _) in self._find(unknown).items()}

    def _find(self, names: Set[str]) -> dict[str, tuple[Facts, Packed]]:
        """Read all that there is of these names. Who asks for facts will ask for candidates: both are remembered."""
        packages = self._read(self._found(names))
        read = [(name, [(entry, next(packages)) for _, _, entry in self._origins[name]]) for name in sorted(names)]

        def work(read: Sequence[tuple[str, Read]]) -> list[tuple[Facts, Packed]]:
            found = (find(name, some, self.variables) for name, some in read)
            return [(facts, Packed.of(some)) for facts, some in found]

        made = spread(work, read, SHARE, lambda one: len(one[1]) or 1)
        found = {name: one for (name, _), one in zip(read, made, strict=True)}
        self._memory.remember((self._facts_key(name), facts) for name, (facts, _) in found.items())
        self._memory.remember((self._candidates_key(facts), some) for facts, some in found.values())
        return found

    def _facts_key(self, name: str) -> str:
        return f"facts {hashlib.sha256(self._around + self._digests[name]).hexdigest()}"

    def _candidates_key(self, facts: Facts) -> str:
        return f"candidates {hashlib.sha256(self._around + facts.meaning).hexdigest()}"

    def _read(self, origins: Sequence[Origin]) -> Iterator[Package | SpecError]:
        return reading.read([(source, entry) for _, source, entry in origins], self._memory, self._watch)


def _said(entry: Entry) -> str:
    """All that a package is made of."""
    return " ".join([entry.name, entry.version, entry.content, entry.folder])


def _id(entry: Entry) -> Id:
    return entry.name, entry.version
