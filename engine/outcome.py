"""How a step ended. A failing build is one of these values, not an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.step import StepId

Name = Literal["built", "cached", "failed", "skipped", "cancelled"]
"""An outcome by name, as events, the index and the totals have it. A job and a batch end as one of these too."""

Cause = Literal["exit", "store", "sandbox", "network", "input"]
"""Why a step failed: its command's exit status, or the kind of error that ended it.

"exit" makes the run's exit code 1, "input" 2, and the others, which are the machine's, 3.
"""


@dataclass(frozen=True, slots=True)
class Built:
    """It ran and was committed. `bytes` is what it added to the store, None where that is not known."""

    seconds: float
    bytes: int | None
    peak_memory: int
    name: ClassVar[Literal["built"]] = "built"


@dataclass(frozen=True, slots=True)
class Cached:
    """Its snapshot was there already."""

    name: ClassVar[Literal["cached"]] = "cached"


@dataclass(frozen=True, slots=True)
class Failed:
    """It ran and failed (cause "exit"), or an error ended it.

    `status` is the command's exit status, 128 + N where signal N killed it; it says nothing unless the
    cause is "exit". `message` is the error's text, for people.
    """

    status: int
    cause: Cause
    seconds: float
    message: str = ""
    name: ClassVar[Literal["failed"]] = "failed"


@dataclass(frozen=True, slots=True)
class Skipped:
    """It did not run: the step `because`, which it needs, failed."""

    because: StepId
    name: ClassVar[Literal["skipped"]] = "skipped"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was stopped before the step ended."""

    name: ClassVar[Literal["cancelled"]] = "cancelled"


Outcome = Built | Cached | Failed | Skipped | Cancelled
