"""What differs between the stores that are folders; `stores.tree` has what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from system.launch import Root


class Driver(Protocol):
    """What differs between stores. All folders exist; every path of a snapshot is inside `snapshot`."""

    @property
    def kind(self) -> str: ...

    def prepare(self, snapshot: Path, work: Path) -> None:
        """Make the empty `snapshot` fit for a draft, and `work`, which is empty or what a published draft left."""
        ...

    def begin(self, snapshot: Path, work: Path, parent: Mapping[str, Any] | None) -> Root:
        """The root of a draft that grows in `snapshot`, from the parent's metadata (its "id" and "store")."""
        ...

    def finish(self, snapshot: Path, work: Path, id: str, parent: Mapping[str, Any] | None) -> dict[str, Any]:
        """Make the tree ready to be published; gives the metadata's "store" part."""
        ...

    def view(self, meta: Mapping[str, Any]) -> Root: ...

    def begin_cache(self, copy: Path, work: Path, current: Sequence[str], owner: tuple[int, int] | None) -> Root:
        """A private mutable copy, grown in `copy`, of the version that the folders `current` (of the cache) hold."""
        ...

    def finish_cache(self, copy: Path, cache: Path, current: Sequence[str]) -> Sequence[str] | None:
        """Move the copy into the cache's folder; the folders of the new version, or None where nothing changed."""
        ...
