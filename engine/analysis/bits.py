"""Sets of items as Python integers: one bit an item, so that `&` and `bit_count` work on whole sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.analysis.jobs import Jobs, levels, popularity


@dataclass(frozen=True, slots=True)
class Bits:
    """Bit k of a set is the k-th most popular item.

    What many jobs share then fits in few low bits, which makes their integers short; and as nothing is more popular
    than what it needs (ties go by level), a set read from its lowest bit up is a topological order.
    """

    items: tuple[int, ...]
    """The item of each bit."""
    jobs: tuple[int, ...]
    """The set of each job."""
    shared: int
    """The set of the items that two jobs or more hold. All others cost one step in any order."""

    @classmethod
    def of(cls, jobs: Jobs) -> Bits:
        popular, level = popularity(jobs), levels(jobs)
        used = (item for item, count in enumerate(popular) if count)
        items = tuple(sorted(used, key=lambda item: (-popular[item], level[item], item)))
        bit = {item: 1 << place for place, item in enumerate(items)}
        shared = sum(bit[item] for item in items if popular[item] > 1)
        return cls(items, tuple(sum(bit[item] for item in job) for job in jobs.jobs), shared)

    @property
    def single(self) -> int:
        """The number of items that only one job holds."""
        return len(self.items) - self.shared.bit_count()

    def order(self, mask: int) -> list[int]:
        """The items of a set, each after what it needs of the set."""
        return [self.items[place] for place in places(mask)]

    def leaves(self) -> list[int]:
        """What the jobs hold of the shared items, each set once, those with the least popular items first."""
        return sorted({job & self.shared for job in self.jobs}, reverse=True)


def places(mask: int) -> Iterator[int]:
    """The numbers of a set's bits, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
