"""From repositories to package versions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grammar.opam.ast import File
from grammar.opam.parser import Reader
from grammar.parser import decode
from stepwood.opam.entries import Entry, Source
from stepwood.opam.filters import Variables
from stepwood.opam.formulas import atoms
from stepwood.opam.memory import Memory
from stepwood.opam.package import Package
from stepwood.opam.universe import Id
from system.errors import SpecError


@dataclass(frozen=True, slots=True)
class Read:
    """Package versions, and what is wrong with files that could not be read: those are left out.

    `origins` has where each package version stands; `names` all names that the repositories know.
    """

    packages: Sequence[Package]
    problems: Sequence[SpecError]
    origins: Mapping[Id, tuple[Source, Entry]]
    names: Collection[str]


def read(
    sources: Sequence[Source],
    memory: Memory,
    names: Iterable[str] | None = None,
    around: Sequence[Variables] = (),
) -> Read:
    """All package versions of some repositories or, where `names` are given, those of that name and of all names that
    they depend on, directly or not, where one of the `around` holds. Where several have the same version, that of the
    first counts.

    An answer for one of these names is what it would be of all: what is not reached can be in no solution.
    """
    reading = _Reading(sources, memory)
    if names is None:
        reading.take(None)
    else:
        todo, seen = set(names), set[str]()
        while todo:
            seen |= todo
            todo = {name for package in reading.take(todo) for name in _asked(package, around)} - seen
    return reading.end()


def _asked(package: Package, around: Sequence[Variables]) -> Iterator[str]:
    """The names that it may depend on."""
    for variables in around:
        if package.available(variables):
            for atom in atoms(package.fields.get("depends", ()), package.variables(variables)):
                yield atom.name


class _Reading:
    def __init__(self, sources: Sequence[Source], memory: Memory) -> None:
        self._sources, self._memory, self._reader = sources, memory, Reader()
        self._found: list[tuple[int, Entry, Package | SpecError]] = []
        self._origins: dict[Id, tuple[Source, Entry]] = {}

    def take(self, names: Collection[str] | None) -> list[Package]:
        """The packages of these names, none of which was asked for before."""
        taken: list[Package] = []
        for number, source in enumerate(self._sources):
            fresh: list[Entry] = []
            for entry in source.entries(names):
                id = entry.name, entry.version
                if id not in self._origins:
                    self._origins[id] = source, entry
                    fresh.append(entry)
            for entry, file in self._files(source, fresh):
                made = file if isinstance(file, SpecError) else Package.of(entry.name, entry.version, file)
                self._found.append((number, entry, made))
                if isinstance(made, Package):
                    taken.append(made)
        return taken

    def _files(self, source: Source, entries: Sequence[Entry]) -> Iterator[tuple[Entry, File | SpecError]]:
        known = self._memory.files(entry.content for entry in entries)
        unknown = [entry for entry in entries if entry.content not in known]
        fresh: dict[Entry, File | SpecError] = {}
        for entry, data in zip(unknown, source.read(unknown), strict=True):
            try:
                fresh[entry] = self._reader.parse(decode(data), file=entry.path)
            except SpecError as error:
                fresh[entry] = error
        parsed = [(entry.content, file) for entry, file in fresh.items() if isinstance(file, File)]
        if parsed:
            self._memory.save_files(parsed)
        return ((entry, fresh.get(entry) or known[entry.content]) for entry in entries)

    def end(self) -> Read:
        self._found.sort(key=lambda one: (one[0], one[1].name, one[1].version))
        made = [one for _, _, one in self._found]
        return Read(
            [one for one in made if isinstance(one, Package)],
            [one for one in made if isinstance(one, SpecError)],
            self._origins,
            {name for source in self._sources for name in source.names()},
        )
