"""The steps that could start: the first of all, or the first of those that need no more memory than is free. Pure."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable

Entry = tuple[float, int]
"""A rank, less is first, and the step's number in its DAG, which decides among equals."""

_NONE: Entry = (float("inf"), -1)


class Ready:
    """One heap for each amount of memory, and over the heaps' heads a segment tree.

    With `k` different amounts and `n` steps, pushing, popping and asking cost O(log k + log n), however many steps
    wait for memory. One amount is just a heap.
    """

    def __init__(self, needs: Iterable[int] = ()) -> None:
        """`needs` holds every amount of memory that a step may have."""
        self._needs = sorted({0, *needs})
        self._leaf = {need: leaf for leaf, need in enumerate(self._needs)}
        self._heaps: list[list[Entry]] = [[] for _ in self._needs]
        self._size = 1 << (len(self._needs) - 1).bit_length()
        self._heads = [_NONE] * (2 * self._size)
        """The tree: the children of node i are 2i and 2i + 1, the heaps' heads are its last half."""

    def __bool__(self) -> bool:
        return self._heads[1] is not _NONE

    def push(self, entry: Entry, need: int = 0) -> None:
        leaf = self._leaf[need]
        heap = self._heaps[leaf]
        heapq.heappush(heap, entry)
        if heap[0] is entry:
            self._update(leaf)

    def pop(self, need: int = 0) -> Entry:
        """Take the first of those that need exactly so much; there must be one."""
        leaf = self._leaf[need]
        entry = heapq.heappop(self._heaps[leaf])
        self._update(leaf)
        return entry

    def first(self) -> Entry | None:
        return self._heads[1] if self else None

    def first_within(self, free: int) -> Entry | None:
        """The first of those that need `free` bytes or less."""
        best, low, high = _NONE, self._size, self._size + bisect_right(self._needs, free)
        while low < high:
            if low & 1:
                best = min(best, self._heads[low])
                low += 1
            if high & 1:
                high -= 1
                best = min(best, self._heads[high])
            low >>= 1
            high >>= 1
        return None if best is _NONE else best

    def clear(self) -> None:
        for heap in self._heaps:
            heap.clear()
        self._heads = [_NONE] * (2 * self._size)

    def _update(self, leaf: int) -> None:
        heads, heap, node = self._heads, self._heaps[leaf], self._size + leaf
        heads[node] = heap[0] if heap else _NONE
        while node > 1:
            one, other = heads[node], heads[node ^ 1]
            node >>= 1
            heads[node] = one if one < other else other
