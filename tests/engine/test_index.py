"""What the index promises: see engine/index.py. Each test says one thing of it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from engine.index import Index, Match
from engine.outcome import Built, Cached, Cancelled, Failed, Name, Outcome, Skipped
from engine.records import (
    Attempt,
    Batch,
    Fields,
    FileStamp,
    Pin,
    Prediction,
    Totals,
    config_from_json,
    config_to_json,
    plain,
    text,
    to_meta,
)
from engine.schema import MIGRATIONS
from engine.step import Base, Config, Copy, FromStep, Ids, Named, Run, Step, StepId
from system.errors import InputError, OutOfSpace, StoreBusy, StoreError

NOW = 1_700_000_000.5
NOT_UTF8 = os.fsdecode(b"caf\xe9.spec")


def digest(name: str) -> StepId:
    return hashlib.sha256(os.fsencode(name)).hexdigest()


def base(reference: str = "debian", config: Config | None = None) -> Step:
    config = config or Config(env=(("PATH", "/bin"),), user=Named("builder"), workdir="/src", platform="linux/amd64")
    action = Base(reference, "sha256:0123", config, f"docker://{reference}@sha256:0123")
    return Step(digest(reference), f"(from {reference})", action)


def run(command: str, on: Step, id: StepId | None = None) -> Step:
    action = Run(on.id, command, ("/bin/sh", "-c"), "/", (), Ids())
    return Step(id or digest(on.id + command), f"(run (shell {command}))", action)


def copy(source: Step, into: Step) -> Step:
    action = Copy(into.id, FromStep(source.id), ("/a",), "/b", (), Ids())
    return Step(digest(source.id + into.id), "(copy (from (build x)) (src /a) (dst /b))", action)


def fields(step: Step) -> Fields:
    return [("kind", step.kind), ("op", step.op), ("inputs", list(step.inputs))]


def begin(index: Index) -> str:
    return index.begin_batch("stepwood build a.spec", jobs=1, steps=1, started=NOW)


def built(step: Step, seconds: float, **more: object) -> Attempt:
    return Attempt.of(step.id, Built(seconds, bytes=10, peak_memory=20), started=NOW, **more)  # type: ignore[arg-type]


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask the file as any other program does."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def python(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def older(path: Path, released: int, rows: str = "") -> None:
    """An index as a version made it that had so many migrations; `rows` is SQL that fills it."""
    old = sqlite_utils.Migrations("stepwood")
    for name, sql in MIGRATIONS[:released]:
        old(name=name)(lambda database, sql=sql: database.executescript(sql))
    database = sqlite_utils.Database(path)
    if released:
        old.apply(database)
        database.executescript(rows)
    database.close()
    path.touch()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    with Index.open(path) as index:
        yield index


class TestOpening:
    def test_open_makes_the_file_and_find_does_not(self, path: Path) -> None:
        assert Index.find(path) is None
        assert not path.exists()
        Index.open(path).close()
        found = Index.find(path)
        assert found is not None
        found.close()

    def test_what_was_written_is_there_after_reopening(self, path: Path) -> None:
        with Index.open(path) as index:
            index.add_steps([base()], fields)
        with Index.open(path) as index:
            assert index.step(base().id).op == "(from debian)"

    def test_a_path_may_hold_any_characters(self, tmp_path: Path) -> None:
        for name in ("a b", "50%?x=1#y", "é", NOT_UTF8):
            path = tmp_path / name / "index.db"
            path.parent.mkdir()
            Index.open(path).close()
            assert path.exists()

    def test_it_uses_the_write_ahead_log(self, index: Index, path: Path) -> None:
        assert query(path, "PRAGMA journal_mode") == [("wal",)]

    @pytest.mark.parametrize("released", range(len(MIGRATIONS)))
    def test_an_older_index_gets_the_migrations_it_lacks(self, path: Path, released: int) -> None:
        """With none released it is an empty file."""
        older(path, released)
        with Index.open(path) as index:
            index.add_steps([base()], fields)
            assert index.failures([base().id]) == {}
        assert [name for (name,) in query(path, "SELECT name FROM _sqlite_migrations")] == [n for n, _ in MIGRATIONS]

    def test_batches_from_before_predictions_are_kept_without_one(self, path: Path) -> None:
        before = [name for name, _ in MIGRATIONS].index("005_foresight")
        rows = "INSERT INTO batches VALUES ('20231114-1', 5.5, 9.5, 'failed', 3, 7, 1, 2, 3, 4, 5, 'stepwood build x')"
        older(path, before, rows)
        kept = Batch("20231114-1", 5.5, 9.5, "failed", 3, 7, "stepwood build x", None, Totals(1, 2, 3, 4, 5))
        with Index.open(path) as index:
            assert index.batches() == [kept]
            new = index.begin_batch("x", jobs=1, steps=1, started=NOW, predicted=Prediction(2.0, 3.0))
            assert [batch.predicted for batch in index.batches()] == [Prediction(2.0, 3.0), None]
            assert index.predicted(10) == []
            index.finish_batch(new, "built", Totals(built=1), finished=NOW + 4)
            assert index.predicted(10) == [(2.0, 4.0)]

    def test_an_index_of_today_is_opened_without_importing_sqlite_utils(self, path: Path) -> None:
        Index.open(path).close()
        script = "import sys, pathlib, engine.index as i; i.Index.open(pathlib.Path(sys.argv[1])); print(*sys.modules)"
        modules, _ = python(script, path).communicate()
        assert "sqlite3" in modules.split()
        assert "sqlite_utils" not in modules.split()

    def test_a_newer_index_is_refused_and_left_as_it_is(self, path: Path) -> None:
        Index.open(path).close()
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('stepwood', '999_later', '')"
            )
        connection.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match="newer version of Stepwood") as caught:
            Index.open(path)
        assert "use that version" in str(caught.value.hint)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 4096])
    def test_a_file_that_is_no_database_says_how_to_rebuild(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        for way in (Index.open, Index.find):
            with pytest.raises(StoreError) as caught:
                way(path)
            assert "stepwood fsck --rebuild-index" in str(caught.value.hint)

    def test_an_index_cut_short_says_how_to_rebuild(self, path: Path) -> None:
        with Index.open(path) as index:
            index.add_steps([base(f"base{n}") for n in range(200)], fields)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(StoreError) as caught, Index.open(path) as index:
            index.add_steps([base(f"base{n}") for n in range(400)], fields)
        assert "stepwood fsck --rebuild-index" in str(caught.value.hint)

    def test_a_database_of_something_else_is_refused(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.close()
        with pytest.raises(StoreError, match="not an index"):
            Index.open(path)

    def test_a_folder_that_is_not_one_or_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for folder in ("file", "missing"):
            assert Index.find(tmp_path / folder / "index.db") is None
            with pytest.raises(StoreError, match="cannot be used"):
                Index.open(tmp_path / folder / "index.db")
        with pytest.raises(StoreError, match="cannot be used"):
            Index.open(tmp_path)


class TestTransactions:
    def test_an_exception_takes_back_the_whole_block(self, index: Index) -> None:
        with pytest.raises(ZeroDivisionError), index.transaction():
            index.add_steps([base()], fields)
            with index.transaction():
                index.add_steps([base("alpine")], fields)
            raise ZeroDivisionError
        assert index.builds([]) == {}
        for reference in ("debian", "alpine"):
            with pytest.raises(KeyError):
                index.step(base(reference).id)

    def test_an_error_of_the_block_is_not_taken_for_one_of_the_index(self, index: Index) -> None:
        with pytest.raises(FileNotFoundError), index.transaction():
            raise FileNotFoundError(2, "something else")

    def test_a_writer_waits_and_then_says_that_the_index_is_busy(self, index: Index, path: Path) -> None:
        with Index.open(path, timeout=0.05) as other, index.transaction():
            assert other.batches() == []  # readers do not wait
            with pytest.raises(StoreBusy, match="in use by another process"):
                other.add_steps([base()], fields)
        assert StoreBusy.transient

    def test_a_full_disk(self, index: Index) -> None:
        index._db._connection.execute("PRAGMA max_page_count = 40")
        with pytest.raises(OutOfSpace):
            index.add_steps([base(f"base{n}") for n in range(10_000)], fields)
        index._db._connection.execute("PRAGMA max_page_count = 100000")
        index.add_steps([base()], fields)
        assert index.resolve(base().id[:4]).id == base().id

    def test_a_step_that_is_not_known_cannot_be_referred_to(self, index: Index) -> None:
        with pytest.raises(sqlite3.IntegrityError):
            index.record_attempts(begin(index), [built(base(), 1.0)])


class TestSteps:
    def test_a_step_its_fields_and_its_inputs(self, index: Index) -> None:
        one, two = base("one"), base("two")
        both = copy(one, into=two)
        index.add_steps([both, one, two], fields)  # in any order
        row = index.step(both.id)
        assert (row.id, row.kind, row.op) == (both.id, "copy", both.op)
        assert index.fields(both.id) == fields(both)
        assert index.inputs(both.id) == [two.id, one.id]

    def test_adding_again_changes_nothing_and_does_not_ask_for_the_fields(self, index: Index) -> None:
        index.add_steps([base()], fields)
        before = index.step(base().id)
        index.add_steps([base(), base("new")], lambda step: {base("new").id: fields(step)}[step.id])
        assert index.step(base().id) == before

    def test_unknown_ids(self, index: Index) -> None:
        for ask in (index.step, index.fields, index.batch):
            with pytest.raises(KeyError):
                ask("0" * 64)
        assert index.inputs("0" * 64) == []
        assert index.attempts("0" * 64) == []
        assert index.closure("0" * 64) == index.dependents("0" * 64) == set()

    def test_closure_and_dependents_follow_all_edges(self, index: Index) -> None:
        """one ─ a ─ b ─┐
        two ───────── joined ─ end"""
        one, two = base("one"), base("two")
        a = run("a", one)
        b = run("b", a)
        joined = copy(b, into=two)
        end = run("end", joined)
        index.add_steps([one, two, a, b, joined, end], fields)
        assert index.closure(joined.id) == {one.id, two.id, a.id, b.id}
        assert index.dependents(a.id) == {b.id, joined.id, end.id}
        assert index.closure(one.id) == index.dependents(end.id) == set()

    def test_a_chain_of_1200_steps(self, index: Index) -> None:
        chain = [base()]
        for n in range(1199):
            chain.append(run(str(n), chain[-1]))
        index.add_steps(chain, fields)
        assert len(index.closure(chain[-1].id)) == len(index.dependents(chain[0].id)) == 1199

    @given(st.text(st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\\u\ufffddce9"))))
    def test_any_text_is_kept_as_utf8_and_read_exactly(self, value: str) -> None:
        assert plain(text(value)) == value
        text(value).encode()

    def test_only_what_must_be_is_escaped(self) -> None:
        assert text("a\\b é") == "a\\b é"
        assert text(os.fsdecode(b"a\\\xe9")) == "\ufffda\\\\\\udce9"

    def test_text_that_is_not_utf8_comes_back_as_it_was(self, index: Index) -> None:
        step = Step(digest("x"), f"(copy (src {NOT_UTF8}) (dst /))", base().action)
        index.add_steps([step], lambda step: [("source", NOT_UTF8)])
        assert index.step(step.id).op == step.op
        assert index.fields(step.id) == [("source", NOT_UTF8)]
        batch = index.begin_batch(f"stepwood build {NOT_UTF8}", jobs=1, steps=1, started=NOW)
        index.add_jobs(batch, [(NOT_UTF8, step.id)])
        job = index.job_by_name(NOT_UTF8)
        assert job is not None and job.name == NOT_UTF8
        assert index.resolve(NOT_UTF8[:4]) == Match("job", NOT_UTF8)
        assert index.batch(batch).command.endswith(NOT_UTF8)


class TestBatchesAndJobs:
    def test_a_batch_from_begin_to_end(self, index: Index) -> None:
        steps = [base(), base("alpine")]
        index.add_steps(steps, fields)
        batch = index.begin_batch("stepwood build a.spec b.spec", jobs=2, steps=2, started=NOW)
        a, b = index.add_jobs(batch, [("a", steps[0].id), ("b", steps[1].id)])
        running = index.batch(batch)
        assert (running.finished, running.outcome) == (None, None)
        index.finish_jobs([(b, "failed")])
        index.finish_batch(batch, "failed", Totals(built=1, failed=1), finished=NOW + 9)
        ended = index.batch(batch)
        assert (ended.started, ended.finished, ended.outcome) == (NOW, NOW + 9, "failed")
        assert (ended.jobs, ended.steps, ended.totals) == (2, 2, Totals(built=1, failed=1))
        assert [(job.id, job.name, job.final, job.outcome) for job in index.jobs(batch)] == [
            (a, "a", steps[0].id, None),
            (b, "b", steps[1].id, "failed"),
        ]

    def test_jobs_keep_their_labels(self, index: Index) -> None:
        steps = [base(), base("alpine")]
        index.add_steps(steps, fields)
        batch = index.begin_batch("x", jobs=2, steps=2, started=NOW)
        labels = {"a": {"kind": "text", NOT_UTF8: NOT_UTF8}}
        index.add_jobs(batch, [("a", steps[0].id), ("b", steps[1].id)], labels)
        assert [job.labels for job in index.jobs(batch)] == [labels["a"], {}]

    def test_what_was_predicted_of_a_batch_stays_with_it(self, index: Index) -> None:
        batch = index.begin_batch("x", jobs=1, steps=1, started=NOW, predicted=Prediction(2.5, 4.25))
        assert index.batch(batch).predicted == Prediction(2.5, 4.25)
        index.finish_batch(batch, "built", Totals(built=1), finished=NOW + 3)
        assert index.batch(batch).predicted == Prediction(2.5, 4.25)
        assert index.batch(begin(index)).predicted is None
        at_once = index.begin_batch("x", jobs=1, steps=1, started=NOW, predicted=Prediction(0.0, 0.0))
        assert index.batch(at_once).predicted == Prediction(0.0, 0.0)

    def test_predictions_and_what_came_of_them(self, index: Index) -> None:
        """Newest first; of runs that built all they were to, and were not over at once anyway."""
        runs: list[tuple[float | None, Name | None, float]] = [
            (2.0, "built", 4.0),
            (3.0, "failed", 1.0),
            (5.0, "cached", 0.5),
            (6.0, "cancelled", 3.0),
            (None, "built", 9.0),
            (1.0, "built", 9.0),
            (1.5, "built", 1.25),
            (8.0, None, 0.0),
            (0.0, "built", 9.0),
        ]
        for number, (p50, outcome, took) in enumerate(runs):
            predicted = None if p50 is None else Prediction(p50, 100.0)
            started = NOW - 60 * number
            batch = index.begin_batch("x", jobs=1, steps=1, started=started, predicted=predicted)
            if outcome:
                index.finish_batch(batch, outcome, Totals(), finished=started + took)
        assert index.predicted(10) == [(2.0, 4.0), (1.5, 1.25)]
        assert index.predicted(1) == [(2.0, 4.0)]

    def test_a_batch_whose_process_died_has_no_end(self, path: Path) -> None:
        writer = python(
            """
            import sys, os, signal, pathlib
            from engine.index import Index
            index = Index.open(pathlib.Path(sys.argv[1]))
            print(index.begin_batch("x", jobs=1, steps=1, started=1.0), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            path,
        )
        printed, _ = writer.communicate()
        with Index.open(path) as index:
            assert index.batch(printed.strip()).finished is None

    def test_ids_of_batches_sort_by_time_and_differ(self, index: Index) -> None:
        ids = [index.begin_batch("x", jobs=0, steps=0, started=NOW + n / 10) for n in range(100)]
        assert ids == sorted(set(ids))
        assert ids[0].startswith("20231114-221320-")

    def test_newest_first_and_not_more_than_asked(self, index: Index) -> None:
        index.add_steps([base()], fields)
        old, new = (index.begin_batch("x", jobs=1, steps=1, started=NOW + n) for n in (0, 1))
        index.add_jobs(old, [("tools", base().id)])
        index.add_jobs(new, [("tools", base().id), ("docs", base().id)])
        assert [batch.id for batch in index.batches()] == [new, old]
        assert [batch.id for batch in index.batches(limit=1)] == [new]
        assert [(job.batch, job.name) for job in index.jobs(limit=2)] == [(new, "docs"), (new, "tools")]
        latest = index.job_by_name("tools")
        assert latest is not None and latest.batch == new
        assert index.job_by_name("too") is None


