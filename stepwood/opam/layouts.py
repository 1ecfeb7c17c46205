"""From solutions to the jobs of an engine: chains, in which each package is a step after all that come before it in
its job, and merges, in which it is a step after no more than what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.analysis import solutions as analysis
from engine.analysis.jobs import Jobs, Orders
from engine.plan import Job, named
from grammar import ast
from grammar.source import Body, Source
from stepwood.opam import recipe, solutions
from stepwood.opam.instructions import Instructions
from stepwood.opam.recipe import Recipe
from stepwood.opam.solutions import Answer, Refused
from stepwood.opam.universe import Id

RECIPE, SYSTEM = "recipe", "system"
"""Builds: what a recipe makes, and that with the system packages that the jobs need."""
Files = Callable[[Id], Mapping[str, bytes]]
"""What a repository has beside a package's opam file."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs as items: an item is a package version with the closure of what it is built after."""

    names: Sequence[str]
    solved: Sequence[solutions.Job]
    items: Jobs

    @classmethod
    def of(cls, solved: Sequence[solutions.Job]) -> Batch:
        several = len({job.compiler for job in solved}) > 1
        items = analysis.jobs(([*map(solutions.text, job.packages)], job.deps) for job in solved)
        return cls([solutions.name(job, several) for job in solved], solved, items)


@dataclass(slots=True)
class Layout:
    """Makes jobs of a batch. `builds` are those that the jobs name, each before what names it."""

    batch: Batch
    recipe: Recipe
    packages: Mapping[Id, Instructions]
    files: Files
    system: frozenset[str] = frozenset()
    """Names of system packages."""
    builds: dict[str, Body] = field(default_factory=dict, init=False)
    _ids: dict[int, Id] = field(default_factory=dict, init=False)
    _installs: dict[int, ast.Run] = field(default_factory=dict, init=False)

    def chains(self, orders: Orders) -> list[Job]:
        """A job a solution, its packages in the order given."""
        self._begin()
        found = []
        for number, order in enumerate(orders):
            ops: list[ast.Op] = []
            for item in order:
                source = self._source(item)
                if source is not None:
                    folder = f"{self.recipe.root}/download-cache"
                    ops.append(ast.Copy((folder,), folder, ast.FromBuild(source)))
                ops.append(self._install(item))
            found.append(self._job(number, ast.Spec((), ast.FromBuild(self._start), (*ops, *self._test(number)))))
        return found

    def merges(self) -> list[Job]:
        """A job a solution; what several have is a build that they merge."""
        self._begin()
        named: dict[int, str] = {}
        for job in self.batch.items.jobs:
            for item in job:
                if item not in named:
                    named[item] = self._merged(item, named)
        found = []
        for number, job in enumerate(self.batch.items.jobs):
            needed = {need for item in job for need in self.batch.items.needs[item]}
            root = self._root(number)
            ends = [named[root], *(named[item] for item in job if item not in needed and item != root)]
            found.append(self._job(number, ast.Spec((), _union(ends), tuple(self._test(number)))))
        return found

    def _merged(self, item: int, named: Mapping[int, str]) -> str:
        id = self.batch.items.names[item]
        name, again = id, 1
        while name in self.builds:
            again += 1
            name = f"{id}#{again}"
        inputs = [named[need] for need in self.batch.items.needs[item]] or [self._start]
        source = self._source(item)
        if source is not None:
            inputs.append(source)
        self.builds[name] = self._body(ast.Spec((), _union(inputs), (self._install(item),)))
        return name

    # --- what both have

    def _begin(self) -> None:
        spec = self.recipe.body.spec
        self.builds = {RECIPE: self._body(replace(spec, ops=(*spec.ops, recipe.SHELL)))}
        if self.system:
            ops = (ast.UserIds(0, 0), recipe.system(self.system), self.recipe.user)
            self.builds[SYSTEM] = self._body(ast.Spec((), ast.FromBuild(RECIPE), ops))

    @property
    def _start(self) -> str:
        return SYSTEM if self.system else RECIPE

    def _job(self, number: int, spec: ast.Spec) -> Job:
        return Job(self.batch.names[number], self._body(spec), self.builds)

    def _body(self, spec: ast.Spec) -> Body:
        return Body(spec, self.recipe.body.source)

    def _source(self, item: int) -> str | None:
        """The name of the build that has an item's source; None where it needs none."""
        name = f"{self.batch.items.names[item]}/source"
        if name not in self.builds:
            package = self.packages[self._id(item)]
            ops = recipe.source(package)
            if package.folder:
                ops += recipe.pinned(package, self.recipe.root)
            if not ops:
                return None
            text = Source(package.folder, "", package.folder) if package.folder else self.recipe.body.source
            self.builds[name] = Body(ast.Spec((), ast.FromBuild(RECIPE), ops), text)
        return name

    def _install(self, item: int) -> ast.Run:
        if item not in self._installs:
            id = self._id(item)
            self._installs[item] = recipe.install(self.packages[id], self._needs(item), self.files(id))
        return self._installs[item]

    def _needs(self, item: int) -> list[Id]:
        return sorted(map(self._id, self.batch.items.needs[item]))

    def _id(self, item: int) -> Id:
        if item not in self._ids:
            self._ids[item] = solutions.parsed(self.batch.items.names[item])
        return self._ids[item]

    def _root(self, number: int) -> int:
        root = solutions.text(self.batch.solved[number].root)
        return next(item for item in self.batch.items.jobs[number] if self.batch.items.names[item] == root)

    def _test(self, number: int) -> Iterator[ast.Op]:
        job = self.batch.solved[number]
        if job.tests is not None:
            tests = [job.packages[at] for at in job.tests]
            yield recipe.test(self.packages[job.root], self._needs(self._root(number)), tests, self.files(job.root))


