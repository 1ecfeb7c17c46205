"""How far a run is, by what it has told. Pure: whoever asks says what time it is."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

from engine.dag import Dag
from engine.events import Attached, BatchStarted, Ended, Event, JobEnded, Output, Retried, Started
from engine.logtext import readable
from engine.outcome import Name
from engine.records import Prediction
from engine.step import StepId
from engine.words import printable

TAIL = 4096
"""Bytes of a running step's output that are kept."""
WINDOW = 30
"""Seconds over which the rate is taken."""
SURE, MANY, SETTLED = 0.25, 50, 5.0
"""Before a run's pace alone tells its end: the part of it that must be done, or the steps that must have run; and the
seconds that it must have gone on. What is not known may be anything: a base may take as long as all the rest."""


@dataclass(slots=True)
class Running:
    """A step under way. `since` is when it began, `attempt` counts from 1; `elsewhere`: another process makes it."""

    id: StepId
    since: float
    elsewhere: bool = False
    attempt: int = 1
    tail: bytes = b""

    @property
    def last(self) -> str:
        """The last line that it wrote and that says something."""
        pieces = readable(self.tail).replace("\r", "\n").split("\n")
        return next((clean(piece) for piece in reversed(pieces) if piece.strip()), "")


@dataclass(slots=True)
class JobState:
    """A job: how many steps it has, how many of them have ended and how many run; `outcome` once all have ended."""

    steps: int
    ended: int = 0
    running: int = 0
    outcome: Name | None = None


class Progress:
    """What has come of a DAG's steps and jobs so far. Each event costs as much as its step has users and jobs."""

    def __init__(self, dag: Dag) -> None:
        self._dag = dag
        self.ended: Counter[Name] = Counter()
        self.running: dict[StepId, Running] = {}
        """In the order in which they began."""
        self.jobs = {plan.name: JobState(len(plan.steps)) for plan in dag.plans}
        self.job_outcomes: Counter[Name] = Counter()
        self.jobs_running = 0
        self._missing = [len(step.inputs) for step in dag]
        self._over = bytearray(len(dag))
        self.ready = self._missing.count(0)
        """Steps that have all they need, and wait for a worker."""
        self._began: float | None = None
        self._expected: dict[StepId, float] = {}
        """Of steps that have not ended."""
        self._work = 0.0
        """The seconds expected of all steps together."""
        self._left = 0.0
        self._predicted: Prediction | None = None
        self._ran = 0
        """Steps that have run to an end here."""
        self._samples: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)

    @property
    def steps(self) -> int:
        return len(self._dag)

    @property
    def done(self) -> int:
        """Steps that have ended, however."""
        return self.ended.total()

    def see(self, event: Event, now: float) -> None:
        """Take note. `now` is in seconds of a clock that only goes forward."""
        match event:
            case BatchStarted(expected=expected, predicted=predicted):
                self._began, self._predicted = now, predicted
                self._samples.append((now, 0))
                self._expected = dict(expected)
                self._work = self._left = math.fsum(expected.values())
            case Started(id=id):
                self._start(id, now, elsewhere=False)
            case Attached(id=id):
                self._start(id, now, elsewhere=True)
            case Output(id=id, data=data):
                if id in self.running:
                    step = self.running[id]
                    step.tail = (step.tail + data[-TAIL:])[-TAIL:]
            case Retried(id=id, attempt=attempt):
                if id in self.running:
                    self.running[id].attempt = attempt + 1
            case Ended():
                self._end(event)
            case JobEnded(name=name, outcome=outcome):
                self.jobs[name].outcome = outcome
                self.job_outcomes[outcome] += 1

    def _start(self, id: StepId, now: float, *, elsewhere: bool) -> None:
        """Of a step that another process made and gave up, it comes a second time."""
        if id in self.running:
            self.running[id].elsewhere = elsewhere
            return
        self.running[id] = Running(id, now, elsewhere)
        self.ready -= 1
        for name in self._dag.jobs(id):
            job = self.jobs[name]
            self.jobs_running += not job.running
            job.running += 1

    def _end(self, event: Ended) -> None:
        number = self._dag.numbers[event.id]
        ran = self.running.pop(event.id, None) is not None
        if not ran and not self._missing[number]:
            self.ready -= 1
        self._over[number] = True
        self._ran += event.attempts > 0
        self.ended[event.outcome.name] += 1
        self._left -= self._expected.pop(event.id, 0.0)
        for name in self._dag.jobs(event.id):
            job = self.jobs[name]
            job.ended += 1
            if ran:
                job.running -= 1
                self.jobs_running -= not job.running
        if event.outcome.name in ("built", "cached"):
            for user in self._dag.users[number]:
                self._missing[user] -= 1
                self.ready += not self._missing[user] and not self._over[user]

    def elapsed(self, now: float) -> float:
        """Seconds since the run began."""
        return 0.0 if self._began is None else now - self._began

    def rate(self, now: float) -> float:
        """Steps a second that ran to an end lately: in half a minute, or since the start."""
        if not self._samples:
            return 0.0
        if now - self._samples[-1][0] >= 1:
            self._samples.append((now, self._ran))
        since, ran = self._samples[0]
        return (self._ran - ran) / (now - since) if now > since else 0.0

    def left(self, now: float) -> tuple[float, float | None] | None:
        """The seconds until the end as half of such runs would take them, and nine in ten where that was predicted.

        Of a run of which the part d is done by expected seconds, the rest takes (1 - d)((1 - d)p + elapsed): what was
        predicted (p) while little is done, and the run's own pace in the end. Without a prediction only the pace
        counts, once some is done. None where nothing can be said.
        """
        if not self._work:
            return None
        under_way = (min(now - step.since, self._expected.get(id, 0.0)) for id, step in self.running.items())
        rest = max(0.0, self._left - math.fsum(under_way)) / self._work
        if self._predicted is not None:
            p50 = rest * (rest * self._predicted.p50 + self.elapsed(now))
            return p50, p50 * self._predicted.p90 / self._predicted.p50 if self._predicted.p50 else None
        if (rest > 1 - SURE and self._ran < MANY) or rest == 1 or self.elapsed(now) < SETTLED:
            return None
        return self.elapsed(now) * rest / (1 - rest), None


def clean(text: str) -> str:
    """A text as a line of the block can hold it: each character takes the room that it seems to."""
    return printable(text.expandtabs(1)).encode("utf-8", "replace").decode("utf-8").strip()
