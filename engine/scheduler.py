"""Which step runs next. Pure: no clock, no thread, no input or output.

List scheduling (Graham, Bounds on Multiprocessing Timing Anomalies, 1969): a free worker takes the best ready step.
Better is a higher priority, then a longer remaining path (the upward rank of HEFT: Topcuoglu, Hariri and Wu, 2002),
then more jobs that wait, then the order of the plans. Without bounds on memory no worker is ever free beside a ready
step, so a run takes at most the critical path longer than the work divided by the workers, whatever the durations.

Memory: what a step was seen to need must fit beside what the running ones were, unless nothing runs. Where the best
ready step does not fit, others that do may pass it, `PASSES` times; then nothing starts until it fits.

Every change of a step's state goes through `_move`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from enum import Enum

from engine.dag import Dag
from engine.outcome import Built, Cached, Cancelled, Failed, Outcome, Skipped
from engine.ready import Ready
from engine.step import StepId

DEFAULT_SECONDS = 1.0
"""How long a step without history is taken to run: all the same, so that the longest chain goes first."""
PASSES = 20
"""How many steps may start before the best ready one while there is no memory for it."""
PRIORITIES = ("low", "normal", "high")

Order = Callable[[StepId], float]
"""The rank of a step, less is first: asked once, when the step becomes ready."""


class State(Enum):
    """waiting → ready → running → ended; or waiting/ready → ended where it is skipped or cancelled."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    ENDED = "ended"


_WAITING, _READY, _RUNNING, _ENDED = State  # a member by way of its class takes 0.1 µs, and is asked for at every edge


class Scheduler:
    """The state of one run over a DAG. `cached` steps have ended before it starts."""

    def __init__(
        self,
        dag: Dag,
        cached: Set[StepId],
        seconds: Mapping[StepId, float],
        *,
        memory: Mapping[StepId, int] | None = None,
        room: int | None = None,
        order: Order | None = None,
    ) -> None:
        """`seconds` is how long steps are expected to run, DEFAULT_SECONDS where it says nothing.

        `memory` is the bytes that steps are expected to need, 0 where it says nothing, of the `room` that they share;
        None is no bound. `order` takes the place of `ranking`.
        """
        self._users = dag.users
        self._numbers = dag.numbers
        self._ids = dag.ids
        self._outcomes: dict[StepId, Outcome] = {id: Cached() for id in self._ids if id in cached}
        self._order = ranking(dag, cached, seconds).__getitem__ if order is None else order
        self._room = room
        # By number, as everything is that is asked for again and again.
        self._memory = [0] * len(dag)
        if memory is not None and room is not None:
            self._memory = [memory.get(id, 0) for id in self._ids]
        self._states = [_ENDED if id in cached else _WAITING for id in self._ids]
        self._missing = [0] * len(dag)
        self._ready = Ready(self._memory)
        self._used = 0
        """Bytes that the running steps are expected to need together."""
        self._passed: dict[int, int] = {}
        """How many steps have started before one that was the best but did not fit."""
        self.running = 0
        for number, step in enumerate(dag):
            if self._states[number] is _WAITING:
                inputs = step.inputs
                missing = sum([input not in cached for input in inputs]) if cached else len(inputs)
                self._missing[number] = missing
                if not missing:
                    self._move(number, _READY)

    @property
    def outcomes(self) -> Mapping[StepId, Outcome]:
        """How the steps that have ended did."""
        return self._outcomes

    @property
    def finished(self) -> bool:
        return not self._ready and not self.running

    def take(self) -> StepId | None:
        """The best ready step that may start, now running; None where none is or, with some running, none may."""
        number = self._best()
        if number is None:
            return None
        self._move(number, _RUNNING)
        return self._ids[number]

    def finish(self, id: StepId, outcome: Outcome) -> Sequence[tuple[StepId, Outcome]]:
        """A running step has ended; gives all steps that end with it: itself, then those it makes impossible."""
        number = self._numbers[id]
        self._end(number, outcome)
        match outcome:
            case Built() | Cached():
                states, missing = self._states, self._missing
                for user in self._users[number]:
                    if states[user] is _WAITING:
                        missing[user] -= 1
                        if not missing[user]:
                            self._move(user, _READY)
            case Failed():
                return [(id, outcome), *self._sweep(number, Skipped(id))]
            case Cancelled():
                return [(id, outcome), *self._sweep(number, Cancelled())]
            case Skipped():
                raise AssertionError("a running step cannot be skipped")
        return [(id, outcome)]

    def cancel(self) -> Sequence[tuple[StepId, Outcome]]:
        """Nothing more is to start: every step that waits or is ready ends as cancelled."""
        ended = [number for number, state in enumerate(self._states) if state in (_WAITING, _READY)]
        for number in ended:
            self._end(number, Cancelled())
        self._ready.clear()
        return [(self._ids[number], Cancelled()) for number in ended]

    def _best(self) -> int | None:
        first = self._ready.first()
        if first is None:
            return None
        number = first[1]
        if self._room is None or not self.running:
            return number
        free = self._room - self._used
        if self._memory[number] <= free:
            return number
        passed = self._passed.get(number, 0)
        if passed >= PASSES:
            return None
        other = self._ready.first_within(free)
        if other is None:
            return None
        self._passed[number] = passed + 1
        return other[1]

    def _sweep(self, number: int, outcome: Outcome) -> list[tuple[StepId, Outcome]]:
        """End what waits for a step that will not be there.

        What has ended is not looked behind: after a step that was skipped all is skipped already, and one that is
        cached needs nothing. So all sweeps of a run together pass every edge once.
        """
        lost = [number]
        for one in lost:
            for user in self._users[one]:
                if self._states[user] is _WAITING:
                    self._end(user, outcome)
                    lost.append(user)
        return [(self._ids[one], outcome) for one in sorted(lost[1:])]

    def _end(self, number: int, outcome: Outcome) -> None:
        self._outcomes[self._ids[number]] = outcome
        self._move(number, _ENDED)

    def _move(self, number: int, state: State) -> None:
        need = self._memory[number]
        if self._states[number] is _RUNNING:
            self.running -= 1
            self._used -= need
        self._states[number] = state
        if state is _RUNNING:
            self._ready.pop(need)
            self.running += 1
            self._used += need
        elif state is _READY:
            self._ready.push((self._order(self._ids[number]), number), need)


def ranking(dag: Dag, cached: Set[StepId], seconds: Mapping[StepId, float]) -> dict[StepId, int]:
    """The rank of each of the steps that are to run: 0 is first."""
    expected = {id: seconds.get(id, DEFAULT_SECONDS) for id in dag.numbers if id not in cached}
    remaining = dag.remaining(expected, cached)
    urgency = _urgency(dag)
    keys = {id: (-urgency.get(id, 0), -remaining[id], -len(dag.jobs(id))) for id in expected}
    return {id: rank for rank, id in enumerate(sorted(keys, key=keys.__getitem__))}


def _urgency(dag: Dag) -> dict[StepId, int]:
    """For each step the highest priority of its jobs, as a number; nothing where all jobs have the same."""
    found: dict[StepId, int] = {}
    if len({plan.priority for plan in dag.plans}) > 1:
        for plan in sorted(dag.plans, key=lambda plan: PRIORITIES.index(plan.priority)):
            found.update(dict.fromkeys(plan.steps, PRIORITIES.index(plan.priority)))
    return found
