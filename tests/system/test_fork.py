"""Work spread over processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

import pytest

from system.errors import SpecError
from system.fork import MOST, spread

NUMBERS = list(range(1001))


@pytest.fixture(autouse=True)
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))


def pids(items: Sequence[int]) -> list[int]:
    return [os.getpid() for _ in items]


@pytest.mark.parametrize(("least", "processes"), [(1, 4), (250, 4), (300, 3), (501, 1), (2000, 1)])
def test_it_is_spread_as_far_as_is_worth_it(least: int, processes: int) -> None:
    found = spread(pids, NUMBERS, least)
    assert len(set(found)) == processes
    assert found[0] == os.getpid()
    assert len(found) == len(NUMBERS)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 1001])
def test_results_are_in_the_order_of_the_items(count: int) -> None:
    assert spread(lambda items: [item * 2 for item in items], NUMBERS[:count], 1) == [2 * n for n in range(count)]


@pytest.mark.parametrize(
    ("weights", "sizes"),
    [
        ([1] * 8, [2, 2, 2, 2]),
        ([1] * 10, [3, 2, 3, 2]),
        ([1, 1, 1, 1, 1, 1, 3, 3], [3, 3, 1, 1]),
        ([9, 1, 1, 1], [1, 3]),
        ([1, 1, 1, 97], [4]),
    ],
)
def test_each_process_has_its_part_of_the_weight(weights: list[int], sizes: list[int]) -> None:
    """What follows each other stays together; nobody is given nothing."""

    def sees(numbers: Sequence[int]) -> list[tuple[int, Sequence[int]]]:
        return [(os.getpid(), numbers)] * len(numbers)

    found = spread(sees, range(len(weights)), 1, weights.__getitem__)
    shares = [[*numbers] for numbers in dict(found).values()]
    assert [len(numbers) for numbers in shares] == sizes
    assert [number for numbers in shares for number in numbers] == [*range(len(weights))]


def test_there_are_not_too_many_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(256))
    assert len(set(spread(pids, NUMBERS, 1))) == MOST


def test_a_process_with_threads_does_not_fork() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert set(spread(pids, NUMBERS, 1)) == {os.getpid()}
    finally:
        done.set()
        thread.join()


def test_an_error_in_a_fork_is_one_here() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise ValueError("three")
        return list(items)

    with pytest.raises(ValueError, match="three"):
        spread(work, NUMBERS, 1)


def test_what_a_fork_cannot_do_is_done_here() -> None:
    here = os.getpid()

    def work(items: Sequence[int]) -> list[int]:
        if os.getpid() != here:
            os._exit(9)
        return list(items)

    assert spread(work, NUMBERS, 1) == NUMBERS


def test_where_no_process_can_be_made_all_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", fork)
    assert set(spread(pids, NUMBERS, 1)) == {os.getpid()}


def test_an_error_here_stops_the_forks() -> None:
    here, begun = os.getpid(), time.monotonic()

    def work(items: Sequence[int]) -> list[int]:
        if os.getpid() == here:
            raise ValueError("here")
        time.sleep(60)
        return list(items)

    with pytest.raises(ValueError, match="here"):
        spread(work, NUMBERS, 1)
    assert time.monotonic() - begun < 30


def test_errors_that_are_results_come_back_whole() -> None:
    def work(items: Sequence[int]) -> list[SpecError]:
        return [SpecError("wrong", file="f", line=item, column=2, text="text", hint="mend it") for item in items]

    found = spread(work, NUMBERS, 1)
    assert [str(error) for error in found] == [str(error) for error in work(NUMBERS)]
    assert len({error.line for error in found}) == len(NUMBERS)
