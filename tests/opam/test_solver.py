"""Solutions with libsolv: of made-up repositories, held against a search of all there are, and of opam's own."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from stepwood.opam.catalogue import Catalogue
from stepwood.opam.libsolv import Libsolv
from stepwood.opam.memory import ProcessMemory
from stepwood.opam.package import Package, built_after
from stepwood.opam.possible import losses
from stepwood.opam.solver import Solution, Unsatisfiable
from stepwood.opam.sources import open_source
from stepwood.opam.universe import Id, Universe
from stepwood.opam.versions import key
from tests.counts import FULL
from tests.data import OPAM_FILES, SOLUTIONS
from tests.opam.packages import COMPILER, Asked, World, faults, universe, versions, worlds

# --- against all there are


def solver(world: World) -> Libsolv | None:
    """None where the compiler itself cannot be had, which then must be so."""
    try:
        found = Libsolv(world.universe, COMPILER)
    except KeyError:
        assert not world.possible
        return None
    return found


@given(worlds())
def test_there_is_a_solution_just_where_there_is_one(world: World) -> None:
    libsolv = solver(world)
    assume(libsolv is not None)
    assert libsolv
    for root in world.asked:
        found = libsolv.solve(root)
        if isinstance(found, Solution):
            assert {root, COMPILER} <= set(found.packages)
            assert list(found.packages) == sorted(found.packages)
            assert versions(found.packages) in world.possible
        else:
            assert not any(root in chosen.items() for chosen in world.possible)
            assert found.reasons
            assert all(found.reasons)


@given(worlds())
def test_nothing_is_there_that_nothing_asks_for(world: World) -> None:
    libsolv = solver(world)
    assume(libsolv is not None)
    assert libsolv
    for root in world.asked:
        found = libsolv.solve(root)
        for id in found.packages if isinstance(found, Solution) else ():
            if id not in (root, COMPILER):
                rest = versions(one for one in found.packages if one != id)
                assert [*faults(rest, world.asked.__getitem__)]


@given(worlds())
def test_what_is_older_or_to_be_avoided_is_there_for_a_reason(world: World) -> None:
    """No better version of its name would do in its place."""
    libsolv = solver(world)
    assume(libsolv is not None)
    assert libsolv
    for root in world.asked:
        found = libsolv.solve(root)
        for name, version in found.packages if isinstance(found, Solution) else ():
            if (name, version) not in (root, COMPILER):
                ranked = sorted(
                    world.universe.packages[name], key=lambda one: (not avoided(world, (name, one)), key(one))
                )
                for better in ranked[ranked.index(version) + 1 :]:
                    assert [*faults({**versions(found.packages), name: better}, world.asked.__getitem__)]


def avoided(world: World, id: Id) -> bool:
    return not world.asked[id].package.flags().isdisjoint(["avoid-version", "deprecated"])


@given(worlds(), st.data())
def test_the_answer_is_the_same_whatever_was_asked_before(world: World, data: st.DataObject) -> None:
    libsolv = solver(world)
    assume(libsolv is not None)
    assert libsolv
    for root in data.draw(st.lists(st.sampled_from([*world.asked]), max_size=8)):
        assert libsolv.solve(root) == Libsolv(world.universe, COMPILER).solve(root)


@given(worlds())
def test_what_is_lost_is_in_no_solution(world: World) -> None:
    assume(COMPILER in world.universe.ids())
    lost = losses(world.universe, COMPILER)
    assert not [id for chosen in world.possible for id in chosen.items() if id in lost]
    for loss in lost.values():
        assert loss.choice <= lost.keys()  # of what a reason names, nothing is left either


# --- what is preferred, and what is told


def test_the_compiler_is_there_though_nothing_needs_it() -> None:
    found = Libsolv(universe({"root.1": ""}), COMPILER).solve(("root", "1"))
    assert found == Solution((COMPILER, ("root", "1")))


def solved(packages: dict[str, str], root: str = "root.1") -> list[str]:
    found = Libsolv(universe(packages), COMPILER).solve((root.split(".", 1)[0], root.split(".", 1)[1]))
    assert isinstance(found, Solution), found
    return [".".join(id) for id in found.packages if id != COMPILER]


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        pytest.param({"root.1": 'depends: "a"', "a.9": "", "a.10": "", "a.11~rc": ""}, ["a.11~rc"], id="newest"),
        pytest.param({"root.1": 'depends: "a"', "a.1.0": "", "a.1.00": ""}, ["a.1.00"], id="last of equal ones"),
        pytest.param({"root.1": 'depends: "a"', "a.1.00": "", "a.1.0": ""}, ["a.1.0"], id="… in either order"),
        pytest.param({"root.1": 'depends: "a"', "a.1": "", "a.2": "flags: avoid-version"}, ["a.1"], id="avoided"),
        pytest.param(
            {"root.1": 'depends: "a"', "a.1": "", "a.2": "flags: [conf deprecated]"}, ["a.1"], id="deprecated"
        ),
        pytest.param(
            {"root.1": 'depends: "a" {> "1"}', "a.1": "", "a.2": "flags: avoid-version"}, ["a.2"], id="the last resort"
        ),
        pytest.param(
            {"root.1": 'depends: "a" | "b"', "a.1": "flags: avoid-version", "b.1": ""}, ["b.1"], id="another branch"
        ),
        pytest.param(
            {"root.1": 'flags: avoid-version depends: "a"', "a.1": "", "a.2": "flags: avoid-version"},
            ["a.1"],
            id="a root that is to be avoided",
        ),
        pytest.param({"root.1": 'depends: "a" {post}', "a.1": ""}, ["a.1"], id="post is solved for"),
        pytest.param({"root.1": 'depopts: "a"', "a.1": ""}, [], id="depopts are not"),
        pytest.param(
            {"root.1": 'depends: "a"', "a.1": "flags: avoid-version", "a.2": "flags: avoid-version"},
            ["a.2"],
            id="the newest of the last resorts",
        ),
        pytest.param({"root.1": 'depends: "a"', "root.2": "", "a.1": ""}, ["a.1"], id="not the newest root"),
        pytest.param({"root.1": 'depends: "a" conflicts: "b"', "a.1": "", "a.2": 'depends: "b"', "b.1": ""}, ["a.1"]),
        pytest.param(
            {"root.1": 'depends: ["a" "b"]', "a.1": 'conflict-class: "k"', "b.1": "", "b.2": 'conflict-class: "k"'},
            ["a.1", "b.1"],
            id="conflict class",
        ),
        pytest.param(
            {"root.1": 'depends: "a" conflicts: ["root" "a" {< "1"}]', "a.1": ""}, ["a.1"], id="a conflict with itself"
        ),
        pytest.param({"root.1": 'depends: "a"', "a.1": 'depends: "root"'}, ["a.1"], id="a circle"),
    ],
)
def test_what_is_preferred(packages: dict[str, str], expected: list[str]) -> None:
    assert solved(packages) == sorted([*expected, "root.1"])


@pytest.mark.parametrize(
    ("packages", "reasons"),
    [
        ({}, ["root.1 is not available"]),
        ({"root.1": 'available: os = "win32"'}, ["root.1 is not available"]),
        ({"root.1": 'depends: "a" {>= "1" & < "2"}'}, ["root.1 needs a (>= 1 & < 2), which is not there"]),
        ({"root.1": 'depends: "ocaml" {< "5"}'}, ["root.1 needs ocaml (< 5), which is not there"]),
        (
            {"root.1": 'depends: "ocaml" {< "5"}', "ocaml.4": ""},
            ["root.1 needs ocaml (< 5)", "ocaml.4 conflicts with ocaml.5"],
        ),
        (
            {"root.1": 'depends: "a" | "b"', "a.1": 'depends: "c"', "b.1": 'depends: "d" {= "1" | = "2"}'},
            ["root.1 needs a | b", "b.1 needs d (= 1 | = 2), which is not there"],
        ),
        ({"root.1": 'conflicts: "ocaml"'}, ["root.1 conflicts with ocaml.5"]),
    ],
)
def test_reasons_of_what_is_lost(packages: dict[str, str], reasons: list[str]) -> None:
    found = Libsolv(universe(packages), COMPILER).solve(("root", "1"))
    assert found == Unsatisfiable(reasons)


@pytest.mark.parametrize(
    ("packages", "reasons"),
    [
        (
            {"a.1": 'depends: "c" {= "1"}', "b.1": 'depends: "c" {> "1"}', "c.1": "", "c.2": ""},
            {"root.1 needs a", "root.1 needs b", "a.1 needs c (= 1)", "b.1 needs c (> 1)", "c.2 conflicts with c.1"},
        ),
        (
            {"a.1": 'conflicts: "b" {< "2"}', "b.1": ""},
            {"root.1 needs a", "root.1 needs b", "a.1 conflicts with b (< 2)"},
        ),
        (
            {"a.1": 'conflict-class: "k"', "b.1": 'conflict-class: "k"'},
            {"root.1 needs a", "root.1 needs b", "b.1 conflicts with a.1"},
        ),
    ],
)
def test_reasons_found_by_search(packages: dict[str, str], reasons: set[str]) -> None:
    found = Libsolv(universe({"root.1": 'depends: ["a" "b"]', **packages}), COMPILER).solve(("root", "1"))
    assert isinstance(found, Unsatisfiable)
    assert {line for reason in found.reasons for line in reason.split("; ")} == reasons


@pytest.mark.parametrize(
    "packages",
    [
        {"ocaml.5": 'depends: "a"'},
        {"ocaml.5": 'available: os = "win32"'},
        {"ocaml.5": 'depends: "b"', "b.1": 'conflicts: "ocaml"'},
    ],
)
def test_a_compiler_that_cannot_be_had(packages: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        Libsolv(universe(packages), COMPILER)


# --- opam's repository

real = pytest.mark.skipif(
    not (OPAM_FILES.exists() and SOLUTIONS.exists()), reason=f"needs {OPAM_FILES} and {SOLUTIONS}"
)
EVERY = 1 if FULL else 40
SAME = 0.95
"""The part of the solutions that must be just the reference's; another may be as good."""


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    with SOLUTIONS.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as text:
        found: dict[str, Any] = json.loads(text.read())
        return found


