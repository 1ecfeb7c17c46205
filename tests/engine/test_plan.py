"""From specs to steps: contexts, nested builds, interning, and errors at their places."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest

from engine.dag import Dag
from engine.plan import SHELL, Job, Plan, Planner
from engine.step import (
    DEFAULT,
    Base,
    CacheMount,
    Config,
    Copy,
    FromContext,
    FromStep,
    Ids,
    Manifest,
    Named,
    Policy,
    Run,
    SecretMount,
    Step,
)
from grammar.ast import Job as WorkflowJob
from grammar.ast import Workflow
from grammar.parser import parse, parse_any
from grammar.source import Body, Source
from system.errors import InputError, SpecError

CONFIG = Config((("PATH", "/bin"),), Ids(0, 0), "/home", "linux/amd64")


@dataclass
class FakeWorld:
    """Knows any base but `missing`, any file but `missing`, and counts what it is asked."""

    config: Config = CONFIG
    asked: list[str] = field(default_factory=list)

    def pin(self, base: str) -> Base:
        self.asked.append(f"pin {base}")
        if base == "missing":
            raise InputError("no base missing", hint="look again")
        return Base(base, f"digest of {base}", self.config, f"dir:{base}")

    def manifest(self, folder: str, sources: tuple[str, ...], exclude: tuple[str, ...]) -> Manifest:
        self.asked.append(f"manifest {folder} {' '.join(sources)}")
        if "missing" in sources:
            raise InputError(f'"missing" is not there (in "{folder}")')
        return Manifest(folder, hashlib.sha256(repr((sources, exclude)).encode()).hexdigest(), (), ())


def job(text: str, name: str = "job", context: str = "/context") -> Job:
    return Job(name, Body(parse(text, file="a.spec"), Source("a.spec", text, context)))


def planned(text: str, world: FakeWorld | None = None) -> tuple[Plan, list[Step]]:
    planner = Planner(world or FakeWorld())
    plan = planner.plan(job(text))
    return plan, [planner.steps[id] for id in plan.steps]


def last_run(text: str) -> Run:
    _, steps = planned(text)
    action = steps[-1].action
    assert isinstance(action, Run)
    return action


def last_copy(text: str) -> Copy:
    _, steps = planned(text)
    action = steps[-1].action
    assert isinstance(action, Copy)
    return action


# --- contexts


def test_a_run_takes_what_the_base_brings() -> None:
    run = last_run('((from base) (run (shell "make")))')
    assert run.command == "make"
    assert run.shell == SHELL == ("/bin/bash", "-c")
    assert (run.env, run.user, run.cwd) == ((("PATH", "/bin"),), Ids(0, 0), "/home")
    assert (run.network, run.caches, run.secrets) == ((), (), ())


def test_a_base_without_a_workdir_starts_at_the_root() -> None:
    _, steps = planned("((from base) (run (shell x)))", FakeWorld(Config()))
    assert isinstance(steps[-1].action, Run)
    assert steps[-1].action.cwd == "/"


@pytest.mark.parametrize(
    ("ops", "cwd"),
    [
        ("(workdir /src)", "/src"),
        ("(workdir src)", "/home/src"),
        ("(workdir a) (workdir b)", "/home/a/b"),
        ("(workdir a) (workdir /b) (workdir c)", "/b/c"),
    ],
)
def test_a_workdir_is_relative_to_the_one_before(ops: str, cwd: str) -> None:
    assert last_run(f"((from base) {ops} (run (shell x)))").cwd == cwd


def test_variables_are_sorted_and_the_last_value_counts() -> None:
    run = last_run("((from base) (env Z 1) (env A 1) (env Z 2) (env PATH /opt) (run (shell x)))")
    assert run.env == (("A", "1"), ("PATH", "/opt"), ("Z", "2"))


def test_the_user_of_a_run_is_the_owner_of_a_copy() -> None:
    assert last_run("((from base) (user (uid 7) (gid 8)) (run (shell x)))").user == Ids(7, 8)
    assert last_run("((from base) (user (name opam)) (run (shell x)))").user == Named("opam")
    assert last_copy("((from base) (user (name opam)) (copy (src a) (dst b)))").owner == Named("opam")


def test_a_shell_holds_from_where_it_stands() -> None:
    _, steps = planned("((from base) (run (shell a)) (shell /bin/sh -ec) (run (shell b)))")
    shells = [step.action.shell for step in steps if isinstance(step.action, Run)]
    assert shells == [SHELL, ("/bin/sh", "-ec")]


def test_what_sets_the_context_makes_no_step() -> None:
    plan, steps = planned("((from base) (comment hi) (workdir /x) (env A b) (user (uid 1) (gid 1)) (shell /bin/sh -c))")
    assert [step.kind for step in steps] == ["base"]
    assert plan.final == steps[0].id


def test_a_comment_changes_no_id() -> None:
    with_it, _ = planned("((from base) (comment why) (run (shell x)))")
    without, _ = planned("((from base) (run (shell x)))")
    assert with_it == without


def test_mounts_of_a_run() -> None:
    run = last_run(
        "((from base) (workdir /w)"
        " (run (cache (c (target rel)) (l (target /abs) (buildkit_options ((sharing locked)))))"
        " (network host) (secrets (s (target /run/s))) (shell x)))"
    )
    assert run.caches == (CacheMount("c", "/w/rel"), CacheMount("l", "/abs", locked=True))
    assert run.secrets == (SecretMount("s", "/run/s"),)
    assert run.network == ("host",)


@pytest.mark.parametrize(
    ("destination", "absolute"),
    [("b", "/home/b"), ("b/", "/home/b/"), ("/b", "/b"), ("/b/", "/b/"), ("./", "/home/./")],
)
def test_a_destination_is_relative_to_the_workdir(destination: str, absolute: str) -> None:
    assert last_copy(f"((from base) (copy (src a) (dst {destination})))").destination == absolute


# --- nested builds


NESTED = """((build one ((from base) (env A inner) (workdir /inner) (run (shell one))))
 (build two ((from base) (copy (from (build one)) (src /x) (dst /y))))
 (from other)
 (run (shell outer))
 (copy (from (build two)) (src /y) (dst /z)))"""


def test_builds_come_first_and_each_starts_from_its_own_base() -> None:
    plan, steps = planned(NESTED)
    assert [step.kind for step in steps] == ["base", "run", "copy", "base", "run", "copy"]
    base, one, two, other, outer, final = steps
    assert isinstance(two.action, Copy)
    assert (two.action.input, two.action.source) == (base.id, FromStep(one.id))
    assert isinstance(outer.action, Run)
    assert (outer.action.input, outer.action.cwd, outer.action.env) == (other.id, "/home", (("PATH", "/bin"),))
    assert isinstance(final.action, Copy)
    assert (final.action.input, final.action.source) == (outer.id, FromStep(two.id))
    assert plan.final == final.id


def test_an_inner_build_hides_an_outer_one_of_its_name_only_inside() -> None:
    text = """((build a ((from base) (run (shell outer))))
 (build b ((build a ((from base) (run (shell inner)))) (from base) (copy (from (build a)) (src /x) (dst /x))))
 (from base)
 (copy (from (build a)) (src /x) (dst /x)))"""
    _, steps = planned(text)
    by_command = {step.action.command: step.id for step in steps if isinstance(step.action, Run)}
    sources = [step.action.source for step in steps if isinstance(step.action, Copy)]
    assert sources == [FromStep(by_command["inner"]), FromStep(by_command["outer"])]


def test_steps_stand_with_inputs_first_and_each_once() -> None:
    plan, steps = planned(NESTED.replace("(from other)", "(from base)"))
    assert len(set(plan.steps)) == len(plan.steps) == 5
    seen: set[str] = set()
    for step in steps:
        assert seen.issuperset(step.inputs)
        seen.add(step.id)


# --- interning


def test_the_same_prefix_is_the_same_steps_and_asks_the_world_once() -> None:
    world = FakeWorld()
    planner = Planner(world)
    prefix = "((from base) (run (shell a)) (copy (src f) (dst /f))"
    one = planner.plan(job(prefix + " (run (shell b)))", "one"))
    asked = list(world.asked)
    assert asked == ["pin base", "manifest /context f"]
    two = planner.plan(job(prefix + " (run (shell c)))", "two"))
    assert one.steps[:3] == two.steps[:3]
    assert one.final != two.final
    assert world.asked == asked
    assert len(planner.steps) == 5
    assert Dag.of([one, two], planner.steps).jobs(one.steps[2]) == ["one", "two"]


def test_planning_the_same_again_makes_nothing_new() -> None:
    planner = Planner(FakeWorld())
    first = planner.plan(job(NESTED))
    steps = dict(planner.steps)
    assert planner.plan(job(NESTED)) == first
    assert planner.steps == steps


def test_each_context_folder_is_asked() -> None:
    world = FakeWorld()
    planner = Planner(world)
    text = "((from base) (copy (src f) (dst /f)))"
    one, two = (planner.plan(job(text, folder, folder)) for folder in ("/one", "/two"))
    assert world.asked == ["pin base", "manifest /one f", "manifest /two f"]
    assert one.final == two.final, "the folder is not in the id, what it holds is"
    action = planner.steps[one.final].action
    assert isinstance(action, Copy)
    assert isinstance(action.source, FromContext)
    assert action.source.manifest.folder == "/one"


def test_ops_that_lead_to_the_same_context_lead_to_the_same_steps() -> None:
    planner = Planner(FakeWorld())
    one = planner.plan(job("((from base) (env A 1) (env B 2) (run (shell x)))"))
    two = planner.plan(job("((from base) (env B 2) (env A 1) (run (shell x)))"))
    assert one == two


def test_an_op_is_shown_as_canonical_text() -> None:
    _, steps = planned('( (from "base")\n(run   (shell "make all")))')
    assert [step.op for step in steps] == ["(from base)", '(run (shell "make all"))']


# --- errors


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ("(run (network foo) (shell x))", "network foo is not known"),
        ("(run (network host host) (shell x))", "network host host is not known"),
        ("(copy (src a/../b) (dst c))", '".." in a source: "a/../b"'),
        ("(copy (src a b) (dst c))", "several sources are copied into a folder"),
        ("(copy (src) (dst c))", "a copy needs a source"),
        ("(copy (src missing) (dst c))", '"missing" is not there (in "/context")'),
        ('(run (shell "a\\000b"))', "a command, a shell or a variable holds a NUL"),
        ('(env A "\\000") (run (shell x))', "a command, a shell or a variable holds a NUL"),
        ('(shell "\\000") (run (shell x))', "a command, a shell or a variable holds a NUL"),
        ('(workdir "\\000") (run (shell x))', "holds a NUL"),
        ('(user (name "\\000")) (run (shell x))', "holds a NUL"),
        ('(run (cache (c (target "\\000"))) (shell x))', "holds a NUL"),
        ('(run (secrets (c (target "\\000"))) (shell x))', "holds a NUL"),
        ('(copy (src a) (dst "\\000"))', "holds a NUL"),
        ('(copy (src "\\000") (dst a))', "holds a NUL"),
    ],
)
def test_what_cannot_be_built_is_an_error_at_its_op(ops: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        planned(f"((from base)\n{ops})")
    error = caught.value
    assert message in error.message
    assert (error.file, error.line) == ("a.spec", 2)
    assert ops[error.column - 1 :].startswith(("run", "copy")), "the op that uses it"
    assert error.text == f"{ops})"


def test_a_base_that_is_not_there_is_an_error_at_its_from() -> None:
    with pytest.raises(SpecError) as caught:
        planned("; a comment\n((build b ((from base)))\n  (from missing))")
    assert str(caught.value).splitlines()[0] == "a.spec:3:9: no base missing"
    assert str(caught.value).endswith("look again")


def test_a_base_with_a_nul_is_an_error_at_its_from() -> None:
    with pytest.raises(SpecError, match="a base holds a NUL"):
        planned('((from "a\\000b"))')


def test_an_error_says_where_in_each_spec_that_has_it() -> None:
    """Nothing of a failed op is remembered, its place least of all."""
    planner = Planner(FakeWorld())
    for lines in (1, 3):
        text = "((from base)" + "\n" * lines + "(copy (src missing) (dst x)))"
        with pytest.raises(SpecError) as caught:
            planner.plan(job(text))
        assert caught.value.line == lines + 1


def test_a_failing_machine_is_not_taken_for_a_fault_of_the_spec() -> None:
    class Broken(FakeWorld):
        def pin(self, base: str) -> Base:
            raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        planned("((from base))", Broken())


# Workflows: named builds, and what is no part of an id.


def body(text: str, context: str = "/context") -> Body:
    """A job's body as a workflow has it."""
    source = Source("w.workflow", f"(workflow (job j {text}))", context)
    found = parse_any(source)
    assert isinstance(found, Workflow) and isinstance(found.items[0], WorkflowJob)
    return Body(found.items[0].spec, source)


