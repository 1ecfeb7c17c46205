"""A package version as a solver sees it: what it asks for on a platform, all conditions decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from stepwood.opam.filters import Variables
from stepwood.opam.formulas import ANY, All, Any, Atom, Formula, exactly
from stepwood.opam.package import Package

Need = tuple[Atom, ...]
"""Alternatives, of which one must be there."""
Asked = TypeVar("Asked", Atom, Need)
NOTHING: Mapping[str, str] = MappingProxyType({})


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
    def of(cls, package: Package, around: Variables, forced: Mapping[str, str] = NOTHING) -> Candidate:
        """Where `around` holds, and versions are `forced`, by name. Of one that needs another version than is forced no
        other need is looked at: it cannot be there. What the forced ones decide is said in one way, however it was
        asked: then another bound that decides the same is no other candidate."""
        testing = {**around, "with-test": True}
        needs = _needs(package.depends(around), forced)
        after = _alike(tuple(atom for need in needs for atom in need), _after(package, around, forced))
        return cls(
            needs,
            _alike(needs, _needs(package.depends(testing), forced)),
            _others(package, [atom for atom in package.conflicts(around) if _possible(atom, forced)]),
            package.classes(),
            package.avoided(),
            after,
            _alike(after, _after(package, testing, forced)),
        )


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


def _after(package: Package, around: Variables, forced: Mapping[str, str]) -> tuple[Atom, ...]:
    """What a package depends on other than `post`, and what it takes where that is there anyway."""
    around = {**around, "post": False}
    named = [*package.dependencies(around), *package.optional(around)]
    return _others(package, [_decided(atom, forced) for atom in named if _possible(atom, forced)])


def _others(package: Package, atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """Without the package itself, and each once."""
    return tuple(dict.fromkeys(atom for atom in atoms if atom.name != package.name))


def _needs(formula: Formula, forced: Mapping[str, str]) -> tuple[Need, ...]:
    found = _conjunctive(formula)
    for need in found:
        if not any(_possible(atom, forced) for atom in need):
            return (need,)
    return tuple(dict.fromkeys(_met(need, forced) for need in found))


def _met(need: Need, forced: Mapping[str, str]) -> Need:
    """By the first of the forced ones that meets it, where one does."""
    return next(((_decided(atom, forced),) for atom in need if atom.name in forced and _possible(atom, forced)), need)


def _possible(atom: Atom, forced: Mapping[str, str]) -> bool:
    return atom.name not in forced or atom.allows(forced[atom.name])


def _decided(atom: Atom, forced: Mapping[str, str]) -> Atom:
    """Of what is possible."""
    return exactly(atom.name, forced[atom.name]) if atom.name in forced else atom


def _conjunctive(formula: Formula) -> list[Need]:
    """A formula as needs: an alternative of several is multiplied out."""
    match formula:
        case Atom():
            return [(formula,)]
        case All(parts):
            return [need for part in parts for need in _conjunctive(part)]
        case Any(parts):
            found: list[Need] = [()]
            for part in parts:
                found = [(*one, *other) for one in found for other in _conjunctive(part)]
            return found
