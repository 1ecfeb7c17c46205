"""Many jobs as one graph."""

from __future__ import annotations

from engine.dag import Dag
from engine.plan import Plan
from engine.step import Base, Config, Copy, FromStep, Ids, Run, Step


def base(id: str) -> Step:
    return Step(id, id, Base(id, id, Config(), id))


def run(id: str, input: str) -> Step:
    return Step(id, id, Run(input, id, (), "/", (), Ids()))


def copy(id: str, input: str, other: str) -> Step:
    return Step(id, id, Copy(input, FromStep(other), ("a",), "/", (), Ids()))


STEPS = {
    step.id: step
    for step in (base("base"), run("a", "base"), run("b", "a"), run("c", "a"), copy("d", "base", "b"), run("e", "d"))
}
ONE = Plan("one", ("base", "a", "b"), "b")
TWO = Plan("two", ("base", "a", "c"), "c")
THREE = Plan("three", ("base", "a", "b", "d", "e"), "e")


def test_a_step_that_jobs_share_stands_once_and_knows_its_jobs() -> None:
    dag = Dag.of([ONE, TWO, THREE], STEPS)
    assert len(dag) == 6
    assert [step.id for step in dag] == ["base", "a", "b", "c", "d", "e"]
    assert dag.jobs("base") == ["one", "two", "three"]
    assert dag.jobs("b") == ["one", "three"]
    assert dag.jobs("c") == ["two"]
    assert dag.plans == [ONE, TWO, THREE]


def test_a_step_is_found_by_its_id() -> None:
    dag = Dag.of([ONE], STEPS)
    assert dag["a"] is STEPS["a"]
    assert "a" in dag
    assert "c" not in dag


def test_dependents_are_what_reads_a_result_directly() -> None:
    dag = Dag.of([ONE, TWO, THREE], STEPS)
    ids = [step.id for step in dag]

    def dependents(id: str) -> set[str]:
        return {ids[user] for user in dag.users[dag.numbers[id]]}

    assert dependents("base") == {"a", "d"}
    assert dependents("b") == {"d"}
    assert dependents("e") == set()


def test_after_a_step_comes_all_that_needs_it() -> None:
    dag = Dag.of([ONE, TWO, THREE], STEPS)
    assert dag.after(["a"]) == {"a", "b", "c", "d", "e"}
    assert dag.after(["d"]) == {"d", "e"}
    assert dag.after(["d", "b"]) == dag.after(["d"]) | dag.after(["b"])
    assert dag.after([]) == set()


def test_steps_stand_with_inputs_before_what_uses_them() -> None:
    """Whatever the order in which jobs come."""
    for plans in ([ONE, TWO, THREE], [THREE, TWO, ONE], [TWO, THREE, ONE]):
        seen: set[str] = set()
        for step in Dag.of(plans, STEPS):
            assert seen.issuperset(step.inputs)
            seen.add(step.id)


def test_remaining_is_the_longest_path_to_the_end() -> None:
    dag = Dag.of([ONE, TWO, THREE], STEPS)
    seconds = {"base": 1.0, "a": 2.0, "b": 3.0, "c": 50.0, "d": 4.0, "e": 5.0}
    assert dag.remaining(seconds) == {"e": 5.0, "d": 9.0, "c": 50.0, "b": 12.0, "a": 52.0, "base": 53.0}


def test_what_is_not_measured_takes_no_time() -> None:
    assert Dag.of([ONE], STEPS).remaining({"b": 3.0}) == {"b": 3.0, "a": 3.0, "base": 3.0}


def test_no_path_leads_through_what_has_ended() -> None:
    remaining = Dag.of([ONE], STEPS).remaining(dict.fromkeys(STEPS, 1.0), {"a", "unknown"})
    assert remaining == {"b": 1.0, "a": 0.0, "base": 1.0}


def test_a_dag_may_grow() -> None:
    dag = Dag.of([ONE], STEPS)
    dag.add(THREE, STEPS)
    assert [step.id for step in dag] == ["base", "a", "b", "d", "e"]
    assert dag.remaining(dict.fromkeys(STEPS, 1.0))["base"] == 5.0
