"""What the logbook promises: see engine/logbook.py, engine/logtext.py and engine/logwords.py."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import zstandard

from engine import logbook, logtext
from engine.database import Database
from engine.logbook import Found, Logbook, search
from engine.logtext import BLOCK, ENDS, open_log, size
from engine.logwords import Words
from engine.schema import Schema
from system.errors import InputError, StoreError

NOW = 1_700_000_000.0
LARGE = b"".join(b"cc -c file%d.c\n" % number for number in range(2000))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def path_of(step: str) -> str:
    return f"logs/{step}.0123abcd.log"


def write(store: Path, step: str, data: bytes) -> str:
    (store / path_of(step)).write_bytes(data)
    return path_of(step)


def take(store: Path, logs: dict[str, bytes], **more: float) -> list[str]:
    """Take finished logs, each ended a second after the one before."""
    book = Logbook(store, **more)
    for number, (step, data) in enumerate(logs.items()):
        book.add(step, write(store, step, data), NOW + number)
    return book.close()


def read(store: Path, step: str) -> bytes:
    with open_log(store, path_of(step)) as log:
        return log.read()


def steps(found: list[Found]) -> list[str]:
    return [one.step for one in found]


def texts(found: list[Found]) -> list[tuple[int, str]]:
    return [(line.number, line.text) for one in found for line in one.lines]


def files(store: Path) -> list[str]:
    return sorted(os.listdir(store / "logs"))


class TestRoom:
    def test_a_large_log_is_compressed_and_reads_as_it_was_written(self, store: Path) -> None:
        assert take(store, {"a": LARGE}) == []
        assert files(store) == ["a.0123abcd.log.zst"]
        assert (store / "logs/a.0123abcd.log.zst").stat().st_size < len(LARGE) / 3
        assert read(store, "a") == LARGE
        assert size(store, path_of("a")) == len(LARGE)
        with open_log(store, path_of("a")) as log:
            assert log.readline() == b"cc -c file0.c\n"

    @pytest.mark.parametrize("length", [0, 1, BLOCK])
    def test_a_log_of_one_block_stays_as_it_is(self, store: Path, length: int) -> None:
        assert take(store, {"a": b"x" * length}) == []
        assert files(store) == ["a.0123abcd.log"]
        assert (read(store, "a"), size(store, path_of("a"))) == (b"x" * length, length)

    def test_a_reader_that_has_the_log_open_reads_on(self, store: Path) -> None:
        write(store, "a", LARGE)
        with open_log(store, path_of("a")) as log:
            start = log.read(100)
            take(store, {"a": LARGE})
            assert start + log.read() == LARGE

    def test_a_log_that_is_gone(self, store: Path) -> None:
        for ask in (open_log, size):
            with pytest.raises(FileNotFoundError):
                ask(store, path_of("a"))
        with Logbook(store) as book:
            book.add("a", path_of("a"), NOW)
        assert book.close() == []

    def test_a_damaged_one_is_an_error_and_not_found(self, store: Path) -> None:
        take(store, {"a": LARGE})
        packed = store / "logs/a.0123abcd.log.zst"
        packed.write_bytes(packed.read_bytes()[:-4] + b"oops")
        with pytest.raises(OSError, match="damaged"):
            read(store, "a")
        assert search(store, ["file1", "file1999"], 9) == []

    def test_added_twice_by_two_processes_at_once(self, store: Path) -> None:
        write(store, "a", LARGE)
        books = [Logbook(store) for _ in range(2)]
        for book in books:
            book.add("a", path_of("a"), NOW)
        assert [book.close() for book in books] == [[], []]
        assert (files(store), read(store, "a")) == (["a.0123abcd.log.zst"], LARGE)
        assert steps(search(store, ["file7.c"], 9)) == ["a"]

    def test_a_huge_log_takes_little_memory(self, store: Path) -> None:
        """And is read piece by piece: 200 MB with 80 MB of memory more than at the start."""
        script = """
