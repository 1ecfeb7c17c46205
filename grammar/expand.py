"""From workflows to jobs: parameters and matrices filled in, includes read, names looked up.

Everything happens on parsed trees, so a job for each combination of a matrix costs no parsing, and an op
without a `%{…}` is one and the same object in all of them.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import dropwhile, product
from math import prod
from typing import Any, cast

from grammar.ast import (
    At,
    Build,
    Comment,
    Copy,
    Env,
    FromBuild,
    FromContext,
    FromMerge,
    Include,
    Job,
    Matrix,
    Mount,
    NamedBuild,
    Op,
    Pair,
    Param,
    Priority,
    Retry,
    Run,
    Shell,
    Spec,
    UserIds,
    UserName,
    Workdir,
    Workflow,
)
from grammar.builder import HOLE, duration, exit_status, pattern, tries, user_id
from grammar.check import check
from grammar.lexer import Token
from grammar.place import PlacedError, did_you_mean, shown
from grammar.source import Body, Source
from system.errors import InputError

MAX_COMBINATIONS = 1_000_000
"""Of one matrix: more is a mistake that would fill the memory before anyone could stop it."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_HOLE = re.compile(r"%%\{|%\{([^{}]*)(\}?)")

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Expanded:
    """A job of a workflow. `labels` are those it was given and, below them, its combination of the matrix."""

    name: str
    body: Body
    labels: Mapping[str, str]
    priority: Priority


@dataclass(frozen=True, slots=True)
class Jobs:
    """All jobs of a workflow in their order, the named builds that their bodies may name, and its parameters."""

    jobs: Sequence[Expanded]
    builds: Mapping[str, Body]
    params: Mapping[str, str]


Load = Callable[[Source, str], Source]
"""The text of an included file: the text that includes it, and the path as it stands there. InputError: none there."""


def expand(
    source: Source,
    workflow: Workflow,
    parse: Callable[[Source], Spec | Workflow],
    load: Load,
    given: Values,
    *,
    lenient: bool = False,
) -> Jobs:
    """The jobs of `workflow`, which is what `source` says, with the parameters `given` (`--set`).

    `lenient` is for who has no values: a parameter without one stands for itself, `%{NAME}`.

    Raises SpecError with the place of what is wrong, in the file that it is in.
    """
    reading = _Reading(parse, load, given, lenient)
    reading.read(source, workflow, ())
    return Jobs(list(reading.jobs.values()), reading.builds, reading.values)


@dataclass(slots=True)
class _Reading:
    """What is known so far of the files that one workflow is made of."""

    parse: Callable[[Source], Spec | Workflow]
    load: Load
    given: Values
    lenient: bool
    values: dict[str, str] = field(default_factory=dict)
    builds: dict[str, Body] = field(default_factory=dict)
    jobs: dict[str, Expanded] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def read(self, source: Source, workflow: Workflow, around: tuple[Source, ...]) -> None:
        self.files.add(_path(source))
        try:
            for item in workflow.items:
                match item:
                    case Param():
                        self.param(source, item)
                    case Include():
                        self.include(source, item, (*around, source))
                    case NamedBuild():
                        self.build(source, item)
                    case Job():
                        self.job(source, item)
        except PlacedError as error:
            raise source.placed(error) from None

    def param(self, source: Source, param: Param) -> None:
        _check_name(param.name, param.at, "a parameter")
        if param.name in self.values:
            raise PlacedError(param.at, f"parameter {shown(param.name)} stands twice")
        value = self.given.get(param.name)
        if value is None and param.value is not None:
            value = _Filler(source, self.values, self.lenient).text(param.value, param.at)
        if value is None:
            if not self.lenient:
                hint = f"set it: --set {param.name}=VALUE"
                raise PlacedError(param.at, f"parameter {shown(param.name)} has no value", hint)
            value = f"%{{{param.name}}}"
        self.values[param.name] = value

    def include(self, source: Source, include: Include, around: tuple[Source, ...]) -> None:
        path = _Filler(source, self.values, self.lenient).text(include.path, include.at)
        if self.lenient and HOLE in path:
            return
        try:
            found = self.load(source, path)
        except InputError as error:
            raise PlacedError(include.at, error.message, error.hint) from None
        path = _path(found)
        cycle = [one.file for one in dropwhile(lambda one: _path(one) != path, around)]
        if cycle:
            raise PlacedError(include.at, f"an include that never ends: {' includes '.join([*cycle, found.file])}")
        if path in self.files:
            return
        workflow = self.parse(found)
        if not isinstance(workflow, Workflow):
            raise PlacedError(include.at, f"{found.file} is a spec, and only a workflow can be included")
        self.read(found, workflow, around)

    def build(self, source: Source, build: NamedBuild) -> None:
        template = _Template(build.spec)
        for values in self.combinations(source, build.matrix):
            filler = _Filler(source, values, self.lenient)
            name = filler.text(build.name, build.at)
            if name in self.builds:
                raise PlacedError(build.at, f"build {shown(name)} stands twice", _name_hint(build.matrix))
            spec = template.filled(filler)
            check(spec, self.builds.keys())
            self.builds[name] = Body(spec, source)

    def job(self, source: Source, job: Job) -> None:
        template = _Template(job.spec)
        for values in self.combinations(source, job.matrix):
            filler = _Filler(source, values, self.lenient)
            name = filler.text(job.name, job.at)
            if not name:
                raise PlacedError(job.at, "a job needs a name")
            if name in self.jobs:
                raise PlacedError(job.at, f"job {shown(name)} stands twice", _name_hint(job.matrix))
            labels = {axis.name: values[axis.name] for axis in job.matrix.axes} if job.matrix else {}
            labels |= {filler.text(pair.name, pair.at): filler.text(pair.value, pair.at) for pair in job.labels}
            spec = template.filled(filler)
            check(spec, self.builds.keys())
            self.jobs[name] = Expanded(name, Body(spec, source), labels, job.priority)

    def combinations(self, source: Source, matrix: Matrix | None) -> Iterator[Values]:
        """The parameters, with each combination of a matrix."""
        if matrix is None:
            yield self.values
            return
        filler = _Filler(source, self.values, self.lenient)
        axes: dict[str, tuple[str, ...]] = {}
        for axis in matrix.axes:
            _check_name(axis.name, axis.at, "an axis")
            if axis.name in self.values:
                raise PlacedError(axis.at, f"axis {shown(axis.name)} has the name of a parameter")
            axes[axis.name] = tuple(filler.text(value, axis.at) for value in axis.values)
        excludes = [{pair.name: filler.text(pair.value, pair.at) for pair in pairs} for pairs in matrix.excludes]
        for pairs, exclude in zip(matrix.excludes, excludes, strict=True):
            for pair in pairs:
                _check_pair(pair, exclude[pair.name], axes)
        if prod(map(len, axes.values())) > MAX_COMBINATIONS:
            raise PlacedError(matrix.at, f"a matrix of more than {MAX_COMBINATIONS:,} combinations")
        empty = True
        for values in product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            if not any(exclude.items() <= chosen.items() for exclude in excludes):
                empty = False
                yield self.values | chosen
        if empty:
            raise PlacedError(matrix.at, "a matrix without a combination: all are excluded")


class _Template:
    """A spec whose ops are known to have something to fill in or not, so that each copy costs only what it must."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._builds = [_Template(build.spec) for build in spec.builds]
        self._holes = [place for place, op in enumerate(spec.ops) if _has_hole(op)]

    def filled(self, filler: _Filler) -> Spec:
        spec = self._spec
        ops = list(spec.ops)
        for place in self._holes:
            ops[place] = filler.op(ops[place])
        builds = tuple(
            Build(filler.text(build.name, build.at), template.filled(filler), build.at)
            for build, template in zip(spec.builds, self._builds, strict=True)
        )
        return Spec(builds, filler.base(spec.base, spec.base_at), tuple(ops), spec.base_at)


@dataclass(frozen=True, slots=True)
class _Filler:
    """Puts values into what a text says; `source` is that text, for the places of what cannot be filled in."""

    source: Source
    values: Values
    lenient: bool

    def text(self, text: str, at: At) -> str:
        if HOLE not in text:
            return text

        def value(match: re.Match[str]) -> str:
            whole, name = match[0], match[1]
            if name is None:
                return HOLE
            if not match[2]:
                message = f"{shown(whole)} is never closed"
                raise PlacedError(self.source.find(whole, at), message, f'write %%{{ for a plain "{HOLE}"')
            if name not in self.values:
                hint = did_you_mean(name, self.values) or f'declare it: (param {name}); a plain "{HOLE}" is %%{{'
                raise PlacedError(self.source.find(whole, at), f"unknown name {shown(name)}", hint)
            return self.values[name]

        return _HOLE.sub(value, text)

    def number(self, number: int | str, at: At, read: Callable[[Token], int]) -> int | str:
        """What `read` makes of a number that was open until now."""
        if isinstance(number, int):
            return number
        text = self.text(number, at)
        place = self.source.find(number, at)
        return text if self.lenient and HOLE in text else read(Token("ATOM", text, place.line, place.column))

    def build(self, source: FromBuild) -> FromBuild:
        return FromBuild(self.text(source.name, source.at), source.at)

    def base(self, base: str | FromBuild | FromMerge, at: At) -> str | FromBuild | FromMerge:
        match base:
            case str():
                return self.text(base, at)
            case FromBuild():
                return self.build(base)
            case FromMerge(builds):
                return FromMerge(tuple(map(self.build, builds)), base.at)

    def op(self, op: Op) -> Op:
        at = op.at
        match op:
            case Comment(text=text):
                return Comment(self.text(text, at), at)
            case Workdir(path=path):
                return Workdir(self.text(path, at), at)
            case Shell(argv=argv):
                return Shell(self._texts(argv, at), at)
            case Env(name=name, value=value):
                return Env(self.text(name, at), self.text(value, at), at)
            case UserIds(uid=uid, gid=gid):
                return UserIds(self.number(uid, at, user_id), self.number(gid, at, user_id), at)
            case UserName(name=name):
                return UserName(self.text(name, at), at)
            case Copy():
                source = op.source if isinstance(op.source, FromContext) else self.build(op.source)
                sources, exclude = self._texts(op.sources, at), self._texts(op.exclude, at)
                return Copy(sources, self.text(op.destination, at), source, exclude, at)
            case Run():
                return replace(
                    op,
                    command=self.text(op.command, at),
                    cache=tuple(map(self._mount, op.cache)),
                    network=self._texts(op.network, at),
                    secrets=tuple(map(self._mount, op.secrets)),
                    retry=op.retry and self._retry(op.retry, at),
                    timeout=op.timeout and self.number(op.timeout, at, duration),
                    silence=op.silence and self.number(op.silence, at, duration),
                )

    def _texts(self, texts: tuple[str, ...], at: At) -> tuple[str, ...]:
        return tuple([self.text(text, at) for text in texts])

    def _mount(self, mount: Mount) -> Mount:
        at = mount.at
        options = tuple((self.text(key, at), self.text(value, at)) for key, value in mount.options)
        return Mount(self.text(mount.id, at), self.text(mount.target, at), options, at)

    def _retry(self, retry: Retry, at: At) -> Retry:
        logs = self._texts(retry.logs, at)
        if not self.lenient:
            for before, log in zip(retry.logs, logs, strict=True):
                place = self.source.find(before, at)
                pattern(Token("ATOM", log, place.line, place.column))
        return Retry(
            retry.attempts and self.number(retry.attempts, at, tries),
            tuple(self.number(status, at, exit_status) for status in retry.exits),
            logs,
        )


def _has_hole(value: object) -> bool:
    """Whether a part of a tree holds a text with something to fill in."""
    match value:
        case str():
            return HOLE in value
        case tuple():
            return any(map(_has_hole, value))
        case None | int() | At():
            return False
        case _:
            return any(_has_hole(getattr(value, field.name)) for field in fields(cast(Any, value)))


def _path(source: Source) -> str:
    """What tells one file from another, however it was named."""
    return os.path.join(source.folder, os.path.basename(source.file))


def _check_name(name: str, at: At, what: str) -> None:
    if not NAME.fullmatch(name):
        raise PlacedError(at, f"{shown(name)} cannot be the name of {what}", "names are letters, digits, _ . and -")


def _check_pair(pair: Pair, value: str, axes: Mapping[str, tuple[str, ...]]) -> None:
    if pair.name not in axes:
        hint = did_you_mean(pair.name, axes) or f"axes: {', '.join(axes)}"
        raise PlacedError(pair.at, f"unknown axis {shown(pair.name)}", hint)
    if value not in axes[pair.name]:
        message = f"axis {shown(pair.name)} never is {shown(value)}"
        raise PlacedError(pair.at, message, did_you_mean(value, axes[pair.name]))


def _name_hint(matrix: Matrix | None) -> str | None:
    if matrix is None:
        return None
    return "put every axis into its name: " + " ".join(f"%{{{axis.name}}}" for axis in matrix.axes)
