"""What a page of a plan holds: the plan's document in columns, steps by number. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine import render
from engine.dag import Dag
from engine.explain import Cause
from engine.simulate import Slot
from engine.words import counted


def document(plan: render.Plan, causes: Sequence[Cause], schedules: Mapping[int, Sequence[Slot]]) -> dict[str, object]:
    """The document that docs/reference/pages.md describes. `schedules` are runs as predicted, by workers."""
    dag, forecast = plan.dag, plan.forecast
    told = render.as_totals(plan)
    return {
        "version": 1,
        "kind": "plan",
        **steps(dag),
        "state": [plan.states[id] for id in dag.ids],
        "seconds": [plan.prospect.seconds(id) for id in dag.ids],
        **told,
        "path": [] if forecast is None else [dag.numbers[id] for id in forecast.path],
        "causes": [
            {
                "told": cause.told,
                "steps": cause.steps,
                "roots": [dag.numbers[root.step] for root in cause.roots],
                "changes": [
                    None if root.difference is None or root.difference.is_input else root.difference.told
                    for root in cause.roots
                ],
            }
            for cause in causes
        ],
        "schedules": [
            {
                "workers": workers,
                "step": [dag.numbers[slot.id] for slot in slots],
                "worker": [slot.worker for slot in slots],
                "start": [round(slot.start, 3) for slot in slots],
                "end": [round(slot.end, 3) for slot in slots],
            }
            for workers, slots in schedules.items()
        ],
    }


def title(dag: Dag) -> str:
    names = [plan.name for plan in dag.plans]
    return f"Plan of {names[0] if len(names) == 1 else counted(len(names), 'job')}"


def steps(dag: Dag) -> dict[str, object]:
    """The columns that every page of a DAG has: of its steps, inputs before what uses them, and of its jobs."""
    return {
        "id": dag.ids,
        "step_kind": [step.kind for step in dag],
        "op": [step.op for step in dag],
        "inputs": [[dag.numbers[input] for input in step.inputs] for step in dag],
        "jobs": dag.popularity,
        "job": [plan.name for plan in dag.plans],
        "final": [dag.numbers[plan.final] for plan in dag.plans],
    }
