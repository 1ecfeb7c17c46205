"""What a run tells whoever watches it. A reporter only receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.outcome import Failed, Name, Outcome
from engine.records import Prediction, Totals
from engine.step import StepId


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """The run begins. `expected` has, for each step that is not there yet, the seconds that it may take; `predicted` is
    None where nothing is known of any."""

    expected: Mapping[StepId, float]
    predicted: Prediction | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A step begins to run."""

    id: StepId


@dataclass(frozen=True, slots=True)
class Attached:
    """Another process is making a step; its log follows from the beginning."""

    id: StepId


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of a step's log: as it comes, or, of a cached step, from the run that built it."""

    id: StepId
    data: bytes


@dataclass(frozen=True, slots=True)
class Retried:
    """Try number `attempt` failed in a way that may pass; another follows."""

    id: StepId
    attempt: int
    failed: Failed
    started: float
    log: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A step has ended; every step of the DAG gets one. `log` is its path from the store's folder.

    `attempts` is 0 where nothing ran.
    """

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
class RootCause:
    """A step that failed, and how many jobs failed because of it."""

    id: StepId
    failed: Failed
    jobs: int


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """The run is over. `causes` are the failed steps, those that most jobs failed by first; `flaky` those that failed
    and then passed; `predicted` is None where nothing was known of the steps that ran."""

    id: str
    outcome: Name
    jobs: int
    totals: Totals
    seconds: float
    failed_jobs: int = 0
    causes: tuple[RootCause, ...] = ()
    flaky: tuple[StepId, ...] = ()
    predicted: Prediction | None = None


Event = BatchStarted | Started | Attached | Output | Retried | Ended | JobEnded | BatchEnded
Reporter = Callable[[Event], None]
