"""From opam files to package versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from engine.words import counted
from grammar.opam.ast import File
from grammar.opam.parser import Reader
from grammar.parser import decode
from stepwood.opam.entries import Entry, Source
from stepwood.opam.memory import Memory
from stepwood.opam.package import Package
from system.errors import SpecError
from system.fork import spread

SHARE = 200
"""Files that a process of its own parses at least: 0.1 s."""
Watch = Callable[[str], None]
"""Is told what is being done where it may take seconds."""


def unwatched(_: str) -> None:
    pass


def read(
    wanted: Sequence[tuple[Source, Entry]], memory: Memory, watch: Watch = unwatched
) -> Iterator[Package | SpecError]:
    """The package version that each file describes, or what is wrong with it. A content that `memory` knows is neither
    fetched nor parsed."""
    known = memory.recall(entry.content for _, entry in wanted)
    unknown: defaultdict[int, list[tuple[Source, Entry]]] = defaultdict(list)
    for source, entry in wanted:
        if not isinstance(known.get(entry.content), File):
            unknown[id(source)].append((source, entry))
    fresh: dict[tuple[int, Entry], File | SpecError] = {}
    if unknown:
        watch(f"reading {counted(sum(map(len, unknown.values())), 'opam file')}")
    for group in unknown.values():
        fresh |= _parsed(group[0][0], [entry for _, entry in group])
    memory.remember((entry.content, file) for (_, entry), file in fresh.items() if isinstance(file, File))
    for source, entry in wanted:
        file = fresh.get((id(source), entry)) or known[entry.content]
        if isinstance(file, SpecError):
            yield file
        else:
            assert isinstance(file, File)
            yield Package.of(entry.name, entry.version, file, entry.folder)


def _parsed(source: Source, entries: Sequence[Entry]) -> dict[tuple[int, Entry], File | SpecError]:
    read = [*zip(entries, source.read(entries), strict=True)]
    return {(id(source), entry): file for entry, file in zip(entries, spread(_parse, read, SHARE), strict=True)}


def _parse(read: Sequence[tuple[Entry, bytes]]) -> list[File | SpecError]:
    reader = Reader()
    found: list[File | SpecError] = []
    for entry, data in read:
        try:
            found.append(reader.parse(decode(data), file=entry.path))
        except SpecError as error:
            found.append(error)
    return found
