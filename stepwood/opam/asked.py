"""From what is asked for to answers: reading, choosing the roots, solving."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stepwood.opam import reading, solutions
from stepwood.opam.entries import Entry, Source
from stepwood.opam.filters import Variables
from stepwood.opam.formulas import Atom, atoms
from stepwood.opam.git import changed
from stepwood.opam.libsolv import Libsolv
from stepwood.opam.memory import Memory
from stepwood.opam.package import Package
from stepwood.opam.platform import variables
from stepwood.opam.reading import Read
from stepwood.opam.solutions import Answer, Job, Refused
from stepwood.opam.sources import open_source
from stepwood.opam.universe import Id, Universe
from system.errors import InputError, SpecError, did_you_mean

SYSTEM_COMPILER = "ocaml-system"
"""The package of a compiler that is there without opam; it is available where a variable says its version."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be solved, and where.

    packages   NAMEs and NAME.VERSIONs
    every      the newest version of each package
    revdeps    the newest version of each package that depends on these; where one is a NAME.VERSION, on that version
    changed    REV..REV: what is new or other in the first repository, a folder with git
    compilers  each solved for by itself
    oldest     prefer older versions of what roots need
    """

    packages: tuple[str, ...] = ()
    every: bool = False
    revdeps: tuple[str, ...] = ()
    changed: str | None = None
    repositories: tuple[str, ...] = ()
    compilers: tuple[Id, ...] = ()
    os: str = "debian-12"
    tests: bool = False
    oldest: bool = False

    @property
    def kinds(self) -> int:
        """In how many ways it says what is wanted."""
        return sum([bool(self.packages), self.every, bool(self.revdeps), self.changed is not None])


@dataclass(frozen=True, slots=True)
class Found:
    """The answers, compiler by compiler, with all that they were found in."""

    asked: Asked
    answers: Sequence[Answer]
    variables: Variables
    packages: Mapping[Id, Package]
    problems: Sequence[SpecError] = ()
    origins: Mapping[Id, tuple[Source, Entry]] = field(default_factory=dict)

    def package(self, id: Id) -> Package:
        return self.packages[id]

    def depexts(self, id: Id) -> frozenset[str]:
        """The system packages that a package needs."""
        return self.packages[id].depexts(self.variables)

    def files(self, id: Id) -> Mapping[str, bytes]:
        """What its repository has beside a package's opam file."""
        source, entry = self.origins[id]
        return source.files(entry)


def solve(asked: Asked, memory: Memory) -> Found:
    """Answer. Raises InputError for what is not there: a repository, a package, a compiler."""
    if asked.kinds != 1:
        raise InputError(
            "opam takes either packages, --all, --revdeps or --changed", hint="a package is NAME or NAME.VERSION"
        )
    if not asked.repositories or not asked.compilers:
        missing = "--compiler VERSION" if asked.repositories else "--repo REPO"
        raise InputError(f"opam needs {missing}", hint="for instance --repo opam-repository --compiler 5.3.0")
    repositories = asked.repositories
    fresh: Sequence[Id] = ()
    if asked.changed is not None:
        repositories, fresh = _changed(asked)
    around = variables(asked.os)
    systems = {system: _with_system(around, system) for system in map(_system, asked.compilers)}
    sources = [open_source(repository, memory) for repository in repositories]
    read = reading.read(sources, memory, _names(asked, fresh), _variants(asked, systems.values()))
    universes = {system: Universe.of(read.packages, known) for system, known in systems.items()}
    wanted, besides = _roots(asked, [*universes.values()], fresh, read.names)
    answers: list[Answer] = []
    for compiler in asked.compilers:
        universe = universes[_system(compiler)]
        solver = _solver(universe, compiler, asked.oldest)
        there = [root for root in wanted if root in universe]
        answers += solutions.solved(universe, solver, compiler, there, tests=asked.tests, besides=besides)
        absent = [root for root in wanted if root not in universe]
        answers += [Refused(root, compiler, f"{'.'.join(root)} is not available there") for root in absent]
    return _found(asked, answers, around, read)


def _names(asked: Asked, fresh: Iterable[Id]) -> set[str] | None:
    """The names that what is asked for begins with; None where every package counts."""
    if asked.every or asked.revdeps:
        return None
    roots = {text.partition(".")[0] for text in asked.packages} | {name for name, _ in fresh}
    return roots | {name for name, _ in asked.compilers}


