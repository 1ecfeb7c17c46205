"""Trying again what may pass by itself. The only file that imports tenacity."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

import tenacity

from system.errors import Interrupted, MachineError

TRIES = 3
FIRST_WAIT = 0.5
LONGEST_WAIT = 10.0

T = TypeVar("T")


def retrying(attempt: Callable[[int], T], failed: Callable[[int, MachineError], None], stopping: Event) -> T:
    """`attempt(n)` for n = 1, 2, … until it succeeds, fails for good, or has had its tries.

    Only errors whose class is transient are tried again, after a jittered wait that doubles; `failed(n, error)`
    is told of each of these. `stopping` ends a wait: `Interrupted`.
    """

    def sleep(seconds: float) -> None:
        if stopping.wait(seconds):
            raise Interrupted("stopped while waiting to try again")

    def told(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, MachineError)
        failed(state.attempt_number, error)

    tries = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT - FIRST_WAIT)
        + tenacity.wait_random(0, FIRST_WAIT),
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, MachineError) and error.transient),
        before_sleep=told,
        sleep=sleep,
        reraise=True,
    )
    for number in tries:
        with number:
            result = attempt(number.retry_state.attempt_number)
            break
    return result
