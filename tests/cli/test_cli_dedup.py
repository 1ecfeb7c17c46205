"""`stepwood dedup` and `stepwood opam dedup`: what jobs share, and would share in another order."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zstandard

from engine.analysis.strategies import STRATEGIES
from tests.cli.desk import Desk, sh

ORDERS = [name for name in STRATEGIES if name != "merge"]
"""Of steps nobody knows what needs what, so nothing can be merged."""
KEYS = ["version", "jobs", "steps", "distinct", "ratio", "strategies"]
STRATEGY = ["name", "distinct", "ratio", "depth", "compute_seconds"]
WORKFLOW = """(workflow
 (param word hello)
 (build base ((from bb) (shell /bin/sh -c) (run (shell "echo %{word}"))))
 (job %{kind} (matrix (kind one two)) ((from (build base)) (run (shell "echo %{kind}")) (run (shell "echo end")))))
"""


def asked(desk: Desk, *arguments: str) -> Any:
    return json.loads(desk.ok(*arguments, "--format=json").stdout)


def refused(desk: Desk, *arguments: str) -> str:
    done = desk.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


# --- specs and workflows


def two_specs(desk: Desk) -> None:
    """`same` is done after `one` and after `two`."""
    desk.write("a.spec", sh("echo one; sleep 0.3", "echo same; sleep 0.2"))
    desk.write("b.spec", sh("echo two", "echo same; sleep 0.2"))


@pytest.mark.root
def test_the_document_before_anything_was_built(desk: Desk) -> None:
    two_specs(desk)
    found = asked(desk, "dedup", "a.spec", "b.spec")
    assert list(found) == [*KEYS, "bound", "saved", "branches", "near_misses", "reordering"]
    assert [found[key] for key in KEYS[:-1]] == [1, 2, 6, 5, 6 / 5]
    assert [one["name"] for one in found["strategies"]] == ORDERS
    assert all(list(one) == STRATEGY for one in found["strategies"])
    assert found["bound"] == 4
    assert found["saved"] == {"steps": 1, "seconds": 0, "bytes": 0, "measured": 0}
    plan = desk.plan("a.spec", "b.spec")
    ids = {step["op"]: step["id"] for step in plan["steps"]}
    assert [[one["id"] for one in branch["steps"]] for branch in found["branches"]] == [
        plan["jobs"][0]["steps"][:1],
        plan["jobs"][0]["steps"][1:],
        plan["jobs"][1]["steps"][1:],
    ]
    (miss,) = found["near_misses"]
    assert miss["steps"] == [[plan["jobs"][0]["final"], plan["jobs"][1]["final"]]]
    assert [way["id"] for way in miss["apart"]] == [
        ids['(run (shell "echo one; sleep 0.3"))'],
        ids['(run (shell "echo two"))'],
    ]
    assert found["reordering"]["steps"] == 1
    assert not desk.place.exists(), "who only asks makes no store"


@pytest.mark.root
def test_after_a_build_it_says_what_that_took(desk: Desk) -> None:
    two_specs(desk)
    desk.ok("build", "a.spec", "b.spec")
    before = sorted(desk.place.rglob("*"))
    found = asked(desk, "dedup", "a.spec", "b.spec")
    steps = {step: json.loads(desk.ok("show", step, "--json").stdout)["attempts"][0] for step in all_steps(found)}
    base = found["branches"][0]["steps"][0]["id"]
    assert found["saved"]["measured"] == 5
    assert found["saved"]["seconds"] == pytest.approx(steps[base]["seconds"])
    assert found["saved"]["bytes"] == steps[base]["bytes"] > 500_000, "a busybox"
    (miss,) = found["near_misses"]
    mean = sum(steps[id]["seconds"] for id in miss["steps"][0]) / 2
    assert miss["seconds"] == pytest.approx(mean)
    assert 0.2 <= miss["seconds"] < 5
    assert found["reordering"]["seconds"] == pytest.approx(mean)
    told = desk.ok("dedup", "a.spec", "b.spec").stdout
    assert "(by the 5 that were measured)\n" in told
    # What is only thought to take as long as its like is not what was measured.
    desk.write("c.spec", sh("echo one; sleep 0.31"))
    assert asked(desk, "dedup", "a.spec", "c.spec")["saved"]["measured"] == 3
    assert sorted(desk.place.rglob("*")) == before


def all_steps(found: Any) -> list[str]:
    return [one["id"] for branch in found["branches"] for one in branch["steps"]]


@pytest.mark.root
def test_the_text_goes_to_a_file_or_to_standard_output(desk: Desk) -> None:
    two_specs(desk)
    told = desk.ok("dedup", "a.spec", "b.spec").stdout
    lines = told.splitlines()
    assert lines[:2] == ["2 jobs, 6 steps, 5 distinct: 1.20 ×", "sharing saves 1 step"]
    assert "×2      (from bb)" in lines
    assert "Near-misses: 1 step whose op another has, after another beginning" in lines
    assert [line.split()[0] for line in lines if line.endswith(" s")] == ORDERS
    assert "popular saves 1 step, by this order:" in lines
    assert desk.ok("dedup", "a.spec", "b.spec", "-o", "out").stdout == ""
    written = (desk.folder / "out").read_text().splitlines()
    assert len(written) == len(lines)
    assert desk.ok("dedup", "a.spec", "b.spec", "--format", "json", "--output", "out").stdout == ""
    assert json.loads((desk.folder / "out").read_text())["distinct"] == 5
    assert "cannot write no/such/out" in refused(desk, "dedup", "a.spec", "-o", "no/such/out")


@pytest.mark.root
def test_only_a_terminal_cuts_lines(desk: Desk) -> None:
    """A file has them whole, whoever watches."""
    desk.write("a.spec", sh("echo a rather long line"))
    whole = desk.ok("dedup", "a.spec").stdout.splitlines()
    assert on_terminal(desk, "dedup", "a.spec")[:5] == [line[:20] for line in whole[:5]]
    assert on_terminal(desk, "dedup", "a.spec", "-o", "out") == []
    assert (desk.folder / "out").read_text().splitlines()[:5] == whole[:5]


def on_terminal(desk: Desk, *arguments: str) -> list[str]:
    return desk.on_a_terminal(*arguments, columns=20).decode().splitlines()


@pytest.mark.root
def test_a_workflow_with_choices(desk: Desk) -> None:
    desk.write("w.workflow", WORKFLOW)
    found = asked(desk, "dedup", "w.workflow")
    assert (found["jobs"], found["steps"], found["distinct"]) == (2, 8, 6)
    assert found["branches"][0]["steps"][1]["op"] == '(run (shell "echo hello"))'
    found = asked(desk, "dedup", "w.workflow", "--set", "word=bye", "--only", "kind=one")
    assert (found["jobs"], found["steps"], found["distinct"]) == (1, 4, 4)
    assert [one["op"] for one in found["branches"][0]["steps"]][1:3] == [
        '(run (shell "echo bye"))',
        '(run (shell "echo one"))',
    ]
    assert found["reordering"] is None
    assert '--only: no job matches "three"' in refused(desk, "dedup", "w.workflow", "--only", "three")


@pytest.mark.root
def test_a_workflow_and_a_spec_share_what_they_share(desk: Desk) -> None:
    desk.write("w.workflow", WORKFLOW)
    desk.write("a.spec", sh("echo hello", "echo more"))
    found = asked(desk, "dedup", "w.workflow", "a.spec")
    assert (found["jobs"], found["steps"], found["distinct"]) == (3, 11, 7)
    assert found["branches"][0]["jobs"] == 3


@pytest.mark.root
@pytest.mark.parametrize(
    ("command", "form", "known"),
    [("dedup a.spec", "dot", "text, json, html"), ("opam dedup --solutions a.spec", "html", "text, json")],
)
def test_formats_to_come_say_so(desk: Desk, texts: Desk, command: str, form: str, known: str) -> None:
    desk.write("a.spec", sh("true"))
    at = texts if command.startswith("opam") else desk
    told = f'format "{form}" is not supported yet\nthere are {known}\n'
    assert refused(at, *command.split(), f"--format={form}") == told


@pytest.mark.root
def test_what_is_wrong_in_a_spec_is_said_with_its_place(desk: Desk) -> None:
    desk.write("a.spec", "((from bb)\n (rum (shell x)))")
    assert refused(desk, "dedup", "a.spec").startswith("a.spec:2:3: ")
    assert refused(desk, "dedup", "b.spec") == "b.spec: No such file or directory\n"
    assert "Missing argument 'FILE" in refused(desk, "dedup")


# --- package sets

SOLUTIONS = {
    "jobs": [
        {"root": "a", "packages": ["base.1", "a.1", "x.1"], "deps": [[], [0], [0]]},
        {"root": "b", "packages": ["base.1", "b.1", "x.1"], "deps": [[], [0], [0]]},
    ],
    "unsatisfiable": [],
}
"""Six installations, five distinct as they stand, four if x comes before a and b."""


def solutions(desk: Desk, document: object = SOLUTIONS, name: str = "s.json") -> str:
    return desk.write(name, document if isinstance(document, str) else json.dumps(document))


def test_the_document_of_package_sets(texts: Desk) -> None:
    found = asked(texts, "opam", "dedup", "--solutions", solutions(texts))
    assert list(found) == [*KEYS, "bound"]
    assert [found[key] for key in KEYS[:-1]] == [1, 2, 6, 5, 6 / 5]
    assert [one["name"] for one in found["strategies"]] == [*STRATEGIES]
    assert all(list(one) == STRATEGY for one in found["strategies"])
    by_name = {one["name"]: one for one in found["strategies"]}
    assert [by_name[name]["distinct"] for name in ("arbitrary", "popular", "search", "merge")] == [5, 4, 4, 4]
    assert [by_name[name]["depth"] for name in ("arbitrary", "merge")] == [3, 2]
    assert by_name["search"]["ratio"] == 6 / 4
    assert found["bound"] == 4


def test_the_text_of_package_sets(texts: Desk) -> None:
    lines = texts.ok("opam", "dedup", "--solutions", solutions(texts)).stdout.splitlines()
    assert lines[0] == "2 jobs, 6 installations"
    assert lines[1].split() == ["order", "steps", "ratio", "depth", "computed", "in"]
    assert [line.split()[:5] for line in lines[2:4]] == [
        ["arbitrary", "5", "1.20", "×", "3"],
        ["alphabetical", "5", "1.20", "×", "3"],
    ]
    assert [line.split()[0] for line in lines[2:-1]] == [*STRATEGIES]
    assert lines[-1] == "no order needs fewer than 4"
    assert texts.ok("opam", "dedup", "--solutions", "s.json", "-o", "out").stdout == ""
    assert (texts.folder / "out").read_text().splitlines()[0] == lines[0]


def test_a_compressed_file_is_read_whatever_it_is_called(texts: Desk) -> None:
    packed = zstandard.ZstdCompressor().compress(json.dumps(SOLUTIONS).encode())
    for name in ("s.json.zst", "s"):
        (texts.folder / name).write_bytes(packed)
        assert asked(texts, "opam", "dedup", "--solutions", name)["distinct"] == 5


def test_no_package_sets_are_none(texts: Desk) -> None:
    found = asked(texts, "opam", "dedup", "--solutions", solutions(texts, {"jobs": []}))
    assert [found[key] for key in (*KEYS[:-1], "bound")] == [1, 0, 0, 0, 1.0, 0]


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("[]", "not an object"),
        ("[" * 100_000, "recursion"),
        ({}, "jobs: not a list"),
        ({"jobs": [{"packages": ["a.1"], "deps": [[1]]}]}, "jobs[0].deps[0]: not a list of indexes into packages"),
        ({"jobs": [{"packages": ["a.1"], "deps": [[0]]}]}, "jobs[0]: a.1 depends on itself"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_package_sets(texts: Desk, document: object, wrong: str) -> None:
    said = refused(texts, "opam", "dedup", "--solutions", solutions(texts, document))
    first, hint = said.splitlines()
    assert first.startswith("s.json: ")
    assert wrong in first
    assert hint == "what `stepwood opam solve --json` writes is read"


def test_bytes_that_are_no_text(texts: Desk) -> None:
    packed = zstandard.ZstdCompressor().compress(json.dumps(SOLUTIONS).encode())
    for number, data in enumerate([b"\xff\xfe\xfd", packed[:-9], packed[:4] + b"\xff" * 40]):
        (texts.folder / f"{number}").write_bytes(data)
        assert refused(texts, "opam", "dedup", "--solutions", f"{number}").startswith(f"{number}: ")


def test_a_file_that_is_not_there(texts: Desk) -> None:
    assert refused(texts, "opam", "dedup", "--solutions", "no.json") == "no.json: No such file or directory\n"
    assert refused(texts, "opam", "dedup", "--solutions", ".") == ".: Is a directory\n"


def test_package_sets_must_be_given(texts: Desk) -> None:
    assert refused(texts, "opam", "dedup").startswith("opam takes either packages, --all, --revdeps or --changed\n")
    both = refused(texts, "opam", "dedup", "--solutions", solutions(texts), "lwt")
    assert both == "opam dedup takes --solutions, or packages and a --repo, not both\n"


def test_opam_alone_says_what_there_is(texts: Desk) -> None:
    assert "\n  dedup " in texts.ok("opam", "--help").stdout
    assert 'did you mean "solve"?' in refused(texts, "opam", "slove")
