"""From repositories to package versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grammar.opam.parser import Reader
from grammar.parser import decode
from stepwood.opam.package import Package
from stepwood.opam.sources import Entry, Source
from system.errors import SpecError


@dataclass(frozen=True, slots=True)
class Read:
    """Package versions, and what is wrong with files that could not be read: those are left out."""

    packages: Sequence[Package]
    problems: Sequence[SpecError]


def read(sources: Sequence[Source]) -> Read:
    """All package versions of some repositories. Where several have the same version, that of the first counts."""
    reader = Reader()
    seen: set[tuple[str, str]] = set()
    packages: list[Package] = []
    problems: list[SpecError] = []
    for source in sources:
        fresh: list[Entry] = []
        for entry in source.entries():
            if (entry.name, entry.version) not in seen:
                seen.add((entry.name, entry.version))
                fresh.append(entry)
        for entry, data in zip(fresh, source.read(fresh), strict=True):
            try:
                packages.append(Package.of(entry.name, entry.version, reader.parse(decode(data), file=entry.path)))
            except SpecError as error:
                problems.append(error)
    return Read(packages, problems)
