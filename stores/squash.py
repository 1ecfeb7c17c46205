"""Several overlay layers as one, by hard links.

Whiteouts and opaque folders are as in the kernel's filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

_OPAQUE = "trusted.overlay.opaque"


def measure(layer: Path) -> tuple[int, int]:
    """How many entries a layer has below its root, and how many bytes its files take on disk."""
    entries = size = 0
    folders = [os.fspath(layer)]
    while folders:
        for entry in os.scandir(folders.pop()):
            entries += 1
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                size += entry.stat(follow_symlinks=False).st_blocks * 512
    return entries, size


def new(folder: Path, *, like: Path) -> None:
    """Make an empty layer whose root looks like that of `like`; else a new layer would change a tree's root."""
    os.mkdir(folder)
    _dress(os.fspath(like), os.fspath(folder))


def dressed_alike(one: Path, other: Path) -> bool:
    """Whether two folders have the same owner, mode and extended attributes, overlayfs' own apart."""

    def dress(folder: Path) -> tuple[int, int, int, dict[str, bytes]]:
        info = os.stat(folder)
        return info.st_uid, info.st_gid, info.st_mode, {name: os.getxattr(folder, name) for name in _xattrs(folder)}

    return dress(one) == dress(other)


def join(layers: Sequence[Path], target: Path) -> None:
    """Make `target`, a new folder that looks, as one layer, like `layers` from bottom to top. Whiteouts stay:
    what they hide may be in a layer below these."""
    os.mkdir(target)
    for layer in layers:
        _lay(os.fspath(layer), os.fspath(target))


def _lay(source: str, target: str) -> None:
    for entry in list(os.scandir(source)):
        place = f"{target}/{entry.name}"
        there = _kind(place)
        if entry.is_dir(follow_symlinks=False):
            opaque = _is_opaque(entry.path)
            if there is None:
                os.mkdir(place)
            elif opaque or not stat.S_ISDIR(there):
                # A file or whiteout hides what is below it. The kernel need not make a folder opaque that comes
                # over a whiteout of another layer; in one layer only opacity can say it.
                _remove(place, there)
                os.mkdir(place)
                opaque = True
            _lay(entry.path, place)
            if opaque:
                os.setxattr(place, _OPAQUE, b"y")
        else:
            if there is not None:
                _remove(place, there)
            os.link(entry.path, place, follow_symlinks=False)
    _dress(source, target)


def _dress(source: str, target: str) -> None:
    """A folder's owner, mode, attributes and times, after its entries are in place."""
    info = os.stat(source)
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, info.st_mode & 0o7777)
    wanted = _xattrs(source)
    for name in _xattrs(target):
        if name not in wanted:
            os.removexattr(target, name)
    for name in wanted:
        os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _xattrs(folder: str | Path) -> list[str]:
    """What a step sees of a folder's extended attributes. Overlayfs' own speak of one layer."""
    return [name for name in os.listxattr(folder) if not name.startswith("trusted.overlay.")]


def _kind(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, _OPAQUE) == b"y"
    except OSError:
        return False


def _remove(path: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)
