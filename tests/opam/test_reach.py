"""Reach: which names an answer may depend on, with a compiler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwood.opam.backends import NAMES, backend
from stepwood.opam.candidate import told
from stepwood.opam.catalogue import Catalogue
from stepwood.opam.entries import Listed, content_of, sorted_out
from stepwood.opam.memory import ProcessMemory
from stepwood.opam.possible import Possible
from stepwood.opam.reach import Reach
from stepwood.opam.solver import Solver, Unsatisfiable
from stepwood.opam.sources import open_source
from stepwood.opam.universe import Universe
from tests.opam.packages import COMPILER, LINUX, World, worlds
from tests.opam.repositories import paths, repository

FILES = {
    "ocaml-base-compiler.5": 'depends: "ocaml" {= "5" & post}', "ocaml-base-compiler.4": 'depends: "ocaml" {= "4"}',
    "ocaml.5": 'depends: ["ocaml-base-compiler" {= "5"} "config"]', "ocaml.4": 'depends: "ocaml-base-compiler" {= "4"}',
    "config.1": "",
    "app.1": 'depends: ["ocaml" {>= "4"} "lib"]',
    "lib.1": 'depends: ["ocaml" {< "5"} "old"]',
    "lib.2": 'depends: [("ocaml" {< "5"} | "ocaml" {>= "5"}) "new" "tests" {with-test}]',
    "lib.3": 'depends: [("ocaml" {< "5"} | "other") "either"]',
    "lib.4": 'depends: "windows" available: os = "win32"',
    "old.1": 'depends: "older"', "older.1": "", "new.1": "", "tests.1": 'depends: "deep"', "deep.1": "",
    "other.1": "", "either.1": "", "windows.1": "",
}  # fmt: skip


def reach(folder: Path, files: dict[str, str], compiler: str = "5") -> Reach:
    text = repository(folder, files)
    memory = ProcessMemory()
    return Reach(Catalogue([open_source(text, memory)], memory, LINUX), memory, ("ocaml-base-compiler", compiler))


@pytest.mark.parametrize("kind", NAMES)
@given(worlds(), st.booleans())
def test_what_is_not_reached_changes_no_answer(kind: str, world: World, tests: bool) -> None:
    """Nor what is ruled out, and is not followed: of all made-up worlds."""

    def start(universe: Universe) -> Solver:
        possible = Possible(universe, COMPILER)
        return backend(kind).start(possible, possible.reached([*universe.ids()], tests=True))

    memory = ProcessMemory()
    known = Catalogue([listed(world.files)], memory, LINUX)
    reach = Reach(known, memory, COMPILER)
    try:
        whole = start(reach.universe(known.names))
        plain = start(world.universe)
    except KeyError:
        assert not world.possible
        return
    assert all(reach.forced.items() <= chosen.items() for chosen in world.possible)
    for root in world.universe.ids():
        names = reach.of({COMPILER[0]}) | reach.of({root[0]}, tested={root[0]} if tests else set())
        reached = start(reach.universe(names)).solve(root, tests)
        assert reached == whole.solve(root, tests), "and for the same reasons"
        expected = plain.solve(root, tests)
        assert isinstance(expected, Unsatisfiable) == isinstance(reached, Unsatisfiable)
        assert isinstance(expected, Unsatisfiable) or expected == reached


def listed(files: Mapping[str, str]) -> Listed:
    """A repository of these opam files, by `name.version`, that stands nowhere."""
    data = {path: text.encode() for path, text in paths(files).items()}
    entries, beside = sorted_out("world", ((path, content_of(one)) for path, one in data.items()))
    return Listed(entries, beside, lambda wanted: (data[path] for path in wanted))


def test_what_is_forced_comes_with_the_compiler(tmp_path: Path) -> None:
    assert reach(tmp_path, FILES).forced == {"config": "1", "ocaml": "5", "ocaml-base-compiler": "5"}
    assert reach(tmp_path, FILES, "4").forced == {"ocaml": "4", "ocaml-base-compiler": "4"}
    assert reach(tmp_path, FILES, "3").forced == {}


def test_a_file_is_read_once_whatever_the_compiler(tmp_path: Path) -> None:
    """What a platform decides is kept apart from what a compiler decides of it."""

    class Watched(ProcessMemory):
        def __init__(self) -> None:
            super().__init__()
            self.contents_asked: list[str] = []

        def recall(self, keys: Iterable[str]) -> dict[str, object]:
            keys = [*keys]
            self.contents_asked += [key for key in keys if key.startswith("git:")]
            return super().recall(keys)

    memory = Watched()
    source = open_source(repository(tmp_path, FILES), memory)
    asked: list[int] = []
    for compiler in ("5", "4"):
        catalogue = Catalogue([source], memory, LINUX)
        Reach(catalogue, memory, ("ocaml-base-compiler", compiler)).universe(catalogue.names)
        asked.append(len(memory.contents_asked))
    assert asked == [len(FILES), len(FILES)]


def test_what_the_compiler_rules_out_is_not_followed(tmp_path: Path) -> None:
    compiler = {"ocaml", "ocaml-base-compiler", "config"}
    new = {"lib", "new", "other", "either"} | compiler
    found = reach(tmp_path, FILES)
    assert found.of({"app"}) == {"app"} | new
    assert found.of({"lib"}, tested={"lib"}) == {"tests", "deep"} | new
    assert found.of({"app"}, tested={"app"}) == {"app"} | new, "tests count of what is asked for only"
    assert found.of({"nothing"}) == {"nothing"}
    assert {"old", "older"} <= reach(tmp_path, FILES, "4").of({"app"})


def test_of_what_is_ruled_out_the_reason_is_all_that_is_asked(tmp_path: Path) -> None:
    found = reach(tmp_path, FILES)
    universe = found.universe(found.of({"lib"}))
    assert [need[0].name for need, _ in universe.needs(("lib", "1"))] == ["ocaml"]
    assert [need[0].name for need, _ in universe.needs(("lib", "2"))] == ["ocaml", "new"]
    assert {told(need) for need, _ in universe.needs(("lib", "2"))} == {"ocaml (= 5)", "new"}
    assert ("lib", "4") not in [*universe.ids()]


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"old.1": 'depends: "newer"'}, False),
        ({"lib.1": 'depends: ["ocaml" {< "5"} "old" {>= "1"}]'}, True),
        ({"new.1": 'synopsis: "x"'}, False),
        ({"new.1": "flags: deprecated"}, True),
        ({"new.1": 'conflicts: "x"'}, True),
        ({"new.1": 'conflict-class: "x"'}, True),
        ({"new.1": 'depopts: "x"'}, True),
        ({"new.2": ""}, True),
        ({"new.2": 'available: os = "win32"'}, False),
        ({"config.1": 'conflicts: "x"'}, True),
        ({"app.1": 'depends: ["ocaml" {>= "3" & < "6"} "lib"]'}, False),
        ({"app.1": 'depends: ["ocaml" {>= "4"} "lib"] conflicts: "ocaml" {< "4"}'}, False),
        ({"app.1": 'depends: ["ocaml" {>= "4"} "lib"] conflicts: "ocaml" {< "6"}'}, True),
        ({"new.1": 'depends: "ocaml"'}, True),
        ({"new.1": 'depopts: "ocaml" {< "4"}'}, False),
    ],
)
def test_what_changes_a_meaning(tmp_path: Path, change: dict[str, str], matters: bool) -> None:
    before, after = reach(tmp_path / "one", FILES), reach(tmp_path / "two", {**FILES, **change})
    assert (before.meaning(before.of({"app"})) != after.meaning(after.of({"app"}))) is matters
