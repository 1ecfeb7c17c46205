"""Failures that are known: a command that failed is not run again before its failure is of a certain age."""

from __future__ import annotations

import time
from collections.abc import Iterable

from engine.index import Index
from engine.outcome import Failed
from engine.step import SHORT, StepId


def known_failures(index: Index, ids: Iterable[StepId], age: float | None, now: float) -> dict[StepId, Failed]:
    """Those of `ids` that failed by their own exit status, when they last ran, less than `age` seconds before `now`.

    Other causes are never remembered: they may pass. With None nothing is.
    """
    if age is None:
        return {}
    return {
        id: Failed(attempt.exit, "exit", attempt.seconds, _told(id, attempt.started))
        for id, attempt in index.failures(ids).items()
        if attempt.cause == "exit" and attempt.started + attempt.seconds > now - age
    }


def _told(id: StepId, started: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(started))
    return f"it failed on {when} (stepwood log {id[:SHORT]}) and was not run again; --retry-failed runs it"