@pytest.fixture(scope="module")
def whole(reference: dict[str, Any]) -> Catalogue:
    """The repository; it takes 10 s to read: once."""
    memory = ProcessMemory()
    return Catalogue([open_source(str(OPAM_FILES), memory)], memory, reference["env"])


@pytest.fixture(scope="module")
def repository(whole: Catalogue) -> dict[Id, Package]:
    return whole.packages(whole.names)


@pytest.fixture(scope="module")
def real_solver(repository: dict[Id, Package], reference: dict[str, Any]) -> Libsolv:
    known = Universe.of(repository.values(), reference["env"])
    return Libsolv(known, ("ocaml-base-compiler", reference["compiler"]))


def ids(names: list[str]) -> list[Id]:
    return [(name.split(".", 1)[0], name.split(".", 1)[1]) for name in names]


@real
def test_real_solutions(repository: dict[Id, Package], reference: dict[str, Any], real_solver: Libsolv) -> None:
    @cache
    def asked(id: Id) -> Asked:
        return Asked(repository[id], reference["env"])

    jobs = reference["jobs"][::EVERY]
    same = 0
    for job in jobs:
        root = (job["root"], job["version"])
        found = real_solver.solve(root)
        assert isinstance(found, Solution), (root, found)
        assert {root, ("ocaml-base-compiler", "5.3.0")} <= set(found.packages)
        assert not [*faults(versions(found.packages), asked)]
        same += [*found.packages] == sorted(ids(job["packages"]))
    assert same >= SAME * len(jobs)


