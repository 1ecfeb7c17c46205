"""The Dockerfile that does what a spec does, by OBuilder's rules.

What Docker cannot say is left out: `exclude` and `network`; caches and secrets need BuildKit. Nested
builds become stages. As in OBuilder nothing is escaped for Docker but the values of `env`: a `$` is
Docker's variable. Two things OBuilder gets wrong are right here: each line of a comment is a comment,
and a copy whose paths hold blanks is written as JSON.
"""

from __future__ import annotations

import json
from typing import Literal

from grammar.ast import Comment, Copy, Env, FromBuild, Mount, Op, Run, Shell, Spec, UserIds, UserName, Workdir
from system.errors import InputError

Escape = Literal["unix", "windows"]
User = UserIds | UserName

_ESCAPE = {"unix": "\\", "windows": "`"}
_ROOT: dict[str, User] = {"unix": UserIds(0, 0), "windows": UserName("ContainerAdministrator")}


def dockerfile(spec: Spec, *, buildkit: bool = False, escape: Escape = "unix") -> str:
    """The text of the Dockerfile; `buildkit` keeps caches and secrets, `escape` chooses Docker's escape character.

    Raises InputError where a cache or a secret needs the number of a user and only its name is known.
    """
    head = ["#escape=`"] if escape == "windows" else []
    return "".join(f"{line}\n" for line in [*head, *_stage(spec, "", buildkit, escape)])


def _stage(spec: Spec, name: str, buildkit: bool, escape: Escape) -> list[str]:
    """The lines of a stage, those it copies from first; each begins as root, whatever stands around it."""
    lines: list[str] = []
    for build in spec.builds:
        lines += [*_stage(build.spec, build.name, buildkit, escape), ""]
    lines.append(f"FROM {spec.base} as {name}" if name else f"FROM {spec.base}")
    user = _ROOT[escape]
    for op in spec.ops:
        lines.append(_line(op, user, buildkit, escape))
        if isinstance(op, UserIds | UserName):
            user = op
    return lines


def _line(op: Op, user: User, buildkit: bool, escape: Escape) -> str:
    match op:
        case Comment(text):
            line = "\n".join(f"# {part}" for part in text.split("\n"))
        case Workdir(path):
            line = f"WORKDIR {path}"
        case Shell(argv):
            line = f"SHELL [ {', '.join(map(_json, argv))} ]"
        case Env(name, value):
            special = ('"', _ESCAPE[escape])
            escaped = "".join(_ESCAPE[escape] + char if char in special else char for char in value)
            line = f'ENV {name}="{escaped}"'
        case UserIds(uid, gid):
            line = f"USER {uid}:{gid}"
        case UserName(name):
            line = f"USER {name}"
        case Copy():
            line = f"COPY {_copy(op, user, escape)}"
        case Run():
            command = [part.strip(" \t\n\r\f") for part in op.command.split("\n")]
            mounts = _mounts(op, user) if buildkit else ""
            line = f"RUN {mounts}" + f" {_ESCAPE[escape]}\n    ".join(command)
    return line


def _copy(op: Copy, user: User, escape: Escape) -> str:
    words: list[str] = []
    if user not in _ROOT.values():
        match user:
            case UserIds(uid, gid):
                words.append(f"--chown={uid}:{gid}")
            case UserName(name) if escape == "unix":  # Windows has no owners that Docker could set
                words.append(f"--chown={name}")
    if isinstance(op.source, FromBuild):
        words.append(f"--from={op.source.name}")
    paths = [*op.sources, op.destination]
    if any(path.split() != [path] for path in paths):
        return " ".join([*words, f"[{', '.join(map(_json, paths))}]"])
    return " ".join([*words, *paths])


def _mounts(op: Run, user: User) -> str:
    found = [*[("secret", mount) for mount in op.secrets], *[("cache", mount) for mount in op.cache]]
    return "".join(f"{_mount(kind, mount, user)} " for kind, mount in found)


def _mount(kind: str, mount: Mount, user: User) -> str:
    if isinstance(user, UserName):
        raise InputError(
            f"Docker usage requires numerical user ids: {kind} {mount.id} is mounted for the user {user.name}",
            hint="write (user (uid N) (gid N)) before the run, or leave out --buildkit",
        )
    options = [("id", mount.id), ("target", mount.target), ("uid", str(user.uid)), *mount.options]
    return ",".join([f"--mount=type={kind}", *[f"{key}={value}" for key, value in options]])


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