class TestAttempts:
    OUTCOMES = (
        (Built(1.5, bytes=None, peak_memory=7), ("built", 0, None, "", 1.5)),
        (Cached(), ("cached", None, None, "", 0.0)),
        (Failed(2, "exit", 0.5), ("failed", 2, "exit", "", 0.5)),
        (Failed(None, "store", 0.5, "no layer"), ("failed", None, "store", "no layer", 0.5)),
        (Skipped(digest("broken")), ("skipped", None, None, digest("broken"), 0.0)),
        (Cancelled(), ("cancelled", None, "cancelled", "", 0.0)),
    )

    @pytest.mark.parametrize(("outcome", "row"), OUTCOMES)
    def test_every_outcome_is_a_row(self, index: Index, outcome: Outcome, row: tuple[object, ...]) -> None:
        index.add_steps([base()], fields)
        batch = begin(index)
        attempt = Attempt.of(base().id, outcome, started=NOW, number=3, log="logs/1")
        index.record_attempts(batch, [attempt])
        [read] = index.batch_attempts(batch)
        assert read == attempt
        assert index.attempts(base().id) == ([] if outcome == Cached() else [attempt])
        assert (read.outcome, read.exit, read.cause, read.message, read.seconds) == row
        assert read.outcome == outcome.name

    def test_the_latest_attempt_is_the_latest_that_ran(self, index: Index) -> None:
        index.add_steps([base()], fields)
        batch, id = begin(index), base().id
        assert index.latest_attempt(id) is None
        first = built(base(), 1.0, log="logs/1")
        stopped = Attempt.of(id, Cancelled(), started=NOW, log="logs/2")
        never_started = Attempt.of(id, Cancelled(), started=NOW)
        cached = Attempt.of(id, Cached(), started=NOW)
        index.record_attempts(batch, [first, cached, never_started])
        assert index.latest_attempt(id) == first
        index.record_attempts(batch, [stopped, cached, never_started])
        assert index.latest_attempt(id) == stopped

    def test_builds_are_those_of_each_step_the_latest_first(self, index: Index) -> None:
        odd, even, failed, never = (base(name) for name in ("odd", "even", "failed", "never"))
        index.add_steps([odd, even, failed, never], fields)
        attempts = [built(odd, s) for s in (1.0, 100.0, 3.0)] + [built(even, s) for s in (4.0, 2.0)]
        attempts += [
            Attempt.of(failed.id, Failed(1, "exit", 9.0), started=NOW),
            Attempt.of(odd.id, Cached(), started=NOW),
        ]
        index.record_attempts(begin(index), attempts)
        found = index.builds([odd.id, even.id, failed.id, never.id, "unknown"])
        seconds = {id: [took for took, _ in builds] for id, builds in found.items()}
        assert seconds == {odd.id: [3.0, 100.0, 1.0], even.id: [2.0, 4.0]}

    def test_sizes_are_those_of_the_last_builds_that_say_them(self, index: Index) -> None:
        names = ("twice", "unsaid", "never said", "failed", "nothing", "never")
        steps = {name: base(name) for name in names}
        index.add_steps(steps.values(), fields)

        def made(name: str, bytes: int | None) -> Attempt:
            return Attempt.of(steps[name].id, Built(1.0, bytes, None), started=NOW)

        index.record_attempts(begin(index), [made("twice", 900), made("unsaid", 7), made("never said", None)])
        index.record_attempts(begin(index), [made("twice", 30), made("unsaid", None), made("nothing", 0)])
        others = (Failed(1, "exit", 1.0), Cached())
        index.record_attempts(
            begin(index),
            [Attempt.of(steps[name].id, one, started=NOW) for name in ("failed", "twice") for one in others],
        )
        ids = [*[step.id for step in steps.values()], "unknown"]
        assert index.sizes(ids) == {steps["twice"].id: 30, steps["unsaid"].id: 7, steps["nothing"].id: 0}
        assert index.sizes([steps["nothing"].id]) == {steps["nothing"].id: 0}
        assert index.sizes([]) == {}

    @pytest.mark.parametrize(
        ("history", "fails"),
        [
            ("", False),
            ("failed", True),
            ("built", False),
            ("built failed", True),
            ("failed built", False),
            ("failed failed", True),
            ("failed skipped", True),
            ("failed cancelled", True),
            ("failed cached", True),
            ("built failed built cached", False),
        ],
    )
    def test_a_failure_stands_until_the_step_is_built(self, index: Index, history: str, fails: bool) -> None:
        index.add_steps([base(), base("other")], fields)
        outcomes: dict[str, Outcome] = {
            "built": Built(1, 1, 1),
            "failed": Failed(1, "exit", 1.0),
            "skipped": Skipped(base("other").id),
            "cancelled": Cancelled(),
            "cached": Cached(),
        }
        attempts = [Attempt.of(base().id, outcomes[name], started=NOW + n) for n, name in enumerate(history.split())]
        index.record_attempts(begin(index), [*attempts, built(base("other"), 1.0)])
        failures = index.failures([base().id, base("other").id])
        last = [attempt for attempt in attempts if attempt.outcome == "failed"][-1:]
        assert failures == ({base().id: last[0]} if fails else {})

    def test_ten_thousand_cached_steps(self, index: Index) -> None:
        """Bulk questions and answers go in a few statements; bench/ has the time."""
        root = base()
        steps = [root] + [run(str(n), root) for n in range(9_999)]
        ids = [step.id for step in steps]
        statements: list[str] = []
        index.add_steps(steps, fields)
        batch = begin(index)
        index._db._connection.set_trace_callback(statements.append)
        index.add_steps(steps, fields)
        assert index.builds(ids) == {}
        assert index.failures(ids) == {}
        assert len(statements) < 100
        index.record_attempts(batch, [Attempt.of(id, Cached(), started=NOW) for id in ids])
        assert len([s for s in statements if s.startswith(("BEGIN", "COMMIT"))]) <= 4
        index._db._connection.set_trace_callback(None)
        assert len(index.batch_attempts(batch)) == 10_000


