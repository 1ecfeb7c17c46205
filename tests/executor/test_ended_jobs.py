"""When a job has ended and how, from how its steps did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag import Dag
from engine.events import JobEnded
from engine.executor.jobs import Jobs
from engine.outcome import Name
from engine.plan import Plan
from tests.engine.test_scheduler import graph

NAMES: list[Name] = ["built", "cached", "failed", "skipped", "cancelled"]


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ("cached cached", "cached"),
        ("cached built", "built"),
        ("built cached", "built"),
        ("built failed", "failed"),
        ("failed skipped", "failed"),
        ("built skipped", "failed"),
        ("built cancelled", "cancelled"),
        ("cancelled failed", "failed"),
        ("skipped cancelled", "failed"),
    ],
)
def test_a_job_is_as_its_worst_step(steps: str, outcome: Name) -> None:
    first, last = steps.split()
    jobs = Jobs(graph({"a": [], "b": ["a"]}), [7])
    assert list(jobs.count("a", first)) == []  # type: ignore[arg-type]
    assert list(jobs.count("b", last)) == [(7, JobEnded("job", outcome, "b"))]  # type: ignore[arg-type]
    assert jobs.worst == outcome


def test_a_step_that_jobs_share_counts_for_each_with_its_own_row() -> None:
    dag = graph({"a": [], "b": ["a"], "c": ["a"]}, {"one": ["a", "b"], "two": ["a", "c"], "base": ["a"]})
    jobs = Jobs(dag, [30, 10, 20])
    assert jobs.worst == "cached"
    assert list(jobs.count("a", "built")) == [(20, JobEnded("base", "built", "a"))]
    assert list(jobs.count("c", "failed")) == [(10, JobEnded("two", "failed", "c"))]
    assert list(jobs.count("b", "cached")) == [(30, JobEnded("one", "built", "b"))]
    assert jobs.worst == "failed"


def test_jobs_that_end_with_one_step_end_in_the_order_of_the_plans() -> None:
    jobs = Jobs(graph({"a": []}, {"b": ["a"], "a": ["a"], "c": ["a"]}), [1, 2, 3])
    assert [(row, job.name) for row, job in jobs.count("a", "built")] == [(1, "b"), (2, "a"), (3, "c")]


def test_no_jobs() -> None:
    assert Jobs(Dag(), []).worst == "cached"


@given(
    jobs=st.lists(st.lists(st.integers(0, 9), min_size=1, unique=True), min_size=1, max_size=6),
    order=st.permutations(range(10)),
    outcomes=st.lists(st.sampled_from(NAMES), min_size=10, max_size=10),
)
def test_each_job_ends_once_with_the_last_of_its_steps(
    jobs: list[list[int]], order: list[int], outcomes: list[Name]
) -> None:
    steps = {step.id: step for step in graph({f"{number}": [] for number in range(10)})}
    plans = [Plan(f"job{at}", tuple(map(str, job)), f"{job[-1]}") for at, job in enumerate(jobs)]
    dag = Dag.of(plans, steps)
    counted = Jobs(dag, range(len(jobs)))
    ended: dict[int, int] = {}
    for place, number in enumerate(order):
        if f"{number}" not in dag:
            continue
        for row, job in counted.count(f"{number}", outcomes[number]):
            assert row not in ended
            ended[row] = place
            assert (job.name, job.final) == (plans[row].name, plans[row].final)
            mine = {outcomes[step] for step in jobs[row]}
            assert (job.outcome == "failed") == bool(mine & {"failed", "skipped"})
            assert (job.outcome == "cached") == (mine == {"cached"})
            assert (job.outcome == "built") == (mine <= {"built", "cached"} and "built" in mine)
    assert ended == {row: max(map(order.index, job)) for row, job in enumerate(jobs)}
