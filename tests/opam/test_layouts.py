"""From solutions to jobs: chains and merges, planned as a build would plan them."""

from __future__ import annotations

import pytest

from engine.analysis.orders import alphabetical, distinct, popular
from engine.dag import Dag
from engine.plan import Job, Planner
from engine.step import Copy, Ids, Merge, Run, Step
from grammar.expand import expand
from grammar.parser import parse, parse_any
from grammar.printer import format_spec
from grammar.source import Body, Source
from stepwood.opam import recipe
from stepwood.opam.layouts import Batch, Layout, buildable, inlined, workflow
from stepwood.opam.recipe import Recipe
from stepwood.opam.solutions import Refused
from stepwood.opam.universe import Id
from tests.opam.packages import answers, told
from tests.planning import World

TEXT = """((from debian) (shell /bin/bash -c) (run (network host) (shell "get opam")) (run (shell users))
 (user (uid 1000) (gid 1000)) (env OPAMROOT /opam) (run (shell "opam init")))"""
URL = 'url {{ src: "https://host/{}" checksum: "md5={}" }}'
PACKAGES = {
    "lib.1": 'depends: ["ocaml"] build: ["echo" "%{lib}%"] ' + URL.format("lib", "1" * 32),
    "tool.1": 'depends: ["ocaml"] ' + URL.format("tool", "2" * 32),
    "check.1": 'depends: ["lib"]',
    "docs.1": "",
    "app.1": 'depends: ["lib" "tool" "docs" {post} "check" {with-test}] run-test: ["x"] ' + URL.format("app", "3" * 32),
    "other.1": 'depends: ["tool" "lib"] depexts: ["libx"]',
    "trunk.1": 'depends: ["lib"] url { src: "git+https://host/trunk" }',
}
ROOTS: list[Id] = [("app", "1"), ("other", "1"), ("lib", "1")]


def ground() -> Recipe:
    return Recipe.of(Body(parse(TEXT, file="r.spec"), Source("r.spec", TEXT)))


def layout(*, tests: bool = False, system: frozenset[str] = frozenset(), roots: list[Id] = ROOTS) -> Layout:
    jobs, refused = buildable(answers(PACKAGES, roots, tests=tests), told(PACKAGES))
    assert not refused
    return Layout(Batch.of(jobs), ground(), told(PACKAGES), lambda _: {}, system)


def dag(jobs: list[Job]) -> Dag:
    planner = Planner(World())
    plans = [planner.plan(job) for job in jobs]
    return Dag.of(plans, planner.steps)


def labels(found: Dag, number: int) -> list[str]:
    """What the steps of a job are for, in its order; of sources and installations."""
    told = []
    for id in found.plans[number].steps:
        action = found[id].action
        label = recipe.label(action.command) if isinstance(action, Run) else None
        if label is not None:
            told.append(" ".join(label).strip())
    return told


def runs(found: Dag, kind: str) -> list[Step]:
    """All distinct steps that are for this."""
    return [
        step
        for step in found
        if isinstance(step.action, Run) and (recipe.label(step.action.command) or ("", ""))[0] == kind
    ]


def test_a_chain_installs_each_package_after_what_it_needs_with_sources_apart() -> None:
    made = layout()
    jobs = made.chains(alphabetical(made.batch.items))
    assert [job.name for job in jobs] == ["app.1", "other.1", "lib.1"]
    found = dag(jobs)
    installed = [label for label in labels(found, 0) if label.startswith("install")]
    assert installed == ["install docs.1", "install ocaml.5", "install lib.1", "install tool.1", "install app.1"]
    final = found[found.plans[0].final]
    assert final.op.startswith('(run (shell "# install app.1\\n')
    copy = found[final.inputs[0]]
    assert isinstance(copy.action, Copy)
    (source,) = [found[id] for id in copy.inputs[1:]]
    assert source.op.endswith('get md5 33333333333333333333333333333333 https://host/app\\n"))')
    # A source starts from what the recipe leaves, and so is fetched once for all.
    assert {found[step.inputs[0]].op for step in runs(found, "source")} == {'(run (shell "opam init"))'}
    assert len(runs(found, "source")) == 3


def test_chains_share_what_the_order_says() -> None:
    made = layout()
    for order in (alphabetical, popular):
        orders = order(made.batch.items)
        assert len(runs(dag(made.chains(orders)), "install")) == distinct(orders)


