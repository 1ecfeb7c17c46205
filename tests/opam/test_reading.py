"""What repositories have: what is asked for is read, each content parsed once, and what is known is not found anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.records import FileStamp
from grammar.opam.parser import Reader
from stepwood.opam import memory, reading
from stepwood.opam.catalogue import Catalogue
from stepwood.opam.memory import DiskMemory, ProcessMemory, remembered
from stepwood.opam.sources import open_source
from tests.opam import repositories
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
    return repositories.repository(folder, files)


def catalogue(*texts: str, known: memory.Memory | None = None) -> Catalogue:
    known = known or ProcessMemory()
    return Catalogue([open_source(text, known) for text in texts], known, LINUX)


def test_the_reach_of_a_name_is_what_it_may_depend_on(tmp_path: Path) -> None:
    found = catalogue(repository(tmp_path))
    assert found.reach({"app"}) == {"app", "lib", "other", "tool", "docs"}
    assert not [*found.problems], "what is apart is not even read"
    assert found.reach({"nothing"}) == {"nothing"}
    assert found.names == {id.partition(".")[0] for id in FILES}


def test_the_facts_of_a_name(tmp_path: Path) -> None:
    files = {**FILES, "app.3": "flags: avoid-version", "app.10": ""}
    facts = catalogue(repository(tmp_path, files)).facts({"app", "apart", "nothing"})
    assert facts["app"].versions == ("1", "3", "10")
    assert facts["app"].newest == "10"
    assert (facts["app"].asks, facts["app"].takes) == ({"lib", "other"}, {"extra"})
    assert (facts["nothing"].versions, facts["nothing"].newest) == ((), None)
    (problem,) = facts["apart"].problems
    assert problem.startswith("packages/apart/apart.1/opam:1:")


def test_of_several_repositories_the_first_that_has_a_version_counts(tmp_path: Path) -> None:
    one = repository(tmp_path / "one", {"lib.2": 'synopsis: "first"', "new.1": "", "app.1": "broken: ["})
    two = repository(tmp_path / "two")
    found = catalogue(one, two)
    packages = found.packages({"app", "lib"})
    assert [".".join(id) for id in packages] == ["lib.2", "app.2", "lib.1"], "repository by repository"
    assert packages["lib", "2"].fields["synopsis"] == "first"
    assert found.facts({"app"})["app"].versions == (), "a broken file hides what other repositories have"
    assert [*found.packages({"lib"}, {("lib", "1")})] == [("lib", "1")]


def test_a_digest_says_what_names_mean_to_a_solver_and_where(tmp_path: Path) -> None:
    text = repository(tmp_path / "one")
    before = catalogue(text)
    names = before.reach({"app"})
    other = Catalogue([open_source(text, ProcessMemory())], ProcessMemory(), {**LINUX, "os": "win32"})
    other.facts(names)
    assert other.digest(names) != before.digest(names)
    (tmp_path / "one/packages/apart/apart.1/opam").write_text("")
    after = catalogue(text)
    assert after.digest(after.reach({"app"})) == before.digest(names)
    docs = tmp_path / "one/packages/docs/docs.1/opam"
    for means, said in (False, 'synopsis: "new" build: ["make"]'), (True, 'depends: "other"'), (True, "broken: ["):
        docs.write_text(said)
        after = catalogue(text)
        assert (after.digest(after.reach({"app"})) != before.digest(names)) is means, said


def test_files_beside_an_opam_file(tmp_path: Path) -> None:
    text = repository(tmp_path)
    make(tmp_path, {"packages/lib/lib.2/files/a/b": "patch"})
    assert catalogue(text).files(("lib", "2")) == {"a/b": b"patch"}


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
    """Look as another process would, with the memory of this folder."""
    known = remembered(folder)
    found = catalogue(text, known=known)
    packages = found.packages(found.reach({"app"}))
    known.close()
    return [".".join(id) for id in packages]


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


def test_numbers_beyond_what_sqlite_has_are_remembered_too(tmp_path: Path) -> None:
    """Inodes of network filesystems."""
    known = remembered(tmp_path)
    stamp = FileStamp("/a", 1, 2, 2**64 - 1, 3)
    known.save_contents([(stamp, "git:00")])
    assert known.contents([stamp]) == {"/a": "git:00"}


def test_a_damaged_memory_is_begun_anew(tmp_path: Path, parsed: type[Counting]) -> None:
    text, folder = repository(tmp_path / "repo"), tmp_path / "memory"
    first = again(text, folder)
    (database,) = folder.glob("*.db")
    database.write_bytes(b"no database" * 1000)
    assert again(text, folder) == first
    assert parsed.parsed == 12
    assert again(text, folder) == first
    assert parsed.parsed == 12, "and is a memory again"


@pytest.mark.parametrize(
    "damage", ["x'80054b012e'", "replace(thing, x'6c6962', x'6c6f62')", "substr(thing, 1, length(thing) - 1)", "x''"]
)
def test_a_content_that_cannot_be_read_back_is_parsed(tmp_path: Path, parsed: type[Counting], damage: str) -> None:
    """Be it another thing, a thing with "lob" for "lib", or too little of it."""
    text, folder = repository(tmp_path / "repo"), tmp_path / "memory"
    first = again(text, folder)
    known = remembered(folder)
    assert isinstance(known, DiskMemory)
    known._database.write(f"UPDATE things SET thing = CAST({damage} AS BLOB) WHERE ?", [(True,)])
    known.close()
    assert again(text, folder) == first
    assert parsed.parsed > 6


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
