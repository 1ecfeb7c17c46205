"""What a run writes down while it goes on. Where the index cannot be written, rows wait here, and steps do not.

Another program may hold the index for long, and a disk may be full for a while: neither is a reason to stop what runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from engine.index import TIMEOUT, Index
from engine.outcome import Name
from engine.records import Attempt, Totals
from engine.words import counted, span
from system.errors import OutOfSpace, StoreBusy

BRIEFLY = 0.5
"""Seconds that the loop, which has steps to start, waits for another process's write."""
MOMENT = 1.0
"""Seconds that the end of a job may wait for the next step's."""
AGAIN = 5.0
"""Seconds until it tries once more."""


class Ledger:
    """The loop's side of the index. `problems` are what people are to be told at the end."""

    def __init__(self, index: Index, batch: str) -> None:
        self._index, self._batch = index, batch
        self._attempts: list[Attempt] = []
        self._jobs: list[tuple[int, Name]] = []
        self._failed_at: float | None = None
        """Since when nothing could be written."""
        self._next = 0.0
        self._written = time.monotonic()
        self.problems: list[str] = []
        index.be_patient(BRIEFLY)

    def write(self, attempts: Iterable[Attempt] = (), jobs: Iterable[tuple[int, Name]] = ()) -> None:
        """Write down how steps and jobs ended: now, or as soon as that can be. That a job ended may wait a moment: it
        follows from its steps, and of many jobs that are cached each would cost as much as a step."""
        self._attempts += attempts
        self._jobs += jobs
        now = time.monotonic()
        if now >= self._next and (self._attempts or now >= self._written + MOMENT):
            try:
                self._flush()
            except (StoreBusy, OutOfSpace):
                self._next = time.monotonic() + AGAIN

    def close(self, outcome: Name, totals: Totals) -> bool:
        """Write down what is left, and how the batch ended; whether that could be done within reason."""
        self._index.be_patient(TIMEOUT)
        try:
            self._flush()
            self._index.finish_batch(self._batch, outcome, totals, finished=time.time())
        except (StoreBusy, OutOfSpace) as error:
            self.problems[:] = [
                f"{error.message}: how {counted(len(self._attempts), 'step')} ended is not written down"
            ]
            self.problems.append("what was built is kept; to have the index know it: stepwood fsck --rebuild-index")
            return False
        return True

    def _flush(self) -> None:
        if not self._attempts and not self._jobs:
            return
        try:
            with self._index.transaction():
                if self._attempts:
                    self._index.record_attempts(self._batch, self._attempts)
                if self._jobs:
                    self._index.finish_jobs(self._jobs)
        except (StoreBusy, OutOfSpace) as error:
            if self._failed_at is None:
                self._failed_at = time.monotonic()
                self.problems.append(error.message)
            raise
        self._attempts, self._jobs = [], []
        self._written = time.monotonic()
        if self._failed_at is not None:
            self.problems[-1] += f": the run went on, and wrote down after {span(time.monotonic() - self._failed_at)}"
            self._failed_at = None
