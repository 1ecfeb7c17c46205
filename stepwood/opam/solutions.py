"""Solving for many roots and compilers, and the document that says what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from engine.analysis.jobs import topological
from stepwood.opam.solver import Solution, Unsatisfiable
from stepwood.opam.universe import Edges, Id, Universe


class Job(NamedTuple):
    """A root with all that is installed for it. A tuple, as thousands are remembered and read back at once.

    packages  the root among them, sorted
    deps      for each, the places in `packages` of what it is built after
    tests     the places of what the root's tests need besides; None where they are not to run
    """

    root: Id
    compiler: Id
    packages: tuple[Id, ...]
    deps: tuple[tuple[int, ...], ...]
    tests: tuple[int, ...] | None = None

    def besides(self) -> list[int]:
        """The places of what the root is not built after: `post` dependencies, and what only tests need."""
        needed = {self.packages.index(self.root)}
        todo = list(needed)
        for at in todo:
            fresh = set(self.deps[at]) - needed
            needed |= fresh
            todo += fresh
        return [at for at in range(len(self.deps)) if at not in needed]


@dataclass(frozen=True, slots=True)
class Refused:
    """A root that cannot be had with a compiler, and why."""

    root: Id
    compiler: Id
    reason: str


Answer = Job | Refused


def answer(universe: Universe, root: Id, compiler: Id, found: Solution | Unsatisfiable, tests: bool = False) -> Answer:
    """What a solver found, with what is built after what. With `tests`, what those of the root need is there too."""
    if isinstance(found, Unsatisfiable):
        return Refused(root, compiler, "; ".join(found.reasons))
    return _in_order(_job(universe, root, compiler, found, tests))


def _job(universe: Universe, root: Id, compiler: Id, found: Solution, tests: bool) -> Job:
    places = {name: at for at, (name, _) in enumerate(found.packages)}
    chosen = dict(found.packages)
    deps = tuple([_there(universe.built_after(id), chosen, places) for id in found.packages])
    tested = None
    if tests:
        own = deps[places[root[0]]]
        tested = tuple(at for at in _there(universe.tested_after(root), chosen, places) if at not in own)
    return Job(root, compiler, found.packages, deps, tested)


def _there(edges: Edges, chosen: Mapping[str, str], places: Mapping[str, int]) -> tuple[int, ...]:
    """The places of those that are chosen in a version that an edge has."""
    return tuple([places[name] for name, versions in edges if chosen.get(name) in versions])


def _in_order(job: Job) -> Answer:
    """The job, if its packages can be built one after the other. Solvers do not ask for that; opam itself finds it out
    when it has a solution, and gives up."""
    built = topological(job.deps)
    if len(built) == len(job.deps):
        return job
    return Refused(job.root, job.compiler, _circle(job, sorted({*range(len(job.deps))} - {*built})))


def _circle(job: Job, waiting: Sequence[int]) -> str:
    """The packages on a circle, each of which waits for the next; all that wait are on one, or wait for one that is."""
    way = [waiting[0]]
    while (following := next(dep for dep in job.deps[way[-1]] if dep in waiting)) not in way:
        way.append(following)
    circle = [text(job.packages[at]) for at in way[way.index(following) :]]
    return "; ".join(f"{one} is built after {other}" for one, other in pairwise([*circle, circle[0]]))


def document(
    variables: Mapping[str, object], repositories: Sequence[str], answers: Sequence[Answer]
) -> dict[str, object]:
    """What docs/reference/cli.md describes: solutions with their build edges, and reasons where there is none."""
    compilers = list(dict.fromkeys(text(one.compiler) for one in answers))
    refused = {name(one, len(compilers) > 1): one.reason for one in answers if isinstance(one, Refused)}
    return {
        "version": 1,
        "repositories": list(repositories),
        "compiler": ",".join(compilers),
        "env": dict(variables),
        "jobs": [_written(one) for one in answers if isinstance(one, Job)],
        "unsatisfiable": list(refused),
        "reasons": refused,
    }


def name(answer: Answer, several: bool) -> str:
    """What a job is called: `NAME.VERSION`, and with several compilers `NAME.VERSION@COMPILER`."""
    return f"{text(answer.root)}@{short(answer.compiler)}" if several else text(answer.root)


BASE = "ocaml-base-compiler"
"""The package that a compiler is of where only its version is said."""


def compiler(asked: str) -> Id:
    """`5.3.0` or `ocaml-variants.5.3.0+options` as a package version."""
    name, _, version = asked.partition(".")
    return (name, version) if version and not name[:1].isdigit() else (BASE, asked)


def short(compiler: Id) -> str:
    """A compiler as it is asked for."""
    return compiler[1] if compiler[0] == BASE else text(compiler)


def text(id: Id) -> str:
    """`NAME.VERSION`."""
    return ".".join(id)


def _written(job: Job) -> dict[str, object]:
    found: dict[str, object] = {
        "root": job.root[0],
        "version": job.root[1],
        "compiler": text(job.compiler),
        "packages": [*map(text, job.packages)],
        "deps": [*map(list, job.deps)],
        "post_only": job.besides(),
    }
    return found if job.tests is None else found | {"tests": list(job.tests)}


def read(document: Mapping[str, object]) -> list[Answer]:
    """The answers of such a document. Raises ValueError, KeyError or TypeError for what is none."""
    compilers = str(document["compiler"]).split(",")
    answers: list[Answer] = []
    jobs, reasons = document["jobs"], document.get("reasons", {})
    if not isinstance(jobs, list) or not isinstance(reasons, dict):
        raise ValueError("no list of jobs")
    for job in jobs:
        tests = job.get("tests")
        packages = tuple(map(parsed, job["packages"]))
        deps = tuple(tuple(map(int, row)) for row in job["deps"])
        made = Job(
            (job["root"], job["version"]),
            parsed(job.get("compiler", compilers[0])),
            packages,
            deps,
            None if tests is None else tuple(map(int, tests)),
        )
        if made.root not in packages:
            raise ValueError(f"{text(made.root)} is not among its own packages")
        places = {at for row in (*deps, made.tests or ()) for at in row}
        if len(deps) != len(packages) or not places <= {*range(len(packages))} or len({*packages}) < len(packages):
            raise ValueError(f"packages and deps of {text(made.root)} do not fit together")
        answers.append(_in_order(made))
    for lost in document.get("unsatisfiable", ()):  # type: ignore[attr-defined]
        root, _, asked = str(lost).partition("@")
        chosen = compiler(asked) if asked else parsed(compilers[0])
        answers.append(Refused(parsed(root), chosen, str(reasons.get(lost, "no solution"))))
    return answers


def parsed(text: str) -> Id:
    """What `text` has written. Raises ValueError for what is no NAME.VERSION."""
    name, dot, version = text.partition(".")
    if not dot:
        raise ValueError(f"{text} is no NAME.VERSION")
    return name, version
