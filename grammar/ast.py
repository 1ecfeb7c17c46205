"""The tree of a spec, and of a workflow: a frozen class an op, in the order and with the fields of OBuilder's language.

A number or a time of a workflow's text is a `str` while it holds a `%{…}`; `grammar.expand` leaves none.

Equality is equality of meaning: places (`at`) never count. Strings hold what sexplib's atoms hold;
bytes that are not UTF-8 are lone surrogates, as `os.fsdecode` has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class At:
    """A place in a source text: line and column count from 1, the column in characters."""

    line: int
    column: int


NOWHERE = At(0, 0)


@dataclass(frozen=True, slots=True)
class Comment:
    """`(comment TEXT)`: text for people; it makes no step and is in no id."""

    text: str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Workdir:
    """`(workdir DIR)`: the working directory of what follows; relative to the one before."""

    path: str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Shell:
    """`(shell ARG…)`: the argv that precedes a run's command, from here on."""

    argv: tuple[str, ...]
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Env:
    """`(env NAME VALUE)`: an environment variable of the runs that follow."""

    name: str
    value: str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UserIds:
    """`(user (uid N) (gid N))`: who runs and owns what follows, by number."""

    uid: int | str
    gid: int | str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UserName:
    """`(user (name S))`: who runs and owns what follows, by a name that the root's passwd file knows."""

    name: str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FromContext:
    """`(from context)`, the default of a copy: the folder that the user gave."""


@dataclass(frozen=True, slots=True)
class FromBuild:
    """`(from (build NAME))`: the result of a build in scope; in a copy or, in a workflow, as a base."""

    name: str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FromMerge:
    """`(from (merge NAME NAME…))`, of a workflow: the union of the results of builds in scope, as a base."""

    builds: tuple[FromBuild, ...]
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Copy:
    """`(copy (from …)? (src P…) (dst P) (exclude BASENAME…)?)`: files into the root, owned by the current user."""

    sources: tuple[str, ...]
    destination: str
    source: FromContext | FromBuild = FromContext()
    exclude: tuple[str, ...] = ()
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Mount:
    """A cache or a secret of a run: `(ID (target P) (buildkit_options ((K V)…))?)`."""

    id: str
    target: str
    options: tuple[tuple[str, str], ...] = ()
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """`(retry (attempts N)? ((exit N…) | (log REGEX))…)`: failures that are tried again as if they may pass.

    `attempts` counts all tries, the first one too. A rule holds where the exit status is among `exits`, or one of the
    regular expressions of `logs` (Python's `re`) is found in a line of the log.
    """

    attempts: int | str | None = None
    exits: tuple[int | str, ...] = ()
    logs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """`(run (cache …)? (network N…)? (secrets …)? (shell CMD))`: one command in a sandbox.

    In a workflow it may also say when to try again, and after how many seconds, or seconds without a word, to stop.
    """

    command: str
    cache: tuple[Mount, ...] = ()
    network: tuple[str, ...] = ()
    secrets: tuple[Mount, ...] = ()
    retry: Retry | None = None
    timeout: int | str | None = None
    silence: int | str | None = None
    at: At = field(default=NOWHERE, compare=False, repr=False)


Op = Comment | Workdir | Shell | Env | UserIds | UserName | Copy | Run


@dataclass(frozen=True, slots=True)
class Build:
    """`(build NAME spec)`: a nested build, seen by name below it."""

    name: str
    spec: Spec
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Spec:
    """`((build NAME spec)* (from BASE) op*)`: one job, or one nested build. Only in a workflow is a base a build."""

    builds: tuple[Build, ...]
    base: str | FromBuild | FromMerge
    ops: tuple[Op, ...]
    base_at: At = field(default=NOWHERE, compare=False, repr=False)
    """Where BASE stands: a base that cannot be had is reported there."""

    def named(self) -> Iterator[FromBuild]:
        """The builds that its base and its copies name, not those that its nested builds do."""
        match self.base:
            case FromBuild():
                yield self.base
            case FromMerge(builds):
                yield from builds
        yield from (op.source for op in self.ops if isinstance(op, Copy) and isinstance(op.source, FromBuild))


@dataclass(frozen=True, slots=True)
class Param:
    """`(param NAME VALUE?)`: a name for a text, with the one it has unless it is set."""

    name: str
    value: str | None
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Include:
    """`(include PATH)`: another workflow's items, in this place."""

    path: str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """`(NAME VALUE)`: a label, or what an axis must be for a combination to be excluded."""

    name: str
    value: str
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Axis:
    """`(NAME VALUE…)`: one name that takes each of its values."""

    name: str
    values: tuple[str, ...]
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Matrix:
    """`(matrix AXIS… (exclude PAIR…)…)`: all combinations of the axes, but those that match a whole `exclude`."""

    axes: tuple[Axis, ...]
    excludes: tuple[tuple[Pair, ...], ...] = ()
    at: At = field(default=NOWHERE, compare=False, repr=False)


Priority = Literal["low", "normal", "high"]


@dataclass(frozen=True, slots=True)
class NamedBuild:
    """`(build NAME matrix? body)` of a workflow: not built for itself, but for what names it below."""

    name: str
    spec: Spec
    matrix: Matrix | None = None
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """`(job NAME (matrix …)? (labels …)? (priority …)? body)`: a job, or one for each combination of a matrix."""

    name: str
    spec: Spec
    matrix: Matrix | None = None
    labels: tuple[Pair, ...] = ()
    priority: Priority = "normal"
    at: At = field(default=NOWHERE, compare=False, repr=False)


Item = Param | Include | NamedBuild | Job


@dataclass(frozen=True, slots=True)
class Workflow:
    """`(workflow item*)`: many jobs, and what they share. Names are seen below their place only."""

    items: tuple[Item, ...]
    at: At = field(default=NOWHERE, compare=False, repr=False)
