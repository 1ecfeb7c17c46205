"""The block of the live view, at any size and over anything that steps write."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.dag import Dag
from engine.events import Attached, BatchStarted, Ended, Event, JobEnded, Output, Retried, Started
from engine.outcome import Built, Cached, Failed
from engine.records import Prediction
from engine.step import StepId
from stepwood.live.panel import panel
from stepwood.live.progress import Progress
from tests import planning

FAILED = Failed(2, "exit", 1.0)


def lines(dag: Dag, progress: Progress, columns: int, rows: int, now: float = 160.0) -> list[str]:
    return [line.plain.rstrip() for line in panel(dag, progress, columns, rows, now)]


def seen(dag: Dag, events: Iterable[tuple[float, Event]]) -> Progress:
    progress = Progress(dag)
    for now, event in events:
        progress.see(event, now)
    return progress


def over(id: StepId, seconds: float) -> Ended:
    return Ended(id, Built(seconds, 0, None), seconds, 1, None)


def batch() -> tuple[Dag, Progress]:
    """Three jobs of which one has failed, in the middle of a run: 60 of about 200 seconds are over."""
    dag = planning.dag("base one fetch-sources build-a", "base one fetch-sources build-b", "base one lint")
    base, one, fetch, lint = (
        planning.step(dag, path) for path in ("base", "base one", "base one fetch-sources", "base one lint")
    )
    expected = {id: 40.0 for id in dag.ids if id != base}
    return dag, seen(
        dag,
        [
            (100, BatchStarted(expected, Prediction(200.0, 260.0))),
            (100, Ended(base, Cached(), 0.0, 0, None)),
            (100, Started(one)),
            (130, over(one, 30.0)),
            (130, Started(lint)),
            (131, Ended(lint, FAILED, 1.0, 1, None)),
            (131, JobEnded("c", "failed", lint)),
            (131, Started(fetch)),
            (150, Output(fetch, b"one.tar.gz 10 %\rone.tar.gz 20 %")),
        ],
    )


def test_on_40_columns_and_12_rows_what_matters_most_stays() -> None:
    assert lines(*batch(), 40, 12) == [
        "████░░░░░  50 %  3 of 6 steps",
        "69 s left (9 of 10: 89 s) · 1 failed",
        "1 running · 0 queued · 2 waiting",
        "1 of 3 jobs ended · 1 failed",
        "  29 s  a +1: fetch-sources",
        "        one.tar.gz 20 %",
    ]


def test_on_80_columns_a_steps_last_line_is_below_it_and_few_jobs_are_told_one_by_one() -> None:
    assert lines(*batch(), 80, 24) == [
        "█████████░░░░░░░░░░  50 %  3 of 6 steps",
        "69 s left (9 of 10: 89 s) · 1 failed · 1 running · 0 queued · 2 waiting",
        "1 built · 1 cached · 2.0 steps/min · 60 s so far",
        "1 of 3 jobs ended · 1 failed · 2 running",
        "a                                    2/4 running",
        "b                                    2/4 running",
        "c                                    3/3 failed",
        "  29 s  a +1: fetch-sources",
        "        one.tar.gz 20 %",
    ]


def test_on_200_columns_a_steps_last_line_is_beside_it() -> None:
    assert lines(*batch(), 200, 50) == [
        "███████████████░░░░░░░░░░░░░░░  50 %  3 of 6 steps",
        "69 s left (9 of 10: 89 s) · 1 failed · 1 running · 0 queued · 2 waiting"
        " · 1 built · 1 cached · 2.0 steps/min · 60 s so far",
        "1 of 3 jobs ended · 1 failed · 2 running",
        "a                                    2/4 running",
        "b                                    2/4 running",
        "c                                    3/3 failed",
        f"{'  29 s  a +1: fetch-sources':105}one.tar.gz 20 %",
    ]


def test_what_is_special_of_a_step_is_said() -> None:
    dag = planning.dag("base a", "base b")
    a, b = planning.step(dag, "base a"), planning.step(dag, "base b")
    progress = seen(dag, [(0, Attached(a)), (0, Started(b)), (1, Retried(b, 1, FAILED, 0.0, None))])
    assert [line for line in lines(dag, progress, 80, 24, 7000.0) if ": " in line] == [
        " 1.9 h  a: elsewhere a",
        " 1.9 h  b: try 2 b",
    ]


def test_more_steps_than_fit_are_counted() -> None:
    dag = planning.dag(*(f"base {number}" for number in range(26)))
    progress = seen(dag, ((0, Started(id)) for id in dag.ids[1:]))
    shown = lines(dag, progress, 80, 24)
    assert len(shown) == 16
    assert shown[-1].strip() == "… and 14 more"


def test_before_anything_is_known_there_is_something_to_see() -> None:
    dag = planning.dag("base a")
    assert lines(dag, Progress(dag), 80, 24, 5000.0) == [
        "░░░░░░░░░░░░░░░░░░░   0 %  0 of 2 steps",
        "0 running · 1 queued · 1 waiting · 0.0 s so far",
    ]


ANY = st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode(errors="replace"))


@given(
    columns=st.integers(1, 250),
    rows=st.integers(1, 80),
    written=st.lists(ANY, min_size=1, max_size=4),
    name=st.text(st.characters(exclude_characters='\n"\\\0')),
)
def test_any_output_at_any_size_stays_in_its_lines(columns: int, rows: int, written: list[bytes], name: str) -> None:
    dag = planning.dag(*(f'((from base) (run (shell "{name} {number}")))' for number in range(len(written))))
    ids = [id for id in dag.ids if dag[id].inputs]
    progress = seen(
        dag, ((0, event) for id, data in zip(ids, written, strict=True) for event in (Started(id), Output(id, data)))
    )
    shown = lines(dag, progress, columns, rows)
    assert len(shown) <= max(2, rows * 2 // 3)
    for line in shown:
        assert cell_len(line) <= max(10, columns - 1)
        assert line.isprintable()


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (200, 50)])
def test_thousands_of_jobs(size: tuple[int, int]) -> None:
    dag = planning.dag(planning.workflow(*(planning.spec(f"base trunk leaf-{number}") for number in range(3000))))
    leaves = [id for id in dag.ids if len(dag.jobs(id)) == 1]
    trunk = [id for id in dag.ids if len(dag.jobs(id)) > 1]
    events: list[Event] = [BatchStarted(dict.fromkeys(dag.ids, 1.0), Prediction(600.0, 900.0))]
    events += [one for id in trunk for one in (Started(id), over(id, 1.0))]
    events += [
        one for id in leaves[:2000] for one in (Started(id), over(id, 1.0), JobEnded(dag.jobs(id)[0], "built", id))
    ]
    events += map(Started, islice(leaves, 2000, 2100))
    shown = lines(dag, seen(dag, ((0, event) for event in events)), *size, 60.0)
    text = " ".join(line.strip() for line in shown)
    assert "2,002 of 3,002 steps" in text
    assert "2,000 of 3,000 jobs ended" in text
    assert "100 running" in text
    assert "900 queued" in text
    assert shown[-1].strip().startswith("… and ")