def test_packages_are_installed_by_the_last_user_of_the_recipe_without_network() -> None:
    made = layout(system=frozenset(["libx", "liby"]))
    found = dag(made.chains(alphabetical(made.batch.items)))
    for step in (*runs(found, "install"), *runs(found, "source")):
        assert isinstance(step.action, Run)
        assert (step.action.user, step.action.shell) == (Ids(1000, 1000), ("/bin/sh", "-e", "-c"))
    assert all(isinstance(step.action, Run) and not step.action.network for step in runs(found, "install"))
    (system,) = runs(found, "system")
    assert isinstance(system.action, Run)
    assert (system.action.user.uid, system.action.network) == (0, ("host",))  # type: ignore[union-attr]
    assert 'wanted=\\"libx liby\\"' in system.op
    assert {found[step.inputs[0]].id for step in runs(found, "install") if "docs.1" in step.op} == {system.id}


def test_a_merge_has_each_package_once_on_just_what_it_needs() -> None:
    made = layout()
    found = dag(made.merges())
    installs = runs(found, "install")
    assert len(installs) == len(made.batch.items.names) == 6
    other = next(step for step in installs if "other.1" in step.op)
    merge = found[other.inputs[0]]
    assert isinstance(merge.action, Merge)
    assert {found[id].op.split("\\n")[0] for id in merge.inputs} == {
        '(run (shell "# install lib.1',
        '(run (shell "# install tool.1',
    }
    lib = next(step for step in installs if "# install lib.1" in step.op)
    assert [found[id].kind for id in found[lib.inputs[0]].inputs] == ["run", "run"], "ocaml, and the source"
    # All of a job's packages are in its result, those too that nothing was built after.
    end = found[found.plans[0].final]
    assert isinstance(end.action, Merge)
    assert {found[id].op.split("\\n")[0].rpartition("install ")[2] for id in end.inputs} == {"app.1", "docs.1"}


def test_tests_run_last_on_what_they_need_and_change_no_step_before() -> None:
    plain, tested = layout(), layout(tests=True)
    order = popular(tested.batch.items)
    found = dag(tested.chains(order))
    assert labels(found, 0)[-1] == "test app.1"
    assert found[found.plans[0].final].op.startswith('(run (shell "# test app.1\\n')
    assert "install check.1" in labels(found, 0)
    merged = dag(tested.merges())
    assert labels(merged, 0)[-1] == "test app.1"
    installs = {step.id for step in runs(dag(plain.merges()), "install")}
    assert installs < {step.id for step in runs(merged, "install")}
    test = merged[merged.plans[0].final]
    inputs = {merged[id].op.split("\\n")[0].rpartition(" ")[2] for id in merged[test.inputs[0]].inputs}
    assert inputs == {"app.1", "docs.1", "check.1"}
    assert '\\"check\\" {with-test & = \\"1\\"}' in test.op


@pytest.mark.parametrize("name", ["chains", "merges"])
def test_the_text_of_jobs_plans_to_the_same_steps(name: str) -> None:
    made = layout(system=frozenset(["libx"]))
    jobs = made.chains(popular(made.batch.items)) if name == "chains" else made.merges()
    text = format_spec(workflow(jobs))
    source = Source("jobs.workflow", text)
    parsed = parse_any(source)
    of = expand(source, parsed, parse_any, lambda source, path: source, {})  # type: ignore[arg-type]
    again = [Job(job.name, job.body, of.builds) for job in of.jobs]
    assert [plan.final for plan in dag(again).plans] == [plan.final for plan in dag(jobs).plans]


def test_a_chain_is_a_plain_spec() -> None:
    made = layout()
    jobs = made.chains(popular(made.batch.items))
    for job in jobs:
        text = format_spec(inlined(job))
        plain = Job(job.name, Body(parse(text, file="t.spec"), Source("t.spec", text)))
        assert dag([plain]).plans[0].final == dag([job]).plans[0].final
        assert set(dag([plain]).ids) == set(dag([job]).ids)


def test_a_package_with_the_same_version_on_other_dependencies_is_another_step() -> None:
    packages = {"a.1": 'depopts: ["x"]', "x.1": "", "b.1": 'depends: ["a" "x"]'}
    jobs, _ = buildable(answers(packages, [("a", "1"), ("b", "1")]), told(packages))
    made = Layout(Batch.of(jobs), ground(), told(packages), lambda _: {})
    found = dag(made.merges())
    assert sum("# install a.1" in step.op for step in found) == 2


def test_what_lies_at_no_fixed_state_is_refused_with_all_that_need_it() -> None:
    packages = {**PACKAGES, "user.1": 'depends: ["trunk"]'}
    jobs, refused = buildable(answers(packages, [("user", "1"), ("lib", "1"), ("gone", "1")]), told(packages))
    assert [job.root for job in jobs] == [("lib", "1")]
    assert [(one.root[0], one.reason) for one in refused] == [
        ("user", "trunk.1: its source is at no address that can be fetched from: git+https://host/trunk"),
        ("gone", "gone.1 is not available"),
    ]
    assert all(isinstance(one, Refused) for one in refused)
