"""What was built on what: snapshots by the inputs that each names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter

Inputs = Mapping[str, Sequence[str]]
"""By id. An input need not be among the ids."""


def with_dependents(inputs: Inputs, ids: Iterable[str]) -> set[str]:
    """These ids and all that was built on them, near or far."""
    users: dict[str, list[str]] = {}
    for id, below in inputs.items():
        for input in below:
            users.setdefault(input, []).append(id)
    reached = set(ids)
    todo = list(reached)
    while todo:
        new = [user for user in users.get(todo.pop(), []) if user not in reached]
        reached.update(new)
        todo += new
    return reached


def dependents_first(inputs: Inputs, ids: set[str]) -> list[str]:
    """These ids, none before what was built on it."""
    order = TopologicalSorter({id: sorted(ids.intersection(inputs.get(id, ()))) for id in sorted(ids)}).static_order()
    return list(order)[::-1]
