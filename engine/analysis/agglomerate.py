"""A first tree: the two sets with most in common are joined into one that holds just that, until nothing is in common.

Agglomerative clustering, with the size of the intersection as likeness. All pairs are looked at once, and all pairs
with each new node: time grows with the square of the number of leaves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from engine.analysis.tree import Tree


def agglomerate(leaves: Sequence[int]) -> Tree:
    """The tree over these leaves. Of pairs with as much in common, the one of smaller sets is joined first."""
    sets = [0, *leaves]
    sizes = [held.bit_count() for held in sets]
    alive = dict.fromkeys(range(1, len(sets)))
    pairs = [_nearest(node, range(1, node), sets, sizes) for node in alive]
    heapq.heapify(pairs)
    joins = []
    while pairs:
        common, _, node, other = heapq.heappop(pairs)
        if not common:
            break
        if node not in alive:
            continue
        if other in alive:
            joins.append((node, other))
            del alive[node], alive[other]
            sets.append(sets[node] & sets[other])
            node = len(sizes)
            sizes.append(-common)
            heapq.heappush(pairs, _nearest(node, alive, sets, sizes))
            alive[node] = None
        else:  # any two nodes are looked at for the later one
            heapq.heappush(pairs, _nearest(node, (earlier for earlier in alive if earlier < node), sets, sizes))
    return Tree(leaves, joins)


def _nearest(node: int, others: Iterable[int], sets: Sequence[int], sizes: Sequence[int]) -> tuple[int, int, int, int]:
    """The other node that has most in common with a node, the smallest of several: (-common, sizes, node, other)."""
    own, most, nearest = sets[node], 0, 0
    for other in others:
        common = (own & sets[other]).bit_count()
        if common >= most and (common > most or sizes[other] < sizes[nearest]):
            most, nearest = common, other
    return -most, sizes[node] + sizes[nearest], node, nearest
