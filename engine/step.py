"""A step: one node of the DAG, and everything its id is made of."""

from __future__ import annotations

from dataclasses import dataclass

StepId = str
"""64 lower-case hexadecimal digits: the SHA-256 of a step's canonical encoding (`engine.digest`)."""

SHORT = 12
"""Digits of an id that people are shown; any unique prefix names a step."""


Env = tuple[tuple[str, str], ...]
"""Variables sorted by name, each name once."""


@dataclass(frozen=True, slots=True)
class Ids:
    """A user and a group by number."""

    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Named:
    """A user as the root's own passwd and group files name it: `name`, `name:group`, `uid` or `uid:gid`."""

    name: str


User = Ids | Named


@dataclass(frozen=True, slots=True)
class Config:
    """What a base brings besides its files: the context its first op starts from."""

    env: Env = ()
    user: User = Ids()
    workdir: str = "/"
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """A root filesystem from outside, pinned. `reference` is how it was asked for and where to fetch it."""

    reference: str
    digest: str
    config: Config
    source: str
    """The pinned URL to fetch from; not in the id, since the digest says what is fetched."""


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A cache that a run mounts. Only `target` is in the id."""

    name: str
    target: str
    locked: bool = False


@dataclass(frozen=True, slots=True)
class SecretMount:
    """A secret that a run mounts. Id and target are in the id, the value never."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Run:
    """One command on the root of `input`."""

    input: StepId
    command: str
    shell: tuple[str, ...]
    cwd: str
    env: Env
    user: User
    network: tuple[str, ...] = ()
    caches: tuple[CacheMount, ...] = ()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a context: its path from the context's folder, and what of it is copied.

    kind: "file", "dir" or "link"; `content` is a file's SHA-256 in hex or a link's target, "" for a folder.
    """

    path: str
    kind: str
    executable: bool
    content: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files that one copy takes from a context, in the order of the walk, and their digest.

    `starts` holds, for each source, the index in `entries` at which its tree starts.
    """

    folder: str
    """The context's folder on this machine; not in the id."""
    digest: str
    entries: tuple[Entry, ...]
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FromContext:
    """Copy from the context: the manifest says what exactly."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class FromStep:
    """Copy from the result of another step."""

    step: StepId


@dataclass(frozen=True, slots=True)
class Copy:
    """Files from a context or a built step into the root of `input`.

    `destination` is absolute; it ends in `/` for a folder.
    """

    input: StepId
    source: FromContext | FromStep
    sources: tuple[str, ...]
    destination: str
    exclude: tuple[str, ...]
    owner: User


@dataclass(frozen=True, slots=True)
class Merge:
    """The union of what several steps left; no two of them changed the same path from what they have in common."""

    inputs: tuple[StepId, ...]


Action = Base | Run | Copy | Merge


TRIES = 3
"""How often what may pass by itself is tried where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What bounds the attempts of a run, and which of its failures are tried again. Not in the id.

    `timeout` and `silence` are seconds, of the whole attempt and without output; None is no limit. `attempts` counts
    all tries of what is tried again: what the machine is to blame for, the exit statuses in `exits`, and a log in
    which one of the regular expressions `logs` is found.
    """

    timeout: float | None = None
    silence: float | None = None
    attempts: int = TRIES
    exits: frozenset[int] = frozenset()
    logs: tuple[str, ...] = ()

    def merged(self, other: Policy) -> Policy:
        """What holds for a step that two jobs share: the longer times, the rules of both, the most attempts."""
        return Policy(
            _longer(self.timeout, other.timeout),
            _longer(self.silence, other.silence),
            max(self.attempts, other.attempts),
            self.exits | other.exits,
            tuple(dict.fromkeys(self.logs + other.logs)),
        )


DEFAULT = Policy()


def _longer(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def kind(action: Action) -> str:
    """The word for a kind of step: it heads the id's encoding, and plans, events and the index show it."""
    match action:
        case Base():
            return "base"
        case Run():
            return "run"
        case Copy():
            return "copy"
        case Merge():
            return "merge"


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the DAG. `op` is the op as one line of canonical spec text; it is for people and not in the id."""

    id: StepId
    op: str
    action: Action
    policy: Policy = DEFAULT

    @property
    def kind(self) -> str:
        return kind(self.action)

    @property
    def inputs(self) -> tuple[StepId, ...]:
        """The steps whose results this one reads; the root it starts from comes first."""
        match self.action:
            case Base():
                return ()
            case Run(input=root):
                return (root,)
            case Copy(input=root, source=FromStep(step=other)) if other != root:
                return (root, other)
            case Copy(input=root):
                return (root,)
            case Merge(inputs=inputs):
                return inputs
