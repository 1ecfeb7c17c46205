"""From what is asked for to answers: which repositories, roots and compilers there are to solve for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stepwood.opam.catalogue import Catalogue
from stepwood.opam.entries import Source
from stepwood.opam.filters import Variables
from stepwood.opam.formulas import Atom
from stepwood.opam.git import changed
from stepwood.opam.instructions import Instructions
from stepwood.opam.memory import Memory
from stepwood.opam.pins import Pins
from stepwood.opam.platform import variables
from stepwood.opam.reading import Watch, unwatched
from stepwood.opam.solutions import Answer, Job
from stepwood.opam.solving import Question, Solving
from stepwood.opam.sources import open_source
from stepwood.opam.universe import Id
from stepwood.opam.versions import hint
from system.errors import InputError, did_you_mean

SYSTEM_COMPILER = "ocaml-system"
"""The package of a compiler that is there without opam; it is available where a variable says its version."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be solved, and where.

    packages   NAMEs and NAME.VERSIONs
    every      the newest version of each package
    revdeps    the newest version of each package that depends on these; where one is a NAME.VERSION, on that version
    changed    REV..REV: what is new or other in the first repository, a folder with git
    pins       NAME.VERSION or NAME[.VERSION]=FOLDER: of the package there is nothing else
    compilers  each solved for by itself
    oldest     prefer older versions of what roots need
    solver     the name of what solves, see `backends`
    """

    packages: tuple[str, ...] = ()
    every: bool = False
    revdeps: tuple[str, ...] = ()
    changed: str | None = None
    repositories: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    compilers: tuple[Id, ...] = ()
    os: str = "debian-12"
    tests: bool = False
    oldest: bool = False
    solver: str = "libsolv"

    @property
    def kinds(self) -> int:
        """In how many ways it says what is wanted."""
        return sum([bool(self.packages), self.every, bool(self.revdeps), self.changed is not None])


@dataclass(frozen=True, slots=True)
class Found:
    """The answers, compiler by compiler; `fresh` of them had to be solved. `catalogue` is what they were found in."""

    asked: Asked
    answers: Sequence[Answer]
    catalogue: Catalogue
    fresh: int = 0
    problems: Sequence[str] = ()

    def packages(self) -> Mapping[Id, Instructions]:
        """All package versions of the answers. InputError: one is not there, or cannot be read."""
        wanted: frozenset[Id] = frozenset().union(*(one.packages for one in self.answers if isinstance(one, Job)))
        found = self.catalogue.instructions(wanted)
        missing = min(wanted - found.keys(), default=None)
        if missing is not None:
            raise InputError(f"{'.'.join(missing)} of --solutions is in no --repo, or cannot be read there")
        return found


def solve(asked: Asked, memory: Memory, watch: Watch = unwatched) -> Found:
    """Answer. Raises InputError for what is not there: a repository, a package, a compiler."""
    if asked.kinds != 1:
        raise InputError(
            "opam takes either packages, --all, --revdeps or --changed", hint="a package is NAME or NAME.VERSION"
        )
    if not asked.repositories or not asked.compilers:
        missing = "--compiler VERSION" if asked.repositories else "--repo REPO"
        raise InputError(f"opam needs {missing}", hint="for instance --repo opam-repository --compiler 5.3.0")
    repositories, touched = _changed(asked) if asked.changed is not None else (asked.repositories, ())
    sources, pins = _opened(repositories, asked, memory)
    around = variables(asked.os)
    catalogues = {
        system: Catalogue(sources, memory, _with_system(around, system), pins, watch)
        for system in dict.fromkeys(map(_system, asked.compilers))
    }
    wanted, besides = _roots(asked, [*catalogues.values()], touched)
    answers: list[Answer] = []
    fresh = 0
    for compiler in asked.compilers:
        question = Question(compiler, besides, asked.tests, asked.oldest, asked.solver)
        solving = Solving(question, catalogues[_system(compiler)], memory, watch)
        answers += solving.answers(wanted)
        fresh += solving.fresh
    problems = dict.fromkeys(problem for catalogue in catalogues.values() for problem in catalogue.problems)
    # One that knows what it has looked at already, where one is of the platform alone.
    catalogue = catalogues.get("") or Catalogue(sources, memory, around, pins, watch)
    return Found(asked, answers, catalogue, fresh, [*problems])


def recall(asked: Asked, answers: Sequence[Answer], memory: Memory, watch: Watch = unwatched) -> Found:
    """Answers that were found before, with their packages as the repositories have them now."""
    if asked.kinds or asked.compilers:
        raise InputError(
            "--solutions says which packages and which compiler", hint="leave out all but --repo, --pin and --os"
        )
    if not asked.repositories:
        raise InputError("opam needs --repo REPO", hint="where the packages of --solutions are described")
    sources, pins = _opened(asked.repositories, asked, memory)
    return Found(asked, answers, Catalogue(sources, memory, variables(asked.os), pins, watch))


def _opened(repositories: Sequence[str], asked: Asked, memory: Memory) -> tuple[list[Source], Pins]:
    pins = Pins.of(asked.pins)
    sources = [open_source(repository, memory) for repository in repositories]
    pins.check(sources)
    return sources, pins


def _system(compiler: Id) -> str:
    """The version of a compiler that is there without opam, "" where opam brings it."""
    return compiler[1] if compiler[0] == SYSTEM_COMPILER else ""


def _with_system(around: Variables, system: str) -> Variables:
    return {**around, "sys-ocaml-version": system} if system else around


def _roots(asked: Asked, catalogues: Sequence[Catalogue], touched: Iterable[Id]) -> tuple[list[Id], tuple[Id, ...]]:
    """The roots, each of which is available in one of the catalogues, and what must be there besides each."""
    if asked.packages:
        return list(dict.fromkeys(_root(catalogues, text) for text in asked.packages)), ()
    if asked.changed is not None:
        wanted = list(touched)
        known = [catalogue.facts({name for name, _ in wanted}) for catalogue in catalogues]
        return [(name, version) for name, version in wanted if any(version in one[name].versions for one in known)], ()
    newest: dict[Id, None] = {}
    for catalogue in catalogues:
        facts = catalogue.facts(catalogue.names)
        newest |= {(name, version): None for name in sorted(facts) if (version := facts[name].newest) is not None}
    if asked.every:
        return list(newest), ()
    targets = [(_root(catalogues, text), "." in text) for text in asked.revdeps]
    found = [id for id in newest if any(_depends(catalogue, id, targets, asked.tests) for catalogue in catalogues)]
    return found, tuple(target for target, exact in targets if exact)


def _root(catalogues: Sequence[Catalogue], text: str) -> Id:
    """The package version that `NAME` (the newest that may be taken) or `NAME.VERSION` stands for, by the first of the
    catalogues that has it."""
    name, dot, version = text.partition(".")
    names = catalogues[0].names
    if name not in names:
        raise InputError(f'no package is called "{name}"', hint=did_you_mean(name, names))
    facts = [catalogue.facts({name})[name] for catalogue in catalogues]
    versions = list(dict.fromkeys(version for one in facts for version in one.versions))
    problems = (problem for one in facts for problem in one.problems)
    broken = next((problem for problem in problems if not dot or f"/{text}/" in problem), None)
    if not versions:
        raise InputError(f"no version of {name} is available here", hint=broken or "its opam files say where one is")
    if dot:
        if version not in versions:
            said = broken or hint(version, versions)
            raise InputError(f"{name} has no version {version} that is available here", hint=said)
        return name, version
    newest = next((one.newest for one in facts if one.newest is not None), None)
    if newest is None:
        raise InputError(
            f"all versions of {name} are to be avoided", hint=f"name one: {name}.{versions[-1]}, for instance"
        )
    return name, newest


def _depends(catalogue: Catalogue, id: Id, targets: Sequence[tuple[Id, bool]], tests: bool) -> bool:
    """Whether a version depends on one of these directly, if only where that is there anyway."""
    name, version = id
    facts = catalogue.facts({name})[name]
    near = facts.takes | (facts.tested if tests else facts.asks)
    if version not in facts.versions or name in {target for (target, _), _ in targets}:
        return False
    if not any(target in near for (target, _), _ in targets):
        return False
    package = catalogue.packages({name}, {id})[id]
    around = {**catalogue.variables, "with-test": tests}
    asked = [*package.dependencies(around), *package.optional(around)]
    return any(_meets(atom, target, exact) for target, exact in targets for atom in asked)


def _meets(atom: Atom, target: Id, exact: bool) -> bool:
    return atom.name == target[0] and (not exact or atom.allows(target[1]))


def _changed(asked: Asked) -> tuple[tuple[str, ...], Sequence[Id]]:
    """The repositories as they are after a change, and the package versions that are new or other."""
    old, dots, new = (asked.changed or "").partition("..")
    folder = asked.repositories[0]
    if not (dots and old and new) or ":" in new:
        raise InputError(f'--changed takes REV..REV, not "{asked.changed}"', hint="for instance HEAD~3..HEAD")
    if not os.path.isdir(folder):
        raise InputError(f"--changed compares revisions of the first --repo, and {folder} is no folder with git")
    return (f"{folder}:{new}", *asked.repositories[1:]), sorted(changed(folder, old, new))
