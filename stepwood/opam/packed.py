"""The candidates of a name as they are remembered, and read back by the thousand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stepwood.opam.candidate import Candidate, Candidates
from stepwood.opam.memory import packed, unpacked


class Packed(Mapping[str, Candidate]):
    """Candidates as they are remembered. One is unpacked when it is looked at: of most names only the newest.
    `avoided` are those of them that are."""

    def __init__(self, packed: Mapping[str, bytes], avoided: Sequence[str]) -> None:
        self._packed, self.avoided = packed, avoided

    @classmethod
    def of(cls, some: Candidates) -> Packed:
        avoided = [version for version, one in some.items() if one.avoided]
        return cls({version: packed(one) for version, one in some.items()}, avoided)

    def __getitem__(self, version: str) -> Candidate:
        candidate = unpacked(self._packed[version])
        assert isinstance(candidate, Candidate)
        return candidate

    def __contains__(self, version: object) -> bool:
        return version in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)
