"""What is told of what jobs share: the sums by hand, the text to the letter, the document key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.report import LINES, Report, as_json, as_text, report
from engine.dag import Dag
from tests.analysis.posets import prefixes, valid
from tests.planning import DAGS, dag, path, spec, step, workflow

THREE = ("base a x y", "base b x y", "base b x z")
"""Twelve steps, eight distinct, since x and y are done after a and after b. With x first one less would do."""
SECONDS = {"base": 4.0, "base b": 10.0, "base a x": 1.0, "base b x": 4.0}
BYTES = {"base": 1_500_000, "base b": 500}


def told(*texts: str, seconds: Mapping[str, float] | None = None, bytes: Mapping[str, int] | None = None) -> Report:
    """The report of texts, with what their steps are known to have cost; every order took a quarter of a second."""
    it = dag(*texts)
    found = report(
        it,
        {step(it, name): one for name, one in (seconds or {}).items()},
        {step(it, name): one for name, one in (bytes or {}).items()},
        budget=0.02,
    )
    return replace(found, results=[replace(result, compute_seconds=0.25) for result in found.results])


def lines(text: str) -> list[str]:
    return text.strip("\n").splitlines()


# --- sums


def test_what_sharing_saves_is_each_step_but_for_one_of_its_jobs() -> None:
    """Three jobs need the base, and two need b and x after it. What only one needs saves nothing."""
    found = told(*THREE, seconds=SECONDS, bytes=BYTES)
    assert found.saved(found.seconds) == 2 * 4 + 10 + 4
    assert found.saved(found.bytes) == 2 * 1_500_000 + 500
    assert told(*THREE).saved({}) == 0


def test_what_a_near_miss_costs_is_its_steps_at_their_means_but_for_one() -> None:
    known = {"base a x": 1.0, "base b x": 3.0, "base c x y": 8.0}
    found = told("base a x y", "base b x y", "base c x y", seconds=known)
    (miss,) = found.near_misses
    # x took 2 s in the mean where it was measured, y took 8 s where it was; two of each could go.
    assert found.excess(miss) == 2 * 2 + 2 * 8
    found = told("base a x y", "base b x y", "base c x y")
    assert found.excess(*found.near_misses) == 0


def test_the_best_order_is_the_first_of_those_that_need_fewest_steps() -> None:
    found = told(*THREE)
    assert (found.results[0].name, found.results[0].distinct) == ("arbitrary", 8)
    assert found.best is next(result for result in found.results if result.distinct == 7)
    assert found.bound == 6 < min(result.distinct for result in found.results)
    assert "merge" not in [result.name for result in found.results]


def test_orders_are_for_all_jobs_though_some_are_the_same() -> None:
    """Four steps without sharing, two with it."""
    assert {result.ratio for result in told("base a", "base a").results} == {2.0}


def test_as_the_jobs_stand_they_need_the_steps_of_the_dag() -> None:
    """Also where copies would be the same, were their builds in the same order."""
    copy = "((build x {}) (from base) (copy (from (build x)) (src f) (dst f)))"
    found = told(copy.format(spec("base a b")), copy.format(spec("base b a")))
    assert found.results[0].distinct == len(found.dag) == 7


def test_there_is_no_best_order_where_none_is_better() -> None:
    assert told("base a b", "base a c").best is None
    assert told().best is None


def test_what_an_order_saves_is_by_the_means_of_what_is_done() -> None:
    found = told("base a x", "base b x", seconds={"base": 50.0, "base a": 7.0, "base a x": 1.0, "base b x": 3.0})
    assert found.saved_by(found.sharing.jobs.jobs) == 0
    # x once instead of twice, at 2 s; a and b as often as before
    assert found.saved_by([(0, 2, 1), (0, 2, 3)]) == 2
    # and an order may cost
    assert found.saved_by([(0, 1, 2), (0, 3, 2), (0, 2, 1)]) == -2 - 7


# --- text


def test_the_text_without_history() -> None:
    found = told(*THREE)
    x, a, b = (step(found.dag, name)[:12] for name in ("base a x", "base a", "base b"))
    assert list(as_text(found)) == lines(f"""
