"""From what is asked for to answers: which roots, and that only what a change can reach is solved again."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwood.opam import asked
from stepwood.opam.asked import Asked, Found
from stepwood.opam.memory import Memory, ProcessMemory, remembered
from stepwood.opam.solutions import Job, Refused, compiler
from system.errors import InputError
from tests.opam.repositories import commit, make, repository

FILES = {
    "ocaml-base-compiler.5.3.0": "", "ocaml-base-compiler.4.14.2": "",
    "ocaml-system.4.13.1": 'available: sys-ocaml-version = "4.13.1"',
    "ocaml.5": 'depends: "ocaml-base-compiler" {= "5.3.0"}',
    "ocaml.4": 'depends: "ocaml-base-compiler" {= "4.14.2"} | "ocaml-system" {= "4.13.1"}',
    "lib.1": 'depends: "ocaml"', "lib.2": 'depends: "ocaml"', "lib.3": 'depends: "ocaml" flags: avoid-version',
    "app.1": 'depends: ["lib" "tool" {with-test}]',
    "strict.1": 'depends: "lib" {< "2"}',
    "takes.1": 'depends: "ocaml" depopts: "lib"',
    "tool.1": 'depends: "ocaml" {>= "5"}',
    "apart.1": "",
}  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> str:
    return repository(tmp_path / "repo", FILES)


def solve(repo: str, *packages: str, with_: str = "5.3.0", memory: Memory | None = None, **more: object) -> Found:
    compilers = tuple(map(compiler, with_.split(",")))
    wanted = Asked(packages, repositories=(repo,), compilers=compilers, **more)  # type: ignore[arg-type]
    return asked.solve(wanted, memory or ProcessMemory())


def told(found: Found) -> dict[str, str]:
    """The packages of each answer, or why there is none."""
    return {
        ".".join(one.root): one.reason if isinstance(one, Refused) else " ".join(map(".".join, one.packages))
        for one in found.answers
    }


def test_names_stand_for_their_newest_version(repo: str) -> None:
    assert told(solve(repo, "lib", "lib.1", "lib")) == {
        "lib.2": "lib.2 ocaml.5 ocaml-base-compiler.5.3.0",
        "lib.1": "lib.1 ocaml.5 ocaml-base-compiler.5.3.0",
    }


def test_older_versions_are_preferred_where_that_is_asked_for(repo: str) -> None:
    assert told(solve(repo, "app", oldest=True))["app.1"] == "app.1 lib.1 ocaml.5 ocaml-base-compiler.5.3.0"


def test_tests_count_for_the_root_only(repo: str, tmp_path: Path) -> None:
    (answer,) = solve(repo, "app", tests=True).answers
    assert isinstance(answer, Job)
    assert answer.tests is not None
    assert [answer.packages[at] for at in answer.tests] == [("tool", "1")]
    assert told(solve(repo, "app", with_="4.14.2"))["app.1"].startswith("app.1 lib.2")
    lost = told(solve(repo, "app", with_="4.14.2", tests=True))["app.1"]
    assert lost.startswith("app.1 with its tests needs tool; tool.1 needs ocaml (>= 5)")


def test_what_depends_on_a_package(repo: str) -> None:
    assert set(told(solve(repo, revdeps=("lib",)))) == {"app.1", "strict.1", "takes.1"}
    exact = told(solve(repo, revdeps=("lib.3",)))
    assert set(exact) == {"app.1", "takes.1"}
    assert all("lib.3" in packages.split() for packages in exact.values()), "with that version"
    assert "app.1" in told(solve(repo, revdeps=("tool",), tests=True))
    assert "app.1" not in told(solve(repo, revdeps=("tool",)))


def test_a_compiler_may_be_there_without_opam(repo: str) -> None:
    found = solve(repo, every=True, with_="5.3.0,ocaml-system.4.13.1")
    system = [one for one in found.answers if one.compiler == ("ocaml-system", "4.13.1")]
    assert len(system) == len(found.answers) / 2
    answers = {".".join(one.root): one for one in system}
    assert isinstance(answers["lib.2"], Job)
    lost = next(one for one in found.answers if one.root[0] == "ocaml-system" and one.compiler[1] == "5.3.0")
    assert isinstance(lost, Refused)
    assert lost.reason == "ocaml-system.4.13.1 is not available there"


@pytest.mark.tool("git")
def test_what_a_change_touched(tmp_path: Path, repo: str) -> None:
    commit(Path(repo))
    (Path(repo) / "packages/lib/lib.1/opam").write_text('depends: "ocaml" {>= "4"}')
    (Path(repo) / "packages/apart/apart.1/opam").unlink()
    make(Path(repo), {"packages/new/new.1/opam": "", "packages/tool/tool.1/files/patch": "x", "other": ""})
    commit(Path(repo))
    make(Path(repo), {"packages/later/later.1/opam": ""})
    commit(Path(repo))
    assert set(told(solve(repo, changed="HEAD~2..HEAD~1"))) == {"lib.1", "new.1", "tool.1"}
    assert set(told(solve(repo, changed="HEAD~1..HEAD"))) == {"later.1"}
    for wrong in ("HEAD", "HEAD..", "..HEAD"):
        with pytest.raises(InputError, match=r"--changed takes REV\.\.REV"):
            solve(repo, changed=wrong)
    with pytest.raises(InputError, match="git knows no revision"):
        solve(repo, changed="HEAD..nowhere")


@pytest.mark.tool("git")
def test_after_a_commit_only_what_it_can_reach_is_solved_again(tmp_path: Path, repo: str) -> None:
    commit(Path(repo))

    def again() -> tuple[int, dict[str, str]]:
        """As another process would: how many were solved, and all answers."""
        memory = remembered(tmp_path / "memory")
        found = solve(f"{repo}:HEAD", every=True, memory=memory)
        memory.close()
        return found.fresh, told(found)

    first, answers = again()
    assert first == len(answers)
    assert again() == (0, answers)
    (Path(repo) / "packages/lib/lib.2/opam").write_text('depends: ["ocaml" "apart"]')
    commit(Path(repo))
    fresh, answers = again()
    assert "apart.1" in answers["app.1"].split()
    assert fresh == 3, "lib itself, app and strict, which depend on it; not takes, which takes it where it is there"
    make(Path(repo), {"packages/lib/lib.2/opam": 'depends: ["ocaml" "apart"] synopsis: "x" build: ["make"] # y'})
    commit(Path(repo))
    assert again() == (0, answers), "nothing that a solver asks for"
    make(Path(repo), {"packages/new/new.1/opam": 'depends: "app"'})
    commit(Path(repo))
    fresh, answers = again()
    assert (fresh, answers["new.1"].split()[-1]) == (1, "ocaml-base-compiler.5.3.0")
    make(Path(repo), {"packages/lib/lib.1/opam": 'depends: ["ocaml" "tool"]'})
    commit(Path(repo))
    assert again()[0] == 4, "all of which lib is a part: new too"
    make(Path(repo), {"packages/tool/tool.1/opam": 'depends: ["ocaml" "apart"]'})
    commit(Path(repo))
    fresh, answers = again()
    assert "apart.1" in answers["strict.1"].split()
    assert fresh == 2, "tool itself and strict; the others could reach it through lib.1, which nobody looks at for them"
    # What is remembered is what would be found anew.
    assert answers == told(solve(f"{repo}:HEAD", every=True))


def test_other_questions_have_other_answers(tmp_path: Path, repo: str) -> None:
    memory = ProcessMemory()
    for more in ({}, {"tests": True}, {"oldest": True}, {"with_": "4.14.2"}, {"solver": "clingo"}):
        assert solve(repo, "app", memory=memory, **more).fresh == 1  # type: ignore[arg-type]
        assert solve(repo, "app", memory=memory, **more).fresh == 0  # type: ignore[arg-type]
    assert solve(repo, "app", memory=memory, os="debian-13").fresh == 0, "a platform where all is decided the same way"
    assert solve(repo, revdeps=("tool",), tests=True, memory=memory).fresh == 0, "the same question, asked otherwise"
    assert solve(repo, revdeps=("tool.1",), tests=True, memory=memory).fresh == 1


def test_answers_that_were_found_before_need_their_packages(repo: str, tmp_path: Path) -> None:
    answers = solve(repo, "app").answers
    found = asked.recall(Asked(repositories=(repo,)), answers, ProcessMemory())
    assert set(found.packages()) == set(answers[0].packages)  # type: ignore[union-attr]
    (Path(repo) / "packages/lib/lib.2/opam").unlink()
    with pytest.raises(InputError, match=r"lib\.2 of --solutions is in no --repo"):
        asked.recall(Asked(repositories=(repo,)), answers, ProcessMemory()).packages()
    with pytest.raises(InputError, match="--solutions says which packages"):
        asked.recall(Asked(("lib",), repositories=(repo,)), answers, ProcessMemory())
