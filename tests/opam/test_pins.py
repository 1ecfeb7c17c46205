"""Pins: a package at one version, or as a folder has it, and at no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwood.opam import asked
from stepwood.opam.asked import Asked, Found
from stepwood.opam.memory import Memory, ProcessMemory
from stepwood.opam.pins import Pins
from stepwood.opam.solutions import Job, Refused, compiler
from system.errors import InputError, SpecError
from tests.opam.repositories import make, repository

FILES = {
    "ocaml-base-compiler.5.3.0": "", "lib.1": 'depends: "ocaml-base-compiler"', "lib.2": "", "lib.3": "",
    "app.1": 'depends: "lib" {>= "2"}', "other.1": "",
}  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> str:
    return repository(tmp_path / "repo", FILES)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(
        make(tmp_path / "mine", {"lib.opam": 'depends: "other" {dev}', "new.opam": 'version: "7" depends: "lib"'})
    )


def solve(repo: str, *packages: str, pins: tuple[str, ...], memory: Memory | None = None) -> Found:
    wanted = Asked(packages, repositories=(repo,), compilers=(compiler("5.3.0"),), pins=pins)
    return asked.solve(wanted, memory or ProcessMemory())


def told(found: Found) -> str:
    (answer,) = found.answers
    return answer.reason if isinstance(answer, Refused) else " ".join(map(".".join, answer.packages))


def test_of_what_is_pinned_there_is_nothing_else(repo: str) -> None:
    assert told(solve(repo, "lib", pins=("lib.2",))).startswith("lib.2 ")
    assert "lib.2" in told(solve(repo, "app", pins=("lib.2",)))
    assert told(solve(repo, "app", pins=("lib.1",))) == "app.1 needs lib (>= 2), which is not there"


def test_a_folder_says_what_a_package_is(repo: str, folder: str) -> None:
    found = solve(repo, "lib", pins=(f"lib={folder}",))
    assert told(found) == "lib.dev ocaml-base-compiler.5.3.0 other.1", "and `dev` holds there"
    package = found.packages()["lib", "dev"]
    assert package.folder == folder
    assert told(solve(repo, "new", pins=(f"new={folder}",))) == "lib.3 new.7 ocaml-base-compiler.5.3.0"
    assert "lib.2" in told(solve(repo, "app", pins=(f"lib.2={folder}",))), "called as it is said"
    assert told(solve(repo, "app", pins=(f"lib.1.9={folder}",))) == "app.1 needs lib (>= 2), which is not there"
    both = solve(repo, "new", pins=(f"lib={folder}", f"new={folder}"))
    assert told(both) == "lib.dev new.7 ocaml-base-compiler.5.3.0 other.1"


def test_answers_know_what_was_pinned(repo: str, folder: str) -> None:
    memory = ProcessMemory()
    for pins in ((), ("lib.2",), (f"lib={folder}",), (f"lib.2={folder}",)):
        assert solve(repo, "app", pins=pins, memory=memory).fresh == 1
        assert solve(repo, "app", pins=pins, memory=memory).fresh == 0
    assert solve(repo, "other", pins=(), memory=memory).fresh == 1
    assert solve(repo, "other", pins=("lib.2",), memory=memory).fresh == 0, "it has nothing to do with lib"
    make(Path(folder), {"lib.opam": 'conflicts: "other"'})
    assert solve(repo, "app", pins=(f"lib.2={folder}",), memory=memory).fresh == 1


def test_answers_that_were_found_before_need_their_pins(repo: str, folder: str) -> None:
    answers = solve(repo, "lib", pins=(f"lib={folder}",)).answers
    assert isinstance(answers[0], Job)
    again = asked.recall(Asked(repositories=(repo,), pins=(f"lib={folder}",)), answers, ProcessMemory())
    assert again.packages()["lib", "dev"].folder == folder
    with pytest.raises(InputError, match=r"lib\.dev of --solutions is in no --repo"):
        asked.recall(Asked(repositories=(repo,)), answers, ProcessMemory()).packages()


@pytest.mark.parametrize(
    "place", ["lib.opam/opam", "lib.opam", "opam/lib.opam/opam", "opam/lib.opam", "opam/opam", "opam"]
)
def test_an_opam_file_is_found_where_opam_looks(tmp_path: Path, place: str) -> None:
    folder = make(tmp_path / "mine", {place: 'version: "4"', "other.opam": ""})
    pins = Pins.of([f"lib={folder}"])
    assert pins.versions == {"lib": "4"}
    assert [entry.path for entry in pins.source.entries()] == [f"{folder}/{place}"]


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (["lib"], "--pin takes NAME.VERSION or"),
        (["lib."], "--pin takes NAME.VERSION or"),
        (["lib.="], "--pin takes NAME.VERSION or"),
        (["lib="], "--pin takes NAME.VERSION or"),
        (["lib.9"], "there is no lib.9"),
        (["lbi.1"], "there is no lbi.1"),
        (["lib.1", "lib.2"], "lib is pinned twice"),
        (["lib=nowhere"], "nowhere is no folder"),
        (["app={folder}"], "has no app.opam"),
        (["lib.$(x)={folder}"], r"lib\.\$\(x\) can be no package and version"),
        (["odd={folder}"], r"odd\.\$\(x\) can be no package and version"),
    ],
)
def test_what_is_wrong_is_said(repo: str, folder: str, pins: list[str], message: str) -> None:
    make(Path(folder), {"odd.opam": 'version: "$(x)"'})
    with pytest.raises(InputError, match=message):
        solve(repo, "app", pins=tuple(pin.format(folder=folder) for pin in pins))


def test_a_pinned_file_that_cannot_be_read_is_no_matter_of_leaving_it_out(folder: str) -> None:
    make(Path(folder), {"lib.opam": "depends: ["})
    with pytest.raises(SpecError, match=r"mine/lib\.opam:1:11"):
        Pins.of([f"lib={folder}"])
