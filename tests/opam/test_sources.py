"""Where opam files come from: all kinds of repository tell the same, and none of them makes anything run."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import zstandard

from engine import inputs
from engine.records import FileStamp
from stepwood.opam import sources
from stepwood.opam.entries import Entry, content_of
from stepwood.opam.memory import ProcessMemory
from stepwood.opam.sources import open_source
from system.errors import InputError
from tests.data import OPAM_FILES
from tests.opam.repositories import TWO, bare, commit, git, make, opened, saved, tar, told

BIG = "big\n" * 100_000
PACKAGES = {
    "packages/B/B.1/opam": "capital",
    "packages/conf-g++/conf-g++.1/opam": "",
    "packages/files/files.1/opam": "named as the folder beside",
    "packages/lwt/lwt.5.10/opam": BIG,
    "packages/lwt/lwt.5.7.0/opam": "lwt",
    "packages/lwt/lwt.v1~rc+2-3_4/opam": "lwt",
    "packages/old.1.2.3/opam": "the older layout",
    "packages/packages/packages.1/opam": "named as the top",
}
"""The opam files, sorted by name, then by version."""
FILES = {
    "packages/lwt/lwt.5.7.0/files/fix.patch": "--- a\n+++ b\r\n",
    "packages/lwt/lwt.5.7.0/files/new\nline": "",
    "packages/lwt/lwt.5.7.0/files/opam": "not this one",
    "packages/lwt/lwt.5.7.0/files/sub/sub/é": BIG,
    "packages/old.1.2.3/files/empty": "",
}
ODD = {
    "repo": 'opam-version: "2.0"',
    "opam": "",
    "compilers/x/x.1/opam": "",
    "sub/packages/sub/sub.1/opam": "",
    "packages/README": "",
    "packages/opam": "",
    "packages/lwt/opam": "",
    "packages/lwt/lwt.3": "a file",
    "packages/lwt/lwt/opam": "no version",
    "packages/lwt/other.1/opam": "another name",
    "packages/lwt/lwt.5.7.0/descr": "",
    "packages/lwt/lwt.5.7.0/opam.bak": "",
    "packages/lwt/lwt.5.7.0/deep/opam": "",
    "packages/lwt/lwt.1 (copy)/opam": "",
    "packages/lwt/lwt.1é/opam": "",
    "packages/lwt/lwt.1\n/opam": "",
    "packages/12/12.1/opam": "a name has a letter",
    "packages/a/b/b.1/opam": "too deep",
    "packages/folder/folder.1/opam/x": "opam is a folder",
    "packages/link/link.1/opam@": "../../lwt/lwt.5.7.0/opam",
    "packages/lwt/lwt.9@": "lwt.5.7.0",
    "packages/new@": "lwt",
    "packages/old.4@": "old.1.2.3",
    "packages/lwt/lwt.5.7.0/files/out@": "/etc/passwd",
    "packages/lwt/lwt.5.10/files@": "../lwt.5.7.0/files",
}


KINDS: dict[str, Callable[[Path], str]] = {
    "folder": str,
    "git": lambda folder: f"{commit(folder)}:HEAD",
    "git bare": bare,
    "git below": lambda folder: f"{commit(folder.parent)}/{folder.name}:HEAD",
    "git tree": lambda folder: f"{commit(folder.parent)}:HEAD:{folder.name}",
    "git packed": lambda folder: (git(commit(folder), "gc", "-q"), f"{folder}:HEAD")[1],
    "tar": lambda folder: saved(folder.parent, tar(folder, "--transform=s,^[.]/,,")),
    "tar ./": lambda folder: saved(folder.parent, tar(folder)),
    "tar with a top": lambda folder: saved(folder.parent, tar(folder.parent, top=folder.name)),
    "tar with ./ and a top": lambda folder: saved(folder.parent, tar(folder.parent, top=f"./{folder.name}")),
    "tar of git": lambda folder: saved(
        folder.parent,
        (git(commit(folder), "archive", "-o", "../repo.tar", "HEAD"), Path(f"{folder}.tar").read_bytes())[1],
    ),
    "tar.gz": lambda folder: saved(folder.parent, gzip.compress(tar(folder))),
    "tar.bz2": lambda folder: saved(folder.parent, bz2.compress(tar(folder))),
    "tar.xz": lambda folder: saved(folder.parent, lzma.compress(tar(folder))),
    "tar.zst": lambda folder: saved(folder.parent, zstandard.compress(tar(folder))),
    "tar in two gzips": lambda folder: saved(
        folder.parent, gzip.compress(tar(folder)[:5000]) + gzip.compress(tar(folder)[5000:])
    ),
}
PARAMETERS = [pytest.param(kind, marks=pytest.mark.tool("git") if "git" in kind else ()) for kind in KINDS]


@pytest.mark.parametrize("kind", PARAMETERS)
def test_all_kinds_tell_the_same(tmp_path: Path, kind: str) -> None:
    source = opened(KINDS[kind](make(tmp_path / "repo", PACKAGES, FILES, ODD)))
    entries = source.entries()
    assert [(entry.path, entry.content) for entry in entries] == [
        (path, content_of(content.encode())) for path, content in PACKAGES.items()
    ]
    assert [(entry.name, entry.version) for entry in entries] == [
        ("B", "1"), ("conf-g++", "1"), ("files", "1"), ("lwt", "5.10"), ("lwt", "5.7.0"), ("lwt", "v1~rc+2-3_4"),
        ("old", "1.2.3"), ("packages", "1"),
    ]  # fmt: skip
    assert told(source) == PACKAGES
    some = [*entries[::-1], entries[0], entries[3]]
    assert [data.decode() for data in source.read(iter(some))] == [PACKAGES[entry.path] for entry in some]
    assert list(source.read([])) == []
    files = {
        f"{os.path.dirname(entry.path)}/files/{name}": data.decode()
        for entry in entries
        for name, data in source.files(entry).items()
    }
    assert list(files.items()) == list(FILES.items())


@pytest.mark.tool("git")
@pytest.mark.parametrize("data", [b"", b"a", b"a\r\n\0\xff", b"x" * 100_000])
def test_a_content_is_the_id_of_gits_blob(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    assert content_of(data) == "git:" + git(tmp_path, "hash-object", "--no-filters", "file")


@pytest.mark.parametrize("kind", PARAMETERS)
def test_what_has_no_packages_is_no_repository(tmp_path: Path, kind: str) -> None:
    """Nor is a folder of packages by itself."""
    text = KINDS[kind](make(tmp_path / "repo", {"lwt/lwt.1/opam": "", "README": "", "a/b/packages/lwt/lwt.1/opam": ""}))
    with pytest.raises(InputError, match=r'no folder "packages"') as caught:
        opened(text)
    assert text in caught.value.message
    assert caught.value.hint == "opam files stand at packages/NAME/NAME.VERSION/opam in it"


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_repository_may_be_empty(tmp_path: Path, kind: str) -> None:
    (make(tmp_path / "repo", {}) / "packages").mkdir()
    assert opened(KINDS[kind](tmp_path / "repo")).entries() == ()


@pytest.mark.parametrize("kind", ["folder", "tar", pytest.param("git", marks=pytest.mark.tool("git"))])
@pytest.mark.parametrize("tree", [{"packages": "a file"}, {"packages@": "real", "real/a/a.1/opam": ""}])
def test_packages_must_be_a_folder(tmp_path: Path, kind: str, tree: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r'no folder "packages"'):
        opened(KINDS[kind](make(tmp_path / "repo", tree)))


@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_package_that_stands_in_both_layouts(tmp_path: Path, kind: str) -> None:
    text = KINDS[kind](make(tmp_path / "repo", {"packages/a/a.1/opam": "", "packages/a.1/opam": ""}))
    with pytest.raises(InputError, match=r"a\.1 stands twice") as caught:
        opened(text).entries()
    assert all(path in caught.value.message for path in (text, "packages/a/a.1/opam", "packages/a.1/opam"))


@pytest.mark.parametrize("text", ["", "nowhere", "nowhere:HEAD", "/no/where:HEAD", ":HEAD", "file:HEAD", "/dev/null"])
def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(make(tmp_path, {"file": "x"}))
    with pytest.raises(InputError, match="no such repository") as caught:
        opened(text)
    assert caught.value.hint == "a repository is a folder, a tar archive or GIT:REV"


@pytest.mark.tool("git")
def test_an_existing_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commit(make(tmp_path / "repo", {"packages/a/a.1/opam": "of git"}))
    assert told(opened("repo:HEAD")) == {"packages/a/a.1/opam": "of git"}
    Path("repo:HEAD").write_bytes(tar(make(tmp_path / "other", {"packages/a/a.1/opam": "of the tar"})))
    assert told(opened("repo:HEAD")) == {"packages/a/a.1/opam": "of the tar"}
    Path("repo:HEAD").unlink()
    commit(make(tmp_path / "repo:HEAD", {"packages/a/a.1/opam": "of the folder"}))
    assert told(opened("repo:HEAD")) == {"packages/a/a.1/opam": "of the folder"}
    make(tmp_path / "repo:HEAD", {"packages/a/a.1/opam": "changed"})
    assert told(opened("repo:HEAD:HEAD")) == {"packages/a/a.1/opam": "of the folder"}


# Folders.


class Noting(ProcessMemory):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None:
        contents = list(contents)
        self.told += [Path(stamp.path).parent.name for stamp, _ in contents]
        super().save_contents(contents)


@pytest.fixture
def all_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "GRANULARITY", -(10**10))


@pytest.mark.usefixtures("all_are_old")
def test_a_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Noting()
    first = open_source(str(make(tmp_path, TWO)), memory).entries()
    assert sorted(memory.told) == ["a.1", "a.2"]
    monkeypatch.setattr(sources, "_bytes", lambda path: pytest.fail(f"{path} is read again"))
    monkeypatch.chdir(tmp_path)
    assert open_source(".", memory).entries() == first, "however the folder is named"


def rename_over(path: Path) -> None:
    before = path.stat()
    new = path.with_name("new")
    new.write_text("x")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(path)


def write_with_the_same_time(path: Path) -> None:
    before = path.stat()
    path.write_text("x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures("all_are_old")
@pytest.mark.parametrize(
    "change",
    [lambda path: path.write_text("longer"), lambda path: path.write_text("x"), rename_over, write_with_the_same_time],
    ids=["size", "mtime", "inode", "ctime"],
)
def test_a_changed_file_is_seen(tmp_path: Path, change: Callable[[Path], object]) -> None:
    memory = Noting()
    before = open_source(str(make(tmp_path, TWO)), memory).entries()
    time.sleep(0.02)  # longer than the tick of the clock that the filesystem counts in
    change(tmp_path / "packages/a/a.1/opam")
    memory.told.clear()
    after = open_source(str(tmp_path), memory)
    after.entries()
    assert memory.told == ["a.1"]
    assert after.entries()[0].content == content_of((tmp_path / "packages/a/a.1/opam").read_bytes())
    assert after.entries()[0] != before[0]
    assert after.entries()[1] == before[1]
    assert list(told(after).values()) == [(tmp_path / "packages/a/a.1/opam").read_text(), "2"]


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    memory = Noting()
    os.utime(make(tmp_path, TWO) / "packages/a/a.1/opam", (1, 1))  # its ctime is still of now
    assert len(open_source(str(tmp_path), memory).entries()) == 2
    assert memory.told == []


@pytest.mark.parametrize("change", [{"packages/a/a.1/opam": "3"}, {"packages/a/a.1/opam@": "../a.2/opam"}, {}])
def test_a_file_that_changes_after_it_was_listed(tmp_path: Path, change: dict[str, str]) -> None:
    """What is known of a content is kept for ever: it must not be of another."""
    source = opened(str(make(tmp_path, {**TWO, "packages/a/a.2/opam": "1"})))
    assert len(source.entries()) == 2
    (tmp_path / "packages/a/a.1/opam").unlink()
    make(tmp_path, change)
    with pytest.raises(InputError, match=r"packages/a/a\.1/opam"):
        list(source.read(source.entries()))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    make(tmp_path, TWO)
    (tmp_path / "packages/a/a.3").mkdir()
    os.mkfifo(tmp_path / "packages/a/a.3/opam")
    source = opened(str(tmp_path))
    assert list(told(source).values()) == ["1", "2"]
    (tmp_path / "packages/a/a.1/opam").unlink()
    os.mkfifo(tmp_path / "packages/a/a.1/opam")
    with pytest.raises(InputError, match="changed while"):
        list(source.read(source.entries()))


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said by a stand-in, since root may read all."""

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(InputError, match=rf"{tmp_path}/packages/a/a\.\d/opam: Permission denied"):
        opened(str(make(tmp_path, TWO))).entries()


