"""From a spec to the steps of one job, with their ids: all that a run needs to know, before anything runs.

The world (what a base or a context is right now) comes in through `World`; apart from that, planning
reads nothing. A planner keeps what it has seen as a trie of (step, context) nodes, so that an op after
the same ops costs one look-up, and many jobs cost what their distinct steps cost.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from engine import digest, step
from engine.step import CacheMount, Manifest, SecretMount, Step, StepId
from grammar import ast, printer
from grammar.ast import At, Op, Spec
from grammar.check import copy_fault
from system.errors import InputError, SpecError

SHELL = ("/bin/bash", "-c")
"""What runs a command where no `(shell …)` says otherwise, as in OBuilder."""


class World(Protocol):
    """What a plan takes from outside. Both raise `InputError` for what is not there."""

    def pin(self, base: str) -> step.Base:
        """What a base's name means right now."""
        ...

    def manifest(self, folder: str, sources: tuple[str, ...], exclude: tuple[str, ...]) -> Manifest:
        """The files that a copy would take from a context folder right now."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it comes in: its name, its spec, where that stands (for messages) and the folder its copies read."""

    name: str
    spec: Spec
    file: str
    text: str
    context: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one job, inputs before what uses them, each once, and the one whose result is the job's."""

    name: str
    steps: tuple[StepId, ...]
    final: StepId


@dataclass(frozen=True, slots=True)
class _Context:
    """What the ops so far have set for the ops to come."""

    env: step.Env
    user: step.User
    workdir: str
    shell: tuple[str, ...] = SHELL


@dataclass(slots=True, eq=False)
class _Node:
    """A point in a spec: the step whose result is the root there, the context, and what followed before."""

    step: StepId
    context: _Context
    after: dict[object, _Node] = field(default_factory=dict)


class Planner:
    """Plans jobs one after the other; `steps` holds every distinct step so far."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bases: dict[str, _Node] = {}
        self._steps: dict[StepId, Step] = {}

    @property
    def steps(self) -> Mapping[StepId, Step]:
        return self._steps

    def plan(self, job: Job) -> Plan:
        """Raises `SpecError` at the op that cannot be planned; a machine's failure while pinning as it is."""
        steps: dict[StepId, None] = {}
        final = self._spec(job, job.spec, {}, steps)
        return Plan(job.name, tuple(steps), final)

    def _spec(self, job: Job, spec: Spec, scope: Mapping[str, StepId], steps: dict[StepId, None]) -> StepId:
        scope = dict(scope)
        for build in spec.builds:
            scope[build.name] = self._spec(job, build.spec, scope, steps)
        node = self._base(job, spec)
        steps[node.step] = None
        for op in spec.ops:
            key: object = op
            if isinstance(op, ast.Copy):
                # What the same copy means depends on where its files come from.
                key = (op, scope[op.source.name] if isinstance(op.source, ast.FromBuild) else job.context)
            following = node.after.get(key)
            if following is None:
                try:
                    following = node.after[key] = self._follow(job, node, op, scope)
                except SpecError:
                    raise
                except InputError as error:
                    raise _at(job, op.at, error) from error
            node = following
            steps[node.step] = None
        return node.step

    def _base(self, job: Job, spec: Spec) -> _Node:
        if spec.base not in self._bases:
            try:
                _refuse_nul("a base", spec.base)
                base = self._world.pin(spec.base)
            except InputError as error:
                raise _at(job, spec.base_at, error) from error
            config = base.config
            context = _Context(config.env, config.user, config.workdir or "/")
            self._bases[spec.base] = _Node(self._add(base, printer.format_base(spec.base)), context)
        return self._bases[spec.base]

    def _follow(self, job: Job, node: _Node, op: Op, scope: Mapping[str, StepId]) -> _Node:
        here = node.context
        match op:
            case ast.Comment():
                return node
            case ast.Workdir(path=path):
                return _Node(node.step, replace(here, workdir=posixpath.join(here.workdir, path)))
            case ast.Shell(argv=argv):
                return _Node(node.step, replace(here, shell=argv))
            case ast.Env(name=name, value=value):
                env = dict(here.env) | {name: value}
                return _Node(node.step, replace(here, env=tuple(sorted(env.items()))))
            case ast.UserIds(uid=uid, gid=gid):
                return _Node(node.step, replace(here, user=step.Ids(uid, gid)))
            case ast.UserName(name=name):
                return _Node(node.step, replace(here, user=step.Named(name)))
            case ast.Run():
                return _Node(self._add(_run(node.step, here, op), printer.format_op(op)), here)
            case ast.Copy():
                action = self._copy(job, node.step, here, op, scope)
                return _Node(self._add(action, printer.format_op(op)), here)

    def _copy(self, job: Job, root: StepId, here: _Context, op: ast.Copy, scope: Mapping[str, StepId]) -> step.Copy:
        fault = copy_fault(op)
        if fault is not None:
            raise InputError(fault)
        _refuse_nul("a path or a user", here.workdir, op.destination, *op.sources, *_names(here.user))
        source: step.FromContext | step.FromStep
        match op.source:
            case ast.FromContext():
                source = step.FromContext(self._world.manifest(job.context, op.sources, op.exclude))
            case ast.FromBuild(name=name):
                source = step.FromStep(scope[name])
        destination = posixpath.join(here.workdir, op.destination)
        return step.Copy(root, source, op.sources, destination, op.exclude, here.user)

    def _add(self, action: step.Action, op: str) -> StepId:
        id = digest.step_id(action)
        self._steps.setdefault(id, Step(id, op, action))
        return id


def _run(root: StepId, here: _Context, op: ast.Run) -> step.Run:
    if op.network not in ((), ("host",)):
        named = " ".join(op.network)
        raise InputError(f"network {named} is not known", hint="a run has `(network host)`, or no network")
    variables = (part for pair in here.env for part in pair)
    _refuse_nul("a command, a shell or a variable", op.command, *here.shell, *variables)
    targets = (mount.target for mount in (*op.cache, *op.secrets))
    _refuse_nul("a path or a user", here.workdir, *targets, *_names(here.user))
    return step.Run(
        input=root,
        command=op.command,
        shell=here.shell,
        cwd=here.workdir,
        env=here.env,
        user=here.user,
        network=op.network,
        caches=tuple(
            CacheMount(mount.id, posixpath.join(here.workdir, mount.target), ("sharing", "locked") in mount.options)
            for mount in op.cache
        ),
        secrets=tuple(SecretMount(mount.id, posixpath.join(here.workdir, mount.target)) for mount in op.secrets),
    )


def _refuse_nul(what: str, *texts: str) -> None:
    if any("\0" in text for text in texts):
        raise InputError(f"{what} holds a NUL, which no program can be given")


def _names(user: step.User) -> tuple[str, ...]:
    return (user.name,) if isinstance(user, step.Named) else ()


def _at(job: Job, at: At, error: InputError) -> SpecError:
    lines = job.text.splitlines()
    text = lines[at.line - 1] if 0 < at.line <= len(lines) else None
    return SpecError(error.message, file=job.file, line=at.line, column=at.column, text=text, hint=error.hint)
