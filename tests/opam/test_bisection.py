"""The first change that breaks something."""

from __future__ import annotations

import math

import pytest

from stepwood.opam.bisection import first_bad


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
def test_it_is_found_with_few_questions(count: int) -> None:
    for broken in range(count):
        asked: list[int] = []

        def good(change: int, broken: int = broken, asked: list[int] = asked) -> bool:
            asked.append(change)
            return change < broken

        assert first_bad(range(count), good) == broken
        assert len(asked) <= 1 + math.ceil(math.log2(count))


def test_there_is_none_where_it_is_good_in_the_end() -> None:
    assert first_bad([1, 2], lambda _: True) is None
    assert first_bad([], lambda _: False) is None