@real
def test_real_roots_without_a_solution(reference: dict[str, Any], real_solver: Libsolv) -> None:
    for root in ids(reference["unsatisfiable"][::EVERY]):
        found = real_solver.solve(root)
        assert isinstance(found, Unsatisfiable), root
        assert any(".".join(root) in reason for reason in found.reasons)
        assert not any("None" in reason for reason in found.reasons)


@real
def test_real_edges(repository: dict[Id, Package], reference: dict[str, Any]) -> None:
    """What is built after what: `post` left out, and depopts in."""
    for job in reference["jobs"][::EVERY]:
        packages = ids(job["packages"])
        for id, deps in zip(packages, job["deps"], strict=True):
            found = built_after(repository[id], dict(packages), reference["env"])
            assert found == {packages[dep][0] for dep in deps}, id


@real
def test_what_is_not_reached_changes_no_answer(
    whole: Catalogue, reference: dict[str, Any], real_solver: Libsolv
) -> None:
    compiler = ("ocaml-base-compiler", reference["compiler"])
    names = sorted(whole.names)[:: 20 if FULL else 80]
    facts = whole.facts(names)
    for name in names:
        reach = whole.reach({name, compiler[0]})
        assert len(reach) < 1000
        if (newest := facts[name].newest) is not None:
            root = (name, newest)
            one, other = Libsolv(whole.universe(reach), compiler).solve(root), real_solver.solve(root)
            assert type(one) is type(other)
            # Of what cannot be had the reasons may go another way down.
            assert isinstance(one, Unsatisfiable) or one == other
