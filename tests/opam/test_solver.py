"""Solutions: of made-up repositories, held against a search of all there are, and of opam's own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from stepwood.opam.backends import NAMES, backend
from stepwood.opam.catalogue import Catalogue
from stepwood.opam.clingo import Clingo
from stepwood.opam.greedy import Greedy
from stepwood.opam.libsolv import Libsolv
from stepwood.opam.memory import ProcessMemory
from stepwood.opam.package import Package
from stepwood.opam.possible import Possible
from stepwood.opam.reach import Reach
from stepwood.opam.solver import Solution, Solver, Unsatisfiable
from stepwood.opam.sources import open_source
from stepwood.opam.universe import Id, Universe
from stepwood.opam.versions import key
from system.errors import ToolMissing
from tests.counts import FULL
from tests.data import OPAM_FILES, SOLUTIONS
from tests.opam.packages import COMPILER, Asked, World, faults, universe, versions, worlds

GREEDY = "libsolv where greed finds nothing"
either = pytest.mark.parametrize("kind", NAMES)
any_of_three = pytest.mark.parametrize("kind", [*NAMES, GREEDY])

# --- against all there are


class Both:
    """What the command asks: libsolv only for what needs a search."""

    def __init__(self, possible: Possible, within: Sequence[Id]) -> None:
        self._greedy, self._libsolv = Greedy(possible), Libsolv(possible, within)

    def solve(self, root: Id, tests: bool = False, besides: Sequence[Id] = ()) -> Solution | Unsatisfiable:
        found = self._greedy.solve(root, tests, besides)
        return self._libsolv.solve(root, tests, besides) if found is None else found.answer


def start(kind: str, universe: Universe, oldest: bool = False) -> Solver:
    """For all that there is."""
    possible = Possible(universe, COMPILER, oldest)
    within = possible.reached([*universe.ids()], tests=True)
    return Both(possible, within) if kind == GREEDY else backend(kind).start(possible, within)


def started(kind: str, world: World, oldest: bool = False) -> Solver | None:
    """None where the compiler itself cannot be had, which then must be so."""
    try:
        found = start(kind, world.universe, oldest)
    except KeyError:
        assert not world.possible
        return None
    return found


@any_of_three
@given(worlds())
def test_there_is_a_solution_just_where_there_is_one(kind: str, world: World) -> None:
    solver = started(kind, world)
    assume(solver is not None)
    assert solver
    for root in world.asked:
        found = solver.solve(root)
        if isinstance(found, Solution):
            assert {root, COMPILER} <= set(found.packages)
            assert list(found.packages) == sorted(found.packages)
            assert versions(found.packages) in world.possible
        else:
            assert not any(root in chosen.items() for chosen in world.possible)
            assert found.reasons
            assert all(found.reasons)


@any_of_three
@given(worlds())
def test_nothing_is_there_that_nothing_asks_for(kind: str, world: World) -> None:
    solver = started(kind, world)
    assume(solver is not None)
    assert solver
    for root in world.asked:
        found = solver.solve(root)
        for id in found.packages if isinstance(found, Solution) else ():
            if id not in (root, COMPILER):
                rest = versions(one for one in found.packages if one != id)
                assert [*faults(rest, world.asked.__getitem__)]


@any_of_three
@given(worlds())
def test_what_is_older_or_to_be_avoided_is_there_for_a_reason(kind: str, world: World) -> None:
    """No better version of its name would do in its place."""
    solver = started(kind, world)
    assume(solver is not None)
    assert solver
    for root in world.asked:
        found = solver.solve(root)
        for name, version in found.packages if isinstance(found, Solution) else ():
            if (name, version) not in (root, COMPILER):
                ranked = sorted(
                    world.universe.packages[name], key=lambda one: (not avoided(world, (name, one)), key(one))
                )
                for better in ranked[ranked.index(version) + 1 :]:
                    assert [*faults({**versions(found.packages), name: better}, world.asked.__getitem__)]


def avoided(world: World, id: Id) -> bool:
    return not world.asked[id].package.flags().isdisjoint(["avoid-version", "deprecated"])


@any_of_three
@given(worlds(), st.data())
def test_the_answer_is_the_same_whatever_was_asked_before(kind: str, world: World, data: st.DataObject) -> None:
    solver = started(kind, world)
    assume(solver is not None)
    assert solver
    for root in data.draw(st.lists(st.sampled_from([*world.asked]), max_size=8)):
        assert solver.solve(root) == start(kind, world.universe).solve(root)


@given(worlds(), st.booleans())
def test_nothing_is_better_than_what_clingo_finds(world: World, oldest: bool) -> None:
    found = started("clingo", world, oldest)
    assume(found is not None)
    assert found

    def worth(chosen: dict[str, str]) -> tuple[int, int, int]:
        ranked = {name: [*versions][:: 1 if oldest else -1] for name, versions in world.universe.packages.items()}
        return (
            sum(avoided(world, id) for id in chosen.items()),
            sum(ranked[name].index(version) for name, version in chosen.items()),
            len(chosen),
        )

    for root in world.asked:
        answer = found.solve(root)
        if isinstance(answer, Solution):
            others = [chosen for chosen in world.possible if root in chosen.items()]
            assert worth(versions(answer.packages)) == min(map(worth, others))


@given(worlds())
def test_what_is_lost_is_in_no_solution(world: World) -> None:
    try:
        found = Possible(world.universe, COMPILER)
    except KeyError:
        assert not world.possible
        return
    lost = {id for id in world.universe.ids() if found.lost(id)}
    assert not [id for chosen in world.possible for id in chosen.items() if id in lost]
    for id in world.universe.ids():
        needs = [clause for _, clause in world.universe.needs(id)]
        assert id in lost or all(clause - lost for clause in needs), "what is left has all that it needs left"


# --- what needs no search

LIB = {"a.1": "", "a.2": 'depends: "b"', "b.1": "", "unused.1": ""}


@pytest.mark.parametrize(
    ("packages", "names"),
    [
        pytest.param({"root.1": 'depends: "a"', **LIB}, "a b ocaml root", id="what is there"),
        pytest.param({"root.1": 'depends: "a" {< "2"}', **LIB}, "a ocaml root", id="… and no more"),
        pytest.param(
            {"root.1": 'depends: "a"', **LIB, "b.1": 'depends: "gone"'}, "a b gone ocaml root", id="what is lost"
        ),
        pytest.param(
            {"root.1": 'depends: "a" | "c"', **LIB, "c.1": 'conflicts: "ocaml"'}, "a b c ocaml root", id="one of two"
        ),
        pytest.param(
            {"root.1": 'depends: "a" | "c"', "a.1": 'conflicts: "ocaml"', "c.1": ""}, "a c ocaml root", id="the other"
        ),
        pytest.param({"root.1": 'depends: "b" | "gone"', **LIB}, "b gone ocaml root", id="what could come"),
        pytest.param({"root.1": 'depends: ["a" "b" | "unused"]', **LIB}, None, id="not known: a choice that is met"),
        pytest.param(
            {"root.1": 'depends: ["a" "c"]', "c.1": 'depends: "a" {< "2"}', **LIB}, None, id="not known: narrowed"
        ),
        pytest.param({"root.1": 'depends: "b" {> "1"}', **LIB}, "b ocaml root", id="a reason"),
        pytest.param(
            {"root.1": 'depends: ["b" "ocaml" {< "2"}]', **LIB}, "b ocaml root", id="a reason, were there no other"
        ),
        pytest.param(
            {"root.1": 'depends: ["b" "c"]', **LIB, "c.1": 'conflicts: "ocaml"'},
            None,
            id="not known: one is met",
        ),
    ],
)
def test_of_an_answer_is_known_what_it_follows_from(packages: dict[str, str], names: str | None) -> None:
    found = Greedy(Possible(universe(packages), COMPILER)).solve(("root", "1"))
    assert found is not None
    assert found.names == (None if names is None else set(names.split()))


@pytest.mark.parametrize(
    "packages",
    [
        pytest.param({"root.1": 'depends: "a" | "b"', "a.1": "", "b.1": ""}, id="a choice"),
        pytest.param({"root.1": 'depends: ["a" "b"]', "a.1": 'conflicts: "b" {> "1"}', "b.1": "", "b.2": ""}),
        pytest.param({"root.1": 'depends: ["a" "b"]', "a.1": 'conflict-class: "k"', "b.1": 'conflict-class: "k"'}),
        pytest.param(
            {"root.1": 'depends: ["a" "b"]', "a.1": 'depends: "c" {= "1"}', "b.1": "", "b.2": 'depends: "c" {> "1"}',
             "c.1": "", "c.2": ""}, id="a version that needs another to be older",
        ),
        pytest.param({"root.1": 'depends: "a"', "a.1": 'depends: "root" {> "1"}', "root.2": ""}, id="another root"),
        pytest.param({}, id="nothing is there"),
    ],
)  # fmt: skip
def test_what_needs_a_search(packages: dict[str, str]) -> None:
    assert Greedy(Possible(universe(packages), COMPILER)).solve(("root", "1")) is None


@given(worlds(), worlds(), st.booleans(), st.booleans())
def test_an_answer_is_the_same_wherever_what_it_follows_from_is(
    world: World, other: World, tests: bool, oldest: bool
) -> None:
    """In the same words, too."""
    try:
        greedy = Greedy(Possible(world.universe, COMPILER, oldest))
    except KeyError:
        assert not world.possible
        return
    for root in world.asked:
        found = greedy.solve(root, tests)
        if found is not None and found.names is not None:
            kept = {id: text for id, text in world.files.items() if id.partition(".")[0] in found.names}
            rest = {id: text for id, text in other.files.items() if id.partition(".")[0] not in found.names}
            mixed = World({**kept, **rest})
            try:
                again = Greedy(Possible(mixed.universe, COMPILER, oldest)).solve(root, tests)
            except KeyError:
                assert not mixed.possible
                continue
            assert again is not None
            assert again.answer == found.answer


# --- what is preferred, and what is told


@any_of_three
def test_the_compiler_is_there_though_nothing_needs_it(kind: str) -> None:
    found = start(kind, universe({"root.1": ""})).solve(("root", "1"))
    assert found == Solution((COMPILER, ("root", "1")))


def solved(kind: str, packages: dict[str, str]) -> list[str]:
    found = start(kind, universe(packages)).solve(("root", "1"))
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
@any_of_three
def test_what_is_preferred(kind: str, packages: dict[str, str], expected: list[str]) -> None:
    assert solved(kind, packages) == sorted([*expected, "root.1"])


def test_clingo_weighs_all_against_all() -> None:
    """libsolv takes the newest of what comes first, whatever that costs further down."""
    packages = {
        "root.1": 'depends: "a"',
        "a.1": "",
        "a.2": 'depends: ["b" "c"]',
        **{f"{name}.{version}": 'conflicts: "a"' if version > 1 else "" for name in "bc" for version in (1, 2, 3)},
    }
    assert solved("libsolv", packages) == ["a.2", "b.1", "c.1", "root.1"]
    assert solved("clingo", packages) == ["a.1", "root.1"]


def test_a_solver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("stepwood.opam.clingo")
    monkeypatch.setitem(sys.modules, "stepwood.opam.clingo", None)
    with pytest.raises(ToolMissing) as caught:
        backend("clingo")
    assert caught.value.hint == "pip install 'stepwood[clingo]'"


@any_of_three
def test_tests_and_what_is_to_be_there_besides(kind: str) -> None:
    packages = {"root.1": 'depends: "a" {with-test}', "a.1": "", "a.2": "", "b.1": 'conflicts: "a" {> "1"}'}
    solver = start(kind, universe(packages))
    assert solver.solve(("root", "1"), True) == Solution((("a", "2"), COMPILER, ("root", "1")))
    besides = [("b", "1")]
    assert solver.solve(("root", "1"), True, besides) == Solution((("a", "1"), *besides, COMPILER, ("root", "1")))
    assert isinstance(solver.solve(("root", "1"), True, [("a", "3")]), Unsatisfiable)


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
    found = start("libsolv", universe(packages)).solve(("root", "1"))
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
    found = start("libsolv", universe({"root.1": 'depends: ["a" "b"]', **packages})).solve(("root", "1"))
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
        Possible(universe(packages), COMPILER)


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
def reach(whole: Catalogue, reference: dict[str, Any]) -> Reach:
    return Reach(whole, ProcessMemory(), ("ocaml-base-compiler", reference["compiler"]))


@pytest.fixture(scope="module")
def real_universe(whole: Catalogue, reach: Reach) -> Universe:
    return reach.universe(whole.names)


@pytest.fixture(scope="module")
def real_possible(real_universe: Universe, reference: dict[str, Any]) -> Possible:
    return Possible(real_universe, ("ocaml-base-compiler", reference["compiler"]))


@pytest.fixture(scope="module")
def real_solver(real_possible: Possible, real_universe: Universe) -> Libsolv:
    return Libsolv(real_possible, real_possible.reached([*real_universe.ids()]))


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
def test_greed_finds_what_a_search_finds(
    reference: dict[str, Any], real_possible: Possible, real_solver: Libsolv
) -> None:
    """For nine roots of ten; and the same reasons."""
    greedy = Greedy(real_possible)
    roots = [(job["root"], job["version"]) for job in reference["jobs"]] + ids(reference["unsatisfiable"])
    found = {root: greedy.solve(root) for root in roots}
    there = {root: one.answer for root, one in found.items() if one is not None}
    assert len(there) > 0.9 * len(found)
    assert there == {root: real_solver.solve(root) for root in there}


@real
def test_real_edges(real_universe: Universe, reference: dict[str, Any]) -> None:
    """What is built after what: `post` left out, and depopts in."""
    for job in reference["jobs"][::EVERY]:
        packages = ids(job["packages"])
        for id, deps in zip(packages, job["deps"], strict=True):
            there = dict(packages)
            found = {name for name, versions in real_universe.built_after(id) if there.get(name) in versions}
            assert found == {packages[dep][0] for dep in deps}, id


@real
def test_what_is_not_reached_changes_no_answer(
    whole: Catalogue, reach: Reach, reference: dict[str, Any], real_solver: Libsolv
) -> None:
    """Nor the reasons."""
    compiler = ("ocaml-base-compiler", reference["compiler"])
    names = sorted(whole.names)[:: 20 if FULL else 80]
    facts = whole.facts(names)
    for name in names:
        reached = reach.of({name, compiler[0]})
        assert len(reached) < 1000
        if (newest := facts[name].newest) is not None:
            root = (name, newest)
            possible = Possible(reach.universe(reached), compiler)
            assert Libsolv(possible, possible.reached([root])).solve(root) == real_solver.solve(root)


# --- opam itself

SAMPLE = 60 if FULL else 3


class Opam:
    """The host's opam on the same repository, asked for one package after another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        repository = folder / "repository"
        repository.mkdir()
        subprocess.run(["tar", "-C", repository, "-xf", OPAM_FILES], check=True)
        (repository / "repo").write_text('opam-version: "2.0"\n')
        self._run("init", "--bare", "--no-setup", "--disable-sandboxing", "-k", "local", "default", str(repository))
        self._run("switch", "create", "empty", "--empty")

    def solve(self, compiler: str, root: str) -> set[Id] | None:
        """What it would install; None where it says that nothing would do."""
        told = self._folder / "told.json"
        done = self._run(
            "install", "--switch=empty", compiler, root, "--show-actions", f"--json={told}", wanted=(0, 20)
        )
        if done == 20:
            return None
        steps = [step["install"] for step in json.loads(told.read_text())["solution"]]
        return {(step["name"], step["version"]) for step in steps}

    def _run(self, *arguments: str, wanted: tuple[int, ...] = (0,)) -> int:
        around = {"arch": "x86_64", "os_distribution": "debian", "os_family": "debian", "os_version": "12"}
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "OPAMROOT": str(self._folder / "root"),
            "OPAMROOTISOK": "1",
            "OPAMNODEPEXTS": "1",  # what the host has of other packages is no matter
            **{f"OPAMVAR_{name}": value for name, value in around.items()},
        }
        done = subprocess.run(["opam", *arguments, "--yes"], env=env, capture_output=True, text=True, check=False)
        assert done.returncode in wanted, done.stderr
        return done.returncode


