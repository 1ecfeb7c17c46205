"""Functions that look into a tree, chrooted in it, by name: what a `Call` may run.

They are standard library only, import nothing once they run (the tree is hostile and the host's files are out of
sight), never start a program, and talk through descriptors. A planted link leads nowhere but into
the tree. `Refused` is how one says that what it was asked for is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from system.helper import refused

Refused = refused.Refused


def home(uid: int) -> str:
    """The home folder that the root's own passwd file gives a user; `/` where it gives none, as in runc."""
    for name, fields in _entries("/etc/passwd", 7):
        del name
        if fields[1] == str(uid) and fields[4]:
            return fields[4]
    return "/"


def _entries(path: str, width: int) -> list[tuple[str, list[str]]]:
    """The lines of a passwd(5) or group(5) file that have all their fields: (name, the fields after it)."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":") for line in file]
    except OSError:
        return []
    return [(line[0], line[1:]) for line in lines if len(line) == width]


def resolve_user(output: int, name: str) -> None:
    """Write `uid gid group…` for a user as a container image names it: `name[:group]` or `uid[:gid]`."""
    user, _, group = name.partition(":")
    passwd = _entries("/etc/passwd", 7)
    groups = _entries("/etc/group", 4)
    row = next((fields for known, fields in passwd if user in (known, fields[1])), None)
    login = next((known for known, fields in passwd if user in (known, fields[1])), user)
    if row is None and not user.isdecimal():
        raise Refused(f'the root has no user "{user}" in its passwd file')
    uid = int(user if row is None else row[1])
    gid = 0 if row is None else int(row[2])
    more: list[int] = []
    if group:
        found = next((fields for known, fields in groups if group in (known, fields[1])), None)
        if found is None and not group.isdecimal():
            raise Refused(f'the root has no group "{group}" in its group file')
        gid = int(group if found is None else found[1])
    else:
        more = [int(fields[1]) for _, fields in groups if login in fields[2].split(",")]
    os.write(output, " ".join(map(str, [uid, gid, *more])).encode())


def function(name: str) -> Callable[..., None]:
    """The function of this name, with all it imports. To be called while the host's tree is still the root; and not
    before the clone, because every page of memory that the helper has makes each of its steps slower."""
    match name:
        case "copy":
            from system.helper.copying import copy

            return copy
        case "unpack":
            from system.helper.layers import unpack

            return unpack
        case "resolve_user":
            return resolve_user
        case _:
            raise ValueError(f"there is no function {name}")