class TestCost:
    def test_no_question_reads_a_whole_table(self, index: Index, path: Path) -> None:
        """Neither do they read the rows of cached steps, which are by far the most."""
        id = base().id
        asked: list[str] = []
        index._db._connection.set_trace_callback(asked.append)
        for ask in (
            index.inputs,
            index.closure,
            index.made_of,
            index.dependents,
            index.attempts,
            index.pin,
            index.job_by_name,
            index.jobs,
        ):
            ask(id)
        index.builds([id, "b"])
        index.failures([id, "b"])
        index.sizes([id, "b"])
        index.file_hashes([FileStamp("a", 1, 1, 1, 1)])
        index.batch_attempts("x")
        index.add_steps([base()], fields)
        assert index.resolve(id[:8]).id == id
        index._db._connection.set_trace_callback(None)
        questions = [sql for sql in asked if sql.startswith(("SELECT", "WITH"))]
        assert len(questions) == 17
        for sql in questions:
            plan = [str(row[-1]) for row in query(path, f"EXPLAIN QUERY PLAN {sql}")]
            assert any("SEARCH" in line for line in plan), (sql, plan)
            assert not [line for line in plan if line.startswith("SCAN") and line.split()[1] in TABLES], (sql, plan)


class TestResolving:
    STEPS = ("ab" * 32, "abcd" + "0" * 60, "20" + "e" * 62)

    @pytest.fixture
    def filled(self, index: Index) -> Index:
        first = base()
        steps = [Step(id, "(from x)", first.action) for id in self.STEPS]
        index.add_steps(steps, fields)
        for n in range(2):
            batch = index.begin_batch("x", jobs=1, steps=1, started=NOW + 86_400 * n)
            names = ("tools", "tools-extra", "100%", "100_x", "1000", "a*c", "[x]", 'd"q')
            index.add_jobs(batch, [(name, steps[0].id) for name in names])
        return index

    @pytest.mark.parametrize(
        ("prefix", "kinds", "match"),
        [
            (STEPS[0], (), Match("step", STEPS[0])),
            ("aba", (), Match("step", STEPS[0])),
            ("abc", (), Match("step", STEPS[1])),
            ("20e", (), Match("step", STEPS[2])),
            ("20", ("step",), Match("step", STEPS[2])),
            ("tools", (), Match("job", "tools")),  # the whole name, though another job's starts so
            ("tools-", (), Match("job", "tools-extra")),
            ("100%", (), Match("job", "100%")),
            ("100_", (), Match("job", "100_x")),
            ("a*", (), Match("job", "a*c")),
            ("[", ("job",), Match("job", "[x]")),
            ('d"', ("job", "step"), Match("job", 'd"q')),
        ],
    )
    def test_a_prefix_that_is_unique(self, filled: Index, prefix: str, kinds: tuple[str, ...], match: Match) -> None:
        assert filled.resolve(prefix, *kinds) == match  # type: ignore[arg-type]

    def test_a_day_or_more_of_a_batch(self, filled: Index) -> None:
        newest = filled.batches()[0].id
        assert filled.resolve("20231115") == filled.resolve(newest, "batch") == Match("batch", newest)

    @pytest.mark.parametrize(
        "prefix", ["", "%", "_", "*", "?", "100%x", "AB", "ab" * 33, "'; DROP TABLE steps; --", "\udce9"]
    )
    def test_nothing_starts_so(self, filled: Index, prefix: str) -> None:
        with pytest.raises(InputError, match="no step or job or batch starts with"):
            filled.resolve(prefix)

    def test_a_job_that_may_have_been_meant(self, filled: Index) -> None:
        with pytest.raises(InputError, match="no step or job starts with") as caught:
            filled.resolve("toosl", "step", "job")
        assert caught.value.hint == 'did you mean "tools"?'
        with pytest.raises(InputError) as caught:
            filled.resolve("toosl", "step")
        assert caught.value.hint is None

    def test_a_prefix_of_several_lists_them(self, filled: Index) -> None:
        with pytest.raises(InputError, match="may stand for several") as caught:
            filled.resolve("ab")
        assert str(caught.value.hint).splitlines() == [f"  step {self.STEPS[0]}", f"  step {self.STEPS[1]}"]

    def test_a_prefix_of_many_lists_five(self, filled: Index) -> None:
        batch = begin(filled)
        filled.add_jobs(batch, [(f"many{n}", self.STEPS[0]) for n in range(20)])
        with pytest.raises(InputError) as caught:
            filled.resolve("many")
        assert len(str(caught.value.hint).splitlines()) == 6


