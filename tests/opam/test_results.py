"""What becomes of the jobs of a batch, and of two batches side by side."""

from __future__ import annotations

import pytest

from engine.dag import Dag
from engine.events import Ended
from engine.outcome import Built, Cached, Cancelled, Failed, Outcome, Skipped
from engine.plan import Planner
from engine.step import Run, Step
from stepwood.opam import recipe, results
from stepwood.opam.layouts import Batch, Layout, buildable
from stepwood.opam.results import Cell, Result, cell, compare, legend, matrix
from stepwood.opam.solutions import Job, Refused
from tests.opam.packages import answers, told
from tests.opam.test_layouts import ground
from tests.planning import World

URL = 'url {{ src: "https://host/{}" checksum: "md5={}" }}'
PACKAGES = {
    "lib.1": 'depends: ["ocaml"] ' + URL.format("lib", "1" * 32),
    "app.1": 'depends: ["lib"] run-test: ["x"]' + URL.format("app", "2" * 32),
}


def batch(layout: str = "chain") -> tuple[list[Job], Dag]:
    """app with its tests, and lib with its own; system packages come first."""
    jobs, _ = buildable(answers(PACKAGES, [("app", "1"), ("lib", "1")], tests=True), told(PACKAGES))
    items = Batch.of(jobs)
    made = Layout(items, ground(), told(PACKAGES), lambda _: {}, frozenset(["gcc"]))
    planner = Planner(World())
    plans = [planner.plan(job) for job in (made.chains(list(items.items.jobs)) if layout == "chain" else made.merges())]
    return jobs, Dag.of(plans, planner.steps)


def is_for(step: Step, label: str) -> bool:
    told = recipe.label(step.action.command) if isinstance(step.action, Run) else None
    return (" ".join(told).strip() if told else step.kind) == label


def became(failing: dict[str, Outcome], *, layout: str = "chain", accepted: bool = False) -> list[Cell]:
    """The cells of app and lib where steps end so, by their labels; what needs them is skipped."""
    jobs, dag = batch(layout)
    ended: dict[str, Ended] = {}
    for step in dag:
        outcome: Outcome = next((how for label, how in failing.items() if is_for(step, label)), Built(1.0, 1, 1))
        lost = next((id for id in step.inputs if not isinstance(ended[id].outcome, Built | Cached)), None)
        if lost is not None:
            outcome = Skipped(lost)
        ended[step.id] = Ended(step.id, outcome, 1.0, 1, f"logs/{step.id}.log")
    return [cell(job, plan, dag, ended, accepted) for job, plan in zip(jobs, dag.plans, strict=True)]


EXIT = Failed(2, "exit", 1.0)


@pytest.mark.parametrize("layout", ["chain", "merge"])
@pytest.mark.parametrize(
    ("label", "how", "app", "lib", "why"),
    [
        ("", EXIT, "good", "good", ""),
        ("install app.1", EXIT, "bad", "good", "it cannot be installed (status 2)"),
        ("test app.1", EXIT, "partial", "good", "its tests fail (status 2)"),
        ("install lib.1", EXIT, "dependency failed", "bad", "lib.1: it cannot be installed (status 2)"),
        ("test lib.1", EXIT, "good", "partial", ""),
        ("source app.1", Failed(22, "exit", 1.0), "bad", "good", "its source is gone (status 22)"),
        (
            "source lib.1",
            Failed(65, "exit", 1.0),
            "dependency failed",
            "bad",
            "lib.1: its source is not what its checksum says (status 65)",
        ),
        (
            "install app.1",
            Failed(None, "silence", 1.0, "stopped after 60 s without output"),
            "bad",
            "good",
            "it cannot be installed (stopped after 60 s without output)",
        ),
        (
            "install app.1",
            Failed(None, "store", 1.0, "no room"),
            "internal failure",
            "good",
            "it cannot be installed (no room)",
        ),
        (
            "source app.1",
            Failed(6, "network", 1.0),
            "internal failure",
            "good",
            "its source cannot be fetched (status 6)",
        ),
        (
            "system",
            EXIT,
            "internal failure",
            "internal failure",
            "system packages cannot be installed (status 2)",
        ),
        ("base", EXIT, "internal failure", "internal failure", "what packages are built on cannot be made (status 2)"),
        ("install app.1", Cancelled(), "internal failure", "good", "the run was stopped"),
    ],
)
def test_a_failure_is_told_by_where_it_happened(
    label: str, how: Outcome, app: Result, lib: Result, why: str, layout: str
) -> None:
    found = became({label: how} if label else {}, layout=layout)
    assert [one.result for one in found] == [app, lib]
    assert found[0].why == why
    assert (found[0].package, found[0].compiler) == ("app.1", "ocaml.5")


