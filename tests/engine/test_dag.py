"""Many jobs as one graph."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from engine.dag import Dag
from engine.plan import Plan
from engine.step import Base, Config, Copy, FromStep, Ids, Run, Step
from tests.engine.test_scheduler import ancestors, graph, graphs


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


def test_asking_what_comes_after_changes_nothing() -> None:
    dag = Dag.of([ONE, TWO, THREE], STEPS)
    assert [dag.after(["c"]), dag.after(["e"]), dag.after(["c"])] == [{"c"}, {"e"}, {"c"}]


def test_what_is_asked_for_twice_or_after_another_is_there_once() -> None:
    dag = Dag.of([ONE, TWO, THREE], STEPS)
    assert dag.after(["a", "b", "a"]) == dag.after(["a"])


@given(edges=graphs(), chance=st.randoms(use_true_random=False))
def test_after_steps_are_all_that_have_one_of_them_before(edges: dict[str, list[str]], chance: Random) -> None:
    asked = {id for id in edges if chance.random() < 0.3}
    expected = {id for id in edges if id in asked or ancestors(edges, id) & asked}
    assert graph(edges).after(asked) == expected


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


def test_the_longest_path_by_hand() -> None:
    dag = Dag.of([ONE, TWO, THREE], STEPS)
    seconds = {"base": 1.0, "a": 2.0, "b": 3.0, "c": 50.0, "d": 4.0, "e": 5.0}
    assert dag.longest_path(seconds) == ["base", "a", "c"]
    assert dag.longest_path({**seconds, "c": 11.0}) == ["base", "a", "b", "d", "e"]
    assert dag.longest_path(seconds, {"base", "a", "c"}) == ["b", "d", "e"]
    assert dag.longest_path(seconds, {"base", "a", "b", "c", "d", "e"}) == []
    assert Dag().longest_path(seconds) == []


def test_steps_that_take_no_time_are_on_the_path_where_they_come_first_or_last() -> None:
    assert Dag.of([ONE], STEPS).longest_path({"a": 1.0}) == ["base", "a", "b"]


@given(edges=graphs(), chance=st.randoms(use_true_random=False))
def test_no_path_is_longer_than_the_longest(edges: dict[str, list[str]], chance: Random) -> None:
    """It leads from a step to one that reads it, through none that has ended, and goes on at neither end."""
    seconds = {id: float(chance.randrange(5)) for id in edges}
    ended = {id for id in edges if chance.random() < 0.2}
    dag = graph(edges)
    path = dag.longest_path(seconds, ended)
    assert all(before in edges[after] for before, after in pairwise(path))
    assert ended.isdisjoint(path)
    longest: dict[str, float] = {}
    for id, inputs in edges.items():
        if id not in ended:
            longest[id] = seconds[id] + max((longest[input] for input in inputs if input in longest), default=0.0)
    assert sum(seconds[id] for id in path) == max(longest.values(), default=0.0)
    if path:
        assert ended.issuperset(edges[path[0]])
        assert ended.issuperset(id for id, inputs in edges.items() if path[-1] in inputs)
    else:
        assert ended == edges.keys()


def test_a_dag_may_grow() -> None:
    dag = Dag.of([ONE], STEPS)
    assert dag.after(["a"]) == {"a", "b"}
    dag.add(THREE, STEPS)
    assert dag.after(["a"]) == {"a", "b", "d", "e"}
    assert [step.id for step in dag] == ["base", "a", "b", "d", "e"]
    assert dag.remaining(dict.fromkeys(STEPS, 1.0))["base"] == 5.0
