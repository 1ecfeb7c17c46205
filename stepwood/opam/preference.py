"""Which of the package versions that would do is preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepwood.opam.universe import Clause, Id, Universe


class Preference:
    """The newer, or the older of two versions of a name; before both what need not be avoided."""

    def __init__(self, universe: Universe, oldest: bool = False) -> None:
        self._universe, self._step = universe, 1 if oldest else -1
        self._places: dict[str, Mapping[str, int]] = {}
        self._ordered: dict[Clause, Sequence[Id]] = {}

    def place(self, id: Id) -> int:
        """How many versions of its name are preferred to it where none is to be avoided."""
        name, version = id
        places = self._places.get(name)
        if places is None:
            versions = [*self._universe.packages[name]][:: self._step]
            places = self._places[name] = {version: place for place, version in enumerate(versions)}
        return places[version]

    def ordered(self, clause: Clause) -> Sequence[Id]:
        """The preferred first; between names, of which none is, those come first that come last by spelling."""
        found = self._ordered.get(clause)
        if found is None:
            by_name = sorted(clause, reverse=True)
            found = self._ordered[clause] = sorted(
                by_name, key=lambda id: (id in self._universe.avoided, self.place(id))
            )
        return found
