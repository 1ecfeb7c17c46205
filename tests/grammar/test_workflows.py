"""Workflow files: their form, what is filled in, what is seen from where, and every mistake with its place."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar import data
from grammar.ast import FromBuild, FromMerge, Job, Retry, Run, Shell, Spec, UserIds, Workflow
from grammar.expand import Jobs, expand
from grammar.parser import parse, parse_any
from grammar.printer import format_atom as atom
from grammar.printer import format_spec
from grammar.remarks import format_text
from grammar.source import Source
from system.errors import InputError, SpecError
from tests.counts import EXAMPLES

OTHERS = {
    "/w/lib.workflow": "(workflow (param lib 1) (build lib ((from a) (run (shell lib-%{lib})))))",
    "/w/deep/one.workflow": "(workflow (include two.workflow))",
    "/w/deep/two.workflow": "(workflow (job deep ((from a) (copy (src x) (dst y)))))",
    "/w/loop.workflow": "(workflow (include other.workflow))",
    "/w/other.workflow": "(workflow\n (include loop.workflow))",
    "/w/a.spec": "((from a))",
    "/w/wrong.workflow": "(workflow\n (job x))",
}


def load(source: Source, path: str) -> Source:
    found = PurePosixPath(source.folder) / path
    if str(found) not in OTHERS:
        raise InputError(f"{path}: No such file or directory")
    return Source(path, OTHERS[str(found)], str(found.parent))


def jobs(text: str, values: Mapping[str, str] | None = None, *, lenient: bool = False) -> Jobs:
    source = Source("w.workflow", text, "/w")
    workflow = parse_any(source)
    assert isinstance(workflow, Workflow)
    return expand(source, workflow, parse_any, load, values or {}, lenient=lenient)


def names(text: str, **values: str) -> list[str]:
    return [job.name for job in jobs(text, values).jobs]


def commands(spec: Spec) -> list[str]:
    return [op.command for op in spec.ops if isinstance(op, Run)]


def only(text: str, **values: str) -> Spec:
    (job,) = jobs(text, values).jobs
    return job.body.spec


# What is filled in.


def test_a_job_for_each_combination_in_the_order_of_the_axes() -> None:
    text = """(workflow (job lwt-%{compiler}-%{flambda}
      (labels (team core)) (priority high)
      (matrix (compiler 4.14.2 5.2.1 5.3.0) (flambda yes no) (exclude (compiler 4.14.2) (flambda yes)))
      ((from debian) (run (shell "opam switch create %{compiler} && echo ${HOME}")))))"""
    found = jobs(text).jobs
    assert [job.name for job in found] == [
        "lwt-4.14.2-no",
        "lwt-5.2.1-yes",
        "lwt-5.2.1-no",
        "lwt-5.3.0-yes",
        "lwt-5.3.0-no",
    ]
    assert commands(found[0].body.spec) == ["opam switch create 4.14.2 && echo ${HOME}"]
    assert found[0].labels == {"compiler": "4.14.2", "flambda": "no", "team": "core"}
    assert {job.priority for job in found} == {"high"}


def test_one_exclude_drops_what_matches_all_its_pairs() -> None:
    text = "(workflow (job %{a}%{b} (matrix (a 1 2) (b 1 2) (exclude (a 1)) (exclude (a 2) (b 2))) ((from x))))"
    assert names(text) == ["21"]


def test_parameters_have_defaults_that_use_earlier_ones_and_can_be_set() -> None:
    text = """(workflow (param compiler 5.3.0) (param switch "sw %{compiler}") (param must)
      (job j ((from x) (run (shell "%{switch}/%{must}")))))"""
    assert commands(only(text, must="m")) == ["sw 5.3.0/m"]
    assert commands(only(text, must="", compiler="4")) == ["sw 4/"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("%{p}", "a b"),
        ("-%{p}-%{p}", "-a b-a b"),
        ("${p} %p %{p}", "${p} %p a b"),
        ("%%{p}", "%{p}"),
        ("%%{", "%{"),
        ("100%%", "100%%"),
        ("%%%{p}", "%%{p}"),
    ],
)
def test_text_with_a_hole(written: str, read: str) -> None:
    text = f'(workflow (param p "a b") (job j ((from x) (run (shell "{written}")) (shell {written!r}))))'
    text = text.replace("'", '"')
    assert only(text).ops == (Run(read), Shell((read,)))


def test_every_place_that_holds_text_or_a_number_is_filled_in() -> None:
    text = """(workflow (param v V) (param n 7) (param t 2m)
      (build base-%{v} ((from %{v})))
      (job %{v} (labels (%{v} %{v}))
        ((build in-%{v} ((from (build base-%{v}))))
         (from b-%{v}) (comment %{v}) (workdir %{v}) (shell %{v} -c) (env %{v} %{v})
         (user (uid %{n}) (gid %{n})) (user (name %{v}))
         (copy (from (build in-%{v})) (src %{v}) (dst %{v}) (exclude %{v})) (copy (src %{v}) (dst /))
         (run (cache (%{v} (target %{v}) (buildkit_options ((%{v} %{v}))))) (network %{v})
              (secrets (%{v} (target %{v}))) (retry (attempts %{n}) (exit %{n} 3) (log %{v}))
              (timeout %{t}) (silence %{t}) (shell %{v})))))"""
    (job,) = jobs(text).jobs
    assert job.labels == {"V": "V"}
    plain = parse_any(
        Source(
            "p",
            """(workflow (build base-V ((from V))) (job V
        ((build in-V ((from (build base-V))))
         (from b-V) (comment V) (workdir V) (shell V -c) (env V V)
         (user (uid 7) (gid 7)) (user (name V))
         (copy (from (build in-V)) (src V) (dst V) (exclude V)) (copy (src V) (dst /))
         (run (cache (V (target V) (buildkit_options ((V V))))) (network V)
              (secrets (V (target V))) (retry (attempts 7) (exit 7 3) (log V))
              (timeout 120s) (silence 2m) (shell V)))))""",
        )
    )
    assert isinstance(plain, Workflow)
    expected = plain.items[1]
    assert isinstance(expected, Job)
    assert job.body.spec == expected.spec


def test_an_op_without_a_hole_is_one_object_in_all_jobs() -> None:
    text = '(workflow (job j%{n} (matrix (n 1 2 3)) ((from x) (run (shell same)) (run (shell "%{n}")))))'
    first, *others = [job.body.spec.ops for job in jobs(text).jobs]
    assert all(ops[0] is first[0] for ops in others)


def test_retries_and_times() -> None:
    run = only(
        '(workflow (job j ((from x) (run (shell y) (retry (exit 1 2) (log "a b") (exit 3)) (timeout 1d)))))'
    ).ops[0]
    assert run == Run("y", retry=Retry(None, (1, 2, 3), ("a b",)), timeout=86400)


# What is seen from where.


def test_a_build_may_start_from_a_build_and_have_a_matrix() -> None:
    text = """(workflow (build one ((from x)))
      (build two-%{n} (matrix (n 1 2)) ((from (build one)) (run (shell "%{n}"))))
      (job a ((from (build two-2)))) (job b ((from y) (copy (from (build two-1)) (src /s) (dst /d)))))"""
    found = jobs(text)
    assert list(found.builds) == ["one", "two-1", "two-2"]
    assert found.jobs[0].body.spec.base == FromBuild("two-2")


def test_a_base_may_be_the_union_of_builds() -> None:
    text = """(workflow (build x-1 ((from x))) (build unused ((from x))) (build merge ((from x)))
      (job j-%{n} (matrix (n 1)) ((build in ((from y))) (from (merge x-%{n} merge in)) (run (shell merge)))))"""
    found = jobs(text)
    (job,) = found.jobs
    assert job.body.spec.base == FromMerge((FromBuild("x-1"), FromBuild("merge"), FromBuild("in")))
    printed = format_spec(parse_any(Source("t.workflow", text)))
    assert "(from (merge x-%{n} merge in))" in printed
    assert parse_any(Source("t.workflow", printed)) == parse_any(Source("t.workflow", text))


def test_nested_builds_hide_those_of_the_workflow() -> None:
    text = "(workflow (build b ((from x))) (job j ((build b ((from (build b)))) (from (build b)))))"
    assert only(text).builds[0].spec.base == FromBuild("b")


def test_an_include_is_read_in_its_place_and_once() -> None:
    text = """(workflow (include lib.workflow) (include ./lib.workflow) (include deep/one.workflow)
      (job j ((from (build lib)) (run (shell "%{lib}")))))"""
    found = jobs(text, {"lib": "2"})
    assert [job.name for job in found.jobs] == ["deep", "j"]
    assert commands(found.builds["lib"].spec) == ["lib-2"]
    assert found.jobs[0].body.source.folder == "/w/deep"
    assert commands(found.jobs[1].body.spec) == ["2"]


def test_who_has_no_values_sees_the_names() -> None:
    text = "(workflow (param p) (build b-%{p} ((from %{p}))) (job j ((from (build b-%{p})) (user (uid %{p}) (gid 1)))))"
    (job,) = jobs(text, lenient=True).jobs
    assert job.body.spec.ops == (UserIds("%{p}", 1),)


# Mistakes.


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        (
            '(workflow (job j ((from x)\n (run (shell "a\\n\\\n  %{x} %{copmiler}")))) )',
            "3:3",
            'unknown name "x"',
            "declare it: (param x)",
        ),
        (
            "(workflow (param compiler 5) (job j ((from x) (env A %{copmiler}))))",
            "1:54",
            'unknown name "copmiler"',
            'did you mean "compiler"?',
        ),
        ("(workflow (job j ((from x) (env A %{p))))", "1:35", '"%{p" is never closed', "write %%{ for a plain"),
        ("(workflow (param a %{b}) (param b 1))", "1:20", 'unknown name "b"', "declare it"),
        (
            "(workflow (job j ((from (build b)))) (build b ((from x))))",
            "1:32",
            'unknown build "b"',
            "no build stands before this",
        ),
        (
            "(workflow (build tools ((from x))) (job j ((from (build tolos)))))",
            "1:57",
            'unknown build "tolos"',
            'did you mean "tools"?',
        ),
        (
            "(workflow (build b ((from x))) (job j ((from x) (copy (from (build c)) (src a) (dst b)))))",
            "1:68",
            'unknown build "c"',
            'known here: "b"',
        ),
        (
            "(workflow (build a-%{n} (matrix (n 1 2)) ((from (build a-2)))))",
            "1:56",
            'unknown build "a-2"',
            "no build stands before this",
        ),
        (
            "(workflow (build a ((from x))) (job j ((from (merge a b)))))",
            "1:55",
            'unknown build "b"',
            'known here: "a"',
        ),
        (
            "(workflow (param n a) (build a ((from x))) (job j ((from (merge a %{n})))))",
            "1:67",
            'a merge names "a" twice',
            None,
        ),
        (
            "(workflow (build a ((from x))) (job j ((from (merge a)))))",
            "1:54",
            "merge lacks a second build",
            "write (merge",
        ),
        ("((from (merge a b)))", "1:8", "from takes text here, not a list", "write (from BASE)"),
        ("(workflow (param p))", "1:12", 'parameter "p" has no value', "set it: --set p=VALUE"),
        ("(workflow (param p 1) (param p 2))", "1:24", 'parameter "p" stands twice', None),
        ("(workflow (param p/q 1))", "1:12", '"p/q" cannot be the name of a parameter', "names are letters"),
        ("(workflow (job j ((from x))) (job j ((from x))))", "1:31", 'job "j" stands twice', None),
        (
            "(workflow (job j (matrix (a 1 2)) ((from x))))",
            "1:12",
            'job "j" stands twice',
            "put every axis into its name: %{a}",
        ),
        ("(workflow (job j-%{a} (matrix (a 1 1)) ((from x))))", "1:12", 'job "j-1" stands twice', "put every axis"),
        ("(workflow (build b ((from x))) (build b ((from x))))", "1:33", 'build "b" stands twice', None),
        ('(workflow (job "" ((from x))))', "1:12", "a job needs a name", None),
        (
            "(workflow (param a 1) (job j%{a} (matrix (a 1 2)) ((from x))))",
            "1:43",
            'axis "a" has the name of a parameter',
            None,
        ),
        (
            "(workflow (job j (matrix (exclude 1 2)) ((from x))))",
            "1:27",
            "no axis can be called exclude",
            "write (matrix",
        ),
        ("(workflow (job j (matrix (a 1) (a 2)) ((from x))))", "1:33", 'axis "a" stands twice', None),
        (
            "(workflow (job j (matrix (a 1) (exclude (a 1))) ((from x))))",
            "1:19",
            "a matrix without a combination",
            None,
        ),
        (
            "(workflow (job j (matrix (comp 1) (exclude (cmop 1))) ((from x))))",
            "1:45",
            'unknown axis "cmop"',
            'did you mean "comp"?',
        ),
        (
            "(workflow (job j (matrix (a 100) (exclude (a 1000))) ((from x))))",
            "1:44",
            'axis "a" never is "1000"',
            'did you mean "100"?',
        ),
        ("(workflow (job j (matrix) ((from x))))", "1:25", "matrix lacks a field", "write (matrix"),
        ("(workflow (job j (matrix (a)) ((from x))))", "1:28", "an axis lacks a value", "write (NAME VALUE"),
        ("(workflow (job j (labels (a 1) (a 2)) ((from x))))", "1:33", 'label "a" stands twice', None),
        (
            "(workflow (job j (priority urgent) ((from x))))",
            "1:28",
            'unknown priority "urgent"',
            "one of: low, normal, high",
        ),
        ("(workflow (job j (priority low) (priority low) ((from x))))", "1:34", "field priority stands twice", None),
        ("(workflow (jbo j ((from x))))", "1:12", 'unknown item "jbo" of a workflow', 'did you mean "job"?'),
        ("(workflow (job j ((from x) (run (shell y) (shell z)))))", "1:44", "field shell stands twice", None),
        (
            "(workflow (job j ((from x) (run (shell y) (timeout 1m) (timeout 1m)))))",
            "1:57",
            "field timeout stands twice",
            None,
        ),
        ("(workflow (job j ((from x) (run (shell y) (timeout 5)))))", "1:52", '"5" is no duration', "write 90s"),
        (
            "(workflow (param t 5) (job j ((from x) (run (shell y) (timeout %{t})))))",
            "1:64",
            '"5" is no duration',
            "write 90s",
        ),
        ("(workflow (job j ((from x) (run (shell y) (timeout 0s)))))", "1:52", '"0s" is no duration', "write 90s"),
        (
            "(workflow (job j ((from x) (run (shell y) (retry (exit 256))))))",
            "1:56",
            '"256" is not the exit status',
            None,
        ),
        (
            "(workflow (job j ((from x) (run (shell y) (retry (attempts 0))))))",
            "1:60",
            '"0" is not a number of attempts',
            None,
        ),
        (
            '(workflow (job j ((from x) (run (shell y) (retry (log "("))))))',
            "1:55",
            '"(" is no regular expression',
            None,
        ),
        (
            '(workflow (param r "(") (job j ((from x) (run (shell y) (retry (log %{r}))))))',
            "1:69",
            '"(" is no regular expression',
            None,
        ),
        (
            "(workflow (param u me) (job j ((from x) (user (uid %{u}) (gid 0)))))",
            "1:52",
            "expected a whole number",
            None,
        ),
        ("(workflow (include none.workflow))", "1:12", "none.workflow: No such file", None),
        ("(workflow (include a.spec))", "1:12", "a.spec is a spec, and only a workflow can be included", None),
        ("((from x) (run (shell y) (timeout 5m)))", "1:27", "timeout stands in workflows only", "a plain spec"),
        ("((from x) (run (shell y) (retry (exit 1))))", "1:27", "retry stands in workflows only", "a plain spec"),
        ("((from (build x)))", "1:8", "from takes text here, not a list", "write (from BASE)"),
        ("((from x) (user (uid %{u}) (gid 0)))", "1:22", "expected a whole number", None),
    ],
)
def test_refused(text: str, place: str, message: str, hint: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        jobs(text)
    error = caught.value
    assert f"{error.line}:{error.column}" == place
    assert message in error.message
    assert error.file == "w.workflow"
    assert (error.hint is None) if hint is None else hint in (error.hint or "")


def test_a_cycle_of_includes_names_its_files() -> None:
    with pytest.raises(SpecError) as caught:
        jobs("(workflow (include loop.workflow))")
    assert (caught.value.file, caught.value.line, caught.value.column) == ("other.workflow", 2, 3)
    assert "loop.workflow includes other.workflow includes loop.workflow" in caught.value.message


def test_a_mistake_in_an_included_file_is_placed_there() -> None:
    with pytest.raises(SpecError) as caught:
        jobs("(workflow (include wrong.workflow))")
    assert (caught.value.file, caught.value.line) == ("wrong.workflow", 2)


def test_a_matrix_that_would_fill_the_memory() -> None:
    axes = " ".join(f"(a{n} {' '.join(map(str, range(100)))})" for n in range(4))
    with pytest.raises(SpecError, match="more than 1,000,000 combinations"):
        jobs(f"(workflow (job j (matrix {axes}) ((from x))))")


def test_a_workflow_is_no_spec() -> None:
    with pytest.raises(SpecError, match="this is a workflow"):
        parse("(workflow)", file="w")


# Printing.


def test_a_workflow_as_it_is_printed() -> None:
    text = """\
