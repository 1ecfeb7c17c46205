"""What a manifest takes from a context folder and what its digest stands for: see engine/inputs.py."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.index import Index
from engine.inputs import Memory, take_manifest
from engine.step import Entry, Manifest
from system.errors import InputError
from tests.counts import EXAMPLES

NOT_UTF8 = os.fsdecode(b"caf\xe9")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make(folder: Path, tree: dict[str, str]) -> Path:
    """`a/b`: a file; `a/`: a folder; `a*`: a file that may be executed; `a@`: a link."""
    for name, content in tree.items():
        path = folder / name.rstrip("/*@")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif name.endswith("@"):
            path.symlink_to(content)
        else:
            path.write_text(content)
            path.chmod(0o755 if name.endswith("*") else 0o644)
    return folder


def take(folder: Path, *sources: str, exclude: tuple[str, ...] = ()) -> Manifest:
    return take_manifest(folder, sources, exclude, Memory())


def later() -> int:
    """A clock by which all files are old."""
    return time.time_ns() + 10_000_000_000


TREE = {
    "main.c": "int main;",
    "run.sh*": "#!/bin/sh",
    "src/b.c": "b",
    "src/a.c": "a",
    "src/deep/.git/config": "c",
    "src/deep/x.o": "o",
    "src/out@": "/etc/passwd",
    "link@": "src",
    "empty/": "",
}


@pytest.mark.parametrize(
    ("sources", "exclude", "paths"),
    [
        (("main.c",), (), "main.c"),
        (("./main.c",), (), "main.c"),
        (("/main.c",), (), "main.c"),
        (("src//deep/./x.o",), (), "src/deep/x.o"),
        (("empty",), (), "empty/"),
        (("empty/",), (), "empty/"),
        (("src",), (), "src/ src/a.c src/b.c src/deep/ src/deep/.git/ src/deep/.git/config src/deep/x.o src/out@"),
        (("src",), (".git", "x.o", "b.c"), "src/ src/a.c src/deep/ src/out@"),
        (("link",), (), "link@"),
        (("main.c",), ("main.c",), "main.c"),
        (("src/deep", "main.c"), (".git",), "src/deep/ src/deep/x.o main.c"),
        (("main.c", "main.c"), (), "main.c main.c"),
        (("",), ("src",), "./ empty/ link@ main.c run.sh*"),
        ((".",), ("src",), "./ empty/ link@ main.c run.sh*"),
    ],
)
def test_a_source_gives_its_tree_sorted_without_what_is_excluded(
    tmp_path: Path, sources: tuple[str, ...], exclude: tuple[str, ...], paths: str
) -> None:
    manifest = take_manifest(make(tmp_path, TREE), sources, exclude, Memory())
    marks = {"dir": "/", "link": "@", "file": ""}
    assert " ".join(e.path + ("*" if e.executable else marks[e.kind]) for e in manifest.entries) == paths


def test_an_entry_holds_what_is_copied(tmp_path: Path) -> None:
    make(tmp_path, {"d/f": "text", "d/l@": "../nowhere", "d/x*": ""})
    manifest = take(tmp_path, "d", "d/x")
    assert manifest.entries == (
        Entry("d", "dir", False, ""),
        Entry("d/f", "file", False, sha256("text")),
        Entry("d/l", "link", False, "../nowhere"),
        Entry("d/x", "file", True, sha256("")),
        Entry("d/x", "file", True, sha256("")),
    )
    assert manifest.starts == (0, 4)
    assert manifest.folder == str(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("../x", 'can\'t use ".." in source paths: "../x"'),
        ("src/../main.c", 'can\'t use ".." in source paths: "src/../main.c"'),
        ("nowhere", 'source path "nowhere" not found'),
        ("nowhere/x", 'source path "nowhere/x" not found'),
        ("src/nowhere", 'source path "src/nowhere" not found'),
        ("main.c/x", 'source path "main.c" is not a directory'),
        ("main.c/", 'source path "main.c" is not a directory'),
        ("link/a.c", 'source path "link" is a symlink, not a directory'),
        ("link/", 'source path "link" is a symlink, not a directory'),
        ("fifo", '"fifo" is not a file, directory or symlink, and cannot be copied'),
        (".", '"fifo" is not a file, directory or symlink, and cannot be copied'),
        ("special/socket", '"special/socket" is not a file, directory or symlink, and cannot be copied'),
    ],
)
def test_a_source_that_cannot_be_taken_is_named_with_its_folder(tmp_path: Path, source: str, message: str) -> None:
    make(tmp_path, TREE | {"special/": ""})
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "special/socket"))
        with pytest.raises(InputError) as caught:
            take(tmp_path, source)
    assert caught.value.message == f'{message} (in "{tmp_path}")'


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        take(tmp_path / "nowhere", ".")


@pytest.mark.root
@pytest.mark.parametrize("name", ["secret", "closed"])
def test_what_cannot_be_read_is_named(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), {"a/secret": "s", "b/closed/x": "x"})
        Path(folder).chmod(0o755)
        (Path(folder) / "a/secret").chmod(0)
        (Path(folder) / "b/closed").chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(InputError, match=f"{name}.*Permission denied"):
                take(Path(folder), "a" if name == "secret" else "b")
        finally:
            os.seteuid(0)


def test_names_and_targets_that_are_not_utf8_survive(tmp_path: Path) -> None:
    make(tmp_path, {f"{NOT_UTF8}/f": "x", f"{NOT_UTF8}/l@": NOT_UTF8, "\U0001f600": "y"})
    with Index.open(tmp_path / "index.sqlite") as index:
        for clock in (later, later):
            manifest = take_manifest(tmp_path, (NOT_UTF8,), (), index, clock=clock)
            assert [e.path for e in manifest.entries] == [NOT_UTF8, f"{NOT_UTF8}/f", f"{NOT_UTF8}/l"]
            assert manifest.entries[2].content == NOT_UTF8
    names = [entry.path for entry in take(tmp_path, ".").entries]
    assert names.index("\U0001f600") > names.index(NOT_UTF8), "names stand in the order of their bytes"


# The digest.


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("content", lambda d: (d / "src/a.c").write_text("A")),
        ("executable bit", lambda d: (d / "src/a.c").chmod(0o744)),
        ("name", lambda d: (d / "src/a.c").rename(d / "src/c.c")),
        ("link's target", lambda d: ((d / "src/out").unlink(), (d / "src/out").symlink_to("/etc/passwd2"))),
        ("kind", lambda d: ((d / "src/out").unlink(), (d / "src/out").write_text("/etc/passwd"))),
        ("new file", lambda d: (d / "src/new").touch()),
        ("new folder", lambda d: (d / "src/new").mkdir()),
        ("lost file", lambda d: (d / "src/a.c").unlink()),
    ],
)
def test_the_digest_changes_with(tmp_path: Path, what: str, change: Callable[[Path], object]) -> None:
    make(tmp_path, TREE)
    before = take(tmp_path, "src").digest
    change(tmp_path)
    assert take(tmp_path, "src").digest != before, what


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("mtime", lambda d: os.utime(d / "src/a.c", (1, 1))),
        ("read and write bits", lambda d: (d / "src/a.c").chmod(0o600)),
        ("which executable bit", lambda d: (d / "run.sh").chmod(0o610)),
        ("a folder's mode", lambda d: (d / "src").chmod(0o700)),
        ("inode", lambda d: ((d / "src/a.c").unlink(), (d / "src/a.c").write_text("a"))),
        ("what a link leads to", lambda d: (d / "empty/x").touch()),
        ("what is excluded", lambda d: (d / "src/deep/x.o").write_text("other")),
    ],
)
def test_the_digest_does_not_change_with(tmp_path: Path, what: str, change: Callable[[Path], object]) -> None:
    make(tmp_path, TREE)
    before = take(tmp_path, "src", "run.sh", exclude=("x.o",)).digest
    change(tmp_path)
    assert take(tmp_path, "src", "run.sh", exclude=("x.o",)).digest == before, what


def test_the_digest_does_not_hold_the_folder_but_where_each_source_starts(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", TREE), make(tmp_path / "two", TREE)
    assert take(one, ".").digest == take(two, ".").digest
    assert take(one, "empty", "main.c").digest != take(one, "main.c", "empty").digest
    make(tmp_path / "three", {"a/b": "x"})
    assert take(tmp_path / "three", "a").entries == take(tmp_path / "three", "a", "a/b").entries[:2]
    whole = take(tmp_path / "three", "a", exclude=())
    parts = take(tmp_path / "three", "a", "a/b", exclude=("b",))
    assert whole.entries == parts.entries
    assert whole.digest != parts.digest


@contextmanager
def folder_with(tree: dict[str, str]) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield make(folder, tree)
    finally:
        shutil.rmtree(folder)


TREES = st.dictionaries(
    st.tuples(
        st.sampled_from(["", "d/", "e/f/"]), st.sampled_from(["a", "b", "ab", "é"]), st.sampled_from(["", "*", "@"])
    ).map("".join),
    st.sampled_from(["a", "b", "1:a", "a 1:a"]),
    max_size=5,
).filter(lambda tree: len({name.rstrip("*@") for name in tree}) == len(tree))  # fmt: skip


@settings(max_examples=150 * EXAMPLES)
@given(TREES, TREES)
def test_two_folders_have_one_digest_if_and_only_if_they_have_the_same_entries(
    one: dict[str, str], two: dict[str, str]
) -> None:
    with folder_with(one) as first, folder_with(two) as second:
        left, right = take(first, "."), take(second, ".")
    assert (left.digest == right.digest) == (left.entries == right.entries) == (one == two)


# The memory.


def forget(path: Path) -> None:
    """Change a file's content behind the back of its stamp, as far as the mtime goes."""
    stamp = path.stat()
    path.write_text("B" * stamp.st_size)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


