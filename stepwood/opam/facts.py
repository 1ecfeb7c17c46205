"""What follows from the opam files of a name on a platform, for who asks for it and for a solver."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stepwood.opam.candidate import Candidate, Candidates
from stepwood.opam.entries import Entry
from stepwood.opam.filters import Variables
from stepwood.opam.formulas import Atom
from stepwood.opam.package import Package
from stepwood.opam.versions import key
from system.errors import SpecError

Read = Sequence[tuple[Entry, Package | SpecError]]
"""Opam files of a name, as they were read."""


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


def find(name: str, read: Read, around: Variables) -> tuple[Facts, Candidates]:
    """What a name comes to where `around` holds. A file that means nothing is left out."""
    sound: list[tuple[Package, Candidate]] = []
    problems: list[str] = []
    for entry, one in read:
        try:
            if isinstance(one, SpecError):
                problems.append(str(one))
            elif one.available(around):
                one.depexts(around)  # which is asked later, where it would be too late to leave the file out
                sound.append((one, Candidate.of(one, around)))
        except ValueError as error:
            problems.append(f"{entry.path}: {error}")
    sound.sort(key=lambda one: key(one[0].version))
    there = [package for package, _ in sound]
    facts = Facts(
        tuple(package.version for package in there),
        _newest(there),
        _names(atom for _, candidate in sound for need in candidate.needs for atom in need),
        _names(atom for _, candidate in sound for need in candidate.tested for atom in need),
        _names(atom for package in there for atom in package.optional(around)),
        hashlib.sha256(repr([name, *map(_meaning, there)]).encode(errors="surrogateescape")).digest(),
        tuple(problems),
    )
    return facts, {package.version: candidate for package, candidate in sound}


def _newest(packages: Sequence[Package]) -> str | None:
    return next((package.version for package in reversed(packages) if not package.avoided()), None)


def _names(atoms: Iterable[Atom]) -> frozenset[str]:
    return frozenset(atom.name for atom in atoms)


def _meaning(package: Package) -> object:
    asked = [package.fields.get(name) for name in ("depends", "depopts", "conflicts", "conflict-class", "flags")]
    return package.version, bool(package.folder), asked
