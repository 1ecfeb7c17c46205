"""Which store a folder has or can have.

A store's kind is in its folder, in the file `driver`, from its first `start()` on. Where there is none yet, a tiny
overlay is tried on the spot: as a detached mount, which no namespace ever shows, and nothing is left of it.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from stores.directory import directory
from stores.overlay import overlay
from stores.store import Store
from stores.tree import kind_of
from system.errors import InputError, StoreError

_KINDS = {"overlay": overlay, "directory": directory}


def default(folder: Path) -> Store:
    """The store of the kind that `folder` has; in a new one an overlay where that works, else plain copies."""
    folder = folder.absolute()
    kind = kind_of(folder) or ("directory" if why_not_overlay(folder) else "overlay")
    return _KINDS[kind](folder)


def open_store(url: str) -> Store:
    """The store that `KIND:FOLDER` names. Makes nothing."""
    kind, colon, place = url.partition(":")
    if not colon or not place:
        raise InputError(f'"{url}" names no store', hint="a store is KIND:FOLDER, as in overlay:/srv/stepwood")
    if kind not in _KINDS:
        raise InputError(f'a store of kind "{kind}" is not supported yet', hint=f"there are {' and '.join(_KINDS)}")
    folder = Path(place).expanduser().absolute()
    found = kind_of(folder)
    if found is None and kind == "overlay":
        reason = why_not_overlay(folder)
        if reason is not None:
            raise StoreError(f"there can be no overlay store in {folder}: {reason}", hint=f"use directory:{folder}")
    if found not in (None, kind):
        raise StoreError(f"{folder} holds a store of kind {found}, not {kind}", hint=f"use {found}:{folder}")
    return _KINDS[kind](folder)


def why_not_overlay(folder: Path) -> str | None:
    """What keeps an overlay store from working in `folder`; None where one works. A missing folder is not made."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        trial = Path(tempfile.mkdtemp(prefix=".stepwood-probe-", dir=place))
    except OSError as error:
        return f"{place} cannot be written: {error.strerror}"
    try:
        return _try(trial)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _try(trial: Path) -> str | None:
    """Mount an overlay and delete a file in it, which leaves a whiteout."""
    from system.helper import syscalls
    from system.helper.mounts import OVERLAY_OPTIONS

    for name in ("lower", "upper", "work"):
        (trial / name).mkdir()
    (trial / "lower" / "file").touch()
    opened: list[int] = []
    try:
        opened.append(os.open(trial, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        opened.append(context := syscalls.fsopen(b"overlay"))
        for key in ("lower", "upper", "work"):
            # An option holds 255 bytes, a path may be longer.
            syscalls.fsconfig(context, f"{key}dir".encode(), f"/proc/self/fd/{opened[0]}/{key}".encode())
        for option, value in OVERLAY_OPTIONS:
            syscalls.fsconfig(context, option.encode(), value.encode())
        syscalls.fsconfig(context, b"volatile", None)
        opened.append(mount := syscalls.fsmount(context, 0))
        os.unlink("file", dir_fd=mount)
    except OSError as error:
        return _reason(error, trial)
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)
    return None


def _reason(error: OSError, trial: Path) -> str:
    match error.errno:
        case errno.EPERM | errno.EACCES:
            return "mounting one is not permitted; it needs root"
        case errno.ENODEV:
            return "this kernel has no overlayfs"
        case errno.ENOSYS:
            return "this kernel is too old: it has no fsopen"
        case errno.EINVAL:
            return f"the kernel takes no upper layer on {_filesystem(trial)}"
        case _:
            return f"trying one failed: {error.strerror or error}"


def _filesystem(path: Path) -> str:
    """The kind of the filesystem that holds a path: proc_pid_mountinfo(5)."""
    status = os.stat(path)
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        words = line.split(" ")
        if words[2] == device:
            return words[words.index("-") + 1]
    return "this filesystem"