def _variants(asked: Asked, systems: Iterable[Variables]) -> list[Variables]:
    """What may hold where something is solved."""
    return [{**one, "with-test": test} for one in systems for test in {False, asked.tests}]


def _found(asked: Asked, answers: Sequence[Answer], around: Variables, read: Read) -> Found:
    packages = {(package.name, package.version): package for package in read.packages}
    return Found(asked, answers, around, packages, read.problems, read.origins)


def recall(asked: Asked, answers: Sequence[Answer], memory: Memory) -> Found:
    """Answers that were found before, with their packages as the repositories have them now."""
    if asked.kinds or asked.compilers:
        raise InputError("--solutions says which packages and which compiler", hint="leave out all but --repo and --os")
    if not asked.repositories:
        raise InputError("opam needs --repo REPO", hint="where the packages of --solutions are described")
    wanted = {id for one in answers if isinstance(one, Job) for id in one.packages}
    sources = [open_source(repository, memory) for repository in asked.repositories]
    found = _found(asked, answers, variables(asked.os), reading.read(sources, memory, {name for name, _ in wanted}))
    missing = min(wanted - found.packages.keys(), default=None)
    if missing is not None:
        raise InputError(f"{'.'.join(missing)} of --solutions is in no --repo, or cannot be read there")
    return found


def _solver(universe: Universe, compiler: Id, oldest: bool) -> Libsolv:
    name, version = compiler
    known = [*universe.packages.get(name, {})]
    if version not in known:
        hint = did_you_mean(version, known, f"there are {', '.join(known[-5:])}" if known else None)
        raise InputError(f"no {name} has the version {version}", hint=hint)
    try:
        return Libsolv(universe, compiler, oldest=oldest)
    except KeyError as error:
        raise InputError(f"{name}.{version} has needs of its own that cannot be met here") from error


def _system(compiler: Id) -> str:
    """The version of a compiler that is there without opam, "" where opam brings it."""
    return compiler[1] if compiler[0] == SYSTEM_COMPILER else ""


def _with_system(around: Variables, system: str) -> Variables:
    return {**around, "sys-ocaml-version": system} if system else around


def _roots(
    asked: Asked, universes: Sequence[Universe], fresh: Iterable[Id], names: Collection[str]
) -> tuple[list[Id], list[Id]]:
    """The roots, each of which is in one of the universes, and what must be there besides each."""
    if asked.packages:
        return solutions.roots(universes, asked.packages, names), []
    if asked.changed is not None:
        return [id for id in fresh if any(id in universe for universe in universes)], []
    newest = list(dict.fromkeys(id for universe in universes for id in solutions.everything(universe)))
    if asked.every:
        return newest, []
    targets = [_target(universes, text, names) for text in asked.revdeps]
    around = {**universes[0].variables, "with-test": asked.tests}
    packages = {id: universe[id] for universe in universes for id in newest if id in universe}
    found = [id for id in newest if _depends(packages[id], targets, around)]
    return found, [(name, version) for name, version in targets if version is not None]


def _target(universes: Sequence[Universe], text: str, names: Collection[str]) -> tuple[str, str | None]:
    (name, version), exact = solutions.roots(universes, [text], names)[0], "." in text
    return name, version if exact else None


def _depends(package: Package, targets: Sequence[tuple[str, str | None]], around: Variables) -> bool:
    """Whether it depends on one of these directly, if only where that is there anyway."""
    asked = [*atoms(package.fields.get("depends", ()), package.variables(around)), *package.optional(around)]
    return any(_meets(atom, name, version) for name, version in targets for atom in asked if package.name != name)


def _meets(atom: Atom, name: str, version: str | None) -> bool:
    return atom.name == name and (version is None or atom.allows(version))


def _changed(asked: Asked) -> tuple[tuple[str, ...], Sequence[Id]]:
    """The repositories as they are after a change, and the package versions that are new or other."""
    old, dots, new = (asked.changed or "").partition("..")
    folder = asked.repositories[0]
    if not (dots and old and new) or ":" in new:
        raise InputError(f'--changed takes REV..REV, not "{asked.changed}"', hint="for instance HEAD~3..HEAD")
    if not os.path.isdir(folder):
        raise InputError(f"--changed compares revisions of the first --repo, and {folder} is no folder with git")
    return (f"{folder}:{new}", *asked.repositories[1:]), sorted(changed(folder, old, new))
