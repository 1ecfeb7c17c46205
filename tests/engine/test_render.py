"""A plan in all its forms: the exact text of a small one, how much there is of a large one, and graphs that are read
back by what Graphviz and Mermaid say of their languages."""

from __future__ import annotations

import html
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag import Dag
from engine.estimate import NOTHING, Estimates
from engine.forest import LINES
from engine.plan import Plan as Job
from engine.prospect import Prospect
from engine.render import LABEL, NAMES, Plan, as_dot, as_json, as_mermaid, as_text
from engine.step import SHORT, Action, Base, Config, Copy, FromStep, Ids, Run, Step
from engine.words import WIDTH
from tests.engine.test_prospect import known


def id(name: str) -> str:
    return f"{name:.<64}"


def step(name: str, op: str, action: Action) -> Step:
    return Step(id(name), op, action)


def base(name: str) -> Step:
    return step(name, f"(from {name})", Base(name, name, Config(), f"docker://{name}@sha256:0"))


def run(name: str, on: str, op: str | None = None, *, network: tuple[str, ...] = ()) -> Step:
    return step(name, op or f"(run (shell {name}))", Run(id(on), name, (), "/", (), Ids(), network))


def copy(name: str, into: str, source: str) -> Step:
    return step(name, f"(copy (from {source}))", Copy(id(into), FromStep(id(source)), ("a",), "/", (), Ids()))


def chain(*names: str) -> list[Step]:
    """A base and what follows it."""
    return [base(names[0]), *[run(name, before) for before, name in pairwise(names)]]


def planned(
    jobs: Mapping[str, Iterable[Step]],
    *,
    cached: str = "",
    failed: str = "",
    estimates: Estimates = NOTHING,
    machines: Mapping[int, int | None] | None = None,
    drift: float = 0.0,
) -> Plan:
    """The plan of jobs by name; other steps by theirs."""
    steps = {step.id: step for plan in jobs.values() for step in plan}
    plans = [Job(name, tuple(ids), ids[-1]) for name, plan in jobs.items() for ids in [[step.id for step in plan]]]
    prospect = Prospect(Dag.of(plans, steps), set(map(id, cached.split())), set(map(id, failed.split())), estimates)
    states = prospect.states()
    return Plan(prospect, states, prospect.forecast(states, machines or {}, drift=drift))


# Two jobs: both have a tool from a nested build on another base.
TOOL = [base("alpine"), run("make", "alpine", network=("host",))]
BOTH = [*TOOL, base("debian"), copy("copy", "debian", "make"), run("test", "copy")]
ONE = [*BOTH, run("doc", "test")]
TWO = [*BOTH, run("pack", "test"), run("sign", "pack", network=("host",))]
SECONDS = {"alpine": 2.0, "make": 200.0, "debian": 50.0, "copy": 0.2, "test": 30.0, "pack": 4.0, "sign": 5.0}
EXPECTED = known({id(name): took for name, took in SECONDS.items()}, unknown=[id("doc")])

# A tree for each base. Where the jobs part, the longer branch goes on below and the other is moved in.
TREES = """
cached  alpine...... (from alpine)  ×2  2.0 s
run     make........ (run (shell make))  ×2  3.3 min
run     debian...... (from debian)  ×2  50 s
run     copy........ (copy (from make))  ×2  0.2 s
run     test........ (run (shell test))  ×2  30 s
run     ├─ doc......... (run (shell doc))  → one
run     pack........ (run (shell pack))  4.0 s
run     sign........ (run (shell sign))  5.0 s  → two
2 jobs, 13 steps, 8 distinct: 1 cached, 7 to run
fetch: debian from docker://debian@sha256:0
network: 2 steps to run have it
predicted at -j 1: 4.8 min, 9 of 10 runs within 9.2 min
predicted at -j 8: 4.0 min, 9 of 10 runs within 7.6 min
work: 4.8 min in all; 1 step without history, taken as 1.0 s each
critical path: 4.0 min, 5 steps, to two
"""


def test_the_text_of_a_plan() -> None:
    machines = dict.fromkeys([1, 8])
    plan = planned({"one": ONE, "two": TWO}, cached="alpine", estimates=EXPECTED, machines=machines, drift=0.5)
    assert list(as_text(plan)) == TREES.strip().splitlines()


FAILURE = """
cached  alpine...... (from alpine)  ×2
failed  make........ (run (shell make))  ×2
run     debian...... (from debian)  ×2
blocked copy........ (copy (from make))  ×2
blocked test........ (run (shell test))  ×2
blocked ├─ doc......... (run (shell doc))  → one
blocked pack........ (run (shell pack))
blocked sign........ (run (shell sign))  → two
2 jobs, 13 steps, 8 distinct: 1 cached, 1 to run, 1 known to fail, 5 blocked
fetch: debian from docker://debian@sha256:0
"""