def test_a_named_build_goes_on_in_its_context() -> None:
    builds = {"b": body("((from x) (env A b) (workdir /w) (user (uid 5) (gid 6)) (shell /bin/sh) (run (shell one)))")}
    planner = Planner(FakeWorld())
    plan = planner.plan(Job("j", body("((from (build b)) (run (shell two)))"), builds))
    assert [planner.steps[id].op for id in plan.steps] == ["(from x)", "(run (shell one))", "(run (shell two))"]
    run = planner.steps[plan.final].action
    assert isinstance(run, Run)
    assert (run.env, run.cwd, run.user, run.shell) == ((("A", "b"), ("PATH", "/bin")), "/w", Ids(5, 6), ("/bin/sh",))


def test_what_a_named_build_and_a_plain_spec_say_alike_is_one_step() -> None:
    planner = Planner(FakeWorld())
    builds = {"b": body("((from x) (run (shell one)))")}
    built = planner.plan(Job("j", body("((from (build b)) (run (shell two)))"), builds))
    assert planner.plan(job("((from x) (run (shell one)) (run (shell two)))")).steps == built.steps


def test_a_copy_from_a_named_build_brings_its_steps() -> None:
    planner = Planner(FakeWorld())
    builds = {"b": body("((from x) (run (shell one)))")}
    plan = planner.plan(Job("j", body("((from y) (copy (from (build b)) (src /a) (dst /b)))"), builds))
    assert [planner.steps[id].op for id in plan.steps][:3] == ["(from y)", "(from x)", "(run (shell one))"]
    assert planner.steps[plan.final].inputs == (plan.steps[0], plan.steps[2])


