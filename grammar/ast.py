"""The tree of a spec: one frozen class an op, in the order and with the fields of OBuilder's language.

Equality is equality of meaning: places (`at`) never count. Strings hold what sexplib's atoms hold;
bytes that are not UTF-8 are lone surrogates, as `os.fsdecode` has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


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

    uid: int
    gid: int
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
    """`(from (build NAME))`: the result of a nested build in scope."""

    name: str
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
class Run:
    """`(run (cache …)? (network N…)? (secrets …)? (shell CMD))`: one command in a sandbox."""

    command: str
    cache: tuple[Mount, ...] = ()
    network: tuple[str, ...] = ()
    secrets: tuple[Mount, ...] = ()
    at: At = field(default=NOWHERE, compare=False, repr=False)


Op = Comment | Workdir | Shell | Env | UserIds | UserName | Copy | Run


@dataclass(frozen=True, slots=True)
class Build:
    """`(build NAME spec)`: a nested build, seen by name in the copies below it."""

    name: str
    spec: Spec
    at: At = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Spec:
    """`((build NAME spec)* (from BASE) op*)`: one job, or one nested build."""

    builds: tuple[Build, ...]
    base: str
    ops: tuple[Op, ...]
    base_at: At = field(default=NOWHERE, compare=False, repr=False)
    """Where BASE stands: a base that cannot be had is reported there."""
