"""What a tree must hold to beyond its form: builds are known where they are named, and nest within reason.

What OBuilder finds only when it builds is no part of the language: `copy_fault` is for who plans a build.
"""

from __future__ import annotations

from grammar.ast import Copy, FromBuild, Spec
from grammar.place import PlacedError, did_you_mean, shown

MAX_DEPTH = 100
"""How deep builds may nest: far beyond use, and short of Python's recursion limit for all that walks a tree."""


def check(spec: Spec) -> None:
    """Raise a PlacedError at the first build that is named but unknown, or that nests too deep.

    A copy may name the builds of its own spec, and of the specs around it those that stand before. A later
    build hides an earlier one of the same name.
    """
    _check(spec, set(), 0)


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


def _check(spec: Spec, scope: set[str], depth: int) -> None:
    if spec.builds:
        scope = set(scope)  # what is built in here is not seen outside
    for build in spec.builds:
        if depth == MAX_DEPTH:
            raise PlacedError(build.at, f"builds nest deeper than {MAX_DEPTH}")
        _check(build.spec, scope, depth + 1)
        scope.add(build.name)
    for op in spec.ops:
        if isinstance(op, Copy) and isinstance(op.source, FromBuild) and op.source.name not in scope:
            raise _unknown(op.source, scope)


def _unknown(source: FromBuild, scope: set[str]) -> PlacedError:
    known = ", ".join(map(shown, sorted(scope)))
    hint = did_you_mean(source.name, scope) or (f"known here: {known}" if known else "no build stands before this")
    return PlacedError(source.at, f"unknown build {shown(source.name)}", hint)