import resource, sys, zstandard, sqlite_utils
from pathlib import Path
from engine.logbook import Logbook
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 80_000_000,) * 2)
book = Logbook(Path(sys.argv[1]))
book.add("a", "logs/a.0123abcd.log", 1.0)
print(book.close())
"""
        with open(store / path_of("a"), "wb") as log:
            for _ in range(200):
                log.write(b"0123456789 words in a line\n" * 40_000)
        done = subprocess.run(
            [sys.executable, "-c", script, store], capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.stdout, done.stderr) == ("[]\n", "")
        assert files(store) == ["a.0123abcd.log.zst"]
        assert size(store, path_of("a")) == 200 * 40_000 * 27


COMPILER = {
    "link": b"ld: main.o: in function `main':\nmain.c:3: undefined reference to `foo_init'\n",
    "warn": b"gcc -O2 -Werror main.c\nmain.c: error: Werror is on\n",
    "libs": b"libfoo.so.1 => /usr/lib/libfoo.so.1\n\nThe reference.\n",
    "foobar": b"foobar\nThis is not undefined.",
}


class TestSearch:
    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["undefined reference"], ["link"]),
            (["undefined", "reference"], ["link"]),
            (["REFERENCE"], ["libs", "link"]),
            (["foo"], ["link"]),
            (["foo*"], ["foobar", "link"]),
            (["foo_init"], ["link"]),
            (["libfoo.so.1"], ["libs"]),
            (["libfoo.so"], ["libs"]),
            (["lib*"], ["libs"]),
            (["libfoo.s*"], ["libs"]),
            (["-Werror"], ["warn"]),
            (["-Werr*"], ["warn"]),
            (["=>", "usr"], ["libs"]),
            (["main.c:3:"], ["link"]),
            (["reference", "Werror"], []),
            (["undefined OR reference"], []),
            (['"undefined'], []),
            (["fo'o"], []),
            (["text:foo"], []),
        ],
    )
    def test_words(self, store: Path, words: list[str], found: list[str]) -> None:
        """All must be there as they are written; none is an operator."""
        take(store, COMPILER)
        assert steps(search(store, words, 9)) == found

    @pytest.mark.parametrize("words", [[], [""], ["  "], ["*"], ["->", "=="]])
    def test_no_word_at_all(self, store: Path, words: list[str]) -> None:
        with pytest.raises(InputError):
            search(store, words, 9)

    def test_without_logs_there_is_nothing(self, store: Path) -> None:
        assert search(store, ["a"], 9) == []
        assert not (store / logbook.DATABASE).exists()

    def test_newest_first_and_no_more_than_asked_for(self, store: Path) -> None:
        take(store, {f"s{number}": b"same\n" for number in range(30)})
        found = search(store, ["same"], 5)
        assert steps(found) == ["s29", "s28", "s27", "s26", "s25"]
        assert (found[0].ended, found[0].path) == (NOW + 29, path_of("s29"))

    def test_lines_with_all_words_come_before_lines_with_some(self, store: Path) -> None:
        take(store, {"a": b"one\ntwo\none two\n" + b"other\n" * 10 + b"two one\n", "b": b"x\none\none\ntwo\n"})
        found = search(store, ["one", "two"], 9)
        assert [[(line.number, line.words) for line in one.lines] for one in found] == [
            [(2, ("one",)), (4, ("two",))],
            [(3, ("one", "two")), (14, ("one", "two"))],
        ]

    def test_a_log_that_is_deleted_is_left_out(self, store: Path) -> None:
        take(store, {"a": b"word", "b": b"word"})
        (store / path_of("b")).unlink()
        assert steps(search(store, ["word"], 1)) == ["a"]

    def test_lines_are_numbered_across_chunks_of_a_compressed_log(self, store: Path) -> None:
        take(store, {"a": b"filler of a line\n" * 200_000 + b"needle here\n" + b"more\n" * 5})
        assert texts(search(store, ["needle"], 9)) == [(200_001, "needle here")]


class TestJunk:
    def test_bytes_that_are_no_text(self, store: Path) -> None:
        junk = bytes(range(256)) * 40
        take(store, {"a": junk + b"\nneedle\0\xff\x1b]0;title\x07\n" + junk, "b": b"\0" * 9000, "c": b"\xff"})
        ((number, text),) = texts(search(store, ["needle"], 9))
        assert (number, text) == (42, "needle �\\x1b]0;title\\x07")
        assert read(store, "a").startswith(junk)

    def test_colours_are_no_part_of_a_word(self, store: Path) -> None:
        take(store, {"a": b"main.c: \x1b[01;31m\x1b[Kerror\x1b[m\x1b[K: no\n"})
        assert texts(search(store, ["error"], 9)) == [(1, "main.c: error: no")]

    def test_a_line_of_ten_megabytes_without_a_newline(self, store: Path) -> None:
        half = b"pad " * 1_250_000
        take(store, {"a": b"first\n" + half + b"needle " + half + b"end"})
        for word in ("pad", "end"):
            ((number, text), *_) = texts(search(store, [word], 9))
            assert number == 2
            assert word in text
            assert len(text) <= 202
        assert search(store, ["needle"], 9) == [], "it stands outside of what is searched"
        assert len(search(store, ["pad", "end", "first"], 9)[0].lines) == 3

    def test_one_word_of_ten_megabytes(self, store: Path) -> None:
        assert take(store, {"a": b"x" * 10_000_000 + b" end\n"}) == []
        assert texts(search(store, ["end"], 9))[0][1].endswith("x end")

    @pytest.mark.parametrize("at", [0, ENDS - 10, -ENDS + 10, -10])
    def test_both_ends_of_a_long_log_are_searched(self, store: Path, at: int) -> None:
        log = bytearray(b"line\n" * (3 * ENDS // 5))
        at %= len(log)
        log[at : at + 8] = b" needle "
        take(store, {"a": bytes(log)})
        assert steps(search(store, ["needle"], 9)) == ["a"]

    @pytest.mark.parametrize("offset", range(-8, 9, 4))
    def test_a_word_on_the_border_of_two_pieces_of_a_line(self, offset: int) -> None:
        data = b"." * (2 * logtext.CHUNK + offset) + b"needle" + b"." * logtext.CHUNK
        (line, *_) = Words(["needle"]).lines(io.BytesIO(data))
        assert line.number == 1

    def test_words_that_are_not_ascii(self, store: Path) -> None:
        take(store, {"a": "Fehler: Größe überschritten\n".encode(), "b": "größer, caf\u00e9\n".encode("latin-1")})
        assert steps(search(store, ["GRÖSSE"], 9)) == []
        assert steps(search(store, ["GRÖßE"], 9)) == ["a"]
        assert steps(search(store, ["größe*"], 9)) == ["a"]


class TestTrouble:
    def test_another_connection_holds_the_database(self, store: Path) -> None:
        """The log stays as it is, is told of, and a later build takes it."""
        take(store, {"old": b"before\n"})
        with sqlite3.connect(store / logbook.DATABASE, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            (told,) = take(store, {"a": LARGE, "b": b"small"}, timeout=0.2)
            assert time.monotonic() - began < 5
            assert "2 logs not searchable yet" in told
            assert "in use by another process" in told
            assert steps(search(store, ["before"], 9)) == ["old"], "readers go on"
            other.execute("ROLLBACK")
        other.close()
        assert files(store) == sorted(path.removeprefix("logs/") for path in map(path_of, ("a", "b", "old")))
        assert take(store, {"a": LARGE}) == []
        assert steps(search(store, ["file7.c"], 9)) == ["a"]

    def test_a_database_that_is_none(self, store: Path) -> None:
        (store / logbook.DATABASE).write_bytes(b"this is no database" * 1000)
        (told,) = {line.partition(": ")[2] for line in take(store, {"a": LARGE})}
        assert "damaged" in told
        assert (files(store), read(store, "a")) == (["a.0123abcd.log"], LARGE)
        with pytest.raises(StoreError, match="index of logs"):
            search(store, ["a"], 9)

    def test_sqlite_without_full_text_search(self, tmp_path: Path) -> None:
        lacking = Schema("x", "index of logs", (("1", "CREATE VIRTUAL TABLE words USING fts9(text)"),), "")
        with pytest.raises(StoreError, match="SQLite has no such module: fts9"):
            Database(tmp_path / "x.db", "rwc", 1.0, lacking)

    @pytest.mark.root
    def test_a_full_disk(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
        request.addfinalizer(lambda: subprocess.run(["umount", disk], check=True))
        (disk / "logs").mkdir()
        noise = os.urandom(600_000).hex().encode()
        write(disk, "a", noise)
        with open(disk / "filler", "wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(b"\0" * 4096)
        book = Logbook(disk)
        book.add("a", path_of("a"), NOW)
        (told,) = book.close()
        assert "1 log not searchable yet: no room" in told
        assert (files(disk), read(disk, "a")) == (["a.0123abcd.log"], noise)
        (disk / "filler").unlink()
        again = Logbook(disk)
        again.add("a", path_of("a"), NOW)
        again.close()
        assert read(disk, "a") == noise
        assert not list((disk / "logs").glob("*.new"))

    def test_searching_while_others_write(self, store: Path) -> None:
        failures: list[BaseException] = []
        done = threading.Event()
        seen: list[int] = []

        def look() -> None:
            try:
                while not done.is_set():
                    seen.append(len(search(store, ["same"], 1000)))
            except BaseException as error:
                failures.append(error)

        reader = threading.Thread(target=look)
        reader.start()
        books = [Logbook(store) for _ in range(2)]
        for number in range(300):
            step = f"s{number}"
            books[number % 2].add(step, write(store, step, b"same word\n" + LARGE[: number * 30]), NOW + number)
            if number % 50 == 0:
                time.sleep(0.1)
        problems = [book.close() for book in books]
        done.set()
        reader.join()
        assert (failures, problems) == ([], [[], []])
        assert seen == sorted(seen), "what was found once is found again"
        assert len(search(store, ["same"], 1000)) == 300

    def test_adding_never_waits(self, store: Path) -> None:
        take(store, {"old": b"before\n"})
        with sqlite3.connect(store / logbook.DATABASE, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            book = Logbook(store, timeout=0.2)
            began = time.monotonic()
            for number in range(1000):
                book.add("a", path_of(str(number)), NOW)
            assert time.monotonic() - began < 0.1
            other.execute("ROLLBACK")
        other.close()
        assert book.close() == []


class TestSweep:
    def age(self, store: Path, days: float) -> None:
        for file in (store / "logs").iterdir():
            os.utime(file, (time.time() - days * 86400,) * 2)

    def forget(self, store: Path) -> None:
        """As if a day had passed since logs were last looked for."""
        with sqlite3.connect(store / logbook.DATABASE) as database:
            database.execute("DELETE FROM sweeps")
        database.close()

    def test_what_a_killed_build_left_is_taken_after_a_day(self, store: Path) -> None:
        write(store, "a", LARGE)
        write(store, "b", b"small needle")
        (store / "logs/c.0123abcd.log.zst.01234567.new").write_bytes(b"half")
        (store / "logs/note.txt").write_bytes(b"not ours")
        Logbook(store).close()
        assert len(files(store)) == 4
        assert not (store / logbook.DATABASE).exists()
        self.age(store, 1.1)
        assert Logbook(store).close() == []
        assert files(store) == ["a.0123abcd.log.zst", "b.0123abcd.log", "note.txt"]
        ((one,), (other,)) = (search(store, [word], 9) for word in ("needle", "file1.c"))
        assert (one.step, other.step) == ("b", "a")
        assert abs(other.ended - (time.time() - 1.1 * 86400)) < 60

    def test_once_a_day(self, store: Path) -> None:
        take(store, {"a": b"small"})
        Logbook(store).close()
        write(store, "b", b"small too")
        self.age(store, 2)
        Logbook(store).close()
        assert steps(search(store, ["small"], 9)) == ["a"]
        self.forget(store)
        Logbook(store).close()
        assert sorted(steps(search(store, ["small"], 9))) == ["a", "b"]

    def test_a_log_that_somebody_still_writes_is_left_alone(self, store: Path) -> None:
        with open(store / path_of("a"), "wb", buffering=0) as log:
            log.write(LARGE)
            self.age(store, 3)
            assert Logbook(store).close() == []
            assert files(store) == ["a.0123abcd.log"]
            log.write(b"last words\n")
        self.age(store, 3)
        Logbook(store).close()
        assert (files(store), read(store, "a")) == (["a.0123abcd.log.zst"], LARGE + b"last words\n")

    def test_the_search_is_made_anew_from_the_logs(self, store: Path) -> None:
        take(store, {"a": LARGE, "b": b"small file7.c"})
        for file in store.glob("logs.db*"):
            file.unlink()
        self.age(store, 2)
        Logbook(store).close()
        assert sorted(steps(search(store, ["file7.c"], 9))) == ["a", "b"]
        assert zstandard.decompress((store / "logs/a.0123abcd.log.zst").read_bytes()) == LARGE

    def test_a_large_log_that_is_searchable_but_plain_is_compressed(self, store: Path) -> None:
        take(store, {"a": LARGE})
        (store / "logs/a.0123abcd.log.zst").unlink()
        write(store, "a", LARGE)
        self.age(store, 2)
        self.forget(store)
        Logbook(store).close()
        assert files(store) == ["a.0123abcd.log.zst"]