def inlined(job: Job) -> ast.Spec:
    """A chain as OBuilder takes it: its builds are nested, and what a build starts from is said anew."""
    spec = _flat(job.body.spec, job.builds)
    sources = dict.fromkeys(build.name for build in spec.named())
    return replace(spec, builds=tuple(ast.Build(name, _flat(job.builds[name].spec, job.builds)) for name in sources))


def _flat(spec: ast.Spec, builds: Mapping[str, Body]) -> ast.Spec:
    while isinstance(spec.base, ast.FromBuild):
        below = builds[spec.base.name].spec
        spec = replace(below, ops=(*below.ops, *spec.ops))
    return spec


def _union(names: Sequence[str]) -> ast.FromBuild | ast.FromMerge:
    builds = tuple(map(ast.FromBuild, dict.fromkeys(names)))
    return builds[0] if len(builds) == 1 else ast.FromMerge(builds)


def buildable(
    answers: Sequence[Answer], packages: Mapping[Id, Instructions]
) -> tuple[list[solutions.Job], list[Refused]]:
    """The answers that can be built, and those that cannot: without a solution, or with a source at no fixed state."""
    jobs: list[solutions.Job] = []
    refused: list[Refused] = []
    unfetchable = {id for id, package in packages.items() if package.unfetchable}
    for answer in answers:
        if isinstance(answer, Refused):
            refused.append(answer)
        elif unfetchable.isdisjoint(answer.packages):
            jobs.append(answer)
        else:
            lost = next(packages[id] for id in answer.packages if id in unfetchable)
            refused.append(Refused(answer.root, answer.compiler, f"{lost}: {lost.unfetchable}"))
    return jobs, refused


def workflow(jobs: Sequence[Job]) -> ast.Workflow:
    """Jobs and the builds that they name as one text."""
    builds = {name: body for job in jobs for name, body in job.builds.items()}
    reached: set[str] = set()
    todo = [job.body.spec for job in jobs]
    for spec in todo:
        fresh = set(named(spec)) - reached
        reached |= fresh
        todo += [builds[name].spec for name in fresh]
    items = [ast.NamedBuild(name, _escaped(body.spec)) for name, body in builds.items() if name in reached]
    return ast.Workflow((*items, *(ast.Job(job.name, _escaped(job.body.spec)) for job in jobs)))


def _escaped(spec: ast.Spec) -> ast.Spec:
    """A spec in which `%{` is no parameter of a workflow, but opam's."""
    return replace(
        spec,
        ops=tuple(
            replace(op, command=op.command.replace("%{", "%%{")) if isinstance(op, ast.Run) else op for op in spec.ops
        ),
    )
