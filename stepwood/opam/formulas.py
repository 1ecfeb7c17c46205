"""What a package asks of others: the formulas of `depends`, `depopts` and `conflicts`, with the conditions decided.

A condition that is false, or undefined, drops the atom it stands on: in a list that asks for nothing, and in an
alternative it leaves the other branches (opam's manual, "Package formulas").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from grammar.opam.ast import Both, Bound, Either, Group, Option, Prefixed, Value
from stepwood.opam.filters import RELATIONS, Variables, chain, constant, truth
from stepwood.opam.versions import VersionKey, key

Range = tuple[tuple[tuple[str, str], ...], ...]
"""Versions as alternatives of (operator, version) pairs that must all hold; `ANY` is one that asks nothing."""
MOST = 10_000
"""What alternatives may multiply to; in opam's repository it is a handful."""
ANY: Range = ((),)
NONE: Range = ()
_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class Atom(NamedTuple):
    """A package in one of some versions. A tuple, as it is looked up a hundred thousand times for a plan."""

    name: str
    versions: Range = ANY

    def allows(self, version: str) -> bool:
        return any(all(RELATIONS[op](version, bound) for op, bound in group) for group in self.versions)

    def places(self, keys: Sequence[VersionKey]) -> set[int]:
        """Where those are that it allows among versions in their order, given by their keys."""
        found: set[int] = set()
        for group in self.versions:
            low, high, without = 0, len(keys), set[int]()
            for op, bound in group:
                first, after = bisect_left(keys, key(bound)), bisect_right(keys, key(bound))
                if op in ("=", ">", ">="):
                    low = max(low, after if op == ">" else first)
                if op in ("=", "<", "<="):
                    high = min(high, first if op == "<" else after)
                if op == "!=":
                    without.update(range(first, after))
            found.update(set(range(low, high)) - without)
        return found


def exactly(name: str, version: str) -> Atom:
    return Atom(name, ((("=", version),),))


@dataclass(frozen=True, slots=True)
class All:
    """Every part; nothing is asked where there is none."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """One part at least, of two or more."""

    parts: tuple[Formula, ...]


Formula = Atom | All | Any


def reduced(value: Value, variables: Variables) -> Formula:
    """What a `depends` asks for where `variables` hold. Raises ValueError for what is no formula, or asks too much."""
    found = _formula(value, variables)
    return All(()) if found is None else found


def atoms(value: Value, variables: Variables) -> list[Atom]:
    """All packages that a formula names, however they are combined: what `conflicts` and `depopts` mean by theirs."""
    return list(_atoms(reduced(value, variables)))


def _atoms(formula: Formula) -> Iterator[Atom]:
    todo = [formula]
    while todo:
        match todo.pop():
            case Atom() as atom:
                yield atom
            case All(parts) | Any(parts):
                todo += reversed(parts)


def _formula(value: Value, variables: Variables, around: tuple[Value, ...] = ()) -> Formula | None:
    """None where nothing is left of it. Conditions on a group are `around` each of its atoms."""
    match value:
        case str():
            versions = ANY
            for condition in around:
                versions = _both(versions, _range(condition, variables))
            return Atom(value, versions) if versions else None
        case Option(inner, conditions):
            return _formula(inner, variables, conditions + around)
        case tuple() | Group():
            values = value if isinstance(value, tuple) else value.values
            return _joined(All, [_formula(one, variables, around) for one in values])
        case Both():
            return _joined(All, [_formula(one, variables, around) for one in chain(value, Both)])
        case Either():
            return _joined(Any, [_formula(one, variables, around) for one in chain(value, Either)])
    raise ValueError("a package, or a formula of packages, is expected")


def _joined(kind: type[All | Any], parts: list[Formula | None]) -> Formula | None:
    """What is left of the parts; parts of the same kind are taken apart."""
    left: list[Formula] = []
    for part in parts:
        if isinstance(part, kind):
            left += part.parts
        elif part is not None:
            left.append(part)
    if not left:
        return None
    return left[0] if len(left) == 1 else kind(tuple(left))


def _range(condition: Value, variables: Variables, wanted: bool = True) -> Range:
    """The versions that a condition lets through, or those it holds back: all or none where it says nothing of
    versions. What is undefined does neither."""
    match condition:
        case Bound(op, right):
            bound = constant(right, variables)
            if op not in RELATIONS:
                raise ValueError(f'"{op}" compares no versions')
            return (((op if wanted else _OPPOSITE[op], bound),),) if isinstance(bound, str) else NONE
        case Both():
            return _joint([_range(one, variables, wanted) for one in chain(condition, Both)], wanted)
        case Either():
            return _joint([_range(one, variables, wanted) for one in chain(condition, Either)], not wanted)
        case Group(values):
            return _joint([_range(one, variables, wanted) for one in values], wanted)
        case Prefixed("!", value) if _bounds(value):
            return _range(value, variables, not wanted)
    return ANY if truth(condition, variables) is wanted else NONE


def _joint(ranges: list[Range], all: bool) -> Range:
    """The versions that are in all of them, or in any."""
    return reduce(_both, ranges, ANY) if all else reduce(_either, ranges, NONE)


def _bounds(value: Value) -> bool:
    """Whether a condition says something of versions."""
    todo = [value]
    while todo:
        match todo.pop():
            case Bound():
                return True
            case Both(left, right) | Either(left, right):
                todo += [left, right]
            case Group(values):
                todo += values
            case Prefixed(_, inner):
                todo.append(inner)
    return False


def bounded(count: int) -> None:
    """Raises ValueError where alternatives multiply to more than `MOST`."""
    if count > MOST:
        raise ValueError(f"its alternatives multiply to more than {MOST:,}")


def _both(one: Range, other: Range) -> Range:
    bounded(len(one) * len(other))
    return tuple(dict.fromkeys(first + second for first in one for second in other))


def _either(one: Range, other: Range) -> Range:
    return ANY if ANY in (one, other) else tuple(dict.fromkeys(one + other))
