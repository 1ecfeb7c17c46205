"""From repositories to package versions: what is asked for is read, and each content parsed once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.records import FileStamp
from grammar.opam.parser import Reader
from stepwood.opam import memory, reading
from stepwood.opam.memory import DiskMemory, ProcessMemory, remembered
from stepwood.opam.reading import Read
from stepwood.opam.sources import open_source
from system.errors import SpecError
from tests.opam.packages import LINUX
from tests.opam.repositories import make

FILES = {
    "app.1": 'depends: ["lib" {>= "1"} | "other"] depopts: "extra" conflicts: "enemy"',
    "app.2": 'depends: ["fresh"] available: os = "win32"',
    "lib.1": 'depends: ["tool" {build} "docs" {post} "tests" {with-test} "gone" {os = "win32"}]',
    "lib.2": "",
    "tool.1": 'depends: ["app"]',
    "docs.1": "", "tests.1": "", "other.1": "", "extra.1": "", "enemy.1": "", "fresh.1": "", "gone.1": "",
    "apart.1": "broken: [",
}  # fmt: skip
Repository = dict[str, str]


def repository(folder: Path, files: Repository = FILES) -> str:
    tree = {f"packages/{id.partition('.')[0]}/{id}/opam": text for id, text in files.items()}
    return str(make(folder, tree))


def read(*texts: str, names: set[str] | None = None, test: bool = False, known: memory.Memory | None = None) -> Read:
    known = known or ProcessMemory()
    return reading.read([open_source(text, known) for text in texts], known, names, [{**LINUX, "with-test": test}])


def ids(found: Read) -> list[str]:
    return [f"{package.name}.{package.version}" for package in found.packages]


def test_all_is_read_where_no_names_are_given(tmp_path: Path) -> None:
    found = read(repository(tmp_path))
    assert ids(found) == sorted(set(FILES) - {"apart.1"})
    assert [str(problem).partition(":")[0] for problem in found.problems] == ["packages/apart/apart.1/opam"]
    assert isinstance(found.problems[0], SpecError)


def test_names_bring_what_they_may_depend_on_and_nothing_else(tmp_path: Path) -> None:
    text = repository(tmp_path)
    found = read(text, names={"app"})
    assert ids(found) == ["app.1", "app.2", "docs.1", "lib.1", "lib.2", "other.1", "tool.1"]
    assert not found.problems, "what is apart is not even read"
    assert set(found.names) == {id.partition(".")[0] for id in FILES}
    assert "tests.1" in ids(read(text, names={"app"}, test=True))
    assert ids(read(text, names={"nothing"})) == []


def test_of_several_repositories_the_first_that_has_a_version_counts(tmp_path: Path) -> None:
    one = repository(tmp_path / "one", {"lib.2": 'synopsis: "first"', "new.1": "", "app.1": "broken: ["})
    two = repository(tmp_path / "two")
    found = read(one, two, names={"app", "lib"})
    assert ids(found) == ["lib.2", "app.2", "docs.1", "lib.1", "tool.1"]
    lib = next(package for package in found.packages if (package.name, package.version) == ("lib", "2"))
    assert lib.fields["synopsis"] == "first"
    source, entry = found.origins["lib", "1"]
    assert list(source.read([entry])) == [FILES["lib.1"].encode()]
    assert [problem.message for problem in found.problems] != [], "a broken file hides what other repositories have"


class Counting(Reader):
    parsed = 0

    def parse(self, text: str, *, file: str):  # type: ignore[no-untyped-def]
        Counting.parsed += 1
        return super().parse(text, file=file)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    """Counts what is parsed."""
    Counting.parsed = 0
    monkeypatch.setattr(reading, "Reader", Counting)
    return Counting


def again(text: str, folder: Path) -> list[str]:
    """Read as another process would, with the memory of this folder."""
    known = remembered(folder)
    found = read(text, names={"app"}, known=known)
    known.close()
    return ids(found)


def test_a_content_is_parsed_once_whoever_asks(tmp_path: Path, parsed: type[Counting]) -> None:
    text, folder = repository(tmp_path / "repo"), tmp_path / "memory"
    first = again(text, folder)
    assert parsed.parsed == 6, "of seven files two say nothing"
    assert again(text, folder) == first
    assert again(repository(tmp_path / "copy"), folder) == first
    assert parsed.parsed == 6
    (tmp_path / "repo/packages/lib/lib.2/opam").write_text('depends: "extra"')
    assert again(text, folder) == ["app.1", "app.2", "docs.1", "extra.1", *first[3:]]
    assert parsed.parsed == 7, "what extra says, nothing, is what others say too"


def test_a_file_is_hashed_once(tmp_path: Path) -> None:
    stamp = FileStamp("/a", 1, 2, 3, 4)
    with_it = remembered(tmp_path)
    assert isinstance(with_it, DiskMemory)
    with_it.save_contents([(stamp, "git:00")])
    with_it.close()
    other = remembered(tmp_path)
    assert other.contents([stamp, FileStamp("/b", 1, 2, 3, 4)]) == {"/a": "git:00"}
    assert other.contents([FileStamp("/a", 1, 2, 3, 5)]) == {}


def test_a_damaged_memory_is_begun_anew(tmp_path: Path, parsed: type[Counting]) -> None:
    text, folder = repository(tmp_path / "repo"), tmp_path / "memory"
    first = again(text, folder)
    (database,) = folder.glob("*.db")
    database.write_bytes(b"no database" * 1000)
    assert again(text, folder) == first
    assert parsed.parsed == 12
    assert again(text, folder) == first
    assert parsed.parsed == 12, "and is a memory again"


def test_a_content_that_cannot_be_read_back_is_parsed(tmp_path: Path, parsed: type[Counting]) -> None:
    text, folder = repository(tmp_path / "repo"), tmp_path / "memory"
    first = again(text, folder)
    known = remembered(folder)
    assert isinstance(known, DiskMemory)
    known._database.write("UPDATE files SET file = ?", [(b"\x80\x05K\x01.",)])
    known.close()
    assert again(text, folder) == first
    assert parsed.parsed == 12


@pytest.mark.root
def test_what_another_user_may_have_written_is_not_read(tmp_path: Path) -> None:
    """It is unpickled, and so could run anything."""
    assert isinstance(remembered(tmp_path / "own"), DiskMemory)
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
    (tmp_path / "own").chmod(0o777)
    assert isinstance(remembered(tmp_path / "own"), ProcessMemory)
    (tmp_path / "own").chmod(0o700)
    (database,) = (tmp_path / "own").glob("*.db")
    os.chown(database, 1000, 1000)
    assert isinstance(remembered(tmp_path / "own"), ProcessMemory)


def test_a_folder_that_cannot_be_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert isinstance(remembered(tmp_path / "file" / "memory"), ProcessMemory)


def test_other_versions_keep_memories_of_their_own_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered(tmp_path)
    monkeypatch.setattr(memory, "_format", lambda: "12345678")
    remembered(tmp_path)
    assert len([*tmp_path.glob("*.db")]) == 2
    (old,) = set(tmp_path.glob("*.db")) - {tmp_path / "opam-12345678.db"}
    os.utime(old, (0, 0))
    remembered(tmp_path)
    assert [path.name for path in tmp_path.glob("*.db")] == ["opam-12345678.db"]
    monkeypatch.setattr(memory, "LARGEST", 0)
    assert isinstance(remembered(tmp_path), DiskMemory)
