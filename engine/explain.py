"""Why a step has the id it has, how two steps differ, and why a step would run at all."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import digest
from engine.index import Index
from engine.step import StepId

if TYPE_CHECKING:
    from engine.dag import Dag  # comparing two steps needs no graph, and importing one takes 0.1 s

_IDS = ("input", "from")
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


def difference(one: Mapping[str, object], other: Mapping[str, object]) -> Difference | None:
    """The first difference between two steps' fields, in the order of the walk, ids of other steps last."""
    names = list(dict.fromkeys([*one, *other]))
    for name in sorted(names, key=lambda name: name in _IDS):
        if one.get(name) != other.get(name):
            return Difference(name, one.get(name), other.get(name))
    return None


@dataclass(frozen=True, slots=True)
class Cause:
    """A step that would run although all it needs is there, and so the root of what would run after it.

    `reason`: "new" (the index knows no step with this op), "changed" (it knows one that differs as
    `difference` says), "failed" (it ran and failed), "gone" (it was built, and its snapshot is no more).
    `steps` counts this step and those that would run because of it; `seconds` is what they took when last
    built, None where one of them never was.
    """

    step: StepId
    reason: str
    difference: Difference | None
    steps: int
    seconds: float | None


def causes(dag: Dag, cached: Set[StepId], index: Index | None) -> list[Cause]:
    """The root causes of all that would run, those that cost most first."""
    found = []
    for step in dag:
        if step.id in cached or any(input not in cached for input in step.inputs):
            continue
        after = dag.after([step.id]) - cached
        seconds = index.durations(after) if index is not None else {}
        reason, differs = _reason(step.id, dag, index)
        total = sum(seconds.values()) if len(seconds) == len(after) else None
        found.append(Cause(step.id, reason, differs, len(after), total))
    return sorted(found, key=lambda cause: -cause.steps)


def _reason(id: StepId, dag: Dag, index: Index | None) -> tuple[str, Difference | None]:
    if index is None:
        return "new", None
    last = index.latest_attempt(id)
    if last is not None:
        return ("gone" if last.outcome == "built" else "failed"), None
    step = dag[id]
    alike = index.alike(step.kind, step.op, id)
    if alike is None:
        return "new", None
    return "changed", difference(dict(digest.fields(step.action)), dict(index.fields(alike)))