def test_only_named_builds_that_are_named_are_planned() -> None:
    world = FakeWorld()
    builds = {"a": body("((from missing))"), "b": body("((from x))")}
    Planner(world).plan(Job("j", body("((from (build b)))"), builds))
    assert world.asked == ["pin x"]


def test_nested_builds_hide_those_of_the_workflow() -> None:
    planner = Planner(FakeWorld())
    builds = {"b": body("((from x))")}
    plan = planner.plan(Job("j", body("((build b ((from (build b)) (run (shell in)))) (from (build b)))"), builds))
    assert [planner.steps[id].op for id in plan.steps] == ["(from x)", "(run (shell in))"]


def test_a_chain_of_named_builds_may_be_long() -> None:
    builds = {"b0": body("((from x))")}
    for number in range(1, 5000):
        builds[f"b{number}"] = body(f"((from (build b{number - 1})) (run (shell {number})))")
    plan = Planner(FakeWorld()).plan(Job("j", body("((from (build b4999)))"), builds))
    assert len(plan.steps) == 5000


def test_copies_of_an_included_file_read_its_folder() -> None:
    world = FakeWorld()
    builds = {"b": body("((from x) (copy (src f) (dst /)))", "/included")}
    asked = Job("j", body("((from (build b)) (copy (src f) (dst /)))", "/own"), builds)
    Planner(world).plan(asked)
    assert world.asked[1:] == ["manifest /included f", "manifest /own f"]
    world.asked.clear()
    Planner(world, "/given").plan(asked)
    assert world.asked[1:] == ["manifest /given f", "manifest /given f"]


