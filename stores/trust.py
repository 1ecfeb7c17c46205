"""Which of what was committed survived a loss of power.

Nothing is synced while a step is committed. Everything carries the boot it was made in and when; in any other
boot it is trusted only if a sync came after it. Whoever opens a store first in a boot sweeps out the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from system import disk

Stamp = Mapping[str, Any]
"""`boot`: the boot's id; `at`: nanoseconds since that boot."""


class Trust:
    """Of the store in `folder`, seen from the boot `boot`."""

    def __init__(self, folder: Path, boot: str) -> None:
        self._folder, self._boot = folder, boot

    def stamp(self) -> dict[str, object]:
        """What is committed now carries this."""
        return {"boot": self._boot, "at": disk.now_ns()}

    @property
    def swept(self) -> bool:
        """Whether everything here is known to be whole in this boot."""
        try:
            return (self._folder / "boot").read_text() == self._boot
        except FileNotFoundError:
            return False

    def mark_swept(self) -> None:
        disk.replace(self._folder / "boot", self._boot)

    def sync(self) -> None:
        """Make all that is committed survive, and write down that it does."""
        at = disk.now_ns()
        disk.syncfs(self._folder)
        with disk.holding(disk.lock(self._folder / "syncing", exclusive=True)):  # two may end in another order
            synced = self._synced()
            synced[self._boot] = max(at, synced.get(self._boot, 0))
            disk.replace(self._folder / "synced.json", json.dumps(synced), durable=True)

    def covers(self) -> Callable[[Stamp], bool]:
        """The question whether what carries a stamp is whole, as of now."""
        synced = self._synced()

        def covered(stamp: Stamp) -> bool:
            boot = stamp.get("boot")
            return boot == self._boot or stamp.get("at", 1 << 63) <= synced.get(str(boot), -1)

        return covered

    def _synced(self) -> dict[str, int]:
        try:
            synced: dict[str, int] = json.loads((self._folder / "synced.json").read_bytes())
            return synced
        except (FileNotFoundError, ValueError):
            return {}
