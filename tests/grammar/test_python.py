"""The languages in Python: the same trees as their texts, and mistakes with the line that made them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import stepwood
from grammar import ast, python
from grammar.parser import decode, parse_any
from grammar.source import Source
from stepwood import (
    Spec,
    Workflow,
    build,
    built,
    comment,
    copy,
    env,
    include,
    job,
    merge,
    mount,
    param,
    retry,
    run,
    shell,
    user,
    workdir,
)
from system.errors import SpecError
from tests.grammar.test_printing import specs

SPECS = Path(__file__).parents[2] / "specs"

Tree = ast.Spec | ast.Workflow


def rebuilt(tree: Tree) -> Tree:
    """The same, made by the functions of the language."""
    return spec(tree) if isinstance(tree, ast.Spec) else Workflow(*map(item, tree.items))


def spec(tree: ast.Spec) -> ast.Spec:
    builds = [build(one.name, spec(one.spec)) for one in tree.builds]
    match tree.base:
        case ast.FromBuild(name):
            base: python.Base = built(name)
        case ast.FromMerge(names):
            base = merge(*(built(one.name) for one in names))
        case name:
            base = name
    return Spec(base, *map(op, tree.ops), builds=builds)


def op(tree: ast.Op) -> ast.Op:
    match tree:
        case ast.Comment(text):
            return comment(text)
        case ast.Workdir(path):
            return workdir(path)
        case ast.Shell(argv):
            return shell(*argv)
        case ast.Env(name, value):
            return env(name, value)
        case ast.UserIds(uid, gid):
            return user(uid=uid, gid=gid)
        case ast.UserName(name):
            return user(name)
        case ast.Copy(sources, destination, source, exclude):
            named = built(source.name) if isinstance(source, ast.FromBuild) else None
            return copy(sources, destination, source=named, exclude=exclude)
        case ast.Run(command, cache, network, secrets, again, timeout, silence):
            tried = again and retry(attempts=again.attempts, exits=again.exits, logs=again.logs)
            return run(
                command, cache=map(mounted, cache), network=network, secrets=map(mounted, secrets), retry=tried,
                timeout=timeout, silence=silence,
            )  # fmt: skip


def mounted(tree: ast.Mount) -> ast.Mount:
    return mount(tree.id, tree.target, tree.options)


def item(tree: ast.Item) -> ast.Item:
    match tree:
        case ast.Param(name, value):
            return param(name, value)
        case ast.Include(path):
            return include(path)
        case ast.NamedBuild(name, body, matrix):
            return build(name, spec(body), **axes(matrix))
        case ast.Job(name, body, matrix, labels, priority):
            pairs = {pair.name: pair.value for pair in labels}
            return job(name, spec(body), labels=pairs, priority=priority, **axes(matrix))


def axes(matrix: ast.Matrix | None) -> dict[str, Any]:
    if matrix is None:
        return {}
    excluded = [{pair.name: pair.value for pair in pairs} for pairs in matrix.excludes]
    return {"matrix": {axis.name: axis.values for axis in matrix.axes}, "exclude": excluded}


@given(specs())
def test_any_spec_can_be_made_in_python(tree: ast.Spec) -> None:
    assert rebuilt(tree) == tree


@pytest.mark.parametrize(
    "file", sorted(SPECS.rglob("*.spec")) + sorted(SPECS.rglob("*.workflow")), ids=lambda f: f.name
)
def test_every_text_of_this_project_can_be_made_in_python(file: Path) -> None:
    tree = parse_any(Source(file.name, decode(file.read_bytes())))
    assert rebuilt(tree) == tree


EVERYTHING = """(workflow
 (param opt -O2) (param must) (include lib.workflow)
 (build a-%{x} (matrix (x 1 2) (exclude (x 2))) ((from debian)))
 (build b ((from (build a-1))))
 (job j-%{opt}-%{y} (matrix (y yes no) (z 1) (exclude (y no) (z 1)) (exclude (y no)))
  (labels (team core) (y z)) (priority high)
  ((build in ((from x))) (from (merge b in a-1))
   (user (uid %{y}) (gid 0x10)) (user (name root)) (copy (from (build in)) (src a b) (dst /d/) (exclude .git))
   (run (cache (c (target /c)) (d (target /d) (buildkit_options ((k v) (k w))))) (network host none)
        (secrets (s (target /s)))
        (retry (attempts %{y}) (exit 1 %{y}) (log "a.*b") (log "%{y}(")) (timeout 2h) (silence %{y}s)
        (shell "make %%{x} %{opt}"))))
 (job low (priority low) ((from x) (run (retry (attempts 3)) (shell true)))))"""


def test_every_form_of_a_workflow_can_be_made_in_python() -> None:
    tree = parse_any(Source("w.workflow", EVERYTHING))
    assert rebuilt(tree) == tree


def test_what_is_made_is_of_the_trees_own_class() -> None:
    tree, many = Spec("x"), Workflow()
    assert (type(tree), type(many)) == (ast.Spec, ast.Workflow)
    assert isinstance(tree, Spec)
    assert isinstance(many, Workflow)
    assert not isinstance(tree, Workflow)


def test_a_build_is_its_own_name() -> None:
    tool = build("tool", Spec("debian"))
    assert Spec(tool).base == ast.FromBuild("tool")
    assert Spec(merge(tool, built("other"))).base == ast.FromMerge((ast.FromBuild("tool"), ast.FromBuild("other")))
    assert copy("a", "b", source=tool).source == ast.FromBuild("tool")
    assert Spec("debian", builds=[tool]).builds == (ast.Build("tool", Spec("debian")),)


@pytest.mark.parametrize(
    ("time", "seconds"), [(90, 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("%{t}", "%{t}")]
)
def test_times_are_seconds_or_have_a_unit(time: int | str, seconds: int | str) -> None:
    assert run("true", timeout=time, silence=time) == ast.Run("true", timeout=seconds, silence=seconds)


def test_one_may_stand_for_a_list_of_one() -> None:
    one = mount("m", "/m")
    assert run("x", cache=one, network="host", secrets=one) == run("x", cache=[one], network=["host"], secrets=[one])
    assert copy("a", "b", exclude="c") == copy(["a"], "b", exclude=["c"])
    assert retry(exits=1, logs="x") == retry(exits=[1], logs=["x"])


def test_bytes_that_are_no_text_are_as_a_file_has_them() -> None:
    assert env("A", "\udcc3\udca9").value == "é"
    assert env("A", "\udcff") == ast.Env("A", "\udcff")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: run(7), "a command must be text, not \"7\""),
        (lambda: run("x", timeout="soon"), '"soon" is no duration'),
        (lambda: run("x", timeout=0), '"0s" is no duration'),
        (lambda: run("x", timeout=True), '"Trues" is no duration'),
        (lambda: run("x", cache="apt"), "a mount is expected"),
        (lambda: run("x", network=[None]), "a network must be text"),
        (lambda: env("A", 7), "a variable's value must be text"),
        (lambda: env("A", "\ud800"), "U+D800 is no character"),
        (lambda: user(gid=0), "a user is a name, or a uid and a gid"),
        (lambda: user("root", uid=0), "a user is a name, or a uid and a gid"),
        (lambda: user(uid=-1, gid=0), '"-1" is no id'),
        (lambda: user(uid=0, gid="x"), "expected a whole number"),
        (lambda: retry(attempts=0), '"0" is not a number of attempts'),
        (lambda: retry(exits=256), '"256" is not the exit status of a failure'),
        (lambda: retry(logs="("), '"(" is no regular expression'),
        (lambda: Spec(7), "a base must be text"),
        (lambda: Spec("x", "make"), "a spec has ops after its base"),
        (lambda: Spec("x", builds=[build("b-%{a}", Spec("x"), matrix={"a": ["1"]})]), "is nested, and has a matrix"),
        (lambda: Workflow(Spec("x")), "a workflow has items"),
        (lambda: job("a", "x"), "a Spec is expected"),
        (lambda: job("a", Spec("x"), priority="urgent"), 'unknown priority "urgent"'),
        (lambda: job("a", Spec("x"), matrix={}), "a matrix without an axis"),
        (lambda: job("a", Spec("x"), matrix={"b": []}), 'axis "b" has no values'),
        (lambda: job("a", Spec("x"), exclude=[{"b": "1"}]), "an exclude without a matrix"),
        (lambda: copy("a", "b", source="tool"), "a build is expected"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_line(mistake: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        mistake()
    error = caught.value
    assert message in error.message
    assert (error.file, error.line) == (__file__, mistake.__code__.co_firstlineno)
    assert error.text is not None
    assert "lambda" in error.text


def test_parts_know_their_lines() -> None:
    here = sys._getframe().f_lineno
    tree = Spec(
        "debian",
        run("a"),
        run("b"),
    )
    assert [one.at.line for one in tree.ops] == [here + 3, here + 4]
    assert tree.base_at.line == here + 1


def test_the_package_offers_the_language_and_says_what_it_has_not() -> None:
    functions = {name for name, value in vars(python).items() if callable(value) and not name.startswith("_")}
    own = {name for name in functions if getattr(getattr(python, name), "__module__", "") == python.__name__}
    assert own == {*stepwood.__all__} - {"Session"}
    assert own <= set(dir(stepwood))
    assert all(getattr(stepwood, name) is getattr(python, name) for name in own)
    with pytest.raises(AttributeError, match="nothing"):
        stepwood.nothing  # noqa: B018
