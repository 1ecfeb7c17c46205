"""A package version as a solver sees it: what it asks for on a platform, all conditions decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from stepwood.opam.filters import Variables
from stepwood.opam.formulas import ANY, All, Any, Atom, Formula, bounded, exactly
from stepwood.opam.package import Package

Need = tuple[Atom, ...]
"""Alternatives, of which one must be there."""
Asked = TypeVar("Asked", Atom, Need)
Candidates = Mapping[str, "Candidate"]
"""Versions of a name, the oldest first."""


class Candidate(NamedTuple):
    """A tuple, as thousands are remembered and read back at once, which takes a tenth of the time.

    needs     each must be met
    tested    with what its tests need
    excludes  none of these may be there with it
    classes   its conflict classes
    avoided   it is taken only where nothing else will do
    after     what it is built after where that is there; `tested_after` with its tests
    """

    needs: tuple[Need, ...]
    tested: tuple[Need, ...]
    excludes: tuple[Atom, ...]
    classes: tuple[str, ...]
    avoided: bool
    after: tuple[Atom, ...]
    tested_after: tuple[Atom, ...]

    @classmethod
    def of(cls, package: Package, around: Variables) -> Candidate:
        """Where `around` holds."""
        testing = {**around, "with-test": True}
        needs = _needs(package.depends(around))
        after = _alike(_atoms(needs), _after(package, around))
        return cls(
            needs,
            _alike(needs, _needs(package.depends(testing))),
            _others(package, package.conflicts(around)),
            package.classes(),
            package.avoided(),
            after,
            _alike(after, _after(package, testing)),
        )

    def within(self, forced: Forced) -> Candidate:
        """Of one that needs another version than is forced no other need is looked at: it cannot be there. What the
        forced ones decide is said in one way, however it was asked: then another bound that decides the same is no
        other candidate."""
        needs = _left(self.needs, forced)
        after = _alike(_atoms(needs), _decided(self.after, forced))
        return self._replace(
            needs=needs,
            tested=_alike(needs, _left(self.tested, forced)),
            excludes=tuple([atom for atom in self.excludes if not forced.excludes(atom)]),
            after=after,
            tested_after=_alike(after, _decided(self.tested_after, forced)),
        )


class Forced:
    """Versions that must be there, by name."""

    def __init__(self, versions: Mapping[str, str]) -> None:
        self._exact = {name: exactly(name, version) for name, version in versions.items()}
        self._versions = versions
        self._known: dict[Atom, bool] = {}

    def excludes(self, atom: Atom) -> bool:
        """Whether an atom asks for another version of one of these."""
        if atom.name not in self._exact:
            return False
        known = self._known.get(atom)
        if known is None:
            known = self._known[atom] = not atom.allows(self._versions[atom.name])
        return known

    def exact(self, atom: Atom) -> Atom | None:
        """Of the version that is forced, where one is that the atom allows."""
        return None if self.excludes(atom) else self._exact.get(atom.name)


def told(alternatives: Sequence[Atom]) -> str:
    """`ocaml (>= 4.08 & < 5.0) | dune`, as opam writes formulas."""
    return " | ".join(map(_told, alternatives))


def _told(atom: Atom) -> str:
    if atom.versions == ANY:
        return atom.name
    groups = [" & ".join(f"{op} {version}" for op, version in group) for group in atom.versions]
    return f"{atom.name} ({' | '.join(groups)})"


def _alike(some: tuple[Asked, ...], others: tuple[Asked, ...]) -> tuple[Asked, ...]:
    """The others, in which what is equal to one of `some` is that one: so it is remembered once."""
    if others == some:
        return some
    known = {one: one for one in some}
    return tuple([known.get(one, one) for one in others])


def _atoms(needs: Iterable[Need]) -> tuple[Atom, ...]:
    return tuple([atom for need in needs for atom in need])


def _after(package: Package, around: Variables) -> tuple[Atom, ...]:
    """What a package depends on other than `post`, and what it takes where that is there anyway."""
    around = {**around, "post": False}
    return _others(package, [*package.dependencies(around), *package.optional(around)])


def _others(package: Package, atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """Without the package itself, and each once."""
    return tuple(dict.fromkeys(atom for atom in atoms if atom.name != package.name))


def _needs(formula: Formula) -> tuple[Need, ...]:
    return tuple(dict.fromkeys(_conjunctive(formula)))


def _left(needs: tuple[Need, ...], forced: Forced) -> tuple[Need, ...]:
    for need in needs:
        if all(map(forced.excludes, need)):
            return (need,)
    return tuple(dict.fromkeys([_met(need, forced) for need in needs]))


def _met(need: Need, forced: Forced) -> Need:
    """By the first of the forced ones that meets it, where one does."""
    return next(((exact,) for atom in need if (exact := forced.exact(atom)) is not None), need)


def _decided(atoms: Sequence[Atom], forced: Forced) -> tuple[Atom, ...]:
    return tuple(dict.fromkeys([forced.exact(atom) or atom for atom in atoms if not forced.excludes(atom)]))


def _conjunctive(formula: Formula) -> list[Need]:
    """A formula as needs: an alternative of several is multiplied out. Raises ValueError where that is too much."""
    match formula:
        case Atom():
            return [(formula,)]
        case All(parts):
            return [need for part in parts for need in _conjunctive(part)]
        case Any(parts):
            found: list[Need] = [()]
            for part in parts:
                others = _conjunctive(part)
                bounded(len(found) * len(others))
                found = [(*one, *other) for one in found for other in others]
            return found
