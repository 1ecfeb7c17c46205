"""From a spec to the steps of one job, with their ids: all that a run needs to know, before anything runs.

The world (what a base or a context is right now) comes in through `World`; apart from that, planning
reads nothing. A planner keeps what it has seen as a trie of (step, context) nodes, so that an op after
the same ops costs one look-up, and many jobs cost what their distinct steps cost.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from engine import digest, step
from engine.step import CacheMount, Manifest, SecretMount, Step, StepId
from grammar import ast, printer
from grammar.ast import At, FromBuild, FromMerge, Op, Priority, Spec
from grammar.check import copy_fault
from grammar.source import Body, Source
from system.errors import InputError

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
    """A job as it comes in: its name, its spec, and the named builds of its workflow, each before what names it.
    `labels` are what it was given and, for a job of a matrix, where in it the job stands."""

    name: str
    body: Body
    builds: Mapping[str, Body] = field(default_factory=dict)
    priority: Priority = "normal"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one job, inputs before what uses them, each once, and the one whose result is the job's."""

    name: str
    steps: tuple[StepId, ...]
    final: StepId
    priority: Priority = "normal"
    labels: Mapping[str, str] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an op stands: the text, for messages and for the folder that copies read, and the builds in scope."""

    source: Source
    scope: Mapping[str, _Built]


@dataclass(frozen=True, slots=True)
class _Built:
    """What a build's name stands for: where its ops end, and all its steps, inputs first, as a set in order."""

    node: _Node
    steps: Mapping[StepId, None]


class Planner:
    """Plans jobs one after the other; `steps` holds every distinct step so far.

    `context` is the folder that all copies read; None: the one that a text stands in. `policy` holds where a run says
    nothing else.
    """

    def __init__(self, world: World, context: str | None = None, policy: step.Policy = step.DEFAULT) -> None:
        self._world, self._context, self._policy = world, context, policy
        self._bases: dict[str, _Node] = {}
        self._builds: dict[Body, _Built] = {}
        self._merges: dict[tuple[step.Merge, _Context], _Node] = {}
        self._steps: dict[StepId, Step] = {}

    @property
    def steps(self) -> Mapping[StepId, Step]:
        return self._steps

    def plan(self, job: Job) -> Plan:
        """Raises `SpecError` at the op that cannot be planned; a machine's failure while pinning as it is."""
        scope = {name: self._build(name, job.builds) for name in named(job.body.spec) if name in job.builds}
        built = self._spec(job.body.spec, _Place(job.body.source, scope))
        return Plan(job.name, tuple(built.steps), built.node.step, job.priority, job.labels)

    def _build(self, name: str, builds: Mapping[str, Body]) -> _Built:
        """A named build, and before it those that it names; a chain of them may be longer than Python's stack."""
        known = self._builds.get(builds[name])
        if known is not None:
            return known
        waiting = [name]
        while waiting:
            body = builds[waiting[-1]]
            needed = [other for other in named(body.spec) if other in builds]
            scope = {other: built for other in needed if (built := self._builds.get(builds[other])) is not None}
            missing = [other for other in needed if other not in scope]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if body not in self._builds:
                self._builds[body] = self._spec(body.spec, _Place(body.source, scope))
        return self._builds[builds[name]]

    def _spec(self, spec: Spec, place: _Place) -> _Built:
        steps: dict[StepId, None] = {}
        if spec.builds:
            scope = dict(place.scope)
            for build in spec.builds:
                scope[build.name] = built = self._spec(build.spec, _Place(place.source, scope))
                steps.update(built.steps)
            place = _Place(place.source, scope)
        match spec.base:
            case FromBuild(name):
                start = place.scope[name]
                node = start.node
                steps.update(start.steps)
            case FromMerge(builds):
                merged = [place.scope[build.name] for build in builds]
                for one in merged:
                    steps.update(one.steps)
                node = self._merge([one.node for one in merged], spec.base)
                steps[node.step] = None
            case name:
                node = self._base(name, spec.base_at, place.source)
                steps[node.step] = None
        for op in spec.ops:
            key: object = op
            if isinstance(op, ast.Copy):
                # What the same copy means depends on where its files come from.
                if isinstance(op.source, FromBuild):
                    built = place.scope[op.source.name]
                    steps.update(built.steps)
                    key = (op, built.node.step)
                else:
                    key = (op, self._folder(place.source))
            following = node.after.get(key)
            if following is None:
                try:
                    following = node.after[key] = self._follow(place, node, op)
                except InputError as error:
                    raise place.source.error(op.at, error.message, error.hint) from error
            node = following
            steps[node.step] = None
        return _Built(node, steps)

    def _folder(self, source: Source) -> str:
        return source.folder if self._context is None else self._context

    def _base(self, name: str, at: At, source: Source) -> _Node:
        if name not in self._bases:
            try:
                _refuse_nul("a base", name)
                base = self._world.pin(name)
            except InputError as error:
                raise source.error(at, error.message, error.hint) from error
            config = base.config
            context = _Context(config.env, config.user, config.workdir or "/")
            self._bases[name] = _Node(self._add(base, printer.format_base(name)), context)
        return self._bases[name]

    def _merge(self, nodes: Sequence[_Node], base: FromMerge) -> _Node:
        """Where the union of several results is the root, in the context of the first."""
        first, inputs = nodes[0], tuple(dict.fromkeys(node.step for node in nodes))
        if len(inputs) == 1:
            return first
        key = step.Merge(inputs), first.context
        if key not in self._merges:
            self._merges[key] = _Node(self._add(key[0], printer.format_base(base)), first.context)
        return self._merges[key]

    def _follow(self, place: _Place, node: _Node, op: Op) -> _Node:
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
                assert isinstance(uid, int) and isinstance(gid, int), "all is filled in"
                return _Node(node.step, replace(here, user=step.Ids(uid, gid)))
            case ast.UserName(name=name):
                return _Node(node.step, replace(here, user=step.Named(name)))
            case ast.Run():
                run = _run(node.step, here, op)
                return _Node(self._add(run, printer.format_op(op), _policy(op, self._policy)), here)
            case ast.Copy():
                action = self._copy(place, node.step, here, op)
                return _Node(self._add(action, printer.format_op(op)), here)

    def _copy(self, place: _Place, root: StepId, here: _Context, op: ast.Copy) -> step.Copy:
        fault = copy_fault(op)
        if fault is not None:
            raise InputError(fault)
        _refuse_nul("a path or a user", here.workdir, op.destination, *op.sources, *_names(here.user))
        source: step.FromContext | step.FromStep
        match op.source:
            case ast.FromContext():
                source = step.FromContext(self._world.manifest(self._folder(place.source), op.sources, op.exclude))
            case ast.FromBuild(name=name):
                source = step.FromStep(place.scope[name].node.step)
        destination = posixpath.join(here.workdir, op.destination)
        return step.Copy(root, source, op.sources, destination, op.exclude, here.user)

    def _add(self, action: step.Action, op: str, policy: step.Policy = step.DEFAULT) -> StepId:
        id = digest.step_id(action)
        known = self._steps.get(id)
        if known is None:
            self._steps[id] = Step(id, op, action, policy)
        elif known.policy != policy:
            self._steps[id] = replace(known, policy=known.policy.merged(policy))
        return id


