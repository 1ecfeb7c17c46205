"""Work spread over the processors by forking: each fork has all that this process has, and nothing to set up."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate, groupby
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 8
"""Forks at once: each copies what it touches."""


def spread(
    work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], least: int, weight: Callable[[T], int] = lambda _: 1
) -> list[R]:
    """What `work` gives for the items, one each and in their order. This process and its forks see a run of them each,
    runs of about the same weight, which is `least` or more; an item weighs 1 or more. Results are pickled. What a fork
    cannot do is done here, so errors are those of `work`. A process with threads does not fork: the fork would have but
    one of them, and the locks of all."""
    weights = [*map(weight, items)]
    total = sum(weights)
    count = min(len(os.sched_getaffinity(0)), total // least, MOST)
    if count < 2 or threading.active_count() > 1:
        return list(work(items))
    before = iter(accumulate(weights, initial=0))
    first, *others = (list(share) for _, share in groupby(items, lambda _: next(before) * count // total))
    forks = [_Fork(work, share) for share in others]
    try:
        return [*work(first), *(result for fork in forks for result in fork.results())]
    finally:
        for fork in forks:
            fork.stop()


class _Fork(Generic[T, R]):
    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> None:
        self._work, self._items = work, items
        ours, theirs = os.pipe()
        self._pipe = open(ours, "rb")  # noqa: SIM115 - it is read to its end, or `stop` closes it
        self._pid = 0
        with suppress(OSError):  # no room for another process
            self._pid = os.fork() or self._run(theirs)
        os.close(theirs)

    def _run(self, pipe: int) -> NoReturn:
        with suppress(BaseException):  # whatever it is, it happens again where it can be told
            with open(pipe, "wb") as results:
                pickle.dump(list(self._work(self._items)), results, 5)
            os._exit(0)
        os._exit(1)

    def results(self) -> Sequence[R]:
        data = self._pipe.read()
        if not self._pid or self._status():
            return self._work(self._items)
        found: list[R] = pickle.loads(data)  # noqa: S301 - our own fork wrote it
        return found

    def stop(self) -> None:
        self._pipe.close()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._status()

    def _status(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return status
