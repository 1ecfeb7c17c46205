"""What a copy takes from a folder, by OBuilder's rules: the same for a context, which the engine lists to know
its digest, and for a built step, which the helper lists in a namespace where it can see it.

Links are never followed: every step down is an `openat` with O_NOFOLLOW.

Errors: `Refused` where the request is wrong; `OSError`, with the path from the folder as its file name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Set
from typing import NamedTuple

from system.helper.refused import Refused

DOWN = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TOP = "."
"""The path of the folder itself."""


class Found(NamedTuple):
    """A file, "dir" or "link" below the folder. `target` is a link's, "" for all others."""

    path: str
    kind: str
    executable: bool
    target: str
    status: os.stat_result


class _Open(NamedTuple):
    descriptor: int
    prefix: str
    rest: list[os.DirEntry[str]]
    """What is yet to be visited, last first."""


def tree(folder: int, source: str, exclude: Set[str]) -> list[Found]:
    """What the copy source `source` of the open folder names, and all below it, each folder before what it holds and
    its names in the order of their bytes. Names in `exclude` are left out at any depth; the source itself is not.
    """
    path, parent = _parent(folder, source)
    try:
        name = path.rpartition("/")[2]
        first = _found(parent, name, path, _lstat(parent, name, path))
        if first.kind != "dir":
            if source.endswith(("/", "/.")):
                raise _not_a_folder(path, first.status)
            return [first]
        found = [first]
        stack = [_list(parent, name, path, exclude)]
    finally:
        os.close(parent)
    try:
        while stack:
            above = stack[-1]
            while above.rest:
                entry = above.rest.pop()
                path = above.prefix + entry.name
                item = _found(above.descriptor, entry.name, path, _lstat(above.descriptor, entry.name, path))
                found.append(item)
                if item.kind == "dir":
                    stack.append(_list(above.descriptor, entry.name, path, exclude))
                    break
            else:
                os.close(stack.pop().descriptor)
    finally:
        for above in stack:
            os.close(above.descriptor)
    return found


def normal(source: str) -> str:
    """A source path without empty and `.` components; `TOP` where nothing is left. `Refused` for `..`."""
    names = source.split("/")
    if ".." in names:
        raise Refused(f'can\'t use ".." in source paths: "{source}"')
    return "/".join(name for name in names if name not in ("", ".")) or TOP


def _parent(folder: int, source: str) -> tuple[str, int]:
    """The normal path of a source, and a new descriptor of the folder it stands in."""
    path = normal(source)
    names = path.split("/")[:-1]
    parent = os.open(".", os.O_PATH | DOWN, dir_fd=folder)
    for depth, name in enumerate(names, 1):
        above = "/".join(names[:depth])
        try:
            below = os.open(name, os.O_PATH | DOWN, dir_fd=parent)
        except NotADirectoryError:
            raise _not_a_folder(above, os.lstat(name, dir_fd=parent)) from None
        except FileNotFoundError:
            raise Refused(f'source path "{path}" not found') from None
        except OSError as error:
            raise _named(error, above) from None
        finally:
            os.close(parent)
        parent = below
    if _missing(parent, path.rpartition("/")[2]):
        os.close(parent)
        raise Refused(f'source path "{path}" not found')
    return path, parent


def _missing(parent: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # the next to look says why
    return False


def _not_a_folder(path: str, status: os.stat_result) -> Refused:
    what = "is a symlink, not a directory" if stat.S_ISLNK(status.st_mode) else "is not a directory"
    return Refused(f'source path "{path}" {what}')


def _lstat(parent: int, name: str, path: str) -> os.stat_result:
    try:
        return os.lstat(name, dir_fd=parent)
    except OSError as error:
        raise _named(error, path) from None


def _found(parent: int, name: str, path: str, status: os.stat_result) -> Found:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return Found(path, "file", bool(mode & 0o111), "", status)
    if stat.S_ISDIR(mode):
        return Found(path, "dir", False, "", status)
    if stat.S_ISLNK(mode):
        try:
            return Found(path, "link", False, os.readlink(name, dir_fd=parent), status)
        except OSError as error:
            raise _named(error, path) from None
    raise Refused(f'"{path}" is not a file, directory or symlink, and cannot be copied')


def _list(parent: int, name: str, path: str, exclude: Set[str]) -> _Open:
    try:
        descriptor = os.open(name, os.O_RDONLY | DOWN, dir_fd=parent)
    except OSError as error:
        raise _named(error, path) from None
    try:
        with os.scandir(descriptor) as entries:
            rest = [entry for entry in entries if entry.name not in exclude]
    except OSError as error:
        os.close(descriptor)
        raise _named(error, path) from None
    rest.sort(key=lambda entry: os.fsencode(entry.name), reverse=True)
    return _Open(descriptor, "" if path == TOP else f"{path}/", rest)


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, path)
