"""One step in a worker's thread: the claim, the tries, and the outcome that the loop is told of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.events import Output, Retried, Started
from engine.executor import causes
from engine.executor.retry import retrying
from engine.executor.worker import Attempted, Worker
from engine.outcome import Cached, Cancelled, Cause, Failed, Outcome
from engine.step import Step, StepId
from stores.store import Store
from system.errors import Interrupted, MachineError, StepwoodError

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

    def attempt(number: int) -> Attempted:
        nonlocal tries
        tries = number
        return worker.attempt(step, number, lambda data: tell(Output(step.id, data)))

    def again(number: int, what: Attempted | MachineError) -> None:
        assert isinstance(what, Attempted) and isinstance(what.outcome, Failed)
        tell(Retried(step.id, number, what.outcome, what.started, what.log))

    def done(outcome: Outcome, log: str | None = None, began: float = started) -> Done:
        if worker.stopping.is_set() and isinstance(outcome, Failed):
            outcome = Cancelled()
        return Done(step.id, outcome, began, time.monotonic() - begun, tries, log)

    def failed(cause: Cause, text: str) -> Done:
        return done(Failed(None, cause, time.monotonic() - begun, text))

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
            last = retrying(attempt, again, worker.stopping, tries=step.policy.attempts, transient=_transient)
        ended = done(last.outcome, last.log, last.started)
    except Interrupted:
        ended = done(Cancelled())
    except StepwoodError as error:
        _LOG.debug("%s", step.op, exc_info=error)
        ended = failed(causes.of_error(error), str(error))
    except Exception as error:
        _LOG.debug("%s", step.op, exc_info=error)
        ended = failed("sandbox", f"{type(error).__name__}: {error} (a fault of Stepwood; `--debug` shows where)")
    tell(ended)


def _transient(attempted: Attempted) -> bool:
    return isinstance(attempted.outcome, Failed) and attempted.outcome.transient


def is_there(store: Store, id: StepId) -> bool:
    """Whether a snapshot is there by now: asked of the disk, since another process may have made it."""
    try:
        store.meta(id)
    except KeyError:
        return False
    return True
