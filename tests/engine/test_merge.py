"""Merges in plans: what they are made of, what they go on in, and that they are shared."""

from __future__ import annotations

from engine.analysis.sharing import Sharing
from engine.dag import Dag
from engine.step import Merge, Run, StepId
from tests.planning import dag, jobs

BUILDS = """(build a ((from x) (env A 1) (workdir /a) (run (shell a))))
 (build b ((from x) (env B 1) (run (shell b))))
 (build c ((from (build a))))"""


def merged(*bodies: str) -> Dag:
    return dag(f"(workflow {BUILDS} {' '.join(f'(job {n} {body})' for n, body in enumerate(bodies))})")


def final(found: Dag, number: int = 0) -> StepId:
    return found.plans[number].final


def test_a_merge_starts_from_all_its_builds_and_goes_on_in_the_context_of_the_first() -> None:
    found = merged("((from (merge a b)) (run (shell go)))")
    run = found[final(found)].action
    assert isinstance(run, Run)
    assert (run.cwd, run.env) == ("/a", (("A", "1"),))
    merge = found[run.input]
    assert isinstance(merge.action, Merge)
    assert [found[id].op for id in merge.inputs] == ["(run (shell a))", "(run (shell b))"]
    assert merge.op == "(from (merge a b))"
    assert [step.kind for step in found] == ["base", "run", "run", "merge", "run"]


def test_the_same_merge_is_one_step_in_all_jobs_whatever_the_builds_are_called() -> None:
    found = merged("((from (merge a b)))", "((from (merge c b)))", "((from (merge b a)))")
    assert final(found, 0) == final(found, 1) != final(found, 2)
    assert len(found) == 5
    assert [*found.jobs(final(found))] == ["0", "1"]


def test_contexts_of_equal_merges_stay_apart() -> None:
    text = """(workflow (build a ((from x) (run (shell a)))) (build b ((from x) (run (shell b))))
      (build d ((from (build a)) (env D 1)))
      (job 0 ((from (merge a b)) (run (shell env)))) (job 1 ((from (merge d b)) (run (shell env)))))"""
    found = dag(text)
    assert [found[id].inputs for id in (final(found, 0), final(found, 1))] == [found[final(found)].inputs] * 2
    assert final(found, 0) != final(found, 1)


def test_a_merge_of_one_result_is_that_result() -> None:
    found = merged("((from (merge a c)) (run (shell go)))")
    assert [step.kind for step in found] == ["base", "run", "run"]


def test_merges_of_the_same_in_another_place_are_one_item_to_order() -> None:
    found = merged("((from (merge a b)) (run (shell go)))", "((from (merge c b)) (run (shell stop)))")
    sharing = Sharing(found)
    assert sum(name.startswith("(from (merge") for name in sharing.jobs.names) == 1


def test_a_job_has_the_steps_of_all_that_it_merges() -> None:
    assert [job.name for job in jobs(f"(workflow {BUILDS} (job j ((from (merge a b)))))")] == ["j"]
    found = merged("((from (merge a b)))", "((from (build a)))")
    assert [len(plan.steps) for plan in found.plans] == [4, 2]
