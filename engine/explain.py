"""Why a step has the id it has, how two steps differ, and why a step would run at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine import digest
from engine.index import Index
from engine.step import Step, StepId
from engine.words import WIDTH

if TYPE_CHECKING:
    from engine.dag import Dag
    from engine.plan import Plan
    from engine.prospect import Prospect, State

_IDS = ("input", "inputs", "from")
"""Fields that are ids of other steps: what those stand for says more, so they count only where nothing else differs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first field in which two steps differ; None where it stands in one of them only."""

    name: str
    one: object
    other: object

    @property
    def is_input(self) -> bool:
        """Whether the two merely start from different steps."""
        return self.name in _IDS

    @property
    def told(self) -> str:
        """`before → now`, the one being now; of long values what is around the first place where they differ."""
        before, now = (json.dumps(value, ensure_ascii=False) for value in (self.other, self.one))
        if max(len(before), len(now)) > WIDTH:
            same = next((at for at, (one, other) in enumerate(zip(before, now, strict=False)) if one != other), 0)
            start = max(0, same - WIDTH // 4)
            before, now = (_excerpt(text, start) for text in (before, now))
        return f"{before} → {now}"


def difference(one: Mapping[str, object], other: Mapping[str, object]) -> Difference | None:
    """The first difference between two steps' fields, in the order of the walk, ids of other steps last."""
    names = list(dict.fromkeys([*one, *other]))
    for name in sorted(names, key=lambda name: name in _IDS):
        if one.get(name) != other.get(name):
            return Difference(name, one.get(name), other.get(name))
    return None


def _excerpt(text: str, start: int) -> str:
    return ("…" if start else "") + text[start : start + WIDTH] + ("…" if len(text) > start + WIDTH else "")


Reason = Literal["new", "changed", "failed", "stopped", "gone"]
"""Why a step would run though all it needs is there:

new      the index knows no step that it could have come from
changed  it knows one, which differs
failed   it ran and failed
stopped  it ran, and the run was stopped
gone     it was built, and its snapshot is no more
"""


@dataclass(frozen=True, slots=True)
class Root:
    """A step that would run although all it needs is there, and how it differs from what it has come from."""

    step: StepId
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class Cause:
    """Roots of what would run for one reason: steps of one kind and, where they changed, in the same field.

    `steps` counts the roots and all that would run because of one of them, `seconds` what those are expected to take;
    of `unknown` of them nothing is known. A step with two causes counts for both. The roots that most jobs need are
    first.
    """

    reason: Reason
    kind: str
    field: str
    roots: Sequence[Root]
    steps: int
    seconds: float
    unknown: int

    @property
    def told(self) -> str:
        """`run command changed`, and the like."""
        match self.reason, self.field:
            case "failed", _:
                return f"{self.kind} failed the last time"
            case "stopped", _:
                return f"{self.kind} was stopped the last time"
            case "gone", _:
                return f"{self.kind} was built, but its snapshot is gone"
            case "changed", "":
                return f"{self.kind} has another id with this version"
            case "changed", "input" | "from":
                return f"what {self.kind} starts from changed"
            case "changed", field:
                return f"{self.kind} {field} changed"
            case _:
                return f"{self.kind} was never built before"


_ENDS: Mapping[str, Reason] = {"built": "gone", "failed": "failed", "cancelled": "stopped"}
ASKED = 5
"""Jobs of a step whose last runs are looked at for what it has come from."""


def causes(prospect: Prospect, states: Mapping[StepId, State], index: Index | None) -> list[Cause]:
    """The causes of all that would run, those that cost most first."""
    dag = prospect.dag
    plans = {plan.name: plan for plan in dag.plans}
    found: dict[tuple[Reason, str, str], list[Root]] = {}
    for step in dag:
        if states[step.id] == "run" and all(input in prospect.cached for input in step.inputs):
            reason, differs = _reason(step, dag, plans, index)
            field = differs.name if differs is not None else ""
            found.setdefault((reason, step.kind, field), []).append(Root(step.id, differs))
    told = []
    for (reason, kind, field), roots in found.items():
        roots.sort(key=lambda root: -len(dag.jobs(root.step)))
        after = [id for id in dag.after(root.step for root in roots) if states[id] == "run"]
        told.append(Cause(reason, kind, field, roots, len(after), *prospect.cost(after)))
    return sorted(told, key=lambda cause: (-cause.seconds, -cause.steps))


def _reason(step: Step, dag: Dag, plans: Mapping[str, Plan], index: Index | None) -> tuple[Reason, Difference | None]:
    if index is None:
        return "new", None
    last = index.latest_attempt(step.id)
    if last is not None:
        return _ENDS[last.outcome], None
    before = index.alike(step.kind, step.op, step.id)
    for job in dag.jobs(step.id)[:ASKED]:
        before = before or _replaced(step, dag, plans[job], index)
    if before is None:
        return "new", None
    return "changed", difference(dict(digest.fields(step.action)), dict(index.fields(before)))


def _replaced(step: Step, dag: Dag, plan: Plan, index: Index) -> StepId | None:
    """What stood in a step's place when its job last ran: the one step of its kind, on the same root, whose op the job
    no longer has."""
    job = index.job_by_name(plan.name)
    if job is None:
        return None
    ops = {dag[id].op for id in plan.steps}
    root = step.inputs[0] if step.inputs else None
    before = [id for id, kind, op, on in index.made_of(job.final) if kind == step.kind and on == root and op not in ops]
    return before[0] if len(before) == 1 else None
