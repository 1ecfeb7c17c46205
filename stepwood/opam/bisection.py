"""Bisecting: the first of some changes that breaks something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def first_bad(changes: Sequence[T], good: Callable[[T], bool]) -> T | None:
    """The first change, of some in their order, after which it is not good any more, as if it never were again; None
    where it is good after the last. Asks of about log2 of them."""
    if not changes or good(changes[-1]):
        return None
    lowest, highest = 0, len(changes) - 1  # what it is looked for among; after `highest` it is bad
    while lowest < highest:
        middle = (lowest + highest) // 2
        if good(changes[middle]):
            lowest = middle + 1
        else:
            highest = middle
    return changes[highest]
