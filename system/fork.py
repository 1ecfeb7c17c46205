"""Work spread over the processors by forking: each fork has all that this process has, and nothing to set up."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 8
"""Forks at once: each copies what it touches."""


def spread(work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], least: int) -> list[R]:
    """What `work` gives for the items, one each and in their order; it sees every nth of them, in this process and in
    its forks, each at least `least`. Results are pickled. What a fork cannot do is done here, so errors are those of
    `work`. Not for a process with threads: a fork has only the one that forks, and the locks of all."""
    count = min(len(os.sched_getaffinity(0)), len(items) // least, MOST)
    if count < 2:
        return list(work(items))
    forks = [_Fork(work, items[number::count]) for number in range(1, count)]
    shares = [work(items[::count]), *(fork.results() for fork in forks)]
    return [shares[place % count][place // count] for place in range(len(items))]


class _Fork(Generic[T, R]):
    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> None:
        self._work, self._items = work, items
        self._pipe, end = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(end)
            return
        with suppress(BaseException):  # whatever it is, it happens again where it can be told
            with open(end, "wb") as pipe:
                pickle.dump(list(work(items)), pipe, 5)
            os._exit(0)
        os._exit(1)

    def results(self) -> Sequence[R]:
        with open(self._pipe, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        if status:
            return self._work(self._items)
        found: list[R] = pickle.loads(data)  # noqa: S301 - our own fork wrote it
        return found
