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
        for entry in list(os.scandir(folders.pop())):
            entries += 1
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                size += entry.stat(follow_symlinks=False).st_blocks * 512
    return entries, size


def dressed_alike(one: Path, other: Path) -> bool:
    """Whether two folders have the same owner, mode and extended attributes, overlayfs' own apart."""

    def dress(folder: Path) -> tuple[int, int, int, dict[str, bytes]]:
        info = os.stat(folder)
        return info.st_uid, info.st_gid, info.st_mode, {name: os.getxattr(folder, name) for name in _xattrs(folder)}

    return dress(one) == dress(other)


def join(layers: Sequence[Path], target: Path, below: Sequence[Path]) -> None:
    """Make `target`, a new folder that looks, as one layer over `below`, like `layers`; both from bottom to top.

    A whiteout stays where it hides something. Elsewhere it must go: overlayfs lists a folder that only one
    layer has as it is, whiteouts and all.
    """
    os.mkdir(target)
    joining = _Joining(below)
    for layer in layers:
        joining.lay(os.fspath(layer), os.fspath(target), "", alone=False)


class _Joining:
    def __init__(self, below: Sequence[Path]) -> None:
        self._below = {"": [os.fspath(layer) for layer in reversed(below)]}

    def lay(self, source: str, target: str, path: str, *, alone: bool) -> None:
        """Lay one layer's folder `path` over what is in the target. `alone`: it shows nothing of what is below."""
        for entry in list(os.scandir(source)):
            place, inside = f"{target}/{entry.name}", f"{path}/{entry.name}".lstrip("/")
            there = _status(place)
            if entry.is_dir(follow_symlinks=False):
                opaque = _is_opaque(entry.path)
                if there is None:
                    os.mkdir(place)
                elif opaque or not stat.S_ISDIR(there.st_mode):
                    # A file or whiteout hides what is below it. The kernel need not make a folder opaque that
                    # comes over a whiteout of another layer; in one layer only opacity can say it.
                    _remove(place, there)
                    os.mkdir(place)
                    opaque = True
                else:
                    opaque = _is_opaque(place)
                self.lay(entry.path, place, inside, alone=alone or opaque)
                if opaque:
                    os.setxattr(place, _OPAQUE, b"y")
            else:
                if there is not None:
                    _remove(place, there)
                if not _is_whiteout(entry.stat(follow_symlinks=False)) or (not alone and self._shows(inside)):
                    os.link(entry.path, place, follow_symlinks=False)
        dress(target, like=source)

    def _shows(self, path: str) -> bool:
        """Whether there is something at a path in what is below."""
        folder, _, name = path.rpartition("/")
        found = (_status(f"{below}/{name}") for below in self._folders(folder))
        return not _is_whiteout(next((status for status in found if status is not None), None))

    def _folders(self, path: str) -> list[str]:
        """The folders that are merged at a path in what is below, the topmost first."""
        if path not in self._below:
            above, _, name = path.rpartition("/")
            merged = self._below[path] = []
            for folder in self._folders(above):
                status = _status(f"{folder}/{name}")
                if status is None:
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    break
                merged.append(f"{folder}/{name}")
                if _is_opaque(merged[-1]):
                    break
        return self._below[path]


def dress(target: str | Path, *, like: str | Path) -> None:
    """Give a folder the owner, mode, attributes and times of another: a layer changes what its folders look like. To
    be done when the entries are in place."""
    info = os.stat(like)
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, info.st_mode & 0o7777)
    wanted = _xattrs(like)
    for name in _xattrs(target):
        if name not in wanted:
            os.removexattr(target, name)
    for name in wanted:
        os.setxattr(target, name, os.getxattr(like, name))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _xattrs(folder: str | Path) -> list[str]:
    """What a step sees of a folder's extended attributes. Overlayfs' own speak of one layer."""
    return [name for name in os.listxattr(folder) if not name.startswith("trusted.overlay.")]


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _is_whiteout(status: os.stat_result | None) -> bool:
    """Whether a status says that nothing is there."""
    return status is None or (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0)


def _is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, _OPAQUE) == b"y"
    except OSError:
        return False


def _remove(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)