def test_a_cell_names_the_root_the_step_and_the_log() -> None:
    app, lib = became({"install lib.1": EXIT})
    assert app.root == lib.root == ("lib.1",)
    assert app.step == lib.step is not None
    assert app.log == f"logs/{app.step}.log"


def test_a_cell_has_the_time_of_its_own_steps() -> None:
    assert [one.seconds for one in became({})] == [3.0, 3.0], "source, install and test"


def test_what_its_maintainers_know_is_accepted_and_fine() -> None:
    app, lib = became({"install app.1": EXIT}, accepted=True)
    assert app.accepted and app.fine and app.result == "bad"
    assert not lib.accepted, "it is good"
    below, _ = became({"install lib.1": EXIT}, accepted=True)
    assert not below.accepted, "a failed dependency is nothing that they know of"


def test_a_job_of_which_steps_never_ended_was_stopped() -> None:
    jobs, dag = batch()
    assert cell(jobs[0], dag.plans[0], dag, {}, False).result == "internal failure"


def test_a_root_without_a_solution_is_not_available() -> None:
    found = results.refused(Refused(("x", "1"), ("ocaml-base-compiler", "5.3.0"), "x.1 needs y"))
    assert (found.package, found.compiler, found.result, found.why) == ("x.1", "5.3.0", "not available", "x.1 needs y")


CELLS = [
    Cell("a.1", "4", "good"),
    Cell("a.1", "5", "partial"),
    Cell("longer.1", "4", "bad", accepted=True),
    Cell("b.1", "5", "not available"),
]


def test_the_matrix_has_a_row_a_package_and_a_column_a_compiler() -> None:
    assert [line.rstrip() for line in matrix(CELLS)] == [
        "               4       5",
        "a.1           ok   tests",
        "longer.1    BAD*",
        "b.1                    -",
    ]
    assert legend(CELLS) == "1 good (ok), 1 partial (tests), 1 bad (BAD), 1 not available (-); 1 known to fail here (*)"
    assert list(matrix([]))


def test_a_document_is_read_back() -> None:
    made = results.document("batch", "stepwood opam build", CELLS)
    assert results.read(made) == CELLS
    assert made["totals"] == {
        "good": 1, "partial": 1, "bad": 1, "dependency failed": 0, "not available": 1, "internal failure": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("was", "now", "change"),
    [
        ("good", "good", None),
        ("good", "bad", "newly broken"),
        ("good", "partial", "newly broken"),
        ("good", "not available", "newly broken"),
        ("good", "internal failure", "not known"),
        ("good", None, "gone"),
        ("bad", "bad", "still broken"),
        ("bad", "dependency failed", "still broken"),
        ("bad", "good", "fixed"),
        ("bad", "not available", "gone"),
        ("bad", None, "gone"),
        ("not available", "not available", None),
        ("not available", "bad", "newly broken"),
        ("not available", "good", "new"),
        (None, "good", "new"),
        (None, "bad", "newly broken"),
        (None, "not available", None),
        ("internal failure", "bad", "newly broken"),
        ("internal failure", "good", None),
    ],
)
def test_two_batches(was: Result | None, now: Result | None, change: str | None) -> None:
    old, new = ([] if result is None else [Cell("a.1", "5", result)] for result in (was, now))
    found = compare(old, new)
    assert [one.change for one in found] == ([] if change is None else [change])


def test_a_new_version_is_compared_with_the_old_one() -> None:
    (found,) = compare([Cell("a.1", "5", "good")], [Cell("a.2", "5", "bad")])
    assert (found.change, found.direct) == ("newly broken", True)
    both = [Cell("a.1", "5", "good"), Cell("a.2", "5", "good")]
    assert [one.change for one in compare(both, [Cell("a.2", "5", "bad")])] == ["newly broken", "gone"]


def test_what_broke_itself_is_told_before_what_cascades() -> None:
    old = [Cell("a.1", "5", "good"), Cell("b.1", "5", "good"), Cell("c.1", "5", "bad")]
    new = [
        Cell("a.1", "5", "dependency failed", "b.1: it cannot be installed", ("b.1",)),
        Cell("b.1", "5", "bad", "it cannot be installed"),
        Cell("c.1", "5", "good"),
    ]
    assert list(results.told(compare(old, new))) == [
        "newly broken: 1",
        "  b.1 with 5: bad: it cannot be installed",
        "newly broken, by a dependency: 1",
        "  a.1 with 5: dependency failed: b.1: it cannot be installed",
        "fixed: 1",
        "  c.1 with 5",
    ]
    assert list(results.told([])) == ["nothing is different"]


def test_accepted_failures_break_nothing() -> None:
    assert compare([Cell("a.1", "5", "good")], [Cell("a.1", "5", "bad", accepted=True)]) == []
