"""Made-up packages, and what a solution is: written for tests, so that it shares nothing with what solves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from hypothesis import strategies as st

from grammar.opam.ast import Field, Value
from grammar.opam.parser import Reader
from stepwood.opam.candidate import Candidates
from stepwood.opam.entries import Entry
from stepwood.opam.facts import Facts, find
from stepwood.opam.filters import Variables
from stepwood.opam.formulas import All, Any, Atom, Formula
from stepwood.opam.instructions import Instructions
from stepwood.opam.libsolv import Libsolv
from stepwood.opam.package import Package
from stepwood.opam.possible import Possible
from stepwood.opam.solutions import Answer, answer
from stepwood.opam.universe import Id, Universe

LINUX: Variables = {
    "arch": "x86_64",
    "os": "linux",
    "os-version": "12",
    "with-test": False,
    "build": True,
    "post": True,
}
COMPILER = ("ocaml", "5")

READER = Reader()


def value(text: str) -> Value:
    """What is written behind the colon of a field."""
    (field,) = READER.parse(f"field: {text}", file="opam").items
    assert isinstance(field, Field)
    return field.value


def package(id: str, text: str = "", folder: str = "") -> Package:
    """`lwt.5.7.0` with what its opam file says, or as a folder has it."""
    name, version = id.split(".", 1)
    return Package.of(name, version, READER.parse(text, file=f"packages/{name}/{id}/opam"), folder)


def all_of(files: Mapping[str, str]) -> dict[Id, Package]:
    """Of opam files, by `name.version`, and a compiler."""
    found = [package(id, text) for id, text in {".".join(COMPILER): "", **files}.items()]
    return {(one.name, one.version): one for one in found}


def told(files: Mapping[str, str]) -> dict[Id, Instructions]:
    """How these are built."""
    return {id: Instructions.of(one, LINUX) for id, one in all_of(files).items()}


def universe(files: Mapping[str, str]) -> Universe:
    return universe_of(all_of(files).values())


def universe_of(packages: Iterable[Package]) -> Universe:
    """Those that are available."""
    by_name: defaultdict[str, list[Package]] = defaultdict(list)
    for one in packages:
        by_name[one.name].append(one)
    found = {name: candidates for name, some in by_name.items() if (candidates := facts_of(some)[1])}
    avoided = {(name, version) for name, some in found.items() for version, one in some.items() if one.avoided}
    return Universe(found, avoided)


def facts_of(packages: Sequence[Package]) -> tuple[Facts, Candidates]:
    """Of one name."""
    entries = [Entry(one.name, one.version, f"packages/{one.name}/{one}/opam", "") for one in packages]
    return find(packages[0].name if packages else "none", [*zip(entries, packages, strict=True)], LINUX)


# --- what a solution is

Chosen = Mapping[str, str]
"""Versions, by name."""


@dataclass(frozen=True)
class Asked:
    """What a version asks for where `variables` hold."""

    package: Package
    around: Variables

    @cached_property
    def depends(self) -> Formula:
        return self.package.depends(self.around)

    @cached_property
    def conflicts(self) -> list[Atom]:
        return [atom for atom in self.package.conflicts(self.around) if atom.name != self.package.name]

    def met(self, chosen: Chosen) -> bool:
        return met(self.depends, chosen)

    def excludes(self, chosen: Chosen) -> bool:
        return any(met(atom, chosen) for atom in self.conflicts)


def met(formula: Formula, chosen: Chosen) -> bool:
    match formula:
        case Atom(name):
            return name in chosen and formula.allows(chosen[name])
        case All(parts):
            return all(met(part, chosen) for part in parts)
        case Any(parts):
            return any(met(part, chosen) for part in parts)


def faults(chosen: Chosen, asked: Callable[[Id], Asked]) -> Iterator[str]:
    """What keeps versions from being there together."""
    taken: dict[str, str] = {}
    for id in chosen.items():
        one = asked(id)
        if not one.package.available(one.around):
            yield f"{id} is not available"
        if not one.met(chosen):
            yield f"{id} lacks something of {one.depends}"
        if one.excludes(chosen):
            yield f"{id} conflicts with another"
        for name in one.package.classes():
            if taken.setdefault(name, id[0]) != id[0]:
                yield f"{id} and {taken[name]} are of the class {name}"


def versions(packages: Iterable[Id]) -> dict[str, str]:
    """By name; a solution has one of each."""
    packages = list(packages)
    found = dict(packages)
    assert len(found) == len(packages)
    return found


def answers(files: Mapping[str, str], roots: Iterable[Id], *, tests: bool = False) -> list[Answer]:
    """What libsolv finds among these."""
    known = universe(files)
    possible = Possible(known, COMPILER)
    solver = Libsolv(possible, possible.reached([*known.ids()], tests))
    return [answer(known, root, COMPILER, solver.solve(root, tests), tests) for root in roots]


# --- all there are


@dataclass(frozen=True)
class World:
    """A few versions of a few names, as texts of opam files, and all sets of them that may be there together."""

    files: Mapping[str, str]

    @cached_property
    def packages(self) -> list[Package]:
        return [package(id, text) for id, text in self.files.items()]

    @cached_property
    def universe(self) -> Universe:
        return universe_of(self.packages)

    @cached_property
    def asked(self) -> dict[Id, Asked]:
        return {(one.name, one.version): Asked(one, LINUX) for one in self.packages}

    @cached_property
    def possible(self) -> list[dict[str, str]]:
        """Every set with the compiler in which nothing is amiss."""
        by_name: dict[str, list[Id | None]] = {}
        for id in self.asked:
            by_name.setdefault(id[0], [None]).append(id)
        by_name[COMPILER[0]] = [COMPILER]
        sets = (dict(one for one in choice if one) for choice in product(*by_name.values()))
        return [chosen for chosen in sets if not any(faults(chosen, self.asked.__getitem__))]


_NAMES = ["ocaml", "a", "b", "c", "d"]
_VERSIONS = {"ocaml": ["4", "5"], "a": ["1", "2", "10"], "b": ["1", "2", "10"], "c": ["1~beta", "1"], "d": ["3"]}
_CONDITIONS = [
    "",
    "",
    ' {>= "2"}',
    ' {< "2"}',
    ' {= "1"}',
    ' {!= "1"}',
    " {= version}",
    ' {> "1~" & < "10"}',
    ' {< "2" | > "9"}',
    ' {!(>= "2")}',
    " {with-test}",
    " {unheard-of}",
    ' {os = "linux" & >= "1"}',
    " {post}",
]
_ATOMS = st.builds(lambda name, asked: f'"{name}"{asked}', st.sampled_from(_NAMES), st.sampled_from(_CONDITIONS))
_FORMULAS = st.recursive(
    _ATOMS,
    lambda inner: st.builds(
        lambda parts, op: f"({f' {op} '.join(parts)})", st.lists(inner, min_size=2, max_size=3), st.sampled_from("&|")
    ),
    max_leaves=4,
)
_CLASSES = st.lists(st.sampled_from(['"x"', '"y"']), max_size=2, unique=True)
_FLAGS = ["", "", "", "", "flags: avoid-version", "flags: [deprecated]", 'available: os = "win32"', "available: ?os"]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """With the compiler, which now and then asks for something, as all others do."""
    some = st.sampled_from([f"{name}.{version}" for name in _NAMES for version in _VERSIONS[name]])
    ids = draw(st.lists(some, unique=True))
    compiler = draw(_texts()) if draw(st.integers(0, 4)) == 0 else ""
    return World({".".join(COMPILER): compiler} | {id: draw(_texts()) for id in ids if id != ".".join(COMPILER)})


@st.composite
def _texts(draw: st.DrawFn) -> str:
    lines = [f"depends: [{' '.join(draw(st.lists(_FORMULAS, max_size=2)))}]"]
    if draw(st.integers(0, 2)) == 0:
        lines.append(f"conflicts: [{' '.join(draw(st.lists(_ATOMS, max_size=2)))}]")
    if draw(st.integers(0, 2)) == 0:
        lines.append(f"conflict-class: [{' '.join(draw(_CLASSES))}]")
    return "\n".join([*lines, draw(st.sampled_from(_FLAGS))])