3 jobs, 12 steps, 8 distinct: 1.50 ×
sharing saves 4 steps

Prefixes, with the number of jobs on each branch
×3      (from base)
×2      ├─ (run (shell b))  … 1 more step
×1      │  ├─ (run (shell y))
×1      │  └─ (run (shell z))
×1      └─ (run (shell a))  … 2 more steps

Near-misses: 2 steps whose op another has, after another beginning
  2 steps: {x} (run (shell x)), and the 1 after it
    in 2 places, which part after 1 step
    ×1     {a} (run (shell a))
    ×1     {b} (run (shell b))

Orders, as if ops could change places: whether they can is yours to know
order              steps    ratio  depth  computed in
arbitrary              8   1.50 ×      4       0.25 s
alphabetical           8   1.50 ×      4       0.25 s
popular                7   1.71 ×      4       0.25 s
greedy                 7   1.71 ×      4       0.25 s
online                 7   1.71 ×      4       0.25 s
agglomerative          7   1.71 ×      4       0.25 s
search                 7   1.71 ×      4       0.25 s
no order needs fewer than 6
popular saves 1 step, by this order:
×3      (from base)
×3      (run (shell x))
×2      ├─ (run (shell b))
×1      │  ├─ (run (shell y))
×1      │  └─ (run (shell z))
×1      └─ (run (shell y))
×1         (run (shell a))
""")


def test_with_history_the_text_says_what_the_steps_cost() -> None:
    plain, found = told(*THREE), told(*THREE, seconds=SECONDS, bytes=BYTES)
    x = step(found.dag, "base a x")[:12]
    assert [line for line in as_text(found) if line not in list(as_text(plain))] == [
        "sharing saves 4 steps, 22 s, 3.0 MB (by the 4 that were measured)",
        f"  2 steps, 2.5 s: {x} (run (shell x)), and the 1 after it",
        "popular saves 1 step, 2.5 s, by this order:",
    ]
    assert len(list(as_text(found))) == len(list(as_text(plain)))


def test_the_text_where_nothing_can_be_saved() -> None:
    assert list(as_text(told("base a"))) == lines("""
1 job, 2 steps, 2 distinct: 1.00 ×
sharing saves 0 steps

Prefixes, with the number of jobs on each branch
×1      (from base)  … 1 more step

No near-misses: no op stands in two places