def test_the_text_where_a_step_is_known_to_fail_and_nothing_is_known_of_times() -> None:
    plan = planned({"one": ONE, "two": TWO}, cached="alpine", failed="make")
    assert list(as_text(plan)) == FAILURE.strip().splitlines()


def test_the_text_of_nothing() -> None:
    assert list(as_text(planned({}))) == ["0 jobs, 0 steps, 0 distinct"]


def test_one_step_with_network_has_it() -> None:
    assert "network: 1 step to run has it" in list(as_text(planned({"one": ONE})))
    assert not [line for line in as_text(planned({"one": ONE}, cached="make")) if "network" in line]


def test_what_more_jobs_share_stands_first() -> None:
    jobs = {"one": chain("x", "a", "a1", "a2"), "two": chain("x", "b", "b1"), "three": chain("x", "b", "b2")}
    places = {line.partition("(shell ")[2].partition(")")[0]: at for at, line in enumerate(as_text(planned(jobs)))}
    assert places["b2"] < places["a"]


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "→ job1"),
        (2, "→ job1, job2"),
        (NAMES, "→ job1, job2, job3"),
        (NAMES + 1, "→ job1, job2, job3 and 1 more"),
        (2000, "→ job1, job2, job3 and 1,997 more"),
    ],
)
def test_the_jobs_that_end_with_a_step(count: int, named: str) -> None:
    plan = planned({f"job{number + 1}": [base("x"), run("end", "x")] for number in range(count)})
    shared = f"  ×{count:,}" if count > 1 else ""
    assert list(as_text(plan))[1] == f"run     end......... (run (shell end)){shared}  {named}"


def test_a_critical_path_that_ends_with_no_job_names_none() -> None:
    """What comes after it is known to fail."""
    plan = planned({"one": ONE}, failed="doc", estimates=EXPECTED)
    assert list(as_text(plan))[-1] == "critical path: 3.9 min, 4 steps"


def test_a_long_op_is_cut() -> None:
    lines = list(as_text(planned({"one": [base("x"), run("a", "x", f'(run (shell "{"é" * 1000}"))')]})))
    assert (
        lines[1].removeprefix("run     a........... ").removesuffix("…  → one") == f'(run (shell "{"é" * (WIDTH - 14)}'
    )


def test_lines_of_steps_are_fitted_and_those_there_already_are_told() -> None:
    plan = planned({"one": ONE}, cached="alpine make")
    told: list[tuple[str, bool]] = []

    def fit(text: str, faint: bool) -> str:
        told.append((text, faint))
        return f"<{text}>"

    plain, fitted = list(as_text(plan)), list(as_text(plan, fit=fit))
    assert fitted[:6] == [f"<{line}>" for line in plain[:6]]
    assert told == [(line, line.startswith("cached")) for line in plain[:6]]
    assert sum(faint for _, faint in told) == 2


def many(count: int) -> dict[str, list[Step]]:
    """Jobs of a base, one of two hundred middle steps, and an end of their own; each tenth is longer."""
    ends = [[f"n{number}.{place}" for place in range(1 if number % 10 else 9)] for number in range(count)]
    return {f"job{number}": chain("x", f"middle{number % 200}", *end) for number, end in enumerate(ends)}


def test_of_five_thousand_jobs_the_text_is_about_a_hundred_lines() -> None:
    """What is drawn and what is said to be left out are all steps."""
    plan = planned(many(5_000), cached="x middle0")
    lines = list(as_text(plan))
    assert LINES * 0.8 <= len(lines) <= LINES * 1.1
    *steps, sums = lines
    left = [re.search(r"… (?:[\d,]+ more branch(?:es)?, |more: )([\d,]+) steps? \((.*)\)", line) for line in steps]
    counts = [(int(found[1].replace(",", "")), found[2]) for found in left if found]
    drawn = [line for line, found in zip(steps, left, strict=True) if not found]
    assert not any("…" in line for line in drawn)
    assert len(drawn) + sum(count for count, _ in counts) == len(plan.dag) == 9_201
    assert all(told == f"{count:,} to run" for count, told in counts)
    assert sums == "5,000 jobs, 19,000 steps, 9,201 distinct: 2 cached, 9,199 to run"
    assert len(list(as_text(plan, None))) == 9_201 + 1


def test_the_middle_of_a_long_chain_is_left_out() -> None:
    lines = list(as_text(planned({"one": chain("x", *[f"n{number}" for number in range(150)])}, cached="x n0 n120")))
    assert lines[LINES - 2] == "        … more: 52 steps (1 cached, 51 to run)"
    assert lines[LINES - 1] == "run     n149........ (run (shell n149))  → one"