# Some names only.


@pytest.mark.parametrize("kind", KINDS)
def test_entries_of_some_names(tmp_path: Path, kind: str) -> None:
    files = {**TWO, "packages/b.1/opam": "3", "packages/b/b.2/opam": "4", "packages/c/c.1/opam": "5"}
    source = opened(KINDS[kind](make(tmp_path / "repo", files)))
    assert set(source.names()) == {"a", "b", "c"}
    assert [f"{entry.name}.{entry.version}" for entry in source.entries({"b", "none"})] == ["b.1", "b.2"]
    assert [f"{entry.name}.{entry.version}" for entry in source.entries({"c", "a"})] == ["a.1", "a.2", "c.1"]
    assert source.entries({"a", "b", "c"}) == source.entries()


def test_a_folder_looks_at_what_is_asked_for_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    read = sources._bytes
    monkeypatch.setattr(sources, "_bytes", lambda path: seen.append(Path(path).parent.name) or read(path))  # type: ignore[func-returns-value]
    source = opened(str(make(tmp_path, {**TWO, "packages/b/b.1/opam": "3"})))
    assert not seen
    source.entries({"b"})
    assert seen == ["b.1"]
    source.entries()
    assert sorted(seen) == ["a.1", "a.2", "b.1"], "each once"


# The real repository.


@pytest.mark.tool("xz")
@pytest.mark.skipif(not OPAM_FILES.exists(), reason=f"needs {OPAM_FILES}")
def test_the_real_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(str(OPAM_FILES))
    entries = source.entries()
    assert (len(entries), len({entry.name for entry in entries})) == (18_793, 4_596)
    assert entries[0] == Entry("0install", "2.14.1", "packages/0install/0install.2.14.1/opam", entries[0].content)
    assert sum(map(len, source.read(entries))) == 25_911_580
    subprocess.run(["tar", "-xf", OPAM_FILES, "-C", tmp_path], check=True)
    monkeypatch.setattr(inputs, "GRANULARITY", 0)
    memory = ProcessMemory()
    assert open_source(str(tmp_path), memory).entries() == entries
    start = time.perf_counter()
    assert open_source(str(tmp_path), memory).entries() == entries
    seconds = time.perf_counter() - start
    print(f"18,793 known opam files: {seconds:.3f} s")
    assert seconds < 2.5, "ten times the goal, for a busy machine"
