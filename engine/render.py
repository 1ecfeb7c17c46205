"""A plan as text or as JSON: what would run, what is there already, what it would cost."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from engine.dag import Dag
from engine.step import SHORT, StepId, counted


@dataclass(frozen=True, slots=True)
class Prospect:
    """A DAG and what is known of it before it runs: cached steps, known failures that would not be run
    again, and measured seconds."""

    dag: Dag
    cached: Set[StepId]
    failed: Set[StepId]
    seconds: Mapping[StepId, float]

    def states(self) -> dict[StepId, str]:
        """cached, run, failed (known, and not run again) or blocked (waits on a failed one)."""
        states: dict[StepId, str] = {}
        for step in self.dag:
            if step.id in self.cached:
                states[step.id] = "cached"
            elif step.id in self.failed:
                states[step.id] = "failed"
            elif any(states[input] in ("failed", "blocked") for input in step.inputs):
                states[step.id] = "blocked"
            else:
                states[step.id] = "run"
        return states

    def costs(self, states: Mapping[StepId, str]) -> tuple[float | None, float | None]:
        """Predicted seconds of all that would run, and of its longest chain; None where a step has no history."""
        todo = [id for id, state in states.items() if state == "run"]
        if any(id not in self.seconds for id in todo):
            return None, None
        own = {id: self.seconds[id] for id in todo}
        return sum(own.values()), max(self.dag.remaining(own).values(), default=0.0)


def as_json(prospect: Prospect) -> dict[str, object]:
    """The document that docs/reference/cli.md describes."""
    dag, states = prospect.dag, prospect.states()
    seconds, critical = prospect.costs(states)
    return {
        "version": 1,
        "jobs": [{"name": plan.name, "final": plan.final, "steps": list(plan.steps)} for plan in dag.plans],
        "steps": [
            {
                "id": step.id,
                "kind": step.kind,
                "inputs": list(step.inputs),
                "op": step.op,
                "jobs": len(dag.jobs(step.id)),
                "cached": step.id in prospect.cached,
                "state": states[step.id],
                "seconds": prospect.seconds.get(step.id),
            }
            for step in dag
        ],
        "totals": {
            "jobs": len(dag.plans),
            "steps": dag.total,
            "distinct": len(dag),
            "cached": len(prospect.cached),
            "to_run": sum(state == "run" for state in states.values()),
            "seconds": seconds,
            "critical_path": critical,
        },
    }


def as_text(prospect: Prospect) -> str:
    """A block a job; a step that an earlier job has shown already is counted, not shown again."""
    dag, states = prospect.dag, prospect.states()
    shown: set[StepId] = set()
    lines: list[str] = []
    for plan in dag.plans:
        known = [id for id in plan.steps if id in shown]
        above = f", {len(known)} shown above" if known else ""
        lines.append(f"{plan.name}: {counted(len(plan.steps), 'step')}{above}")
        for id in plan.steps:
            if id not in shown:
                shown.add(id)
                share = f"  ×{len(dag.jobs(id))}" if len(dag.jobs(id)) > 1 else ""
                time = f"  {prospect.seconds[id]:.1f} s" if id in prospect.seconds else ""
                lines.append(f"  {states[id]:7} {id[:SHORT]} {dag[id].op}{share}{time}")
    seconds, critical = prospect.costs(states)
    todo = sum(state == "run" for state in states.values())
    sums = f"{counted(len(dag.plans), 'job')}, {counted(dag.total, 'step')}, {len(dag)} distinct"
    lines.append(f"{sums}: {len(prospect.cached)} cached, {todo} to run")
    if todo and seconds is not None and critical is not None:
        lines.append(f"predicted: {seconds:.1f} s of work, {critical:.1f} s on the critical path")
    return "\n".join(lines) + "\n"