class TestPins:
    @pytest.mark.parametrize("user", [Ids(0, 0), Ids(1000, 100), Named("builder"), Named("1000:staff")])
    def test_a_pin_comes_back(self, index: Index, user: Ids | Named) -> None:
        config = Config(env=(("A", "1"), ("B", "é\n")), user=user, workdir="/w", platform="linux/arm64/v8")
        pin = Pin("docker://debian:12", "sha256:1", config, "docker://debian@sha256:1", taken=NOW)
        assert index.pin(pin.reference) is None
        index.save_pin(pin)
        assert index.pin(pin.reference) == pin

    def test_a_later_pin_takes_the_place_of_the_first(self, index: Index) -> None:
        for digest in ("old", "new"):
            index.save_pin(Pin("dir:/x", digest, Config(), "dir:/x", taken=NOW))
        pin = index.pin("dir:/x")
        assert pin is not None and pin.digest == "new"

    def test_a_path_that_is_not_utf8(self, index: Index) -> None:
        pin = Pin(f"dir:{NOT_UTF8}", "1", Config(), f"dir:/{NOT_UTF8}", taken=NOW)
        index.save_pin(pin)
        assert index.pin(pin.reference) == pin

    @pytest.mark.parametrize("broken", ["", "{", "[]", '{"env": 1}', '{"env": [["A"]], "user": {}, "workdir": "/"}'])
    def test_a_pin_that_cannot_be_read_is_none(self, index: Index, path: Path, broken: str) -> None:
        index.save_pin(Pin("x", "1", Config(), "x", taken=NOW))
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("UPDATE pins SET config = ?", (broken,))
        connection.close()
        assert index.pin("x") is None

    def test_the_config_as_json(self) -> None:
        config = Config(env=(("A", "1"),), user=Named("u"), workdir="/w", platform="p")
        json = {"env": [["A", "1"]], "user": {"name": "u"}, "workdir": "/w", "platform": "p"}
        assert config_to_json(config) == json
        assert config_from_json(json) == config


