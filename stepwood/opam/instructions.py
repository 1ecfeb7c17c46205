"""What a recipe takes from an opam file: what opam is told of how the package is built, and what that needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grammar.opam import printer
from grammar.opam.ast import Value
from stepwood.opam.filters import Variables
from stepwood.opam.package import Package, listed
from stepwood.opam.universe import Id

NOT_BUILT_WITH = frozenset([
    "author", "authors", "available", "bug-reports", "build-doc", "conflict-class", "conflicts", "depends", "depexts",
    "depopts", "description", "dev-repo", "doc", "homepage", "license", "maintainer", "messages", "name",
    "opam-version", "pin-depends", "post-messages", "synopsis", "tags", "version",
])  # fmt: skip
"""Fields that say nothing of how a package is built, or were decided by the solver: a change there builds nothing
anew. What begins with `x-` is another."""
TESTS = ("build-test", "run-test")
_CHECKSUM = re.compile(r"(?:(md5|sha256|sha512)=)?([0-9a-f]{32,128})", re.ASCII | re.IGNORECASE)
_STRENGTH = ("sha512", "sha256", "md5")


class Archive(NamedTuple):
    """Something to fetch: where it may be had, and the strongest of its checksums, by its kind and in hex."""

    urls: tuple[str, ...]
    kind: str
    checksum: str


class Instructions(NamedTuple):
    """A tuple, as thousands are remembered and read back at once.

    package           `NAME.VERSION`
    folder            of a pin, what it is built from
    head              the line of the format's version
    fields, sections  the lines of its opam file by the names of fields, and those after the last field
    archives          what its source consists of, that of `extra-source` too
    unfetchable       why its source cannot be had, "" where it can
    depexts           the system packages that it needs
    accepts_failures  the platforms, as `debian-12`, on which its maintainers know that it does not build
    """

    package: str
    folder: str
    head: str
    fields: tuple[tuple[str, str], ...]
    sections: str
    archives: tuple[Archive, ...]
    unfetchable: str
    depexts: frozenset[str]
    accepts_failures: frozenset[str]

    def __str__(self) -> str:
        return self.package

    @property
    def name(self) -> str:
        return self.package.partition(".")[0]

    @classmethod
    def of(cls, package: Package, around: Variables) -> Instructions:
        """Where `around` holds."""
        kept = {name: value for name, value in package.fields.items() if value != () and name not in NOT_BUILT_WITH}
        archives, unfetchable = _archives(package)
        return cls(
            str(package),
            package.folder,
            printer.field("opam-version", package.fields.get("opam-version", "2.0")),
            tuple((name, printer.field(name, kept[name])) for name in sorted(kept) if not name.startswith("x-")),
            "".join(
                printer.section(kind, name, sorted(fields.items()))
                for kind in sorted(package.sections)
                for name, fields in package.sections[kind]
            ),
            archives,
            unfetchable,
            package.depexts(around),
            package.accepts_failures(),
        )

    def opam_file(self, needs: Sequence[Id], tests: Sequence[Id] | None = None) -> str:
        """What opam is told: how to build it, on exactly what it was solved with. `tests` are what its tests need
        besides; None: it has none."""
        lines = {name: line for name, line in self.fields if tests is not None or name not in TESTS}
        depends = [f'"{name}" {{= "{version}"}}' for name, version in needs]
        depends += [f'"{name}" {{with-test & = "{version}"}}' for name, version in tests or ()]
        if depends:
            lines["depends"] = f"depends: [{' '.join(depends)}]\n"
        return "".join([self.head, *(lines[name] for name in sorted(lines)), self.sections])


def _archives(package: Package) -> tuple[tuple[Archive, ...], str]:
    """And why they cannot be had."""
    parts = [*package.sections.get("url", ()), *package.sections.get("extra-source", ())]
    try:
        return tuple(_archive(fields) for _, fields in parts), ""
    except ValueError as error:
        return (), str(error)


def _archive(fields: Mapping[str, Value]) -> Archive:
    sources = [fields[name] for name in ("src", "archive", "http", "mirrors") if name in fields]
    urls = [url for value in sources for url in listed(value) if isinstance(url, str)]
    if not urls:
        raise ValueError("its source is in a version control system, at no fixed state")
    if not all(url.startswith(("http://", "https://", "ftp://")) for url in urls):
        raise ValueError(f"its source is at no address that can be fetched from: {urls[0]}")
    found = [match for one in listed(fields.get("checksum", ())) if (match := _CHECKSUM.fullmatch(str(one)))]
    known = {(match[1] or "md5").lower(): match[2].lower() for match in found}
    kind = next((kind for kind in _STRENGTH if kind in known), None)
    if kind is None:
        raise ValueError(f"its source has no checksum: {urls[0]}")
    return Archive(tuple(urls), kind, known[kind])
