"""What a tree must hold to beyond its form: builds are known where they are named, and nest within reason.

What OBuilder finds only when it builds is no part of the language: `copy_fault` is for who plans a build.
"""

from __future__ import annotations

from collections.abc import Set

from grammar.ast import Copy, FromBuild, FromMerge, Spec
from grammar.place import PlacedError, did_you_mean, shown

MAX_DEPTH = 100
"""How deep builds may nest: far beyond use, and short of Python's recursion limit for all that walks a tree."""
SHOWN = 10
"""How many known names a message lists."""


def check(spec: Spec, around: Set[str] = frozenset()) -> None:
    """Raise a PlacedError at the first build that is named but unknown, or that nests too deep.

    A base, a merge or a copy may name the builds of its own spec, of the specs around it those that stand before, and
    those of `around`, a workflow's. A later build hides an earlier one of the same name.
    """
    _check(spec, around, set(), 0)


def copy_fault(copy: Copy) -> str | None:
    """Why `copy` can never be done, whatever the files are, or None.

    OBuilder reads, prints and makes Dockerfiles of such copies all the same, so `check` accepts them.
    """
    if not copy.sources:
        return "a copy needs a source"
    if len(copy.sources) > 1 and copy.destination and not copy.destination.endswith("/"):
        return f"several sources are copied into a folder: the destination must be {shown(copy.destination + '/')}"
    for source in copy.sources:
        if ".." in source.split("/"):
            return f'".." in a source: {shown(source)}'
    return None


def _check(spec: Spec, around: Set[str], scope: set[str], depth: int) -> None:
    if spec.builds:
        scope = set(scope)  # what is built in here is not seen outside
    for build in spec.builds:
        if depth == MAX_DEPTH:
            raise PlacedError(build.at, f"builds nest deeper than {MAX_DEPTH}")
        _check(build.spec, around, scope, depth + 1)
        scope.add(build.name)
    for source in spec.named():
        if source.name not in scope and source.name not in around:
            raise _unknown(source, scope | around)
    if isinstance(spec.base, FromMerge):
        seen: set[str] = set()
        for merged in spec.base.builds:
            if merged.name in seen:
                raise PlacedError(merged.at, f"a merge names {shown(merged.name)} twice")
            seen.add(merged.name)


def _unknown(source: FromBuild, scope: Set[str]) -> PlacedError:
    known = ", ".join(map(shown, sorted(scope)[:SHOWN])) + (", …" if len(scope) > SHOWN else "")
    hint = did_you_mean(source.name, scope) or (f"known here: {known}" if known else "no build stands before this")
    return PlacedError(source.at, f"unknown build {shown(source.name)}", hint)
