"""`stepwood opam solve` as a user types it, on a small repository of one's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.desk import Desk

PACKAGES = {
    "ocaml-base-compiler.5.3.0": 'flags: compiler conflict-class: "ocaml-core-compiler"',
    "ocaml-base-compiler.4.14.2": 'flags: compiler conflict-class: "ocaml-core-compiler"',
    "ocaml.5.3.0": 'depends: ["ocaml-base-compiler" {= "5.3.0"}]',
    "ocaml.4.14.2": 'depends: ["ocaml-base-compiler" {= "4.14.2"}]',
    "lib.1.0": 'depends: ["ocaml"]',
    "lib.1.1": 'depends: ["ocaml" {>= "5.0"} "tool" {build} "docs" {post} "tests" {with-test}]',
    "lib.2.0": 'depends: ["ocaml"] flags: avoid-version',
    "tool.1": 'depends: ["ocaml"] depopts: ["extra"]',
    "docs.1": "",
    "extra.1": 'depends: ["ocaml"]',
    "app.1": 'depends: ["lib" {>= "1.1"} "extra"]',
    "old.1": 'depends: ["ocaml" {< "5.0"}]',
    "windows.1": 'available: os = "win32"',
}


@pytest.fixture
def repository(texts: Desk) -> Path:
    root = texts.folder / "repo"
    for package, text in PACKAGES.items():
        folder = root / "packages" / package.partition(".")[0] / package
        folder.mkdir(parents=True)
        (folder / "opam").write_text(f'opam-version: "2.0"\n{text}\n')
    return root


def solve(desk: Desk, *arguments: str, code: int = 0) -> str:
    done = desk.run("opam", "solve", *arguments, "--repo", "repo")
    assert done.returncode == code, done.stderr
    return done.stdout if code in (0, 1) else done.stderr


def document(desk: Desk, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(solve(desk, *arguments, "--compiler", "5.3.0", "--json"))
    return found


@pytest.mark.usefixtures("repository")
def test_one_package_prints_what_it_is_built_with(texts: Desk) -> None:
    told = solve(texts, "app", "--compiler", "5.3.0").split()
    assert told == ["app.1", "docs.1", "extra.1", "lib.1.1", "ocaml.5.3.0", "ocaml-base-compiler.5.3.0", "tool.1"]
    assert solve(texts, "lib", "--compiler", "4.14.2", code=1).startswith("lib.1.1: no solution: lib.1.1 needs ocaml")
    assert "lib.1.0" in solve(texts, "lib.1.0", "--compiler", "4.14.2").split()


def test_another_solver_weighs_otherwise(texts: Desk, repository: Path) -> None:
    """The newest tool costs more than it brings, by opam's criteria."""
    (repository / "packages/tool/tool.2").mkdir()
    (repository / "packages/tool/tool.2/opam").write_text('depends: ["extra" {< "1"}]')
    for version in ("0", "0.1"):
        (repository / f"packages/extra/extra.{version}").mkdir()
        (repository / f"packages/extra/extra.{version}/opam").write_text('conflicts: "tool" {< "2"}')
    assert {"tool.2", "extra.0.1"} <= set(solve(texts, "lib", "--compiler", "5.3.0").split())
    best = solve(texts, "lib", "--compiler", "5.3.0", "--solver", "clingo").split()
    assert best == ["docs.1", "lib.1.1", "ocaml.5.3.0", "ocaml-base-compiler.5.3.0", "tool.1"]
    spec = texts.ok("opam", "spec", "lib", "--repo", "repo", "--compiler", "5.3.0", "--solver", "clingo").stdout
    assert "# install tool.1" in spec


