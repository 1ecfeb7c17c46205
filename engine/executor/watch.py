"""Waiting for a process with an eye on the clock: what it prints goes to its log, and it is stopped when it takes too
long, or is silent for too long."""

from __future__ import annotations

import math
import os
import select
import time
from typing import Literal

from engine.executor.logs import CHUNK, Log
from engine.step import Policy
from system.helper.client import Started
from system.launch import Exit

GRACE = 5.0
"""Seconds between TERM and KILL."""

Overrun = Literal["timeout", "silence"]


def watch(started: Started, pipe: int, log: Log, policy: Policy) -> tuple[Exit, Overrun | None]:
    """How a process ended, and whether it was stopped. `pipe` is what it prints into.

    It is stopped by TERM to its whole tree, and KILL after `GRACE`; nothing of it is left then.
    """
    if policy.timeout is None and policy.silence is None:
        log.drain(pipe)
        return started.wait(), None
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.register(started, select.POLLIN)
    begun = now = heard = time.monotonic()
    overrun: Overrun | None = None
    kill_at = math.inf
    while True:
        late = begun + (policy.timeout or math.inf)
        quiet = heard + (policy.silence or math.inf)
        due = min(late, quiet) if overrun is None else kill_at
        ready = dict(poll.poll(None if due == math.inf else max(0, math.ceil((due - now) * 1000))))
        now = time.monotonic()
        if pipe in ready:
            data = os.read(pipe, CHUNK)
            if data:
                log.write(data)
                heard = now
            else:
                poll.unregister(pipe)
        elif ready:
            log.drain(pipe)
            return started.wait(), overrun
        if now < due:
            continue
        if overrun is None:
            overrun = "timeout" if now >= late else "silence"
            kill_at = now + GRACE
            started.terminate()
        else:
            kill_at = math.inf
            started.kill()
