"""The index: one SQLite file that remembers steps, jobs, batches, attempts, pins and hashes of context files. It is
long, as each question that is asked of it is a query of its own here, and nowhere else is SQL on these tables.

What it knows of snapshots can be rebuilt from the store. Many processes may have an index open, each in
one thread; SQLite's write-ahead log lets readers and a writer go side by side.

Errors: `StoreBusy` where another process writes for longer than the time-out, `OutOfSpace`, and else
`StoreError`, whose hint says what to do. An id that is not there is a `KeyError`.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from engine.database import Database, explained, remove, replace
from engine.outcome import Name
from engine.records import (
    Attempt,
    Batch,
    Fields,
    FileStamp,
    Flaky,
    Job,
    Pin,
    Prediction,
    Record,
    StepRow,
    Totals,
    config_from_json,
    config_to_json,
    fields_from_json,
    read_metas,
    text,
)
from engine.step import Step, StepId
from system.errors import InputError, did_you_mean

Kind = Literal["step", "job", "batch"]

TIMEOUT = 10.0
"""Seconds to wait for another process's transaction."""
CANDIDATES = 5
"""How many ids an ambiguous prefix lists."""

# A range of the primary key, or of the index on names, each: no LIKE, so no character is special.
PREFIXES: Mapping[Kind, str] = {
    "step": "SELECT id FROM steps WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
    "job": "SELECT DISTINCT name FROM jobs WHERE name >= ? AND name < ? ORDER BY name LIMIT ?",
    "batch": "SELECT id FROM batches WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
}
LAST_CHARACTER = "\U0010ffff"
ATTEMPTS = "SELECT step, number, started, seconds, outcome, exit, cause, message, bytes, peak_memory, log FROM attempts"
BATCHES = (
    "SELECT id, started, finished, outcome, jobs, steps, command, p50, p90, built, cached, failed, skipped, cancelled"
    " FROM batches"
)
JOBS = "SELECT id, batch, name, final, outcome, position, labels FROM jobs"


@dataclass(frozen=True, slots=True)
class Match:
    """What a prefix stands for: a step or a batch by its id, a job by its name."""

    kind: Kind
    id: str


Build = tuple[float, int | None]
"""What one build of a step cost: seconds, and bytes of memory at its peak, None where that is not known."""
OpBuild = tuple[float, int | None, str]
"""The same, and the step's op."""


