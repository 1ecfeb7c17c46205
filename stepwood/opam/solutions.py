"""Solving for many roots, and the document that says what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stepwood.opam.solver import Solution, Solver, Unsatisfiable
from stepwood.opam.universe import Id, Universe
from system.errors import InputError, did_you_mean


@dataclass(frozen=True, slots=True)
class Answer:
    """A root, and what a solver says of it."""

    root: Id
    found: Solution | Unsatisfiable


def roots(universe: Universe, names: Sequence[str]) -> list[Id]:
    """The package versions that `NAME`s (the newest that may be taken) and `NAME.VERSION`s stand for, each once.

    Raises InputError for what does not exist, or cannot be had here.
    """
    return list(dict.fromkeys(_root(universe, name) for name in names))


def _root(universe: Universe, text: str) -> Id:
    name, dot, version = text.partition(".")
    versions = universe.packages.get(name)
    if versions is None:
        raise InputError(f'no package is called "{name}"', hint=did_you_mean(name, universe.packages))
    if dot:
        if version not in versions:
            raise InputError(
                f"{name} has no version {version} that is available here",
                hint=did_you_mean(version, versions, f"there are {', '.join([*versions][-5:])}"),
            )
        return name, version
    newest = universe.newest(name)
    if newest is None:
        raise InputError(
            f"all versions of {name} are to be avoided", hint=f"name one: {name}.{[*versions][-1]}, for instance"
        )
    return newest


def everything(universe: Universe) -> list[Id]:
    """The newest version of each package that may be taken."""
    return [id for name in sorted(universe.packages) if (id := universe.newest(name)) is not None]


def solved(solver: Solver, wanted: Iterable[Id]) -> Iterator[Answer]:
    """An answer a root, as each is asked for."""
    return (Answer(root, solver.solve(root)) for root in wanted)


def document(
    universe: Universe, compiler: Id, repositories: Sequence[str], answers: Sequence[Answer]
) -> dict[str, object]:
    """What docs/reference/cli.md describes: solutions with their build edges, and reasons where there is none."""
    return {
        "version": 1,
        "repositories": list(repositories),
        "compiler": ".".join(compiler),
        "env": dict(universe.variables),
        "jobs": [_job(universe, one.root, one.found) for one in answers if isinstance(one.found, Solution)],
        "unsatisfiable": [".".join(one.root) for one in answers if isinstance(one.found, Unsatisfiable)],
        "reasons": {
            ".".join(one.root): "; ".join(one.found.reasons) for one in answers if isinstance(one.found, Unsatisfiable)
        },
    }


def _job(universe: Universe, root: Id, found: Solution) -> dict[str, object]:
    place = {name: at for at, (name, _) in enumerate(found.packages)}
    chosen = dict(found.packages)
    deps = [sorted(place[name] for name in universe.built_after(id, chosen)) for id in found.packages]
    needed = {place[root[0]]}
    todo = list(needed)
    for at in todo:
        fresh = set(deps[at]) - needed
        needed |= fresh
        todo += fresh
    return {
        "root": root[0],
        "version": root[1],
        "packages": [".".join(id) for id in found.packages],
        "deps": deps,
        "post_only": [at for at in range(len(deps)) if at not in needed],
    }