def policy(*texts: str, default: Policy = DEFAULT) -> Policy:
    """What holds for the one run that all `texts` share."""
    planner = Planner(FakeWorld(), policy=default)
    finals = {planner.plan(Job(f"j{n}", body(text))).final for n, text in enumerate(texts)}
    (final,) = finals
    return planner.steps[final].policy


def run_with(*fields: str) -> str:
    return f"((from x) (run (shell y) {' '.join(fields)}))"


def test_times_and_retries_are_in_no_id_and_the_most_generous_hold() -> None:
    one = run_with("(timeout 30m)", "(silence 1m)", "(retry (attempts 2) (exit 40) (log a))")
    other = run_with("(timeout 10m)", "(silence 2m)", "(retry (attempts 5) (exit 41) (log b) (log a))")
    assert policy(one) == Policy(1800, 60, 2, frozenset({40}), ("a",))
    assert policy(one, other) == Policy(1800, 120, 5, frozenset({40, 41}), ("a", "b"))


@pytest.mark.parametrize(
    ("default", "texts", "timeout"),
    [
        (None, [run_with("(timeout 1m)"), run_with()], None),  # who sets none is not stopped for the sake of another
        (30.0, [run_with("(timeout 1m)"), run_with()], 60),
        (300.0, [run_with("(timeout 1m)"), run_with()], 300),
        (300.0, [run_with("(timeout 1m)")], 60),
        (300.0, [run_with()], 300),
    ],
)
def test_the_default_holds_where_a_run_says_nothing(default: float | None, texts: list[str], timeout: float) -> None:
    assert policy(*texts, default=Policy(timeout=default)).timeout == timeout


def test_an_error_in_a_named_build_is_placed_in_its_text() -> None:
    builds = {"b": body("((from x) (copy (src missing) (dst /)))")}
    with pytest.raises(SpecError) as caught:
        Planner(FakeWorld()).plan(Job("j", body("((from (build b)))"), builds))
    assert (caught.value.file, caught.value.line, caught.value.column) == ("w.workflow", 1, 29)
