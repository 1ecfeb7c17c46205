"""What a run tells whoever watches it. A reporter only receives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.outcome import Cause, Name, Outcome
from engine.records import Totals
from engine.step import StepId


@dataclass(frozen=True, slots=True)
class Started:
    """A step begins to run."""

    id: StepId


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of a step's log: as it comes, or, of a cached step, from the run that built it."""

    id: StepId
    data: bytes


@dataclass(frozen=True, slots=True)
class Retried:
    """Try number `attempt` ended by a transient error; another follows."""

    id: StepId
    attempt: int
    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A step has ended; every step of the DAG gets one. `log` is its path from the store's folder."""

    id: StepId
    outcome: Outcome
    seconds: float
    attempts: int
    log: str | None


@dataclass(frozen=True, slots=True)
class JobEnded:
    """All steps of a job have ended."""

    name: str
    outcome: Name
    final: StepId


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """The run is over."""

    id: str
    outcome: Name
    jobs: int
    totals: Totals
    seconds: float


Event = Started | Output | Retried | Ended | JobEnded | BatchEnded
Reporter = Callable[[Event], None]
