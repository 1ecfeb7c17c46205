"""Which step runs next. Pure: no clock, no thread, no input or output.

Ready steps go by longest remaining path, then by how many jobs wait on them, then in plan order. Every
change of a step's state goes through `_move`.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence, Set
from enum import Enum

from engine.dag import Dag
from engine.outcome import Built, Cached, Cancelled, Failed, Outcome, Skipped
from engine.step import StepId

DEFAULT_SECONDS = 1.0
"""How long a step without history is taken to run: all the same, so that the longest chain goes first."""


class State(Enum):
    """waiting → ready → running → ended; or waiting/ready → ended where it is skipped or cancelled."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    ENDED = "ended"


class Scheduler:
    """The state of one run over a DAG. `cached` steps have ended before it starts."""

    def __init__(self, dag: Dag, cached: Set[StepId], seconds: Mapping[StepId, float]) -> None:
        self._dag = dag
        self._outcomes: dict[StepId, Outcome] = {}
        self._states: dict[StepId, State] = {}
        self._missing: dict[StepId, int] = {}
        self._ready: list[tuple[float, int, int, StepId]] = []
        self.running = 0
        todo = [step.id for step in dag if step.id not in cached]
        remaining = dag.remaining({id: seconds.get(id, DEFAULT_SECONDS) for id in todo})
        self._rank = {id: (-remaining[id], -len(dag.jobs(id)), place) for place, id in enumerate(todo)}
        for step in dag:
            self._states[step.id] = State.WAITING
            if step.id in cached:
                self._outcomes[step.id] = Cached()
                self._states[step.id] = State.ENDED
                continue
            self._missing[step.id] = sum(input not in cached for input in step.inputs)
            if not self._missing[step.id]:
                self._move(step.id, State.READY)

    @property
    def outcomes(self) -> Mapping[StepId, Outcome]:
        """How the steps that have ended did."""
        return self._outcomes

    @property
    def finished(self) -> bool:
        return not self._ready and not self.running

    def take(self) -> StepId | None:
        """The best ready step, now running; None where none is ready."""
        while self._ready:
            id = heapq.heappop(self._ready)[3]
            if self._states[id] is State.READY:
                self._move(id, State.RUNNING)
                return id
        return None

    def finish(self, id: StepId, outcome: Outcome) -> Sequence[tuple[StepId, Outcome]]:
        """A running step has ended; gives all steps that end with it: itself, then those it makes impossible."""
        self._end(id, outcome)
        ended: list[tuple[StepId, Outcome]] = [(id, outcome)]
        match outcome:
            case Built() | Cached():
                for next in self._dag.dependents(id):
                    if self._states[next] is State.WAITING:
                        self._missing[next] -= 1
                        if not self._missing[next]:
                            self._move(next, State.READY)
            case Failed():
                ended += self._sweep(id, Skipped(id))
            case Cancelled():
                ended += self._sweep(id, Cancelled())
            case Skipped():
                raise AssertionError("a running step cannot be skipped")
        return ended

    def cancel(self) -> Sequence[tuple[StepId, Outcome]]:
        """Nothing more is to start: every step that waits or is ready ends as cancelled."""
        ended: list[tuple[StepId, Outcome]] = []
        for id, state in self._states.items():
            if state in (State.WAITING, State.READY):
                ended.append((id, Cancelled()))
        for id, outcome in ended:
            self._end(id, outcome)
        self._ready.clear()
        return ended

    def _sweep(self, id: StepId, outcome: Outcome) -> list[tuple[StepId, Outcome]]:
        lost = [next for next in self._dag.descendants(id) if self._states[next] is State.WAITING]
        ended = [(next, outcome) for next in sorted(lost, key=lambda next: self._rank[next][2])]
        for lost_id, reason in ended:
            self._end(lost_id, reason)
        return ended

    def _end(self, id: StepId, outcome: Outcome) -> None:
        self._outcomes[id] = outcome
        self._move(id, State.ENDED)

    def _move(self, id: StepId, state: State) -> None:
        if self._states[id] is State.RUNNING:
            self.running -= 1
        self._states[id] = state
        if state is State.RUNNING:
            self.running += 1
        elif state is State.READY:
            heapq.heappush(self._ready, (*self._rank[id], id))
