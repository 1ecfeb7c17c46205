"""Chains of a DAG become orders of items: what is the same item, and what is done twice all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given

from engine import digest
from engine.analysis.orders import distinct, trie
from engine.analysis.sharing import NearMiss, Sharing
from engine.analysis.strategies import STRATEGIES, evaluate
from engine.dag import Dag
from engine.step import Copy, FromStep, Merge, StepId
from tests.analysis.posets import valid
from tests.planning import DAGS, PLAIN, dag, jobs, path, step, workflow


def does(dag: Dag, id: StepId) -> object:
    """What a step does, read from what its id is made of: all but where it starts. A build that is copied from, or
    merged with that, is what was done in it, however often, in whatever order."""
    action = dag[id].action
    fields = [repr(field) for field in digest.fields(action) if field[0] not in ("input", "inputs", "from")]
    builds: tuple[StepId, ...] = ()
    if isinstance(action, Copy) and isinstance(action.source, FromStep):
        builds = (action.source.step,)
    if isinstance(action, Merge):
        builds = action.inputs[1:]
    held = [frozenset(Counter(does(dag, before) for before in chain(dag, build)).items()) for build in builds]
    return dag[id].kind, tuple(fields), tuple(held)


def chain(dag: Dag, id: StepId) -> list[StepId]:
    """A step and what it starts from, and so on, first to last."""
    before = dag[id].inputs[:1]
    return [*chain(dag, before[0]), id] if before else [id]


def near_misses(dag: Dag) -> list[NearMiss]:
    """With paths for ids; those that cost the same by path."""
    told = []
    for miss in Sharing(dag).near_misses():
        rows = [[path(dag, id) for id in row] for row in miss.rows]
        apart = [(None if id is None else path(dag, id), places) for id, places in miss.apart]
        told.append(NearMiss(rows, miss.after, apart, miss.differs, miss.movable))
    return sorted(told, key=lambda miss: (-miss.excess, miss.rows))


# --- items

AFTER = "((from base) {} (run (shell x)))"
"""A spec whose last op comes after others."""
ITEMS = {
    "the same op on the same base is the same, whatever is between": (["base a x", "base b x"], ["012", "032"]),
    "so are ops in another order": (["base a b", "base b a"], ["012", "021"]),
    "the same chain is one job": (["base a", "base a"], ["01"]),
    "a chain that goes on is another": (["base a", "base a b"], ["01", "012"]),
    "nothing is the same on two bases": (["base a", "other a"], ["01", "23"]),
    "what a chain has twice is two": (["base a b a", "base b a"], ["0123", "021"]),
    "and what it has three times is three": (["base a a a"], ["0123"]),
    "a variable makes another": ([AFTER.format(""), AFTER.format("(env A 1)")], ["01", "02"]),
    "a folder does": ([AFTER.format(""), AFTER.format("(workdir /w)")], ["01", "02"]),
    "a user does": ([AFTER.format(""), AFTER.format("(user (uid 1) (gid 2))")], ["01", "02"]),
    "a shell does": ([AFTER.format(""), AFTER.format("(shell /bin/sh -c)")], ["01", "02"]),
    "a comment does not": (["base a x", AFTER.format("(run (shell b)) (comment why)")], ["012", "032"]),
    "limits do not": (
        ["base a x", workflow("((from base) (run (shell b)) (run (timeout 1m) (shell x)))")],
        ["012", "032"],
    ),
    "the name of a cache does not, which is in no id": (
        [f"((from base) (run (shell {cache})) (run (cache ({cache} (target /c))) (shell x)))" for cache in "ab"],
        ["012", "032"],
    ),
    "what is copied does, and where to": (
        ["((from base) (copy (src f) (dst d)) (copy (src g) (dst d)) (copy (src f) (dst e)))"],
        ["0123"],
    ),
}
"""Texts, and their chains: a digit is an item, in the order in which they come first."""


@pytest.mark.parametrize("what", ITEMS)
def test_items(what: str) -> None:
    texts, chains = ITEMS[what]
    assert Sharing(dag(*texts)).jobs.jobs == [tuple(map(int, digits)) for digits in chains]


def test_a_folder_whose_files_are_the_same_is_the_same_item() -> None:
    """As it is one step where nothing else is between."""
    (one,), (two,) = (
        jobs(f"((from base) (run (shell {folder})) (copy (src f) (dst d)))", folder=f"/{folder}") for folder in "ab"
    )
    assert Sharing(dag(one, two)).jobs.jobs == [(0, 1, 2), (0, 3, 2)]


def test_an_item_is_named_after_its_op_and_needs_its_base_and_itself_before() -> None:
    found = Sharing(dag("base a b a a", "other a"))
    assert found.jobs.names == [
        "(from base)", "(run (shell a))", "(run (shell b))", "(run (shell a))", "(run (shell a))",
        "(from other)", "(run (shell a))",
    ]  # fmt: skip
    assert found.jobs.needs == [(), (0,), (0,), (0, 1), (0, 3), (), (5,)]


BUILDS = """((build one ((from base) (run (shell a))))
 (build two ((from base) (run (shell b)) (copy (from (build one)) (src /f) (dst /f))))
 (from base) (run (shell c)) (copy (from (build two)) (src /f) (dst /f)))"""


def test_a_build_is_a_chain_of_its_own() -> None:
    it = dag(BUILDS, BUILDS.replace("(run (shell c))", ""))
    found = Sharing(it)
    assert [path(it, leaf) for leaf in found.leaves] == ["base a", "base b copy", "base c copy", "base copy"]
    # A copy from `one` is 3. What is copied from `two` is 5, in whichever job.
    assert found.jobs.jobs == [(0, 1), (0, 2, 3), (0, 4, 5), (0, 5)]


def test_from_a_build_goes_on_in_its_chain() -> None:
    it = dag(workflow("((build x ((from base) (run (shell a)))) (from (build x)) (run (shell b)))"), "base b")
    found = Sharing(it)
    assert [path(it, leaf) for leaf in found.leaves] == ["base a b", "base b"]
    assert found.jobs.jobs == [(0, 1, 2), (0, 2)]


def copying(commands: str) -> str:
    """A copy from a build of some commands."""
    runs = " ".join(f"(run (shell {command}))" for command in commands)
    return f"((build x ((from base) {runs})) (from base) (copy (from (build x)) (src /f) (dst /f)))"


def twice_removed(commands: str) -> str:
    """A copy from a build that copies from such a build."""
    return f"""((build y {copying(commands)})
     (from base) (run (shell z)) (copy (from (build y)) (src /f) (dst /f)))"""


def last_items(wanted: str, *texts: str) -> list[int]:
    """Of all chains with that path the last item."""
    it = dag(*texts)
    found = Sharing(it)
    return [job[-1] for leaf, job in zip(found.leaves, found.jobs.jobs, strict=True) if path(it, leaf) == wanted]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("ab", "ba", True), ("aab", "aba", True), ("ab", "ac", False), ("ab", "aba", False), ("", "a", False)],
)
def test_a_copy_is_the_same_from_builds_that_do_the_same_in_another_order(one: str, other: str, same: bool) -> None:
    first, second = last_items("base copy", copying(one), copying(other))
    assert (first == second) == same
    first, second = last_items("base z copy", twice_removed(one), twice_removed(other))
    assert (first == second) == same


def test_no_jobs() -> None:
    found = Sharing(dag())
    assert (found.jobs.jobs, found.leaves, found.near_misses()) == ([], [], [])


@given(PLAIN)
def test_as_they_stand_the_jobs_need_the_steps_of_the_dag(it: Dag) -> None:
    found = Sharing(it)
    assert distinct(found.jobs.jobs) == len(it)
    assert [len(chain(it, leaf)) for leaf in found.leaves] == [len(job) for job in found.jobs.jobs]


@given(DAGS)
def test_items_stand_for_what_is_done_on_a_base(it: Dag) -> None:
    """For the how many-th time: a chain holds an item once."""
    found = Sharing(it)
    ends = {leaf for plan in it.plans for leaf in plan.steps} - {step.inputs[0] for step in it if step.inputs}
    assert ends <= set(found.leaves)
    items: dict[object, int] = {}
    for leaf, job in zip(found.leaves, found.jobs.jobs, strict=True):
        done: Counter[object] = Counter()
        for id, item in zip(chain(it, leaf), job, strict=True):
            what = does(it, id)
            done[what] += 1
            assert items.setdefault((chain(it, leaf)[0], what, done[what]), item) == item
            assert found.jobs.names[item].split()[0] == it[id].op.split()[0]
    assert len(set(items.values())) == len(items) == len(found.jobs.names)


@given(DAGS)
def test_every_order_of_every_strategy_can_be_run(it: Dag) -> None:
    found = Sharing(it)
    for result in evaluate(found.jobs, STRATEGIES, seconds=0.01):
        if result.orders is None:
            continue
        assert valid(found.jobs, result.orders), result.name
        assert all(not found.jobs.needs[order[0]] for order in result.orders), "a base comes first"
        assert result.distinct >= len(found.jobs.names)


# --- near-misses


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["base a b", "base a c", "other"], []),
        (["base a x", "base b x"], [NearMiss([["base a x", "base b x"]], 1, [("base a", 1), ("base b", 1)], [], True)]),
        # What follows in every place is part of one near-miss, what follows in some of them is another.
        (
            ["base a x y", "base b x y z", "base z x y"],
            [
                NearMiss(
                    [["base a x", "base b x", "base z x"], ["base a x y", "base b x y", "base z x y"]],
                    1, [("base a", 1), ("base b", 1), ("base z", 1)], [], True,
                ),
                NearMiss([["base b x y z", "base z"]], 1, [("base b", 1), (None, 1)], [], True),
            ],
        ),
        # Several part where the first of them does; the way of most is first.
        (
            ["base a p x", "base b q x", "base b r x"],
            [NearMiss([["base a p x", "base b q x", "base b r x"]], 1, [("base b", 2), ("base a", 1)], [], True)],
        ),
        (
            ["base a p x", "base a q x"],
            [NearMiss([["base a p x", "base a q x"]], 2, [("base a p", 1), ("base a q", 1)], [], True)],
        ),
        # Straight after what they have in common comes the op itself.
        (["base x", "base a x"], [NearMiss([["base x", "base a x"]], 1, [(None, 1), ("base a", 1)], [], True)]),
        # On two bases no order makes one place of them.
        (
            ["one a b", "two a b", "one z b"],
            [
                NearMiss([["one a b", "two a b", "one z b"]], 0, [("one", 2), ("two", 1)], [], False),
                NearMiss([["one a", "two a"]], 0, [("one", 1), ("two", 1)], [], False),
            ],
        ),
        # The same ops in another context: all that differs in one row or another is told.
        (
            ["base x y", "((from base) (env A 1) (run (shell x)) (workdir /w) (run (shell y)))"],
            [NearMiss([["base x"] * 2, ["base x y"] * 2], 1, [(None, 2)], ["env A", "cwd"], False)],
        ),
    ],
)  # fmt: skip
def test_near_misses(texts: list[str], found: list[NearMiss]) -> None:
    assert near_misses(dag(*texts)) == found


COPY = "(copy (src f) (dst d))"


@pytest.mark.parametrize(
    ("op", "contexts", "differs"),
    [
        ("(run (shell x))", ["", "(env A 1)"], ["env A"]),
        ("(run (shell x))", ["(env A 1) (env B 1)", "(env A 2) (env B 1)"], ["env A"]),
        ("(run (shell x))", ["(env A 1)", "(env A 1)", "(env B 1)"], ["env A", "env B"]),
        ("(run (shell x))", ["(workdir /w) (env A 1)", "", "(workdir /v)"], ["cwd", "env A"]),
        ("(run (shell x))", ["(user (uid 1) (gid 2))", "(shell /bin/sh -c)"], ["shell", "user"]),
        ("(run (shell x))", ["(run (shell a)) (env A 1)", "(run (shell b))"], ["env A"]),
        (COPY, ["(workdir /w)", "(user (name me))"], ["destination", "owner"]),
        (COPY, ["(run (shell a))", "(run (shell b)) (env A 1)"], []),
    ],
)
def test_in_what_the_context_differs(op: str, contexts: list[str], differs: list[str]) -> None:
    (miss,) = near_misses(dag(*[f"((from base) {context} {op})" for context in contexts]))
    assert miss.differs == differs
    assert miss.movable == (not differs)


@pytest.mark.parametrize(("other", "differs"), [("ba", []), ("ac", ["from"])])
def test_copies_from_builds(other: str, differs: list[str]) -> None:
    """Those that do the same in another order are alike."""
    it = dag(copying("ab"), copying(other))
    assert NearMiss([["base copy"] * 2], 1, [(None, 2)], differs, not differs) in near_misses(it)


@pytest.mark.parametrize(
    "texts",
    [
        # Once y runs with A, and that it follows x in both places does not help.
        ["base a x y", "((from base) (run (shell b)) (run (shell x)) (env A 1) (run (shell y)))"],
        # One chain that does something twice does it twice in any order.
        ["base x a x"],
    ],
)
def test_what_no_order_makes_one_is_not_movable(texts: list[str]) -> None:
    (miss,) = near_misses(dag(*texts))
    assert not miss.movable


@given(DAGS)
def test_near_misses_are_all_ops_that_stand_twice(it: Dag) -> None:
    """But for bases."""
    found = Sharing(it).near_misses()
    ops = Counter(one.op for one in it if one.inputs)
    assert sum(miss.excess for miss in found) == ops.total() - len(ops)
    rows = [row for miss in found for row in miss.rows]
    assert Counter(it[row[0]].op for row in rows) == Counter(op for op, count in ops.items() if count > 1)
    assert [miss.excess for miss in found] == sorted((miss.excess for miss in found), reverse=True)


@given(DAGS)
def test_the_rows_of_a_near_miss_are_alike(it: Dag) -> None:
    for miss in Sharing(it).near_misses():
        places = len(miss.rows[0])
        assert places > 1
        assert miss.excess == len(miss.rows) * (places - 1)
        for row in miss.rows:
            assert len(set(row)) == places
            assert len({it[id].op for id in row}) == 1
        assert sum(count for _, count in miss.apart) == places
        assert [count for _, count in miss.apart] == sorted((count for _, count in miss.apart), reverse=True)
        alike = all(len({does(it, id) for id in row}) == 1 for row in miss.rows)
        assert (miss.differs == []) == alike
        assert not miss.movable or (alike and len({chain(it, id)[0] for id in miss.rows[0]}) == 1)


@given(DAGS)
@example(dag("base a x", "base b x y", "base a x y"))
def test_each_row_starts_from_the_one_above_place_by_place(it: Dag) -> None:
    for miss in Sharing(it).near_misses():
        for above, row in pairwise(miss.rows):
            assert [it[id].inputs[0] for id in row] == above


@given(DAGS)
@example(dag("base x a x"))
def test_places_part_after_what_they_have_in_common(it: Dag) -> None:
    """Also where one place comes after another in the same chain."""
    for miss in Sharing(it).near_misses():
        before = [chain(it, id)[:-1] for id in miss.rows[0]]
        assert miss.after == common(before)
        ways = Counter(steps[miss.after] if len(steps) > miss.after else None for steps in before)
        assert ways == dict(miss.apart)


def common(chains: Sequence[Sequence[StepId]]) -> int:
    """How many steps all of them begin with."""
    return next(
        (depth for depth, steps in enumerate(zip(*chains, strict=False)) if len(set(steps)) > 1),
        min(map(len, chains)),
    )


# --- what orders cost, and change


@given(DAGS)
def test_an_order_costs_what_its_steps_do(it: Dag) -> None:
    found = Sharing(it)
    for result in evaluate(found.jobs, [name for name in STRATEGIES if name != "merge"], seconds=0.01):
        assert result.orders is not None
        assert found.cost(result.orders, dict.fromkeys(it.ids, 1.0)) == result.distinct
        assert found.cost(result.orders, {}) == 0


def test_a_step_costs_the_mean_of_those_that_do_the_same() -> None:
    it = dag("base a x", "base b x")
    found = Sharing(it)
    costs = {"base": 1.0, "base a": 10.0, "base a x": 100.0, "base b x": 300.0}  # nothing is known of `base b`
    known = {step(it, name): cost for name, cost in costs.items()}
    assert found.cost(found.jobs.jobs, known) == 1 + 10 + 2 * 200
    assert found.cost([(0, 2, 1), (0, 2, 3)], known) == 1 + 10 + 200
    # Of another base the same is another item.
    it = dag("one x", "two x")
    known = {step(it, "one x"): 1.0, step(it, "two x"): 5.0}
    found = Sharing(it)
    assert found.cost(found.jobs.jobs[:1], known) == 1


def test_the_chains_that_an_order_changes() -> None:
    it = dag("base a x", "base b x")
    found = Sharing(it)
    assert list(found.changed(found.jobs.jobs)) == []
    assert list(found.changed([(0, 1, 2), (0, 2, 3)])) == [(step(it, "base b x"), (0, 2, 3))]
    assert len(trie([(0, 2, 1), (0, 2, 3)]).jobs) == 4