class TestFileHashes:
    def test_a_hash_holds_while_the_file_is_the_same(self, index: Index) -> None:
        stamp = FileStamp("/src/a", size=1, mtime_ns=2, inode=3, ctime_ns=4)
        index.save_file_hashes([(stamp, "aa")])
        assert index.file_hashes([stamp]) == {"/src/a": "aa"}
        for field in ("size", "mtime_ns", "inode", "ctime_ns"):
            values = {"path": "/src/a", "size": 1, "mtime_ns": 2, "inode": 3, "ctime_ns": 4, field: 99}
            assert index.file_hashes([FileStamp(**values)]) == {}  # type: ignore[arg-type]
        index.save_file_hashes([(FileStamp("/src/a", 5, 6, 7, 8), "bb")])
        assert index.file_hashes([FileStamp("/src/a", 5, 6, 7, 8)]) == {"/src/a": "bb"}

    def test_thousands_of_real_files(self, index: Index, tmp_path: Path) -> None:
        names = [f"f{n}" for n in range(2000)] + [NOT_UTF8, "a'b", "%"]
        stamps = []
        for name in names:
            (tmp_path / name).touch()
            stamps.append(FileStamp.of(str(tmp_path / name), (tmp_path / name).stat()))
        index.save_file_hashes((stamp, stamp.path[-2:]) for stamp in stamps)
        assert index.file_hashes(stamps) == {stamp.path: stamp.path[-2:] for stamp in stamps}

    @pytest.mark.parametrize("number", [0, -1, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
    def test_numbers_beyond_sqlites_integers(self, index: Index, number: int) -> None:
        """Network and overlay file systems have inodes with the highest bit set; ext4 has dates up to 2446."""
        stamp = FileStamp("a", 1, mtime_ns=number, inode=number, ctime_ns=number)
        index.save_file_hashes([(stamp, "aa")])
        assert index.file_hashes([stamp]) == {"a": "aa"}


def a_run(path: Path) -> list[dict[str, object]]:
    """Fill an index as the loop does; the metas of what was built."""
    one, two = base("one"), base("two", Config(user=Ids(1, 2)))
    a = run(f"touch {NOT_UTF8}", one)
    steps = [one, two, a, copy(a, into=two)]
    broken = run("false", a)
    with Index.open(path) as index:
        batch = index.begin_batch("stepwood build a.spec", jobs=1, steps=5, started=NOW)
        index.add_steps([*steps, broken], fields)
        index.add_jobs(batch, [("a", broken.id)])
        attempts = [built(step, n + 0.5, number=n + 1, log=f"logs/{n}") for n, step in enumerate(steps)]
        index.record_attempts(batch, [*attempts, Attempt.of(broken.id, Failed(1, "exit", 1.0), started=NOW)])
        for step in (one, two):
            assert isinstance(step.action, Base)
            action = step.action
            index.save_pin(Pin(action.reference, action.digest, action.config, action.source, taken=NOW - 5))
    return [to_meta(step, fields(step), attempt) for step, attempt in zip(steps, attempts, strict=True)]


TABLES = ("steps", "edges", "batches", "jobs", "attempts", "pins", "files")
GOOD = {"format": 1, "id": "a" * 64, "kind": "run", "op": "(run)", "inputs": [], "fields": [["a", 1]]}
"""The least that a meta.json says."""


class TestRebuilding:
    """What the store knows: steps, edges, the attempt that built each snapshot, and the pins of bases."""

    KNOWN = (
        "SELECT id, kind, op, fields FROM steps ORDER BY id",
        "SELECT * FROM edges ORDER BY step, position",
        "SELECT step, number, started, seconds, exit, outcome, cause, message, bytes, peak_memory, log "
        "FROM attempts WHERE outcome = 'built' ORDER BY step",
        "SELECT reference, kind, digest, config, source FROM pins ORDER BY reference",
    )

    def test_all_that_the_store_knows_comes_back(self, path: Path) -> None:
        metas = a_run(path)
        before = [query(path, sql) for sql in self.KNOWN]
        failed = digest(str(metas[2]["id"]) + "false")
        before[0] = [row for row in before[0] if row[0] != failed]  # it left no snapshot
        before[1] = [row for row in before[1] if row[0] != failed]
        path.unlink()
        assert Index.rebuild(path, reversed(metas)) == []
        assert [query(path, sql) for sql in self.KNOWN] == before
        with Index.open(path) as index:
            assert index.batches() == []
            assert {index.step(str(meta["id"])).first_seen for meta in metas} == {NOW}

    def test_the_old_index_is_kept_beside_it(self, path: Path) -> None:
        a_run(path)
        Index.rebuild(path, [])
        assert sorted(file.name for file in path.parent.iterdir()) == ["index.db", "index.db.old"]
        assert query(path, "SELECT count(*) FROM steps") == [(0,)]
        assert query(path.with_name("index.db.old"), "SELECT count(*) FROM steps") == [(5,)]
        Index.rebuild(path, [])
        assert query(path.with_name("index.db.old"), "SELECT count(*) FROM steps") == [(0,)]

    @pytest.mark.parametrize("index_left", [True, False])
    def test_the_log_of_a_killed_process_is_not_replayed_into_the_new_index(self, path: Path, index_left: bool) -> None:
        killed = python(
            """
            import sys, os, signal, pathlib
            from engine.index import Index
            index = Index.open(pathlib.Path(sys.argv[1]))
            for n in range(50):
                index.begin_batch("x", jobs=1, steps=1, started=float(n))
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            path,
        )
        killed.communicate()
        assert Path(f"{path}-wal").stat().st_size > 0
        if not index_left:
            path.unlink()
        Index.rebuild(path, [])
        assert query(path, "PRAGMA integrity_check") == [("ok",)]
        assert query(path, "SELECT count(*) FROM batches") == [(0,)]
        if index_left:
            assert query(Path(f"{path}.old"), "SELECT count(*) FROM batches") == [(50,)]

    def test_a_file_that_is_no_database_is_replaced(self, path: Path) -> None:
        metas = a_run(path)
        path.write_bytes(b"rubbish" * 1000)
        Path(f"{path}.new").write_bytes(b"rubbish, too")
        assert Index.rebuild(path, metas) == []
        assert len(query(path, "SELECT id FROM steps")) == 4

    @pytest.mark.parametrize(
        ("broken", "says"),
        [
            ({"id": None}, "lacks id"),
            ({"kind": 1}, "lacks id, kind"),
            ({"op": None}, "lacks id"),
            ({"inputs": "x"}, "lacks id"),
            ({"id": "A" * 64}, "not a step id"),
            ({"id": "../../x"}, "not a step id"),
            ({"inputs": [1]}, "not a step id"),
            ({"inputs": ["b" * 64]}, "an input is gone"),
            ({"fields": {}}, "fields are not a list"),
            ({"fields": [["a"]]}, "a name and a value"),
            ({"fields": ["ab"]}, "a name and a value"),
            ({"format": 2}, "format is 2"),
            ({"base": {"reference": "x", "digest": "1", "source": "x", "config": {}}}, "config is not one"),
        ],
    )
    def test_a_meta_that_is_not_one_is_left_out(self, path: Path, broken: dict[str, object], says: str) -> None:
        [message] = Index.rebuild(path, [{**GOOD, **broken}])
        assert says in message
        assert query(path, "SELECT * FROM steps") == []

    @pytest.mark.parametrize(
        "odd",
        [
            {"started": None},
            {"seconds": "1"},
            {"started": float("nan")},
            {"seconds": 2**80},
            {"started": float("inf")},
            {"fields": []},
            {"base": None},
        ],
    )
    def test_a_meta_without_an_attempt_gives_a_step_all_the_same(self, path: Path, odd: dict[str, object]) -> None:
        assert Index.rebuild(path, [{**GOOD, **odd}]) == []
        with Index.open(path) as index:
            assert index.step("a" * 64).kind == "run"
            assert index.attempts("a" * 64) == []

    @pytest.mark.parametrize(
        "odd", [{"bytes": 2**70}, {"exit": "0"}, {"log": 7}, {"attempt": None}, {"peak_memory": 1.5}]
    )
    def test_an_attempt_that_lacks_something(self, path: Path, odd: dict[str, object]) -> None:
        assert Index.rebuild(path, [{**GOOD, "started": 1, "seconds": 2, **odd}]) == []
        with Index.open(path) as index:
            assert [seconds for seconds, _ in index.builds(["a" * 64])["a" * 64]] == [2.0]

    def test_lone_surrogates_anywhere(self, path: Path) -> None:
        pin = {"reference": "x\ud800", "digest": "\ud800", "source": "\ud800", "config": config_to_json(Config())}
        odd = {"kind": "\ud800", "op": "\ud800", "fields": [["\ud800", "\ud800"]], "log": "\ud800", "base": pin}
        assert Index.rebuild(path, [{**GOOD, "started": 1, "seconds": 2, **odd}]) == []
        with Index.open(path) as index:
            assert index.fields("a" * 64) == [("\ud800", "\ud800")]
            assert index.attempts("a" * 64)[0].log == "\ud800"

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_two_bases_of_one_reference_the_later_is_the_pin(self, path: Path, order: int) -> None:
        metas = []
        for n, digest in enumerate(("old", "new")):
            pin = {"reference": "debian", "digest": digest, "source": "s", "config": config_to_json(Config())}
            metas.append({**GOOD, "id": f"{n}" * 64, "kind": "base", "base": pin, "started": n, "seconds": 1})
        Index.rebuild(path, metas[::order])
        with Index.open(path) as index:
            found = index.pin("debian")
        assert found is not None and found.digest == "new"

    def test_what_was_made_from_a_lost_snapshot_is_left_out_too(self, path: Path) -> None:
        metas = a_run(path)
        messages = Index.rebuild(path, metas[1:])  # without the base that "a" and then the copy are made from
        assert [message.partition(":")[0] for message in messages] == [f"snapshot {m['id']}" for m in metas[2:]]
        assert query(path, "SELECT id FROM steps") == [(metas[1]["id"],)]


class TestProcesses:
    def test_readers_go_on_while_another_process_writes(self, path: Path) -> None:
        Index.open(path).close()
        writer = python(
            """
            import sys, pathlib, time
            from engine.index import Index
            with Index.open(pathlib.Path(sys.argv[1])) as index:
                with index.transaction():
                    index.begin_batch("in one transaction", jobs=1, steps=1, started=time.time())
                    print("writing", flush=True)
                    sys.stdin.readline()
                    index.begin_batch("in one transaction", jobs=1, steps=1, started=time.time())
                print("written", flush=True)
            """,
            path,
        )
        assert writer.stdout is not None and writer.stdin is not None
        with Index.open(path) as index:
            assert writer.stdout.readline() == "writing\n"
            assert index.batches() == []
            writer.stdin.write("\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            assert len(index.batches()) == 2
        writer.communicate()
        assert writer.returncode == 0

    def test_many_processes_make_and_fill_one_new_index(self, path: Path) -> None:
        script = """
            import sys, pathlib, time
            from engine.index import Index
            sys.stdin.readline()
            with Index.open(pathlib.Path(sys.argv[1])) as index:
                for n in range(20):
                    index.begin_batch("x", jobs=1, steps=1, started=time.time())
            """
        writers = [python(script, path) for _ in range(6)]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate()
        assert [writer.returncode for writer in writers] == [0] * 6
        assert query(path, "SELECT count(*) FROM batches") == [(120,)]


class TestDatasette:
    """It opens in Datasette as it is: keys everywhere, and views that answer without arguments."""

    @pytest.fixture
    def filled(self, path: Path) -> Path:
        a_run(path)
        return path

    def test_every_table_has_a_primary_key(self, filled: Path) -> None:
        tables = [name for (name,) in query(filled, "SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert set(TABLES) <= set(tables)
        for table in tables:
            assert any(column[-1] for column in query(filled, f"PRAGMA table_info({table})")), table

    def test_foreign_keys_are_declared_and_hold(self, filled: Path) -> None:
        assert query(filled, "PRAGMA foreign_key_check") == []
        targets = {
            (table, column): target
            for table in ("edges", "jobs", "attempts")
            for _, _, target, column, *_ in query(filled, f"PRAGMA foreign_key_list({table})")
        }
        assert targets == {
            ("edges", "step"): "steps",
            ("edges", "input"): "steps",
            ("jobs", "batch"): "batches",
            ("jobs", "final"): "steps",
            ("attempts", "step"): "steps",
            ("attempts", "batch"): "batches",
        }

    def test_nothing_is_a_blob(self, filled: Path) -> None:
        """Datasette cannot show one in a view; the run has a name that is not UTF-8."""
        for (name,) in query(filled, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"):
            assert not [row for row in query(filled, f"SELECT * FROM {name}") if bytes in map(type, row)]

    def test_the_views(self, filled: Path) -> None:
        assert query(filled, "SELECT name, steps, built_seconds FROM job_summary") == [("a", 3, 3.0)]
        assert [row[0] for row in query(filled, "SELECT mean_seconds FROM slowest_steps")] == [3.5, 2.5, 1.5, 0.5]
        assert query(filled, "SELECT op, exit, cause FROM failed_steps") == [("(run (shell false))", 1, "exit")]