; what this is
(workflow
 (param compiler 5.3.0) ; the newest
 (param must)
 (include lib.workflow)
 ; what all share
 (build base-%{n}
  (matrix (n 1 2))
  ((from debian)
   (run (retry (attempts 4) (exit 40 41) (log "Could not"))
        (timeout 90s)
        (silence 1h)
        (shell "apt-get update"))))

 (job lwt-%{compiler}-%{flambda}
  (matrix (compiler 4.14.2 5.2.1 5.3.0)
          (flambda yes no)
          (exclude (compiler 4.14.2) (flambda yes)))
  (labels (team core) (kind library))
  (priority high)
  ((build tools
          ((from (build base-1))))
   (from (build base-2))
   (user (uid %{uid}) (gid 0))
   (run (shell "opam switch create %{compiler}"))))
 ; the end
)
"""
    assert format_text(Source("w", text)) == text
    bare = re.sub(r" ?;.*", "", text)
    again = parse_any(Source("w", bare.replace("\n", " ")))
    assert format_spec(again).split() == bare.split()


WORDS = st.text(string.ascii_letters + '%{} "\\\n;()é', max_size=6)
MATRIX = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(WORDS, min_size=1, max_size=3)),
    min_size=1,
    max_size=3,
    unique_by=lambda axis: axis[0],
)


@settings(max_examples=100 * EXAMPLES)
@given(WORDS, MATRIX, st.lists(WORDS, max_size=3), st.sampled_from(["low", "normal", "high"]), st.booleans())
def test_what_is_printed_reads_back_as_the_same(
    name: str, axes: list[tuple[str, list[str]]], words: list[str], priority: str, build: bool
) -> None:
    matrix = " ".join(f"({axis} {' '.join(map(atom, values))})" for axis, values in axes)
    labels = f"(labels {' '.join(f'(k{n} {atom(word)})' for n, word in enumerate(words))})" if words else ""
    runs = " ".join(f"(run (shell {atom(word)}) (timeout {n + 1}m))" for n, word in enumerate(words))
    heads = "" if build else f"{labels} (priority {priority})"
    head = f"{'build' if build else 'job'} {atom(name)} (matrix {matrix}) {heads}"
    text = f"(workflow ({head} ((from (build {atom(name)})) {runs})))"
    workflow = parse_any(Source("w", text))
    printed = format_spec(workflow)
    assert parse_any(Source("w", printed)) == workflow
    assert format_spec(parse_any(Source("w", printed))) == printed


# Long texts.


OPS = [
    "(run (shell a))",
    "(run (shell a))",
    "(env A b)",
    '(copy (src a) (dst "b;c"))',
    "(copy (from (build z)) (src a) (dst b))",
    "(workdir /x) ; why\n",
    "#| block |# (run (shell c))",
    "(run ; inside\n (shell d))",
    '(run (shell "((\\"" ))',
    "(user (uid 1) (gid 2))",
]


@settings(max_examples=100 * EXAMPLES)
@given(st.lists(st.lists(st.sampled_from(OPS), max_size=12), min_size=1, max_size=5), st.booleans())
def test_a_long_text_says_what_it_says_in_pieces(bodies: list[list[str]], workflow: bool) -> None:
    """Ops that are met again are not parsed again; nobody can tell but by the places."""
    pad = ";" + "x" * data.LONG + "\n"
    one = "((build z ((from z))) (from y) {})"
    if workflow:
        text = "(workflow " + "\n".join(f"(job j{n} {one.format(' '.join(ops))})" for n, ops in enumerate(bodies)) + ")"
    else:
        text = one.format("\n".join(op for ops in bodies for op in ops))
    assert parse_any(Source("t", pad + text)) == parse_any(Source("t", pad + text), places=True)


def test_an_op_of_a_long_text_is_parsed_once() -> None:
    lines = "\n".join("(run (shell a))" for _ in range(5000))
    spec = parse(f"((from x)\n{lines})", file="t")
    assert len({id(op) for op in spec.ops}) == 1


@pytest.mark.parametrize(
    "wrong", ["(rnu (shell x))", "(run (shell x)", "(run (shlel x))", '(run (shell "x))', "(run (shell x)))"]
)
@pytest.mark.parametrize("before", [0, 3000])
def test_a_mistake_in_a_long_text_is_where_it_is(wrong: str, before: int) -> None:
    found = []
    for pad, places in ((";" + "x" * data.LONG, False), (";", True)):
        text = f"((from x) {pad}\n" + "(env A b)\n" * before + f"  {wrong}\n" + "(env A b)\n" * 10 + ")"
        with pytest.raises(SpecError) as caught:
            parse_any(Source("t", text), places=places)
        found.append((caught.value.line, caught.value.message, caught.value.hint))
    assert found[0] == found[1]
