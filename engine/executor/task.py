"""One step in a worker's thread: the claim, the tries, and the outcome that the loop is told of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.events import Output, Retried, Started
from engine.executor.retry import retrying
from engine.executor.worker import Worker
from engine.outcome import Cached, Cancelled, Cause, Failed, Outcome
from engine.step import Step, StepId
from stores.store import Store
from system.errors import (
    InputError,
    Interrupted,
    MachineError,
    OutOfSpace,
    RegistryError,
    StepwoodError,
    StoreError,
)

_LOG = logging.getLogger(__name__)
"""What only `--debug` shows: where an error came from."""


@dataclass(frozen=True, slots=True)
class Done:
    """A worker is done with a step; `outcome` is None where another process is making it."""

    id: StepId
    outcome: Outcome | None
    started: float = 0.0
    seconds: float = 0.0
    attempts: int = 1
    log: str | None = None


Tell = Callable[[Started | Output | Retried | Done], object]


def work(worker: Worker, step: Step, tell: Tell) -> None:
    """Make a step, unless it is there or another process makes it. Never raises: what goes wrong is an outcome."""
    tries = 1
    started, begun = time.time(), time.monotonic()

    def attempt(number: int) -> Done:
        nonlocal tries
        tries = number
        done = worker.attempt(step, number, lambda data: tell(Output(step.id, data)))
        return Done(step.id, done.outcome, done.started, time.monotonic() - begun, number, done.log)

    def again(number: int, error: MachineError) -> None:
        tell(Retried(step.id, number, cause_of(error), error.message))

    def failed(cause: Cause, text: str) -> Done:
        seconds = time.monotonic() - begun
        return Done(step.id, Failed(1, cause, seconds, text), started, seconds, tries)

    try:
        claim = worker.store.claim(step.id)
        if claim is None:
            tell(Done(step.id, None))
            return
        with claim:
            if is_there(worker.store, step.id):
                tell(Done(step.id, Cached(), started))
                return
            tell(Started(step.id))
            done = retrying(attempt, again, worker.stopping)
    except Interrupted:
        done = Done(step.id, Cancelled(), started, time.monotonic() - begun, tries)
    except StepwoodError as error:
        _LOG.debug("%s", step.op, exc_info=error)
        done = failed(cause_of(error), str(error))
    except Exception as error:
        _LOG.debug("%s", step.op, exc_info=error)
        done = failed("sandbox", f"{type(error).__name__}: {error} (a fault of Stepwood; `--debug` shows where)")
    if worker.stopping.is_set() and isinstance(done.outcome, Failed):
        done = Done(step.id, Cancelled(), started, done.seconds, tries, done.log)
    tell(done)


def is_there(store: Store, id: StepId) -> bool:
    """Whether a snapshot is there by now: asked of the disk, since another process may have made it."""
    try:
        store.meta(id)
    except KeyError:
        return False
    return True


def cause_of(error: StepwoodError) -> Cause:
    """The kind of an error that ended a step."""
    match error:
        case InputError():
            return "input"
        case RegistryError():
            return "network"
        case StoreError() | OutOfSpace():
            return "store"
        case _:
            return "sandbox"
