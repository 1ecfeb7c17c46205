"""How a step ended. A failing build is one of these values, not an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.step import StepId

Name = Literal["built", "cached", "failed", "skipped", "cancelled"]
"""An outcome by name, as events, the index and the totals have it. A job and a batch end as one of these too."""

Cause = Literal["exit", "timeout", "silence", "memory", "network", "store", "sandbox", "input", "cancelled"]
"""Why a step failed:

exit        its command's exit status, or the signal that killed it
timeout     it took longer than it may
silence     it printed nothing for longer than it may
memory      the kernel killed it, or it gave up, for want of memory
network     a registry or a server did not answer
store       a snapshot could not be kept, or the disk is full
sandbox     its world could not be set up
input       what the user named is not there
cancelled   the run was stopped

The first four make the run's exit code 1, "input" 2, "network", "store" and "sandbox", the machine's, 3.
"""

MACHINE: frozenset[Cause] = frozenset(("network", "store", "sandbox"))
"""The machine's causes, which may pass by themselves."""


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
    """It ran and failed, or an error ended it.

    `status` is the command's exit status, 128 + N where signal N killed it, and None where it came to no end of its
    own. `message` is what people are told beyond that. `transient`: it may pass by itself.
    """

    status: int | None
    cause: Cause
    seconds: float
    message: str = ""
    transient: bool = False
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
