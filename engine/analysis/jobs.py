"""What an order is sought for: jobs as closed sets of items of one partial order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Orders = list[tuple[int, ...]]
"""One topological order a job, in the order of the jobs. A step is an item with all that stands before it."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Items are numbers: places in `names` and in `needs`.

    `needs[item]` are the items that must come before it, whichever job holds it. Each job lists its items in some
    order that heeds this, so a job holds all that its items need. `names` serve for ties and alphabetical order;
    several items may have the same name. Raises ValueError for a list that is none of this.
    """

    names: Sequence[str]
    needs: Sequence[tuple[int, ...]]
    jobs: Sequence[tuple[int, ...]]

    def __post_init__(self) -> None:
        if len(self.needs) != len(self.names):
            raise ValueError(f"{len(self.names)} names, but needs of {len(self.needs)} items")
        self._check_needs()
        for number, job in enumerate(self.jobs):
            self._check_job(number, job)

    @property
    def total(self) -> int:
        """The steps of all jobs, were none shared."""
        return sum(map(len, self.jobs))

    def _check_needs(self) -> None:
        for item, needs in enumerate(self.needs):
            if any(not 0 <= need < len(self.names) for need in needs):
                raise ValueError(f"item {self.names[item]!r} needs an item that is not there")
        if len(topological(self.needs)) < len(self.needs):
            raise ValueError("the needs of items form a cycle")

    def _check_job(self, number: int, job: tuple[int, ...]) -> None:
        seen: set[int] = set()
        for item in job:
            if not 0 <= item < len(self.names):
                raise ValueError(f"job {number} holds {item}, which is no item")
            if item in seen:
                raise ValueError(f"job {number} holds {self.names[item]!r} twice")
            if not seen.issuperset(self.needs[item]):
                raise ValueError(f"job {number} holds {self.names[item]!r} without, or before, what it needs")
            seen.add(item)


def levels(jobs: Jobs) -> list[int]:
    """For each item, how many items the longest chain of needs holds that ends with it; 1 where it needs nothing."""
    found = [1] * len(jobs.needs)
    for item in topological(jobs.needs):
        found[item] += max((found[need] for need in jobs.needs[item]), default=0)
    return found


def popularity(jobs: Jobs) -> list[int]:
    """For each item, the number of jobs that hold it. No item has more than one that it needs."""
    found = [0] * len(jobs.names)
    for job in jobs.jobs:
        for item in job:
            found[item] += 1
    return found


def topological(needs: Sequence[tuple[int, ...]]) -> list[int]:
    """Items after what they need, which are given by item; those on a cycle, or after one, are left out."""
    users: list[list[int]] = [[] for _ in needs]
    for item, before in enumerate(needs):
        for need in before:
            users[need].append(item)
    missing = list(map(len, needs))
    found = [item for item, count in enumerate(missing) if not count]
    for item in found:
        for user in users[item]:
            missing[user] -= 1
            if not missing[user]:
                found.append(user)
    return found