@real
@pytest.mark.tool("opam")
@pytest.mark.tool("xz")
@pytest.mark.timeout(1800)  # opam thinks for five seconds or more about a question
def test_opam_agrees(tmp_path: Path, reference: dict[str, Any], real_possible: Possible, real_solver: Libsolv) -> None:
    """On which package has a solution, always; on the solution, nearly always."""
    opam, compiler = Opam(tmp_path), ("ocaml-base-compiler", reference["compiler"])
    roots = [*(f"{job['root']}.{job['version']}" for job in reference["jobs"]), *reference["unsatisfiable"]]
    solvers = {"libsolv": real_solver, "clingo": Clingo(real_possible, real_possible.reached(ids(roots)))}
    other: dict[str, list[str]] = {name: [] for name in solvers}
    for root in random.Random(12).sample(roots, SAMPLE):
        wanted = opam.solve(".".join(compiler), root)
        for name, one in solvers.items():
            found = one.solve(*ids([root]))
            assert isinstance(found, Solution) == (wanted is not None), (name, root)
            if isinstance(found, Solution) and wanted != set(found.packages):
                other[name].append(root)
    print("solutions that are not opam's:", other)
    allowed = max(1, (1 - SAME) * SAMPLE)
    assert all(len(roots) <= allowed for roots in other.values()), other
