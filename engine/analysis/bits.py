"""Sets of items as Python integers: one bit an item, so that `&` and `bit_count` work on whole sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.analysis.jobs import Jobs, Orders, levels, popularity


@dataclass(frozen=True, slots=True)
class Bits:
    """Bit k of a set is the k-th most popular item. Sets hold the items that two jobs or more hold, and no others.

    What many jobs share then fits in few low bits, which makes their integers short; and as nothing is more popular
    than what it needs (ties go by level), a set read from its lowest bit up is a topological order. An item that only
    one job holds costs one step in any order, and no other item needs it but such as that job alone holds.
    """

    items: tuple[int, ...]
    """The item of each bit; behind those of the shared ones, all others in the same order."""
    jobs: tuple[int, ...]
    """The set of each job."""
    own: tuple[tuple[int, ...], ...]
    """By job, the places in `items` of what it alone holds, lowest first."""

    @classmethod
    def of(cls, jobs: Jobs) -> Bits:
        popular, level = popularity(jobs), levels(jobs)
        used = (item for item, count in enumerate(popular) if count)
        items = tuple(sorted(used, key=lambda item: (-popular[item], level[item], item)))
        place = {item: place for place, item in enumerate(items)}
        shared = [sum(1 << place[item] for item in job if popular[item] > 1) for job in jobs.jobs]
        own = [tuple(sorted(place[item] for item in job if popular[item] == 1)) for job in jobs.jobs]
        return cls(items, tuple(shared), tuple(own))

    @property
    def single(self) -> int:
        """The number of items that only one job holds."""
        return sum(map(len, self.own))

    def order(self, mask: int) -> list[int]:
        """The items of a set, each after what it needs of the set."""
        return [self.items[place] for place in places(mask)]

    def ordered(self, above: Sequence[Sequence[int]]) -> Orders:
        """The orders of all jobs, of those of what they share: what only a job holds comes last."""
        return [(*first, *(self.items[place] for place in own)) for first, own in zip(above, self.own, strict=True)]

    def leaves(self) -> list[int]:
        """The sets of the jobs, each once, those with the least popular items first."""
        return sorted(set(self.jobs), reverse=True)


def places(mask: int) -> Iterator[int]:
    """The numbers of a set's bits, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