def named(spec: Spec) -> list[str]:
    """The builds that a spec names, its own nested ones too."""
    below = [name for build in spec.builds for name in named(build.spec)]
    return below + [build.name for build in spec.named()]


def _run(root: StepId, here: _Context, op: ast.Run) -> step.Run:
    if op.network not in ((), ("host",)):
        named = " ".join(op.network)
        raise InputError(f"network {named} is not known", hint="a run has `(network host)`, or no network")
    _refuse_nul("a command, a shell or a variable", op.command, *here.shell, *chain.from_iterable(here.env))
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


def _policy(op: ast.Run, default: step.Policy) -> step.Policy:
    """What a run says of its attempts, with what holds where it says nothing."""
    retry = op.retry or ast.Retry()
    if op.timeout is op.silence is None and retry == ast.Retry():
        return default
    exits, limits = retry.exits, (retry.attempts, op.timeout, op.silence)
    attempts, timeout, silence = (None if limit is None else int(limit) for limit in limits)
    return step.Policy(
        default.timeout if timeout is None else timeout,
        default.silence if silence is None else silence,
        default.attempts if attempts is None else attempts,
        default.exits | set(map(int, exits)),
        tuple(dict.fromkeys(default.logs + retry.logs)),
    )


def _refuse_nul(what: str, *texts: str) -> None:
    if "\0" in "".join(texts):
        raise InputError(f"{what} holds a NUL, which no program can be given")


def _names(user: step.User) -> tuple[str, ...]:
    return (user.name,) if isinstance(user, step.Named) else ()