class Lying(Memory):
    """Counts what it is told, and answers every question it can with a hash that gives it away."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def save_file_hashes(self, hashes) -> None:  # type: ignore[no-untyped-def]
        hashes = list(hashes)
        self.told += [os.path.basename(stamp.path) for stamp, _ in hashes]
        super().save_file_hashes([(stamp, "f" * 64) for stamp, _ in hashes])


def test_a_file_is_hashed_once(tmp_path: Path) -> None:
    make(tmp_path, {"a": "1", "b": "2"})
    memory = Lying()
    first = take_manifest(tmp_path, (".",), (), memory, clock=later)
    second = take_manifest(tmp_path, (".",), (), memory, clock=later)
    assert [entry.content for entry in first.entries] == ["", sha256("1"), sha256("2")]
    assert [entry.content for entry in second.entries] == ["", "f" * 64, "f" * 64]
    assert memory.told == ["a", "b"]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("longer than before"),
        lambda path: os.utime(path, (1, 1)),
        lambda path: (path.with_name("new").write_text("1"), path.with_name("new").rename(path)),
        forget,
    ],
    ids=["size", "mtime", "inode", "ctime"],
)
def test_a_file_is_hashed_again_when_its_stamp_has_changed(tmp_path: Path, change: Callable[[Path], object]) -> None:
    make(tmp_path, {"a": "1"})
    memory = Memory()
    take_manifest(tmp_path, ("a",), (), memory, clock=later)
    time.sleep(0.02)  # longer than the kernel's clock tick, which ctime counts in
    change(tmp_path / "a")
    content = take_manifest(tmp_path, ("a",), (), memory, clock=later).entries[0].content
    assert content == sha256((tmp_path / "a").read_text())


def test_a_file_written_just_now_is_hashed_but_not_remembered(tmp_path: Path) -> None:
    make(tmp_path, {"a": "1"})
    memory = Lying()
    for _ in range(2):
        assert take_manifest(tmp_path, ("a",), (), memory).entries[0].content == sha256("1")
    assert memory.told == []


def test_the_index_is_a_memory(tmp_path: Path) -> None:
    context = make(tmp_path / "context", TREE)
    with Index.open(tmp_path / "index.sqlite") as index:
        first = take_manifest(context, (".",), (), index, clock=later)
        forged = [(stamp, "f" * 64) for stamp in _stamps(context, "main.c")]
        index.save_file_hashes(forged)
        second = take_manifest(context, (".",), (), index, clock=later)
    assert first == take(context, ".")
    assert [e.content for e in second.entries if e.path == "main.c"] == ["f" * 64]


def _stamps(folder: Path, *names: str):  # type: ignore[no-untyped-def]
    from engine.records import FileStamp

    return [FileStamp.of(str(folder / name), (folder / name).stat()) for name in names]


def test_ten_thousand_files_take_no_time_when_they_are_known(tmp_path: Path) -> None:
    for number in range(10_000):
        path = tmp_path / f"context/{number % 100}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    memory = Memory()
    first = take_manifest(tmp_path / "context", (".",), (), memory, clock=later)
    start = time.perf_counter()
    second = take_manifest(tmp_path / "context", (".",), (), memory, clock=later)
    seconds = time.perf_counter() - start
    print(f"10,000 known files: {seconds:.3f} s")
    assert first == second
    assert seconds < 3, "ten times the goal, for a busy machine"