Orders, as if ops could change places: whether they can is yours to know
order              steps    ratio  depth  computed in
arbitrary              2   1.00 ×      2       0.25 s
alphabetical           2   1.00 ×      2       0.25 s
popular                2   1.00 ×      2       0.25 s
greedy                 2   1.00 ×      2       0.25 s
online                 2   1.00 ×      2       0.25 s
agglomerative          2   1.00 ×      2       0.25 s
search                 2   1.00 ×      2       0.25 s
no order needs fewer than 2
none that was found needs fewer than the jobs as they stand
""")


def test_where_no_job_is_nothing_is_saved() -> None:
    text = list(as_text(told()))
    assert text[:2] == ["0 jobs, 0 steps, 0 distinct: 1.00 ×", "sharing saves 0 steps"]
    assert text[-1] == "none that was found needs fewer than the jobs as they stand"


def test_an_op_that_comes_straight_after_what_is_common() -> None:
    assert "    ×1     itself" in as_text(told("base x", "base a x"))


def test_the_same_op_in_another_context() -> None:
    """Where all have nothing but that before them, there is nothing more to say."""
    found = told("base x", "((from base) (workdir /w) (env A 1) (run (shell x)))")
    text = list(as_text(found))
    at = text.index("    in 2 places, in another cwd and env A, which part after 1 step")
    assert text[at + 1] == ""
    assert [(miss["differs"], miss["movable"]) for miss in document(found)["near_misses"]] == [
        (["cwd", "env A"], False)
    ]


def test_the_text_names_three_ways_to_a_near_miss() -> None:
    text = list(as_text(told(*[f"base {way} x" for way in "abcde"])))
    at = text.index("    in 5 places, which part after 1 step")
    assert [line.split()[0] for line in text[at + 1 : at + 4]] == ["×1"] * 3
    assert text[at + 4 : at + 6] == ["    … 2 more", ""]


def test_the_text_names_ten_near_misses() -> None:
    texts = [f"base {way} {last}" for last in "cdefghijklmn" for way in "ab"]
    text = list(as_text(told(workflow(*map(spec, texts)))))
    at = text.index("Near-misses: 12 steps whose op another has, after another beginning")
    rest = text[at + 1 : text.index("", at)]
    assert [line.split(":")[0] for line in rest[::4]] == ["  1 step"] * 10 + ["  … 2 more"]


def test_a_large_tree_is_drawn_in_part() -> None:
    text = list(as_text(told(workflow(*[spec(f"base {number} {number} {number}") for number in range(100)]))))
    begin = text.index("Prefixes, with the number of jobs on each branch") + 1
    drawing = text[begin : text.index("", begin)]
    assert len(drawing) <= LINES + 2
    shown = sum(line.endswith("… 2 more steps") for line in drawing)
    assert drawing[-1].split()[-5:] == f"{100 - shown} more branches, {3 * (100 - shown)} steps".split()


# --- JSON

NUMBER = (int, float)
STRATEGY = {"name": str, "distinct": int, "ratio": float, "depth": int, "compute_seconds": float}
SCHEMA: dict[str, Any] = {
    "version": int, "jobs": int, "steps": int, "distinct": int, "ratio": float, "strategies": [STRATEGY],
    "bound": int,
    "saved": {"steps": int, "seconds": NUMBER, "bytes": NUMBER, "measured": int},
    "branches": [{"parent": (int, type(None)), "jobs": int, "steps": [{"id": str, "op": str}]}],
    "near_misses": [
        {"ops": [str], "steps": [[str]], "after": int, "excess": int, "seconds": NUMBER, "differs": [str],
         "movable": bool,
         "apart": [{"id": (str, type(None)), "op": (str, type(None)), "places": int}]},
    ],
    "reordering": (
        type(None),
        {"strategy": str, "steps": int, "seconds": NUMBER, "ops": [str],
         "orders": [{"final": str, "jobs": [str], "order": [int]}]},
    ),
}  # fmt: skip


def holds(value: Any, schema: Any) -> bool:
    """Exactly these keys in this order, each of its type; a bool is no number here."""
    if isinstance(schema, tuple):
        return any(holds(value, one) for one in schema)
    if isinstance(schema, dict):
        return list(value or ()) == list(schema) and all(holds(value[key], kind) for key, kind in schema.items())
    if isinstance(schema, list):
        return isinstance(value, list) and all(holds(one, schema[0]) for one in value)
    return isinstance(value, schema) and (schema is bool or not isinstance(value, bool))


def document(found: Report) -> dict[str, Any]:
    """As it is read again."""
    read: dict[str, Any] = json.loads(json.dumps(as_json(found)))
    return read


def test_the_document() -> None:
    found = told(*THREE, seconds=SECONDS, bytes=BYTES)
    read = document(found)
    assert holds(read, SCHEMA)
    it = found.dag
    names = {name: step(it, name) for name in map(lambda id: path(it, id), it.ids)}

    def ops(*words: str) -> list[str]:
        return ["(from base)" if word == "base" else f"(run (shell {word}))" for word in words]

    assert [read[key] for key in ("version", "jobs", "steps", "distinct", "ratio", "bound")] == [1, 3, 12, 8, 1.5, 6]
    assert read["strategies"][0] == {
        "name": "arbitrary", "distinct": 8, "ratio": 1.5, "depth": 4, "compute_seconds": 0.25
    }  # fmt: skip
    assert [one["ratio"] for one in read["strategies"]] == [12 / 8] * 2 + [12 / 7] * 5
    assert read["saved"] == {"steps": 4, "seconds": 22, "bytes": 3_000_500, "measured": 4}
    assert [
        (branch["parent"], branch["jobs"], [path(it, one["id"]) for one in branch["steps"]])
        for branch in read["branches"]
    ] == [
        (None, 3, ["base"]),
        (0, 1, ["base a", "base a x", "base a x y"]),
        (0, 2, ["base b", "base b x"]),
        (2, 1, ["base b x y"]),
        (2, 1, ["base b x z"]),
    ]
    assert [one["op"] for one in read["branches"][1]["steps"]] == ops("a", "x", "y")
    assert read["near_misses"] == [
        {
            "ops": ops("x", "y"),
            "steps": [[names["base a x"], names["base b x"]], [names["base a x y"], names["base b x y"]]],
            "after": 1, "excess": 2, "seconds": 2.5, "differs": [], "movable": True,
            "apart": [
                {"id": names["base a"], "op": "(run (shell a))", "places": 1},
                {"id": names["base b"], "op": "(run (shell b))", "places": 1},
            ],
        },
    ]  # fmt: skip
    assert read["reordering"] == {
        "strategy": "popular", "steps": 1, "seconds": 2.5, "ops": ops("base", "a", "x", "y", "b", "z"),
        "orders": [
            {"final": names["base a x y"], "jobs": ["a"], "order": [0, 2, 3, 1]},
            {"final": names["base b x y"], "jobs": ["b"], "order": [0, 2, 4, 3]},
            {"final": names["base b x z"], "jobs": ["c"], "order": [0, 2, 4, 5]},
        ],
    }  # fmt: skip


def test_the_document_where_nothing_can_be_saved() -> None:
    read = document(told("base a"))
    assert holds(read, SCHEMA)
    assert read["saved"] == {"steps": 0, "seconds": 0, "bytes": 0, "measured": 0}
    assert (read["near_misses"], read["reordering"], read["ratio"]) == ([], None, 1.0)
    empty = document(told())
    assert holds(empty, SCHEMA)
    assert (empty["ratio"], empty["branches"], empty["bound"]) == (1.0, [], 0)


def test_an_op_that_comes_straight_after_has_no_id() -> None:
    (miss,) = document(told("base x", "base a x"))["near_misses"]
    assert [(way["id"] is None, way["op"]) for way in miss["apart"]] == [(True, None), (False, "(run (shell a))")]


@given(DAGS, st.randoms(use_true_random=False))
def test_what_every_document_holds(it: Dag, chance: Random) -> None:
    some = [id for id in it.ids if chance.random() < 0.5]
    found = report(it, {id: chance.random() for id in some}, {id: chance.randrange(99) for id in some}, budget=0.01)
    read = document(found)
    assert holds(read, SCHEMA)
    assert read["saved"]["steps"] == read["steps"] - read["distinct"]
    *_, last = as_text(found)
    assert (last == "none that was found needs fewer than the jobs as they stand") == (read["reordering"] is None)
    # The branches are all steps, once each; each begins where the one it grows from ends.
    steps = [one["id"] for branch in read["branches"] for one in branch["steps"]]
    assert sorted(steps) == sorted(it.ids)
    for place, branch in enumerate(read["branches"]):
        ids = [one["id"] for one in branch["steps"]]
        assert {len(it.jobs(id)) for id in ids} == {branch["jobs"]}
        before = [] if branch["parent"] is None else [read["branches"][branch["parent"]]["steps"][-1]["id"]]
        assert branch["parent"] is None or branch["parent"] < place
        assert [list(it[id].inputs[:1]) for id in ids] == [before, *[[id] for id in ids[:-1]]]
    if (better := read["reordering"]) is None:
        return
    # Whoever puts these orders in the place of the jobs' own has one that can be run, and saves what it says.
    orders = dict(zip(found.sharing.leaves, found.sharing.jobs.jobs, strict=True))
    for one in better["orders"]:
        assert orders[one["final"]] != tuple(one["order"])
        assert one["jobs"] == list(it.jobs(one["final"]))
        orders[one["final"]] = tuple(one["order"])
    assert valid(found.sharing.jobs, list(orders.values()))
    assert better["ops"] == list(found.sharing.jobs.names)
    assert better["steps"] == prefixes(found.sharing.jobs.jobs) - prefixes(list(orders.values())) > 0
