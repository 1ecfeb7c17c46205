"""The loop: owns the scheduler, the index's connection and all other state that changes. Workers hand back outcomes.

Ready steps go to worker threads, which wait on processes; everything they have to say comes back through one
queue, so nothing here needs a lock.
"""

from __future__ import annotations

import gc
import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from engine import digest
from engine.dag import Dag
from engine.estimate import drift, estimate
from engine.events import Attached, BatchEnded, BatchStarted, Ended, Output, Reporter, Retried, RootCause, Started
from engine.executor.elsewhere import Elsewhere, follow
from engine.executor.jobs import Jobs
from engine.executor.ledger import Ledger
from engine.executor.task import Done, is_there, work
from engine.executor.watch import GRACE
from engine.executor.worker import Worker
from engine.failures import known_failures
from engine.index import Index
from engine.logbook import Logbook
from engine.logtext import open_log
from engine.outcome import MACHINE, Built, Cached, Cancelled, Failed, Name, Outcome
from engine.prospect import Prospect
from engine.records import Attempt, Prediction, Totals
from engine.scheduler import Scheduler
from engine.step import StepId
from system.errors import InputError, Interrupted, MachineError

_LOG = logging.getLogger(__name__)
"""What only `--debug` shows."""
SYNC = 60.0
"""Seconds after which what was committed is made to survive a loss of power, besides at the end."""
PATIENCE, HURRY = 30.0, 1.0
"""Seconds to wait at the end for what the logbook has still to write down; a later run does what is left."""
SIMULATED = 10_000
"""Steps that are simulated to predict a run, or its own once: a build must not wait for it."""
ELSEWHERE = 0.2
"""Seconds between looks at a step that another process is making."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes about it."""

    workers: int
    fail_fast: bool = False
    failures_for: float | None = None
    """Seconds for which a command that failed is known to fail, and not run again; None: it is run again at once."""
    memory: int | None = None
    """Bytes that steps running at once may need together, by what they were seen to need; None is no bound."""
    replay: bool = True
    """Give out the logs of cached steps too."""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. `outcome` is the worst of its jobs."""

    batch: str
    outcome: Name
    totals: Totals
    exit_code: int
    seconds: float
    problems: Sequence[str] = ()
    """What went wrong beside the steps, with their logs: for people."""


@dataclass(frozen=True, slots=True)
class _Stop:
    """The user asks to stop."""


_Message = Started | Output | Retried | Done | _Stop


class Loop:
    """One run of a DAG: `Loop(…).run()`."""

    def __init__(self, dag: Dag, worker: Worker, index: Index, reporter: Reporter, options: Options) -> None:
        self._dag, self._worker, self._index = dag, worker, index
        self._report, self._options = reporter, options
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._stops = 0
        self._killed_at: float | None = None
        self._looked_at = 0.0
        self._synced_at = time.monotonic()
        self._elsewhere: dict[StepId, Elsewhere] = {}
        """Steps that another process is making."""
        self._jobs: Jobs
        self._ledger: Ledger
        self._failures: dict[StepId, Failed] = {}
        self._began = time.time()
        self._batch = ""
        self._logbook: Logbook | None = None
        self._known: Mapping[StepId, Failed] = {}
        self._predicted: Prediction | None = None
        self._submit: Callable[[StepId], object]

    def run(self) -> Summary:
        """Raises only what keeps a run from going on at all: the store, the index or the helper is gone."""
        begun = time.monotonic()
        present = self._worker.store.ids()
        cached = {step.id for step in self._dag if step.id in present}
        todo = [step.id for step in self._dag if step.id not in cached]
        learned = estimate(self._index, [self._dag[id] for id in todo])
        self._scheduler = Scheduler(
            self._dag, cached, learned.seconds, memory=learned.memory, room=self._options.memory
        )
        self._known = known_failures(self._index, todo, self._options.failures_for, self._began)
        if todo:
            self._predict(Prospect(self._dag, cached, self._known.keys(), learned))
        self._register()
        if todo:
            self._logbook = Logbook(self._worker.store.folder)
        self._report(BatchStarted(learned.seconds, self._predicted))
        gc.freeze()  # plans and DAG stay; the collector need not walk them again and again
        gc.enable()
        with self._signals(), ThreadPoolExecutor(max(1, self._options.workers), "step") as threads:
            for step in self._dag:
                if step.id in cached:
                    self._cached(step.id)
            self._submit = lambda id: threads.submit(self._work, id)
            try:
                self._start()
                while not self._scheduler.finished:
                    self._handle(self._next())
            except BaseException:
                self._worker.helper.close()
                if self._logbook is not None:
                    self._logbook.close(HURRY)
                raise
        summary = self._finish(time.monotonic() - begun, built=len(todo) > 0)
        self._report(self._batch_ended(summary))
        return summary

    # --- starting

    def _predict(self, prospect: Prospect) -> None:
        workers, off = self._options.workers, drift(self._index)
        machine = {workers: self._options.memory}
        forecast = prospect.forecast(prospect.states(), machine, drift=off, budget=SIMULATED)
        self._predicted = None if forecast is None else forecast.makespans[workers]

    def _register(self) -> None:
        with self._index.transaction():
            self._index.add_steps(self._dag, lambda step: digest.fields(step.action))
            plans = self._dag.plans
            self._batch = self._index.begin_batch(
                self._options.command,
                jobs=len(plans),
                steps=len(self._dag),
                started=self._began,
                predicted=self._predicted,
            )
            labels = {plan.name: plan.labels for plan in plans}
            rows = self._index.add_jobs(self._batch, [(plan.name, plan.final) for plan in plans], labels)
        self._jobs = Jobs(self._dag, rows)
        self._ledger = Ledger(self._index, self._batch)

    def _start(self) -> None:
        while self._scheduler.running - len(self._elsewhere) < self._options.workers:
            id = self._scheduler.take()
            if id is None:
                return
            if id in self._known:
                self._messages.put(Done(id, self._known[id], started=time.time(), attempts=0))
            else:
                self._submit(id)

    def _work(self, id: StepId) -> None:
        """In a worker's thread."""
        work(self._worker, self._dag[id], self._messages.put)

    # --- in the loop's thread

    def _next(self) -> _Message | None:
        """The next message; None when it is time to look around, which a talkative step cannot put off."""
        if self._killed_at is None and not self._elsewhere:
            return self._messages.get()
        wait = self._looked_at + ELSEWHERE - time.monotonic()
        try:
            return self._messages.get(timeout=wait) if wait > 0 else None
        except queue.Empty:
            return None

    def _handle(self, message: _Message | None) -> None:
        match message:
            case Done(id=id, outcome=None):
                self._elsewhere[id] = Elsewhere(id, self._index.logs(id))
                self._report(Attached(id))
            case Done():
                self._ended(message)
            case _Stop():
                self._stop()
            case Retried(id, attempt, failed, started, log):
                self._record([Attempt.of(id, failed, started=started, number=attempt, log=log)])
                self._report(message)
            case Started() | Output():
                self._report(message)
            case None:
                self._look_around()

    def _look_around(self) -> None:
        self._looked_at = time.monotonic()
        if self._killed_at is not None and time.monotonic() >= self._killed_at:
            self._worker.helper.close()
            self._killed_at = float("inf")
        if self._elsewhere:
            follow(self._elsewhere.values(), self._worker.store.folder, self._report)
        for id in list(self._elsewhere):
            outcome = self._elsewhere_ended(id)
            if outcome is not None:
                follow([self._elsewhere[id]], self._worker.store.folder, self._report, to_end=True)
                self._elsewhere.pop(id).close()
                self._ended(Done(id, outcome, time.time(), attempts=0))

    def _elsewhere_ended(self, id: StepId) -> Outcome | None:
        """How a step ended that another process was making; None while it makes it, or where it has gone away."""
        if self._worker.stopping.is_set():
            return Cancelled()
        claim = self._worker.store.claim(id)
        if claim is None:
            self._elsewhere[id].given_up = False
            return None
        with claim:
            pass
        last = self._index.latest_attempt(id)
        if is_there(self._worker.store, id):
            return Cached()
        if last is not None and last.outcome == "failed" and last.started + last.seconds >= self._began:
            return Failed(last.exit, last.cause or "exit", last.seconds, last.message)
        if self._elsewhere[id].given_up:  # whoever made it is gone: it is ours now
            self._elsewhere.pop(id).close()
            threading.Thread(target=self._work, args=(id,), daemon=True).start()
        else:
            self._elsewhere[id].given_up = True  # a failure is recorded a moment after the claim is given up
        return None

    def _cached(self, id: StepId) -> None:
        if self._options.replay:
            log = self._worker.store.meta(id).get("log")
            if isinstance(log, str):
                try:
                    with open_log(self._worker.store.folder, log) as file:
                        data = file.read()
                except OSError:
                    data = b""  # the log was pruned
                if data:
                    self._report(Output(id, data))
        self._report(Ended(id, Cached(), 0.0, 0, None))
        self._count(id, "cached")

    def _ended(self, done: Done) -> None:
        assert done.outcome is not None
        rows = []
        failed_fast = (
            isinstance(done.outcome, Failed) and self._options.fail_fast and not self._worker.stopping.is_set()
        )
        ended = self._scheduler.finish(done.id, done.outcome)
        if not failed_fast:
            self._start()  # before the telling and the writing down, which the next step need not wait for
        for id, outcome in ended:
            own = id == done.id
            known = own and not done.attempts
            if isinstance(outcome, Failed):
                self._failures[id] = outcome
            # What another run has recorded must not look younger than it is.
            if not isinstance(outcome, Cached) and not (known and isinstance(outcome, Failed)):
                number = done.attempts if own else 1
                started = done.started if own else time.time()
                rows.append(Attempt.of(id, outcome, started=started, number=number, log=done.log if own else None))
            attempts = done.attempts if own and not isinstance(outcome, Cached) else 0
            self._report(Ended(id, outcome, done.seconds if own else 0.0, attempts, done.log if own else None))
            self._count(id, outcome.name)
        self._record(rows)
        if failed_fast:
            self._halt()
        if time.monotonic() - self._synced_at >= SYNC:
            self._synced_at = time.monotonic()
            threading.Thread(target=self._sync, daemon=True).start()

    def _sync(self) -> None:
        try:
            self._worker.store.sync()
        except MachineError as error:
            _LOG.debug("a sync", exc_info=error)  # the one at the end says so if it lasts

    def _stop(self) -> None:
        self._stops += 1
        if self._stops == 1:
            self._halt()
        else:
            self._killed_at = 0.0

    def _halt(self) -> None:
        """Start nothing more and stop what runs."""
        self._worker.stopping.set()
        now = time.time()
        rows = []
        for id, outcome in self._scheduler.cancel():
            rows.append(Attempt.of(id, outcome, started=now))
            self._report(Ended(id, outcome, 0.0, 0, None))
            self._count(id, outcome.name)
        self._record(rows)
        self._killed_at = time.monotonic() + GRACE
        self._worker.helper.stop()

    def _count(self, id: StepId, outcome: Name) -> None:
        """Tell of the jobs that end with this step."""
        ended = list(self._jobs.count(id, outcome))
        if ended:
            self._ledger.write(jobs=[(row, job.outcome) for row, job in ended])
        for _, job in ended:
            self._report(job)

    def _record(self, rows: list[Attempt]) -> None:
        if rows:
            self._ledger.write(rows)
        for row in rows:
            if row.log is not None and self._logbook is not None:
                self._logbook.add(row.step, row.log, time.time())

    def _finish(self, seconds: float, *, built: bool) -> Summary:
        names = [outcome.name for outcome in self._scheduler.outcomes.values()]
        totals = Totals(*(names.count(name) for name in ("built", "cached", "failed", "skipped", "cancelled")))
        if built:
            self._worker.store.sync()
        # After the sync, whose work it then need not do again.
        problems = [] if self._logbook is None else self._logbook.close(HURRY if self._stops > 1 else PATIENCE)
        outcome: Name = "cancelled" if self._stops else self._jobs.worst
        written = self._ledger.close(outcome, totals)
        problems += self._ledger.problems
        return Summary(self._batch, outcome, totals, self._exit_code(written), seconds, problems)

    def _exit_code(self, written: bool) -> int:
        if self._stops:
            return Interrupted.exit_code
        causes = {failed.cause for failed in self._failures.values()}
        if "input" in causes:
            return InputError.exit_code
        if causes & MACHINE or not written:
            return MachineError.exit_code
        return 1 if causes else 0

    def _batch_ended(self, summary: Summary) -> BatchEnded:
        dag, outcomes = self._dag, self._scheduler.outcomes
        causes = [RootCause(id, failed, len(dag.jobs(id))) for id, failed in self._failures.items()]
        built = [id for id, outcome in outcomes.items() if isinstance(outcome, Built)]
        return BatchEnded(
            self._batch,
            summary.outcome,
            len(dag.plans),
            summary.totals,
            summary.seconds,
            len({job for id in self._failures for job in dag.jobs(id)}),
            tuple(sorted(causes, key=lambda cause: -cause.jobs)),
            tuple(self._index.failed_before(built)),
            self._predicted,
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """INT and TERM become messages while the run lasts; the queue's put may be called from a handler."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        asked: Callable[[int, object], None] = lambda *_: self._messages.put(_Stop())  # noqa: E731
        before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
