"""Trying again what may pass by itself. The only file that imports tenacity."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

import tenacity

from engine.step import TRIES
from system.errors import Interrupted, MachineError

FIRST_WAIT = 0.5
LONGEST_WAIT = 10.0

T = TypeVar("T")


def retrying(
    attempt: Callable[[int], T],
    failed: Callable[[int, T | MachineError], None],
    stopping: Event,
    *,
    tries: int = TRIES,
    transient: Callable[[T], bool] = lambda _: False,
) -> T:
    """`attempt(n)` for n = 1, 2, … until it succeeds, fails for good, or has had its tries.

    What is tried again, after a jittered wait that doubles, are errors whose class is transient and results that are
    `transient`; `failed(n, what)` is told of each of these. `stopping` ends a wait: `Interrupted`. The last result
    or error is what comes out.
    """
    number = 0

    def next() -> T:
        nonlocal number
        number += 1
        return attempt(number)

    def sleep(seconds: float) -> None:
        if stopping.wait(seconds):
            raise Interrupted("stopped while waiting to try again")

    def told(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert error is None or isinstance(error, MachineError)
        failed(state.attempt_number, state.outcome.result() if error is None else error)

    def last(state: tenacity.RetryCallState) -> T:
        assert state.outcome is not None
        result: T = state.outcome.result()
        return result

    again = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(tries),
        wait=tenacity.wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT - FIRST_WAIT)
        + tenacity.wait_random(0, FIRST_WAIT),
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, MachineError) and error.transient)
        | tenacity.retry_if_result(transient),
        before_sleep=told,
        sleep=sleep,
        retry_error_callback=last,
    )
    return again(next)
