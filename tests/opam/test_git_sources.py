"""Revisions of git repositories, which may be anybody's."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from system import process
from system.errors import InputError, ToolMissing
from tests.opam.repositories import TWO, bare, commit, git, make, opened, told

pytestmark = pytest.mark.tool("git")


def test_each_revision_by_any_of_its_names(tmp_path: Path) -> None:
    repo = commit(make(tmp_path / "repo", {"packages/a/a.1/opam": "first"}))
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "-a", "-m", "x", "v1")
    commit(make(repo, {"packages/a/a.1/opam": "second"}))
    make(repo, {"packages/a/a.1/opam": "not committed"})
    for name in (first, first[:8], "v1", "HEAD~1", "@~", f"{first}^{{tree}}"):
        assert told(opened(f"{repo}:{name}")) == {"packages/a/a.1/opam": "first"}
    for text in (f"{repo}:HEAD", f"{repo}::/x", f"{repo}/.git:HEAD"):
        assert told(opened(text)) == {"packages/a/a.1/opam": "second"}
    source = opened(f"{repo}:HEAD")
    commit(repo)
    assert told(source) == {"packages/a/a.1/opam": "second"}, "a source is of one moment"


@pytest.mark.parametrize(
    "name",
    ["", "nope", "--all", "--path-format=x", "HEAD..HEAD", "^HEAD", "a" * 40, "HEAD:repo", "HEAD:nope", "HEAD^9"],
)
def test_a_revision_that_is_not_there(tmp_path: Path, name: str) -> None:
    repo = commit(make(tmp_path / "repo", TWO, {"repo": ""}))
    with pytest.raises(InputError) as caught:
        opened(f"{repo}:{name}")
    assert f"{repo}:{name}" in caught.value.message
    assert not name.startswith("-") or f'git knows no revision "{name}"' in caught.value.message


def test_a_folder_that_is_not_gits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a git repository"):
        opened(f"{make(tmp_path / 'repo', TWO)}:HEAD")
    git(tmp_path / "repo", "init", "-q")
    with pytest.raises(InputError, match='no revision "HEAD"'):
        opened(f"{tmp_path / 'repo'}:HEAD")


def test_a_bare_repository_without_a_revision(tmp_path: Path) -> None:
    text = bare(make(tmp_path / "repo", TWO)).removesuffix(":HEAD")
    with pytest.raises(InputError, match="no folder") as caught:
        opened(text)
    assert caught.value.hint == f"to read git's revisions: {text}:HEAD"


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="git is not installed"):
        opened(f"{tmp_path}:HEAD")


def test_a_repository_of_sha256s(tmp_path: Path) -> None:
    source = opened(f"{commit(make(tmp_path / 'repo', TWO), '--object-format=sha256')}:HEAD")
    assert source.entries()[0].content == "git:" + hashlib.sha256(b"blob 1\x001").hexdigest()
    assert told(source) == TWO


def test_the_environment_and_the_users_settings_mean_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git sets such variables for its hooks, and one may run Stepwood."""
    repo = commit(make(tmp_path / "repo", TWO))
    other = commit(make(tmp_path / "other", {"packages/b/b.1/opam": "b"}))
    (tmp_path / ".gitconfig").write_text("[broken")
    for name, value in {
        "GIT_DIR": f"{other}/.git",
        "GIT_OBJECT_DIRECTORY": "/nonexistent",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    assert told(opened(f"{repo}:HEAD")) == TWO


@pytest.mark.root
def test_anybodys_repository_is_read(tmp_path: Path) -> None:
    repo = commit(make(tmp_path / "repo", TWO))
    for path in (repo, *repo.rglob("*")):
        os.chown(path, 1234, 1234)
    assert told(opened(f"{repo}:HEAD")) == TWO


def test_a_replaced_blob_is_what_its_id_says(tmp_path: Path) -> None:
    repo = commit(make(tmp_path / "repo", TWO))
    one, two = (git(repo, "rev-parse", f"HEAD:{path}") for path in TWO)
    git(repo, "replace", one, two)
    assert told(opened(f"{repo}:HEAD")) == TWO


@pytest.mark.parametrize("lie", [b"blob 1\0002", b"blob 5\0001", b"tree 0\0", b"nonsense", b""])
def test_a_blob_that_is_not_what_its_id_says(tmp_path: Path, lie: bytes) -> None:
    """Git takes a loose object for what it is called."""
    repo = commit(make(tmp_path / "repo", TWO))
    blob = git(repo, "rev-parse", "HEAD:packages/a/a.1/opam")
    path = repo / ".git/objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(zlib.compress(lie))
    source = opened(f"{repo}:HEAD")
    assert [entry.version for entry in source.entries()] == ["1", "2"]
    with pytest.raises(InputError, match=r"git does not have packages/a/a\.1/opam whole"):
        list(source.read(source.entries()))
    assert list(source.read(source.entries()[1:])) == [b"2"]


def test_a_hostile_repository_runs_nothing(tmp_path: Path) -> None:
    """A partial clone would have git fetch what it lacks, by a program that its own config names."""
    ran = tmp_path / "ran"
    program = make(tmp_path, {"program": f"#!/bin/sh\necho $0 $@ >>{ran}\nexit 1\n"}) / "program"
    program.chmod(0o755)
    repo = commit(make(tmp_path / "repo", TWO, {".gitattributes": "* filter=x diff=x text eol=crlf\n"}))
    blob = git(repo, "rev-parse", "HEAD:packages/a/a.1/opam")
    (repo / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for setting in ("core.fsmonitor", "core.pager", "pager.cat-file", "core.editor", "core.sshCommand", "diff.external",
                    "diff.x.textconv", "filter.x.clean", "filter.x.smudge", "filter.x.process", "core.askPass",
                    "core.gitProxy", "remote.origin.uploadpack", "core.alternateRefsCommand"):  # fmt: skip
        git(repo, "config", setting, str(program))
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change", "fsmonitor-watchman"):
        shutil.copy(program, repo / ".git/hooks" / hook)
    git(repo, "config", "core.repositoryFormatVersion", "1")
    git(repo, "config", "extensions.partialClone", "origin")
    git(repo, "config", "remote.origin.promisor", "true")
    git(repo, "config", "protocol.allow", "always")
    for protocol in ("ext", "ssh", "file"):
        git(repo, "config", f"protocol.{protocol}.allow", "always")
    for url in (f"ext::{program} %S", "ssh://localhost/x", f"file://{repo}", str(repo)):
        git(repo, "config", "remote.origin.url", url)
        source = opened(f"{repo}:HEAD")
        with pytest.raises(InputError, match=r"git does not have packages/a/a\.1/opam whole"):
            list(source.read(source.entries()))
        assert list(source.read(source.entries()[1:])) == [b"2"]
        assert not ran.exists(), ran.read_text()
    # It is a trap indeed: a plain git falls into it.
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "cat-file", "-p", blob)
    assert ran.exists()


def test_no_process_is_started_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few packages have files beside, and each is asked."""
    source = opened(f"{commit(make(tmp_path / 'repo', TWO))}:HEAD")
    monkeypatch.setattr(process, "start", lambda *_, **__: pytest.fail("started"))
    assert source.files(source.entries()[0]) == {}


def test_a_reading_that_is_broken_off_leaves_no_process(tmp_path: Path) -> None:
    repo = commit(
        make(tmp_path / "repo", {f"packages/a/a.{number}/opam": f"{number}" * 500_000 for number in range(5)})
    )
    source = opened(f"{repo}:HEAD")
    reading = source.read(source.entries())
    assert next(reading)[:1] == b"0"
    assert b"cat-file" in children()
    reading.close()  # type: ignore[attr-defined]
    assert b"cat-file" not in children()


def children() -> bytes:
    """The command lines of this thread's children."""
    numbers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return b"".join(Path(f"/proc/{number}/cmdline").read_bytes() for number in numbers)
