"""What a run writes down while another program holds the index, or the disk is full."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.executor import ledger as module
from engine.executor.ledger import Ledger
from engine.index import Index
from engine.outcome import Built
from engine.records import Attempt, Totals
from engine.step import Base, Config, Step

STEPS = [Step(name * 64, f"(from {name})", Base(name, f"sha256:{name}", Config(), "")) for name in "abc"]
TOTALS = Totals(built=3)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another program writes, and goes on writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "BRIEFLY", 0.05)
    monkeypatch.setattr(module, "AGAIN", 0.2)
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    with Index.open(path) as opened:
        opened.add_steps(STEPS, lambda _: [])
        yield opened


def begun(index: Index) -> tuple[Ledger, str, list[int]]:
    batch = index.begin_batch("x", jobs=1, steps=3, started=1.0)
    return Ledger(index, batch), batch, index.add_jobs(batch, [("job", STEPS[0].id)])


def built(step: Step) -> Attempt:
    return Attempt.of(step.id, Built(1.0, None, 0), started=2.0)


def recorded(index: Index, batch: str) -> list[str]:
    return [attempt.step[0] for attempt in index.batch_attempts(batch)]


def test_what_can_be_written_is_there_at_once(index: Index) -> None:
    ledger, batch, (row,) = begun(index)
    ledger.write([built(STEPS[0])])
    assert recorded(index, batch) == ["a"]
    ledger.write(jobs=[(row, "built")])
    assert [job.outcome for job in index.jobs(batch)] == [None], "a job's end waits for the next step's"
    ledger.write([built(STEPS[1])])
    assert [job.outcome for job in index.jobs(batch)] == ["built"]
    assert ledger.close("built", TOTALS)
    assert (index.batch(batch).outcome, index.batch(batch).totals, ledger.problems) == ("built", TOTALS, [])


def test_rows_wait_while_another_program_holds_the_index_and_then_come_in_their_order(index: Index, path: Path) -> None:
    ledger, batch, (row,) = begun(index)
    with held(path):
        ledger.write([built(STEPS[0])])
        begin = time.monotonic()
        for step in STEPS[1:]:
            ledger.write([built(step)])  # tried once a while: a run has other things to do
        assert time.monotonic() - begin < 0.15
        assert recorded(index, batch) == []
    time.sleep(0.25)
    ledger.write([built(STEPS[0])], jobs=[(row, "built")])
    assert recorded(index, batch) == ["a", "b", "c", "a"]
    assert [job.outcome for job in index.jobs(batch)] == ["built"]
    (problem,) = ledger.problems
    assert "is in use by another process: the run went on" in problem


def test_what_is_left_is_written_at_the_end(index: Index, path: Path) -> None:
    ledger, batch, _ = begun(index)
    with held(path):
        ledger.write([built(STEPS[0])])
    assert ledger.close("built", TOTALS)
    assert recorded(index, batch) == ["a"]
    assert len(ledger.problems) == 1


def test_a_program_that_never_lets_go_is_told_of_with_what_to_do(index: Index, path: Path) -> None:
    ledger, batch, _ = begun(index)
    with held(path):
        ledger.write([built(STEPS[0]), built(STEPS[1])])
        assert not ledger.close("built", TOTALS)
    assert recorded(index, batch) == []
    assert index.batch(batch).outcome is None
    told, hint = ledger.problems
    assert "in use by another process: how 2 steps ended is not written down" in told
    assert "fsck --rebuild-index" in hint