@pytest.mark.usefixtures("repository")
def test_on_a_terminal_what_is_being_done_is_said_and_goes_again(texts: Desk) -> None:
    asked = ("opam", "solve", "lib", "--repo", "repo", "--compiler", "5.3.0")
    told = texts.on_a_terminal(*asked, errors_only=True).decode()
    assert "reading 3 opam files …" in told
    assert told.endswith("\r\x1b[2Ksolving 1 package with ocaml-base-compiler.5.3.0 …\r\x1b[2K")
    narrow = texts.on_a_terminal(*asked[:-1], "4.14.2,5.3.0", "--lower-bounds", errors_only=True, columns=20).decode()
    assert all(len(line) < 20 for line in narrow.split("\r\x1b[2K"))
    assert not texts.ok(*asked).stderr


@pytest.mark.usefixtures("repository")
def test_the_document_has_build_edges_and_reasons(texts: Desk) -> None:
    found = document(texts, "--all")
    assert list(found) == ["version", "repositories", "compiler", "env", "jobs", "unsatisfiable", "reasons"]
    assert (found["repositories"], found["compiler"]) == (["repo"], "ocaml-base-compiler.5.3.0")
    jobs = {job["root"]: job for job in found["jobs"]}
    # The newest of each that is available; what is to be avoided is not asked for.
    newest = "app.1 docs.1 extra.1 lib.1.1 ocaml.5.3.0 ocaml-base-compiler.5.3.0 tool.1"
    assert {f"{name}.{job['version']}" for name, job in jobs.items()} == set(newest.split())
    assert found["unsatisfiable"] == ["old.1"]
    assert found["reasons"]["old.1"].startswith("old.1 needs ocaml (< 5.0); ocaml.4.14.2 needs ocaml-base-compiler")

    app = jobs["app"]
    edges = {
        package: [app["packages"][dep] for dep in deps]
        for package, deps in zip(app["packages"], app["deps"], strict=True)
    }
    assert edges == {
        "app.1": ["extra.1", "lib.1.1"],
        "docs.1": [],
        "extra.1": ["ocaml.5.3.0"],
        "lib.1.1": ["ocaml.5.3.0", "tool.1"],
        "ocaml.5.3.0": ["ocaml-base-compiler.5.3.0"],
        "ocaml-base-compiler.5.3.0": [],
        "tool.1": ["extra.1", "ocaml.5.3.0"],  # it takes what is there
    }
    assert [app["packages"][index] for index in app["post_only"]] == ["docs.1"]


@pytest.mark.usefixtures("repository")
def test_what_solve_writes_dedup_reads(texts: Desk) -> None:
    solve(texts, "--all", "--compiler", "5.3.0", "--json", "-o", "solutions.json")
    read = json.loads(texts.ok("opam", "dedup", "--solutions", "solutions.json", "--format=json").stdout)
    own = texts.ok("opam", "dedup", "--all", "--repo", "repo", "--compiler", "5.3.0", "--format=json").stdout
    for found in (read, json.loads(own)):
        # 7 for app, 5 for lib, 3 each for extra and tool, 2 each for docs and ocaml, which have the compiler too.
        assert (found["jobs"], found["steps"]) == (7, 23)
        assert found["strategies"][-1]["name"] == "merge"


@pytest.mark.tool("git")
def test_a_revision_of_a_git_repository_is_read_without_a_checkout(texts: Desk, repository: Path) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    for file in repository.glob("packages/app/**/opam"):
        file.unlink()
    assert "no version of app is available here" in solve(texts, "app", "--compiler", "5.3.0", code=2)
    assert "app.1" in texts.ok("opam", "solve", "app", "--repo", "repo:HEAD", "--compiler", "5.3.0").stdout


def test_a_broken_file_names_itself_and_stops_nothing(texts: Desk, repository: Path) -> None:
    (repository / "packages/lib/lib.3.0").mkdir()
    for package in ("extra/extra.1", "lib/lib.3.0"):
        (repository / "packages" / package / "opam").write_text('depends: [ "a" &\n')
    done = texts.ok("opam", "solve", "lib", "--repo", "repo", "--compiler", "5.3.0")
    assert "lib.1.1" in done.stdout
    assert done.stderr.startswith("packages/lib/lib.3.0/opam:1:17: unexpected the end of the file")
    assert done.stderr.endswith("(left out)\n")
    assert "extra" not in done.stderr, "nothing asks for it, so it is not read"


