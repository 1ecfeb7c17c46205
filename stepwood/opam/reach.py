"""Which names an answer may depend on, given a compiler.

A package may need what one of its versions needs, directly or not. A version that needs another `ocaml` than the one
that the compiler brings cannot be there, whatever else it needs; so that is not followed, and nothing below it counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from stepwood.opam import possible
from stepwood.opam.candidate import Candidates, Forced, Need
from stepwood.opam.catalogue import Catalogue
from stepwood.opam.memory import Memory, recalled
from stepwood.opam.packed import Packed
from stepwood.opam.universe import Id, Universe
from system.fork import spread

SHARE = 4000
"""Package versions that a process of its own looks at: 0.3 s."""


class Near(NamedTuple):
    """What versions of a name need directly, by name; and with their tests. `meaning`: another where one of them is
    another candidate."""

    needs: frozenset[str]
    tested: frozenset[str]
    meaning: bytes


class Reach:
    """With one compiler. What is found of a name is remembered until something of it changes."""

    def __init__(self, catalogue: Catalogue, memory: Memory, compiler: Id) -> None:
        self._catalogue, self._memory = catalogue, memory
        self.forced = self._forced(compiler)
        """What must be there with the compiler: versions by name."""
        self._ground = hashlib.sha256(repr(self.forced).encode() + catalogue.digest(())).digest()
        self._near: dict[str, Near] = {}
        self._reached: dict[str, set[str]] = {}
        """By a name, all that it reaches."""

    def of(self, names: Iterable[str], tested: Set[str] = frozenset()) -> set[str]:
        """These, and all that they may need; of those `tested` their tests count."""
        found: set[str] = set()
        starts = set(names)
        todo = set(starts)
        while todo:
            found |= todo
            known = [self._reached[name] for name in todo if name in self._reached and name not in tested]
            found.update(*known)
            self.look_up(todo)
            near = [self._near[name].tested if name in tested else self._near[name].needs for name in todo]
            todo = set[str]().union(*near) - found
        if len(starts) == 1 and not tested:
            self._reached |= dict.fromkeys(starts, found)
        return found

    def look_up(self, names: Iterable[str]) -> None:
        """Of all of these at once, which is faster than of each."""
        fresh = [name for name in names if name not in self._near]
        if not fresh:
            return
        keys = self._keys("near", fresh)
        self._near |= recalled(self._memory, keys, Near)
        unknown = keys.keys() - self._near.keys()
        self._near |= {name: near for name, (near, _) in self._find(unknown).items()}

    def meaning(self, names: Collection[str]) -> bytes:
        """Another where the candidates of these names are other. The platform is no part of it: all that it decides is
        decided in a candidate."""
        self.look_up(names)
        return hashlib.sha256(b"".join([self._near[name].meaning for name in sorted(names)])).digest()

    def _keys(self, kind: str, names: Collection[str]) -> dict[str, str]:
        """By these names, to remember by what follows from what they say each."""
        facts = self._catalogue.facts(names)
        return {name: f"{kind} {hashlib.sha256(self._ground + facts[name].meaning).hexdigest()}" for name in names}

    def universe(self, names: Set[str]) -> Universe:
        """All versions of these names, which reach no other."""
        return _universe(self._candidates(names))

    def _candidates(self, names: Set[str]) -> dict[str, Packed]:
        keys = self._keys("within", names)
        found = recalled(self._memory, keys, Packed)
        return found | {name: some for name, (_, some) in self._find(names - found.keys()).items()}

    def _find(self, names: Set[str]) -> dict[str, tuple[Near, Packed]]:
        """Who asks what is near will ask for candidates: both are remembered."""
        forced = Forced(self.forced)

        def work(read: Sequence[tuple[str, Packed]]) -> list[tuple[Near, Packed]]:
            found = ((name, {version: one.within(forced) for version, one in some.items()}) for name, some in read)
            return [(_near(name, some), Packed.of(some)) for name, some in found]

        read = [*self._catalogue.candidates(names).items()]
        made = spread(work, read, SHARE, lambda one: len(one[1]) or 1)
        found = {name: one for (name, _), one in zip(read, made, strict=True)}
        near, within = self._keys("near", names), self._keys("within", names)
        self._memory.remember((near[name], one) for name, (one, _) in found.items())
        self._memory.remember((within[name], some) for name, (_, some) in found.items())
        return found

    def _forced(self, compiler: Id) -> dict[str, str]:
        names = self._catalogue.reach({compiler[0]})
        key = f"forced {compiler!r} {self._catalogue.digest(names).hex()}"
        found = self._memory.recall([key]).get(key)
        if not isinstance(found, dict):
            universe = _universe(self._catalogue.candidates(names))
            found = dict(possible.forced(universe, compiler)) if compiler in universe else {}
            self._memory.remember([(key, found)])
        return found


def _universe(candidates: Mapping[str, Packed]) -> Universe:
    avoided = frozenset((name, version) for name, some in candidates.items() for version in some.avoided)
    return Universe({name: candidates[name] for name in sorted(candidates) if candidates[name]}, avoided)


def _near(name: str, some: Candidates) -> Near:
    plain = frozenset(name for one in some.values() for name in _names(one.needs))
    tested = plain.union(name for one in some.values() for name in _names(one.tested))
    # As JSON, tuples of a kind of their own are as fast as others, and the same are always written alike.
    return Near(plain, tested, hashlib.sha256(json.dumps([name, some]).encode()).digest())


def _names(needs: Iterable[Need]) -> Iterator[str]:
    return (atom.name for need in needs for atom in need)