class TestJson:
    def test_the_document(self) -> None:
        plan = planned({"one": ONE, "two": TWO}, cached="alpine", estimates=EXPECTED, machines={1: None}, drift=0.5)
        found: dict[str, Any] = json.loads("\n".join(as_json(plan)))
        assert list(found) == ["version", "jobs", "steps", "totals", "fetch", "prediction"]
        assert [(job["name"], job["final"]) for job in found["jobs"]] == [("one", id("doc")), ("two", id("sign"))]
        seconds = {step["id"]: step["seconds"] for step in found["steps"]}
        assert seconds == {**{id(name): took for name, took in SECONDS.items()}, id("doc"): None}
        assert found["steps"][1] == {
            "id": id("make"), "kind": "run", "inputs": [id("alpine")], "op": "(run (shell make))", "jobs": 2,
            "cached": False, "state": "run", "seconds": 200.0,
        }  # fmt: skip
        assert found["totals"] == {
            "jobs": 2, "steps": 13, "distinct": 8, "cached": 1, "to_run": 7, "seconds": None, "critical_path": None,
        }  # fmt: skip
        bases = [{"id": id("debian"), "base": "debian", "source": "docker://debian@sha256:0"}]
        assert found["fetch"] == {"bases": bases, "network": 2}
        p90 = 290.2 * math.exp(0.5 * 1.2816)  # the spread of whole runs, and nine tenths of a normal distribution
        assert found["prediction"] == {
            "work": pytest.approx(290.2), "unknown": 1,
            "path": [id(name) for name in ("make", "copy", "test", "pack", "sign")],
            "path_seconds": pytest.approx(239.2),
            "makespans": [{"workers": 1, "p50": pytest.approx(290.2), "p90": pytest.approx(p90, rel=1e-4)}],
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("cached", "estimates", "sums", "predicted"),
        [
            ("", NOTHING, (None, None), False),
            ("", EXPECTED, (None, None), True),  # of one step nothing is known
            ("doc", EXPECTED, (282.2, 232.2), True),
            ("alpine make debian copy test", EXPECTED, (None, None), False),  # that one is all there is to do
            ("alpine make debian copy test doc", EXPECTED, (0, 0), False),
            ("alpine make debian copy test doc", NOTHING, (0, 0), False),
        ],
    )
    def test_sums_are_there_where_all_that_runs_is_known(
        self, cached: str, estimates: Estimates, sums: tuple[float | None, float | None], predicted: bool
    ) -> None:
        found: dict[str, Any] = json.loads(
            "\n".join(as_json(planned({"one": ONE}, cached=cached, estimates=estimates)))
        )
        totals = found["totals"]
        assert (totals["seconds"], totals["critical_path"]) == tuple(one and pytest.approx(one) for one in sums)
        assert (found["prediction"] is not None) == predicted

    def test_a_job_and_a_step_have_a_line_each_whatever_they_are_called(self) -> None:
        name, op = 'a "job"\\\n{é\udcff}', '(run (shell "x\\\\ \u2028\x00"))'
        plan = planned({name: [base("alpine"), run("make", "alpine", op)], "none": [base("alpine")]})
        lines = [*as_json(plan)]
        found: dict[str, Any] = json.loads("\n".join(lines))
        assert [job["name"] for job in found["jobs"]] == [name, "none"]
        assert [step["op"] for step in found["steps"]] == ["(from alpine)", op]
        rows = [
            json.loads(line.removesuffix(",")) for line in lines if line.startswith('{"') and '"version"' not in line
        ]
        assert rows == [*found["jobs"], *found["steps"]]

    def test_without_a_job_there_is_a_document_too(self) -> None:
        found: dict[str, Any] = json.loads("\n".join(as_json(planned({}))))
        assert (found["jobs"], found["steps"], found["totals"]["jobs"]) == ([], [], 0)


Node = tuple[str, str, str]
"""What names it, its label, its style."""


def dot(plan: Plan) -> tuple[list[Node], list[tuple[str, str]]]:
    """Nodes and edges, read as Graphviz does: `\\"` does not end a quoted text; in a label `\\n` is a new line, another
    character after `\\` is itself, and entities are what they are in HTML."""
    first, defaults, *lines, last = as_dot(plan)
    assert (first, last) == ("digraph plan {", "}")
    assert defaults.startswith("  node [")
    nodes, edges = [], []
    for line in lines:
        if node := re.fullmatch(r'  "(.{64})" \[label="((?:[^"\\]|\\.)*)" (\w+="\w+"(?: \w+="\w+")*)\]', line):
            label = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], node[2])
            label = re.sub(r"&#?\w+;", lambda found: html.unescape(found[0]), label)
            nodes.append((node[1], label, node[3]))
        else:
            edge = re.fullmatch(r'  "(.{64})" -> "(.{64})"', line)
            assert edge, line
            edges.append((edge[1], edge[2]))
    return nodes, edges