class Index:
    """An open index. Use it in the thread that opened it, and close it or leave its `with` block."""

    def __init__(self, database: Database) -> None:
        """`open` and `find` are the ways in."""
        self._db = database

    @classmethod
    def open(cls, path: Path, *, timeout: float = TIMEOUT) -> Index:
        """The index at `path`, made or brought to today's format where needed. `timeout` is in seconds."""
        return cls(Database(path, "rwc", timeout))

    @classmethod
    def find(cls, path: Path, *, timeout: float = TIMEOUT) -> Index | None:
        """The index at `path`, or None: it makes no file."""
        with explained(path):
            try:
                path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return cls(Database(path, "rw", timeout))

    @classmethod
    def rebuild(cls, path: Path, metas: Iterable[Mapping[str, object]]) -> list[str]:
        """Put an index made from the snapshots' meta.json in the place of the one at `path`.

        The one that was there is kept as `PATH.old`. Returns a line for each snapshot that is left out:
        its meta.json is not one, or an input is gone. Nobody else may use the store meanwhile.
        """
        records, messages = read_metas(metas)
        fresh = Path(f"{path}.new")
        with explained(path):
            remove(fresh)
            with cls.open(fresh) as index, index.transaction():
                index._insert_steps(records)
                index.record_attempts(None, (record.attempt for record in records if record.attempt))
                for pin in sorted((record.pin for record in records if record.pin), key=lambda pin: pin.taken):
                    index.save_pin(pin)  # the latest of a reference stays
            replace(path, fresh, kept=Path(f"{path}.old"))
        return messages

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Group writes: all of them or, after an exception, none. Within a transaction it is a part of that.

        Other processes that want to write wait for its end: keep it short.
        """
        return self._db.transaction()

    def be_patient(self, seconds: float) -> None:
        """Wait so long for another process that writes, from now on."""
        self._db.be_patient(seconds)

    def query(self, sql: str, arguments: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT, by column: docs/reference/index.md has the tables. InputError: it is no such thing."""
        return self._db.records(sql, arguments)

    # What the loop writes.

    def add_steps(self, steps: Iterable[Step], fields: Callable[[Step], Fields]) -> None:
        """Note `steps`, whose inputs are among them or known. `fields` is called for those that are new only."""
        by_id = {step.id: step for step in steps}
        known = {id for (id,) in self._db.rows_in("SELECT id FROM steps WHERE id IN (?)", by_id)}
        now = time.time()
        self._insert_steps(
            [
                Record(StepRow(id, step.kind, step.op, now), step.inputs, fields(step))
                for id, step in by_id.items()
                if id not in known
            ]
        )

    def begin_batch(
        self,
        command: str,
        *,
        jobs: int,
        steps: int,
        started: float,
        predicted: Prediction | None = None,
    ) -> str:
        """A run of `jobs` jobs with `steps` distinct steps begins; its id, a date in UTC that sorts by time."""
        date = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started))
        batch = f"{date}-{int(started * 1000) % 1000:03d}{os.urandom(3).hex()}"
        p50, p90 = (None, None) if predicted is None else (predicted.p50, predicted.p90)
        sql = "INSERT INTO batches (id, started, jobs, steps, command, p50, p90) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._db.write(sql, [(batch, started, jobs, steps, text(command), p50, p90)])
        return batch

    def add_jobs(
        self, batch: str, jobs: Iterable[tuple[str, StepId]], labels: Mapping[str, Mapping[str, str]] | None = None
    ) -> list[int]:
        """Note the jobs of a batch, a name and a final step each; their numbers in the same order. `labels` are by
        name."""
        rows = [
            (batch, text(name), final, position, json.dumps(dict((labels or {}).get(name, {}))))
            for position, (name, final) in enumerate(jobs)
        ]
        with self.transaction():
            self._db.write("INSERT INTO jobs (batch, name, final, position, labels) VALUES (?, ?, ?, ?, ?)", rows)
            return self._db.column("SELECT id FROM jobs WHERE batch = ? ORDER BY position", (batch,))

    def record_attempts(self, batch: str | None, attempts: Iterable[Attempt]) -> None:
        """Note how steps that the index knows ended; many at once cost least."""
        self._db.write(
            "INSERT INTO attempts (step, batch, number, started, seconds, outcome, exit, cause, message, bytes,"
            " peak_memory, log) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (one.step, batch, one.number, one.started, one.seconds, one.outcome, one.exit, one.cause,
                 text(one.message), one.bytes, one.peak_memory, one.log and text(one.log))
                for one in attempts
            ],
        )  # fmt: skip

    def finish_jobs(self, jobs: Iterable[tuple[int, Name]]) -> None:
        """Note how jobs ended, by their numbers."""
        self._db.write("UPDATE jobs SET outcome = ? WHERE id = ?", [(outcome, job) for job, outcome in jobs])

    def finish_batch(self, batch: str, outcome: Name, totals: Totals, *, finished: float) -> None:
        sql = (
            "UPDATE batches SET outcome = ?, finished = ?, built = ?, cached = ?, failed = ?, skipped = ?,"
            " cancelled = ? WHERE id = ?"
        )
        counts = (totals.built, totals.cached, totals.failed, totals.skipped, totals.cancelled)
        self._db.write(sql, [(outcome, finished, *counts, batch)])

    # What planning remembers.

    def pin(self, reference: str) -> Pin | None:
        """The pin last taken of `reference`; None where there is none that can be read."""
        sql = "SELECT reference, digest, config, source, taken, kind FROM pins WHERE reference = ?"
        for name, digest, config, source, taken, kind in self._db.rows(sql, (text(reference),)):
            try:
                return Pin(name, digest, config_from_json(json.loads(config)), source, taken, kind)
            except ValueError:
                return None
        return None

    def save_pin(self, pin: Pin) -> None:
        config = json.dumps(config_to_json(pin.config))
        self._db.write(
            "INSERT OR REPLACE INTO pins (reference, kind, digest, config, source, taken) VALUES (?, ?, ?, ?, ?, ?)",
            [(text(pin.reference), pin.kind, text(pin.digest), config, text(pin.source), pin.taken)],
        )

    def file_hashes(self, files: Iterable[FileStamp]) -> dict[str, str]:
        """The SHA-256, by path, of those `files` that are still what they were when they were hashed."""
        stamps = {file.path: file.numbers for file in files}
        sql = "SELECT path, sha256, size, mtime_ns, inode, ctime_ns FROM files WHERE path IN (?)"
        return {
            path: sha256 for path, sha256, *numbers in self._db.rows_in(sql, stamps) if tuple(numbers) == stamps[path]
        }

    def save_file_hashes(self, hashes: Iterable[tuple[FileStamp, str]]) -> None:
        """Remember SHA-256s in hex. The stamp is that of before the file was read."""
        self._db.write(
            "INSERT OR REPLACE INTO files (path, size, mtime_ns, inode, ctime_ns, sha256) VALUES (?, ?, ?, ?, ?, ?)",
            [(text(file.path), *file.numbers, sha256) for file, sha256 in hashes],
        )

    # What commands and the scheduler ask.

    def resolve(self, prefix: str, *kinds: Kind) -> Match:
        """The one step, job or batch (of `kinds`, where given) that is or starts with `prefix`.

        InputError where there is none, with what may have been meant, or several, with some of them.
        """
        kinds = kinds or ("step", "job", "batch")
        bounds = (text(prefix), text(prefix) + LAST_CHARACTER, CANDIDATES + 1)
        found = [Match(kind, id) for kind in kinds if prefix for id in self._db.column(PREFIXES[kind], bounds)]
        match [match for match in found if match.id == prefix] or found:
            case [match]:
                return match
            case []:
                names = self._db.column("SELECT DISTINCT name FROM jobs") if "job" in kinds else []
                hint = did_you_mean(prefix, names)
                raise InputError(f'no {" or ".join(kinds)} starts with "{prefix}"', hint=hint)
            case several:
                shown = [f"  {match.kind} {match.id}" for match in several[:CANDIDATES]]
                more = ["  …"] if len(several) > CANDIDATES else []
                raise InputError(f'"{prefix}" may stand for several; write more of it', hint="\n".join(shown + more))

    def step_of(self, match: Match) -> StepId:
        """The step that a match stands for: a job's is the last of its latest run. Not for a batch."""
        if match.kind == "job":
            job = self.job_by_name(match.id)
            assert job is not None, "it matched"
            return job.final
        return match.id

    def step(self, id: StepId) -> StepRow:
        for row in self._db.rows("SELECT id, kind, op, first_seen FROM steps WHERE id = ?", (id,)):
            return StepRow(*row)
        raise KeyError(id)

    def alike(self, kind: str, op: str, other: StepId) -> StepId | None:
        """The step that was built last with the same op and another id: what a step has most likely come from."""
        sql = """
            SELECT steps.id FROM steps JOIN attempts ON attempts.step = steps.id AND attempts.outcome = 'built'
            WHERE steps.op = ? AND steps.kind = ? AND steps.id <> ? ORDER BY attempts.started DESC LIMIT 1
        """
        for (id,) in self._db.rows(sql, (text(op), kind, other)):
            return str(id)
        return None

    def fields(self, id: StepId) -> list[tuple[str, object]]:
        """What the id is made of: names and JSON values in the order of the canonical walk."""
        for fields in self._db.column("SELECT fields FROM steps WHERE id = ?", (id,)):
            return fields_from_json(fields)
        raise KeyError(id)

    def inputs(self, id: StepId) -> list[StepId]:
        """The direct inputs; the root that the step starts from comes first."""
        return self._db.column("SELECT input FROM edges WHERE step = ? ORDER BY position", (id,))

    def closure(self, id: StepId) -> set[StepId]:
        """All that the step is made from: its inputs, their inputs, and so on."""
        sql = (
            "WITH RECURSIVE made(step) AS (SELECT input FROM edges WHERE step = ?"
            " UNION SELECT edges.input FROM made JOIN edges ON edges.step = made.step) SELECT step FROM made"
        )
        return set(self._db.column(sql, (id,)))

    def made_of(self, id: StepId) -> list[tuple[StepId, str, str, StepId | None]]:
        """The step and all that it is made from: id, kind, op, and the root that each starts from, None for a base."""
        sql = (
            "WITH RECURSIVE made(step) AS (SELECT ?"
            " UNION SELECT edges.input FROM made JOIN edges ON edges.step = made.step)"
            " SELECT steps.id, steps.kind, steps.op, edges.input FROM made JOIN steps ON steps.id = made.step"
            " LEFT JOIN edges ON edges.step = made.step AND edges.position = 0"
        )
        return self._db.rows(sql, (id,))

    def dependents(self, id: StepId) -> set[StepId]:
        """All that is made from the step, directly or not."""
        sql = (
            "WITH RECURSIVE made(step) AS (SELECT step FROM edges WHERE input = ?"
            " UNION SELECT edges.step FROM made JOIN edges ON edges.input = made.step) SELECT step FROM made"
        )
        return set(self._db.column(sql, (id,)))

    def attempts(self, id: StepId) -> list[Attempt]:
        """All tries of a step and the times it was skipped, oldest first; not the times its snapshot was there."""
        return [
            Attempt(*row)
            for row in self._db.rows(f"{ATTEMPTS} WHERE step = ? AND outcome <> 'cached' ORDER BY id", (id,))
        ]

    def logs(self, id: StepId) -> set[str]:
        """The logs of all recorded tries of a step, as paths from the store's folder."""
        return {attempt.log for attempt in self.attempts(id) if attempt.log is not None}

    def batch_attempts(self, batch: str) -> list[Attempt]:
        """How the steps of a batch ended, in the order in which they were recorded."""
        return [Attempt(*row) for row in self._db.rows(f"{ATTEMPTS} WHERE batch = ? ORDER BY id", (batch,))]

    def latest_attempt(self, id: StepId) -> Attempt | None:
        """The latest attempt at which the step ran: built, failed, or cancelled with a log."""
        for attempt in reversed(self.attempts(id)):
            if attempt.outcome in ("built", "failed") or (attempt.outcome == "cancelled" and attempt.log is not None):
                return attempt
        return None

    def built_logs(self, ids: Iterable[StepId]) -> dict[StepId, str]:
        """For each of `ids` the log of the latest try that built it, without those that have none."""
        sql = "SELECT step, log FROM attempts WHERE outcome = 'built' AND log IS NOT NULL AND step IN (?) ORDER BY id"
        return dict(self._db.rows_in(sql, ids))

    def builds(self, ids: Iterable[StepId]) -> dict[StepId, list[Build]]:
        """What each of `ids` took whenever it was built, the latest first; without those that never were."""
        builds: defaultdict[StepId, list[Build]] = defaultdict(list)
        sql = (
            "SELECT step, seconds, peak_memory FROM attempts"
            " WHERE outcome = 'built' AND outcome <> 'cached' AND step IN (?) ORDER BY id DESC"
        )
        for step, seconds, peak_memory in self._db.rows_in(sql, ids):
            builds[step].append((seconds, peak_memory))
        return dict(builds)

    def latest_builds(self, limit: int) -> list[OpBuild]:
        """What the latest builds of any steps cost, the latest first."""
        sql = (
            "SELECT seconds, peak_memory, op FROM attempts JOIN steps ON steps.id = attempts.step"
            " WHERE outcome = 'built' ORDER BY attempts.id DESC LIMIT ?"
        )
        return self._db.rows(sql, (limit,))

    def sizes(self, ids: Iterable[StepId]) -> dict[StepId, int]:
        """The bytes that each of `ids` added to the store when it was last built, where that is known."""
        sql = (
            "SELECT step, bytes FROM attempts"
            " WHERE outcome = 'built' AND outcome <> 'cached' AND bytes IS NOT NULL AND step IN (?) ORDER BY id"
        )
        return dict(self._db.rows_in(sql, ids))

    def predicted(self, limit: int) -> list[tuple[float, float]]:
        """Of the latest runs that built all they were to: the seconds that half of such were expected to take at most,
        more than one, and those that it took."""
        sql = (
            "SELECT p50, finished - started FROM batches WHERE p50 > 1 AND outcome = 'built'"
            " ORDER BY started DESC LIMIT ?"
        )
        return [(expected, took) for expected, took in self._db.rows(sql, (limit,))]

    def failures(self, ids: Iterable[StepId]) -> dict[StepId, Attempt]:
        """The last attempt of each of `ids` that failed when it was last run to an end."""
        latest = "SELECT id FROM latest_results WHERE outcome = 'failed' AND step IN (?)"
        rows = self._db.rows_in(f"{ATTEMPTS} WHERE id IN ({latest})", ids)
        return {attempt.step: attempt for attempt in (Attempt(*row) for row in rows)}

    def failed_before(self, ids: Iterable[StepId]) -> list[StepId]:
        """Those of `ids` that failed once by themselves, in whatever batch."""
        sql = (
            "SELECT DISTINCT step FROM attempts WHERE outcome = 'failed' AND outcome <> 'cached'"
            " AND cause NOT IN ('store', 'sandbox', 'input') AND step IN (?)"
        )
        return [step for (step,) in self._db.rows_in(sql, ids)]

    def flaky(self, *, limit: int = 100) -> list[Flaky]:
        """Steps that failed by themselves and passed with the same id, those that did so last first."""
        sql = "SELECT step, op, failed, built, causes, last FROM flaky_steps ORDER BY last DESC LIMIT ?"
        return [Flaky(*row) for row in self._db.rows(sql, (limit,))]

    def jobs(self, batch: str | None = None, *, limit: int = 100) -> list[Job]:
        """The jobs of one batch in their order, or of all, newest first."""
        if batch is None:
            return [_job(*row) for row in self._db.rows(f"{JOBS} ORDER BY id DESC LIMIT ?", (limit,))]
        return [
            _job(*row) for row in self._db.rows(f"{JOBS} WHERE batch = ? ORDER BY position LIMIT ?", (batch, limit))
        ]

    def job_by_name(self, name: str) -> Job | None:
        """The latest job of that name."""
        for row in self._db.rows(f"{JOBS} WHERE name = ? ORDER BY id DESC LIMIT 1", (text(name),)):
            return _job(*row)
        return None

    def batches(self, *, limit: int = 100) -> list[Batch]:
        """The newest batches, newest first."""
        return [_batch(*row) for row in self._db.rows(f"{BATCHES} ORDER BY started DESC, id DESC LIMIT ?", (limit,))]

    def batch_before(self, batch: str) -> str | None:
        """The latest batch before this one that ran the same jobs, by name; or else, that ran any of them."""
        sql = """
            SELECT batches.id FROM jobs AS mine JOIN jobs ON jobs.name = mine.name
                JOIN batches ON batches.id = jobs.batch JOIN batches AS own ON own.id = mine.batch
            WHERE own.id = ? AND (batches.started, batches.id) < (own.started, own.id) GROUP BY batches.id
            ORDER BY count(*) = own.jobs AND count(*) = batches.jobs DESC, batches.started DESC, batches.id DESC LIMIT 1
        """
        for (id,) in self._db.rows(sql, (batch,)):
            return str(id)
        return None

    def seconds_worked(self, batches: Iterable[str]) -> dict[str, float]:
        """The seconds of all tries of each of `batches` together."""
        sql = "SELECT batch, total(seconds) FROM attempts WHERE batch IN (?) GROUP BY batch"
        return dict(self._db.rows_in(sql, batches))

    def built(self, batch: str) -> list[tuple[StepId, str, float]]:
        """The steps that a batch built: id, op, and the seconds that it took."""
        sql = (
            "SELECT steps.id, steps.op, attempts.seconds FROM attempts JOIN steps ON steps.id = attempts.step"
            " WHERE attempts.batch = ? AND attempts.outcome = 'built' ORDER BY attempts.id"
        )
        return [(step, op, seconds) for step, op, seconds in self._db.rows(sql, (batch,))]

    def batch_steps(self, batch: str) -> dict[StepId, tuple[str, str, list[StepId]]]:
        """All steps of a batch's jobs, inputs before what uses them: kind, op and inputs of each."""
        made = (
            "WITH RECURSIVE made(step) AS (SELECT final FROM jobs WHERE batch = ?"
            " UNION SELECT edges.input FROM made JOIN edges ON edges.step = made.step)"
        )
        edges: defaultdict[StepId, list[StepId]] = defaultdict(list)
        sql = f"{made} SELECT edges.step, input FROM made JOIN edges ON edges.step = made.step ORDER BY 1, position"
        for step, input in self._db.rows(sql, (batch,)):
            edges[step].append(input)
        sql = f"{made} SELECT id, kind, op FROM made JOIN steps ON steps.id = made.step ORDER BY steps.rowid"
        # As they were noted: a step comes after its inputs in whatever batch knew it first.
        return {id: (kind, op, edges[id]) for id, kind, op in self._db.rows(sql, (batch,))}

    def batch(self, id: str) -> Batch:
        for row in self._db.rows(f"{BATCHES} WHERE id = ?", (id,)):
            return _batch(*row)
        raise KeyError(id)

    def _insert_steps(self, records: Sequence[Record]) -> None:
        steps = [
            (row.id, text(row.kind), text(row.op), json.dumps(record.fields), row.first_seen)
            for record in records
            for row in (record.step,)
        ]
        edges = [
            (record.step.id, position, input) for record in records for position, input in enumerate(record.inputs)
        ]
        with self.transaction():
            # Another process may have noted the same steps since they were looked up.
            self._db.write(
                "INSERT OR IGNORE INTO steps (id, kind, op, fields, first_seen) VALUES (?, ?, ?, ?, ?)", steps
            )
            self._db.write("INSERT OR IGNORE INTO edges (step, position, input) VALUES (?, ?, ?)", edges)


def _job(id: int, batch: str, name: str, final: StepId, outcome: Name | None, position: int, labels: str) -> Job:
    return Job(id, batch, name, final, outcome, position, json.loads(labels))


def _batch(*row: Any) -> Batch:
    id, started, finished, outcome, jobs, steps, command, p50, p90, *counts = row
    predicted = None if p50 is None else Prediction(p50, p90)
    return Batch(id, started, finished, outcome, jobs, steps, command, predicted, Totals(*counts))
