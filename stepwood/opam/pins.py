"""What users hold fast: a package at a version of a repository, or as a folder of theirs has it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grammar.opam.ast import Field
from grammar.opam.parser import Reader
from grammar.parser import decode
from stepwood.opam.entries import Entry, Listed, Source, content_of, explained, is_package
from stepwood.opam.versions import hint
from system.errors import InputError

DEFAULT = "dev"
"""The version of a folder that says none."""


@dataclass(frozen=True, slots=True)
class Pins:
    """`versions` by name, of which no other counts; the opam files of folders are in `source`."""

    versions: Mapping[str, str]
    source: Source

    @classmethod
    def of(cls, texts: Iterable[str]) -> Pins:
        """Of NAME.VERSION and NAME[.VERSION]=FOLDER. Raises InputError for what is neither, and where a folder has no
        opam file of that name, and SpecError where that cannot be read."""
        versions: dict[str, str] = {}
        entries: list[Entry] = []
        files: dict[str, bytes] = {}
        for text in texts:
            asked, equals, folder = text.partition("=")
            name, dot, version = asked.partition(".")
            if not (folder if equals else version) or (dot and not version):
                raise InputError(f'--pin takes NAME.VERSION or NAME[.VERSION]=FOLDER, not "{text}"')
            if name in versions:
                raise InputError(f"--pin: {name} is pinned twice")
            if equals:
                path, data, said = _opam_file(name, folder)
                version = version or said
                entries.append(Entry(name, version, path, content_of(data), os.path.abspath(folder)))
                files[path] = data
            if not is_package(name, version):
                raise InputError(f"--pin: {name}.{version} can be no package and version")
            versions[name] = version

        def fetch(paths: Sequence[str]) -> Iterator[bytes]:
            return (files[path] for path in paths)

        return cls(versions, Listed(tuple(entries), {}, fetch))

    def check(self, sources: Collection[Source]) -> None:
        """Raises InputError where one is in none of the repositories."""
        for name, version in self.versions.items():
            known = [entry.version for source in (self.source, *sources) for entry in source.entries({name})]
            if version not in known:
                raise InputError(f"--pin: there is no {name}.{version}", hint=hint(version, known))


def _opam_file(name: str, folder: str) -> tuple[str, bytes, str]:
    """Where a folder describes a package, in the order in which opam looks, that file, and the version it says."""
    if not os.path.isdir(folder):
        raise InputError(f"--pin: {folder} is no folder")
    own = f"{name}.opam"
    places = [
        f"{folder}/{place}" for place in (f"{own}/opam", own, f"opam/{own}/opam", f"opam/{own}", "opam/opam", "opam")
    ]
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        raise InputError(f"--pin: {folder} has no {own}", hint="nor a file called opam")
    with explained(), open(path, "rb") as opened:
        data = opened.read()
    fields = {
        item.name: item.value for item in Reader().parse(decode(data), file=path).items if isinstance(item, Field)
    }
    return path, data, str(fields.get("version", DEFAULT))


NO_PINS = Pins.of(())