def mermaid(plan: Plan) -> tuple[list[Node], list[tuple[str, str]]]:
    """Nodes and edges, read as Mermaid does: a label ends at the next quote, `#` and a number is a character."""
    first, *lines = as_mermaid(plan)
    assert first == "flowchart TD"
    nodes, edges, classes = [], [], set()
    for line in lines:
        if style := re.fullmatch(r"  classDef (\w+) [\w:#,-]+", line):
            classes.add(style[1])
        elif node := re.fullmatch(r'  (s\d+)\["([^"`<>\\\n]*)<br>([^"`<>\\\n]*)"\]:::(\w+)', line):
            assert node[4] in classes
            text = node[3]
            if of_style := re.search(r"style.*:\S*#.*;", text):  # it takes that for a style, and its end away
                text = text[: of_style.end() - 1] + text[of_style.end() :]
            plain = re.sub(r"#\w+;", "", text)
            assert not re.search(r"[&#;]", plain), plain
            text = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)
            nodes.append((node[1], f"{node[2]}\n{text}", node[4]))
        else:
            edge = re.fullmatch(r"  (s\d+) --> (s\d+)", line)
            assert edge, line
            edges.append((edge[1], edge[2]))
    return nodes, edges


READERS = pytest.mark.parametrize("read", [dot, mermaid])


def shown(step: Step) -> str:
    return f"{step.id[:SHORT]}\n{step.op}"


@READERS
def test_a_graph_has_each_distinct_step_and_each_edge_once(read: Any) -> None:
    plan = planned({"one": ONE, "two": TWO}, cached="alpine", failed="make")
    nodes, edges = read(plan)
    assert [label for _, label, _ in nodes] == [shown(step) for step in plan.dag]
    names = {name: step for (name, _, _), step in zip(nodes, plan.dag, strict=True)}
    assert len(names) == len(plan.dag), "each has its own"
    assert Counter((names[start].id, names[end].id) for start, end in edges) == Counter(
        (input, step.id) for step in plan.dag for input in step.inputs
    )
    styles = {(plan.states[step.id], style) for (_, _, style), step in zip(nodes, plan.dag, strict=True)}
    assert len(styles) == len({state for state, _ in styles}) == len({style for _, style in styles}) == 4


@READERS
def test_a_copy_from_what_it_starts_from_is_one_edge(read: Any) -> None:
    _, edges = read(planned({"one": [base("x"), copy("copy", "x", "x")]}))
    assert len(edges) == 1


@READERS
def test_a_graph_of_nothing(read: Any) -> None:
    assert read(planned({})) == ([], [])


ODD = "\"'`\\<>#;&|{}[]()%@~^$!?*:=/ en"
SIGNS = st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]))


@READERS
@given(ops=st.lists(st.text(SIGNS, max_size=LABEL), min_size=1, max_size=3))
def test_any_op_is_shown_as_it_is(read: Any, ops: list[str]) -> None:
    steps = [base("x"), *[run(f"n{number}", "x", op) for number, op in enumerate(ops)]]
    nodes, edges = read(planned({"one": steps}))
    assert [label for _, label, _ in nodes] == [shown(step) for step in steps]
    assert len(edges) == len(ops)


@READERS
@pytest.mark.parametrize(
    "op",
    [
        '(run (shell "echo \\"a\\" > b"))',
        "(run (shell ends in a backslash\\",
        "(run (shell \\N \\G \\n \\l))",
        "(run (shell \"sed 's/&lt;/</; s/&#35;/x/'\"))",
        "(run (shell a && b & c; d))",
        "(run (shell #35; #quot; #))",
        "(run (shell `date` <br> end))",
        '(run (shell "--style x:<y>"))',
        "(run (shell %% --> subgraph ]:::cached))",
    ],
)
def test_odd_ops_are_shown_as_they_are(read: Any, op: str) -> None:
    step = run("n", "x", op)
    nodes, _ = read(planned({"one": [base("x"), step]}))
    assert nodes[1][1] == shown(step)


@READERS
@pytest.mark.parametrize("sign", ['"', "\\", "é", "#"])
def test_a_long_op_is_cut_before_it_is_escaped(read: Any, sign: str) -> None:
    nodes, _ = read(planned({"one": [base("x"), run("n", "x", sign * 1000)]}))
    assert nodes[1][1] == f"n...........\n{sign * (LABEL - 1)}…"