def test_a_file_that_means_nothing_is_left_out_and_told_of_who_asks_for_it(texts: Desk, repository: Path) -> None:
    (repository / "packages/lib/lib.3.0").mkdir()
    (repository / "packages/lib/lib.3.0/opam").write_text('opam-version: "2.0"\ndepends: [3]\n')
    (repository / "packages/extra/extra.1/opam").write_text('opam-version: "2.0"\navailable: "perhaps"\n')
    problem = "packages/lib/lib.3.0/opam: a package, or a formula of packages, is expected"
    done = texts.ok("opam", "solve", "lib", "--repo", "repo", "--compiler", "5.3.0")
    assert "lib.1.1" in done.stdout
    assert done.stderr == f"{problem}\n(left out)\n"
    told = solve(texts, "lib.3.0", "--compiler", "5.3.0", code=2)
    assert told.endswith(f"lib has no version 3.0 that is available here\n{problem}\n")
    told = solve(texts, "extra", "--compiler", "5.3.0", code=2)
    assert told.endswith(
        'no version of extra is available here\npackages/extra/extra.1/opam: "perhaps" is neither true nor false\n'
    )


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lbi", "--compiler", "5.3.0"], 'no package is called "lbi"\ndid you mean "lib"?'),
        (["lib.3", "--compiler", "5.3.0"], "lib has no version 3 that is available here"),
        (["windows", "--compiler", "5.3.0"], "no version of windows is available here"),
        (["lib", "--compiler", "5.3"], 'no ocaml-base-compiler has the version 5.3\ndid you mean "5.3.0"?'),
        (["lib"], "opam needs --compiler VERSION"),
        (["--compiler", "5.3.0"], "opam takes either packages, --all, --revdeps or --changed"),
        (["lib", "--all", "--compiler", "5.3.0"], "opam takes either packages, --all"),
        (["lib", "--compiler", "5.3.0", "--os", "debian"], '--os takes a distribution and its version, not "debian"'),
        (["lib", "--compiler", "5.3.0", "--solver", "clngo"], '--solver: there is no "clngo"\ndid you mean "clingo"?'),
        (["lib", "--compiler", "5.3.0", "--repo", "nowhere"], "nowhere: no such repository"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(texts: Desk, arguments: list[str], told: str) -> None:
    assert solve(texts, *arguments, code=2).startswith(told)


def test_a_compiler_that_cannot_be_there_is_said(texts: Desk, repository: Path) -> None:
    (repository / "packages/ocaml-base-compiler/ocaml-base-compiler.5.3.0/opam").write_text('depends: ["nothing"]\n')
    told = solve(texts, "lib", "--compiler", "5.3.0", code=2)
    assert told == "ocaml-base-compiler.5.3.0 has needs of its own that cannot be met here\n"


@pytest.mark.parametrize("text", ["[", "{}", "[]", '{"command": 1, "cells": []}', '{"command": "x", "cells": [{}]}',
    '{"command": "x", "cells": [{"package": 1, "compiler": "5", "result": "good", "root": []}]}',
    '{"command": "x", "cells": [{"package": "a.1", "compiler": "5", "result": "fine", "root": []}]}'])  # fmt: skip
def test_a_file_that_has_no_results_is_said_to_have_none(texts: Desk, text: str) -> None:
    (texts.folder / "results.json").write_text(text)
    for command in (["results", "results.json"], ["compare", "results.json", "results.json"]):
        done = texts.run("opam", *command, "--store", f"directory:{texts.folder}/store")
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("results.json: ")
        assert done.stderr.endswith("`stepwood opam build --results FILE` writes what is read\n")
