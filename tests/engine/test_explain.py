"""Why steps differ, and why they would run."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest

from engine import digest
from engine.dag import Dag
from engine.estimate import NOTHING, estimate
from engine.explain import Cause, Difference, Reason, causes, difference
from engine.index import Index
from engine.outcome import Name
from engine.prospect import Prospect
from engine.records import Attempt
from engine.step import Step
from tests.planning import World, dag, path, spec, workflow


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.open(tmp_path / "index.db") as opened:
        yield opened


CLOCK = itertools.count()
"""A second for each batch."""


def ran(
    index: Index,
    it: Dag,
    *,
    ends: Mapping[str, Name] | None = None,
    seconds: Mapping[str, float] | None = None,
    log: str | None = None,
) -> None:
    """A batch of all jobs: by path how steps ended, if they were not built, and what they took, if not a second."""
    index.add_steps(it, lambda step: digest.fields(step.action))
    started = float(next(CLOCK))
    batch = index.begin_batch("build", jobs=len(it.plans), steps=len(it), started=started)
    index.add_jobs(batch, [(plan.name, plan.final) for plan in it.plans])
    tries = []
    for id in it.ids:
        how = (ends or {}).get(path(it, id), "built")
        tries.append(Attempt(id, 1, started, (seconds or {}).get(path(it, id), 1.0), how, log=log))
    index.record_attempts(batch, tries)


@dataclasses.dataclass(frozen=True)
class Told:
    """A cause with paths for ids; of what is not said, nothing is expected."""

    reason: Reason
    kind: str
    roots: list[str]
    steps: int
    field: str = ""
    change: tuple[object, object] | None = None
    """Before and now, of the first root."""
    seconds: float = dataclasses.field(default=0.0, compare=False)
    unknown: int = dataclasses.field(default=0, compare=False)


def told(it: Dag, cause: Cause) -> Told:
    first = cause.roots[0].difference
    return Told(
        cause.reason,
        cause.kind,
        [path(it, root.step) for root in cause.roots],
        cause.steps,
        cause.field,
        None if first is None or first.is_input else (first.other, first.one),
        cause.seconds,
        cause.unknown,
    )


def why(index: Index | None, it: Dag, cached: Set[str] = frozenset(), failed: Set[str] = frozenset()) -> list[Told]:
    """The causes where the steps of these paths are there, or are known to fail."""
    todo = [one for one in it if path(it, one.id) not in cached]
    prospect = Prospect(
        it,
        {id for id in it.ids if path(it, id) in cached},
        {id for id in it.ids if path(it, id) in failed},
        NOTHING if index is None else estimate(index, todo),
    )
    return [told(it, cause) for cause in causes(prospect, prospect.states(), index)]


# --- how two steps differ


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({}, {}, None),
        ({"a": 1, "input": "x"}, {"a": 1, "input": "x"}, None),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, Difference("b", 2, 3)),
        ({"a": 1, "b": 2}, {"a": 0, "b": 3}, Difference("a", 1, 0)),
        # Where something else differs too, that says more than an id does.
        ({"input": "x", "a": 1}, {"input": "y", "a": 2}, Difference("a", 1, 2)),
        ({"input": "x", "from": "f", "a": 1}, {"input": "y", "from": "g", "a": 1}, Difference("input", "x", "y")),
        ({"input": "x", "from": "f"}, {"input": "x", "from": "g"}, Difference("from", "f", "g")),
        # A copy from the context, and one from a build.
        ({"a": 1, "files": "f"}, {"a": 1, "from": "g"}, Difference("files", "f", None)),
        ({"a": None}, {"b": 1}, Difference("b", None, 1)),
    ],
)
def test_the_first_difference(one: Mapping[str, object], other: Mapping[str, object], found: Difference | None) -> None:
    assert difference(one, other) == found
    assert found is None or found.is_input == (found.name in ("input", "from"))


# --- reasons


def test_where_nothing_was_ever_built_all_is_new(index: Index) -> None:
    it = dag("base a b")
    assert why(index, it) == why(None, it) == [Told("new", "base", ["base"], 3)]


def test_where_all_is_there_nothing_has_a_cause(index: Index) -> None:
    it = dag("base a b")
    ran(index, it)
    assert why(index, it, {"base", "base a", "base a b"}) == []
    assert why(None, it, {"base", "base a", "base a b"}) == []
    assert why(index, dag()) == []


def test_a_base_that_is_another_now(index: Index) -> None:
    ran(index, dag("base a b"))
    it = dag("base a b", world=World({"base": "newer"}))
    assert why(index, it) == [Told("changed", "base", ["base"], 3, "digest", ("digest of base", "newer"))]


def test_a_step_is_compared_with_the_last_of_its_op_that_was_built(index: Index) -> None:
    """In whatever job."""
    ran(index, dag("((from base) (env A 1) (run (shell a)))"))
    ran(index, dag("((from base) (env A 2) (run (shell a)))"))
    ran(index, dag("((from base) (env A 3) (run (shell a)))"), ends={"base a": "failed"})
    (found,) = why(index, dag("other", "((from base) (env A 4) (run (shell a)))"), {"base", "other"})
    assert found == Told("changed", "run", ["base a"], 1, "env", ([["A", "2"]], [["A", "4"]]))


def test_a_command_in_the_place_of_another(index: Index) -> None:
    ran(index, dag("base a b"))
    assert why(index, dag("base z b"), {"base"}) == [Told("changed", "run", ["base z"], 2, "command", ("a", "z"))]


def test_a_command_that_was_put_in_replaces_none(index: Index) -> None:
    ran(index, dag("base a b"))
    assert why(index, dag("base z a b"), {"base"}) == [Told("new", "run", ["base z"], 3)]
    assert why(index, dag("base a b z"), {"base", "base a", "base a b"}) == [Told("new", "run", ["base a b z"], 1)]


def test_after_a_command_that_was_taken_out_the_next_starts_elsewhere(index: Index) -> None:
    ran(index, dag("base a b"))
    assert why(index, dag("base b"), {"base"}) == [Told("changed", "run", ["base b"], 1, "input")]


def test_a_job_is_compared_with_its_own_last_run(index: Index) -> None:
    """By its name, in whichever batch that was."""
    ran(index, dag("base first", "other"))
    ran(index, dag("base a", "other"))
    ran(index, dag("other", workflow("((from base) (run (shell b)))")))
    ran(index, dag(workflow(spec("base b"))))
    assert why(index, dag(workflow(spec("base z"))), {"base"})[0].change == ("b", "z")
    assert why(index, dag("other", "base z"), {"base", "other"}) == [Told("new", "run", ["base z"], 1)]
    ran(index, dag("base a"))
    ran(index, dag(workflow(spec("base b"))))
    assert why(index, dag("base z"), {"base"})[0].change == ("a", "z")


def test_a_step_replaces_none_of_another_kind_or_on_another_root(index: Index) -> None:
    ran(index, dag("((from base) (copy (src f) (dst f)))"))
    assert why(index, dag("base z"), {"base"}) == [Told("new", "run", ["base z"], 1)]
    ran(index, dag("base a b"))
    assert why(index, dag("base a z"), {"base", "base a"})[0].change == ("b", "z")
    ran(index, dag("base a"))
    assert why(index, dag("other z"), {"other"}) == [Told("new", "run", ["other z"], 1)]


def test_a_copy_from_elsewhere_in_the_place_of_another(index: Index) -> None:
    text = "((build x {}) (from base) (copy (from (build x)) (src f) (dst {})))"
    ran(index, dag(text.format(spec("base a"), "one")))
    it = dag(text.format(spec("base b"), "two"))
    assert why(index, it, {"base", "base b"}) == [
        Told("changed", "copy", ["base copy"], 1, "destination", ("/one", "/two"))
    ]


def test_of_two_that_a_step_may_have_replaced_neither_is_told(index: Index) -> None:
    copies = " ".join(f"(copy (from (build {name})) (src f) (dst {name}))" for name in "xy")
    builds = f"((build x {{}}) (build y {{}}) (from base) {copies})"
    ran(index, dag(builds.format(spec("base a"), spec("base b"))))
    changed = dag(builds.format(spec("base p"), spec("base q")))
    assert why(index, changed, {"base"}) == [Told("new", "run", ["base p", "base q"], 4)]
    one = dag(builds.format(spec("base p"), spec("base b")))
    assert why(index, one, {"base", "base b"})[0].change == ("a", "p"), "the job still has b"


def test_another_base_in_the_place_of_one(index: Index) -> None:
    ran(index, dag("base a"))
    (found,) = why(index, dag("other a"))
    assert (found.reason, found.kind, found.change) == ("changed", "base", ("digest of base", "digest of other"))


@pytest.mark.parametrize(("how", "reason"), [("built", "gone"), ("failed", "failed")])
def test_a_step_that_ran_and_is_not_there(index: Index, how: Name, reason: Reason) -> None:
    it = dag("base a b")
    ran(index, it, ends={"base a": how, "base a b": "skipped"})
    assert why(index, it, {"base"}) == [Told(reason, "run", ["base a"], 2)]


def test_what_counts_is_how_it_ended_last(index: Index) -> None:
    it = dag("base a")
    ran(index, it, ends={"base a": "failed"})
    ran(index, it)
    ran(index, it, ends={"base a": "cached"})
    assert why(index, it, {"base"})[0].reason == "gone"
    ran(index, it, ends={"base a": "failed"})
    assert why(index, it, {"base"})[0].reason == "failed"


def test_a_step_that_never_ran_is_no_failed_one(index: Index) -> None:
    it = dag("base a b")
    ran(index, it, ends={"base a": "failed", "base a b": "skipped"})
    assert why(index, it, {"base", "base a"}) == [Told("new", "run", ["base a b"], 1)]


def test_a_step_that_was_stopped_has_not_failed(index: Index) -> None:
    it = dag("base a")
    ran(index, it, ends={"base a": "cancelled"}, log="logs/a.log")
    assert why(index, it, {"base"})[0].reason != "failed"


# --- sums


def test_roots_with_one_reason_are_one_cause_those_of_most_jobs_first(index: Index) -> None:
    it = dag("base a", "base b c", "base b d", "((from base) (copy (src f) (dst f)))")
    assert why(index, it, {"base"}) == [
        Told("new", "run", ["base b", "base a"], 4),
        Told("new", "copy", ["base copy"], 1),
    ]


def test_changes_in_different_fields_are_different_causes(index: Index) -> None:
    before = "((from base) (run (shell a)))"
    ran(index, dag(before, before.replace("shell a", "shell b"), before.replace("shell a", "shell c")))
    now = [
        "((from base) (env K 1) (run (shell a)))",
        "((from base) (workdir /w) (run (shell b)))",
        "((from base) (env K 1) (run (shell c)))",
    ]
    assert {(cause.field, *cause.roots) for cause in why(index, dag(*now), {"base"})} == {
        ("env", "base a", "base c"),
        ("cwd", "base b"),
    }


def test_a_step_with_two_causes_counts_for_both(index: Index) -> None:
    """The copy waits for both builds."""
    it = dag("((build x ((from base) (copy (src f) (dst f)))) (from other) (run (shell a))"
             " (copy (from (build x)) (src f) (dst f)) (run (shell end)))")  # fmt: skip
    assert why(index, it, {"base", "other"}) == [
        Told("new", "copy", ["base copy"], 3),
        Told("new", "run", ["other a"], 3),
    ]


def test_what_is_there_or_fails_or_waits_for_a_failure_is_not_counted(index: Index) -> None:
    """A step may be there though one that it needs is gone."""
    it = dag("base a b c d", "base z")
    ran(index, it)
    assert why(index, it, {"base", "base a b", "base z"}) == [Told("gone", "run", ["base a", "base a b c"], 3)]
    assert why(index, it, {"base", "base z"}, failed={"base a b"}) == [Told("gone", "run", ["base a"], 1)]
    assert why(index, it, {"base", "base z"}, failed={"base a"}) == []


def test_a_cause_costs_what_its_steps_are_expected_to_take(index: Index) -> None:
    ran(index, dag("base a b", "base c"), seconds={"base a": 10.0, "base a b": 5.0})
    it = dag("base a b", "((from base) (copy (src f) (dst f)))")
    gone, new = why(index, it, {"base"})
    assert (gone.roots, gone.seconds, gone.unknown) == (["base a"], 15.0, 0)
    assert (new.roots, new.seconds, new.unknown) == (["base copy"], 0.0, 1), "no copy was ever built"
    (all_new,) = why(None, it)
    assert (all_new.seconds, all_new.unknown) == (0.0, 4)


def test_what_costs_most_is_first_and_then_what_has_most_steps(index: Index) -> None:
    before = dag("base a b", "other", "((from third) (copy (src f) (dst f)))")
    ran(index, before, seconds={"base a": 1.0, "base a b": 1.0, "third copy": 9.0})
    assert [cause.roots for cause in why(index, before, {"base", "other", "third"})] == [["third copy"], ["base a"]]
    it = dag("((from base) (copy (src f) (dst f)))", "base a b")
    assert [cause.roots for cause in why(None, dag("base", "other"))] == [["base", "other"]]
    with_nothing_known = why(None, it, {"base"})
    assert [cause.roots for cause in with_nothing_known] == [["base a"], ["base copy"]]


def test_ids_of_another_version_differ_in_no_field(index: Index) -> None:
    """When `digest.VERSION` changes, every step has another id, made of the same."""
    before = dag("base")
    index.add_steps([Step("0" * 64, one.op, one.action) for one in before], lambda one: digest.fields(one.action))
    index.record_attempts(None, [Attempt("0" * 64, 1, 0.0, 1.0, "built")])
    assert why(index, before) == [Told("changed", "base", ["base"], 1)]
