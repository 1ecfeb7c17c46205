"""Roots and mounts as detached mounts: made before the pivot, attached after it.

Sources are taken while the host's tree is still the root; targets are resolved when the step's tree is,
so that a planted link leads nowhere but into that tree.
"""

from __future__ import annotations

import errno
import os

from system.helper import syscalls as sys
from system.launch import Bind, Data, Folder, Layers, Mount, Pseudo, Root, World

CLONE = sys.OPEN_TREE_CLONE

OVERLAY_OPTIONS = (
    # Redirects are not followed and none are made: a renamed folder is copied, so that each layer can be
    # joined with others. `off` would still follow those of a hostile image.
    ("redirect_dir", "nofollow"),
    ("index", "off"),
    ("metacopy", "off"),
    ("xino", "off"),
)


def root(tree: Root, stage: Stage, *, nodev: bool = True) -> int:
    """A detached mount of a root."""
    attributes = sys.MOUNT_ATTR_NODEV if nodev else 0
    match tree:
        case Folder(path=path, readonly=readonly):
            mount = sys.open_tree(sys.AT_FDCWD, os.fsencode(path), CLONE | sys.AT_SYMLINK_NOFOLLOW)
            attributes |= sys.MOUNT_ATTR_RDONLY if readonly else 0
            if attributes:
                sys.mount_setattr(mount, attributes)
            return mount
        case Layers():
            return _overlay(tree, stage, attributes | (0 if tree.upper else sys.MOUNT_ATTR_RDONLY))


def _overlay(layers: Layers, stage: Stage, attributes: int) -> int:
    os.chdir(layers.folder)
    context = sys.fsopen(b"overlay")
    try:
        for lower in reversed(layers.lowers):  # the kernel wants the topmost first
            sys.fsconfig(context, b"lowerdir+", os.fsencode(lower))
        for key, value in OVERLAY_OPTIONS:
            sys.fsconfig(context, key.encode(), value.encode())
        sys.fsconfig(context, b"uuid", b"null")
        if layers.upper is not None and layers.work is not None:
            sys.fsconfig(context, b"upperdir", os.fsencode(layers.upper))
            sys.fsconfig(context, b"workdir", os.fsencode(layers.work))
            # An interrupted step is thrown away whole, so its syncs would be wasted.
            sys.fsconfig(context, b"volatile", None)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return overlay_by_page(layers, attributes, stage.root)  # before Linux 6.5: no lowerdir+
    else:
        return sys.fsmount(context, attributes)
    finally:
        os.close(context)


def overlay_by_page(layers: Layers, attributes: int, place: str) -> int:
    """As `_overlay`, by mount(2), whose options must fit one page of 4 KiB.

    mount(2) attaches at once, so this needs a `place`, which is covered for a moment in this namespace.
    """
    os.chdir(layers.folder)
    options = ["lowerdir=" + ":".join(lower.replace(":", "\\:") for lower in reversed(layers.lowers))]
    options += [f"{key}={value}" for key, value in OVERLAY_OPTIONS]
    if layers.upper is not None:
        options += [f"upperdir={layers.upper}", f"workdir={layers.work}", "volatile"]
    page = os.fsencode(",".join(options))
    if len(page) >= 4096:  # the kernel would cut it off, and might mount what is left
        raise OSError(errno.E2BIG, "too many layers for one mount", "overlay")
    sys.mount(b"overlay", place.encode(), b"overlay", 0, page)
    mount = sys.open_tree(sys.AT_FDCWD, place.encode(), CLONE)
    sys.umount(place.encode())
    if attributes:
        sys.mount_setattr(mount, attributes)
    return mount


def source(mount: Mount, stage: Stage) -> int:
    """A detached mount of what a `Mount` brings."""
    attributes = (
        (sys.MOUNT_ATTR_RDONLY if mount.readonly else 0)
        | (sys.MOUNT_ATTR_NOSUID if mount.nosuid else 0)
        | (sys.MOUNT_ATTR_NODEV if mount.nodev else 0)
        | (sys.MOUNT_ATTR_NOEXEC if mount.noexec else 0)
    )
    match mount.source:
        case Pseudo(kind=kind, options=options):
            return pseudo(kind, options, attributes)
        case Bind(path=path):
            detached = sys.open_tree(sys.AT_FDCWD, os.fsencode(path), CLONE | sys.AT_RECURSIVE)
        case Data():
            detached = sys.open_tree(sys.AT_FDCWD, os.fsencode(stage.file(mount.source)), CLONE)
        case Folder() | Layers():
            detached = root(mount.source, stage)
    if attributes:
        sys.mount_setattr(detached, attributes, recursive=True)
    return detached


def pseudo(kind: str, options: tuple[tuple[str, str], ...], attributes: int) -> int:
    """A detached mount of a new kernel filesystem."""
    context = sys.fsopen(kind.encode())
    try:
        for key, value in options:
            sys.fsconfig(context, key.encode(), value.encode() if value else None)
        return sys.fsmount(context, attributes)
    finally:
        os.close(context)


class Stage:
    """The helper's own tmpfs, mounted over a folder that the engine gives: what every launch may need.

    `root`: where a new root is attached before the pivot. `empty`: what masked folders become.
    `places`: where a world's mounts stand until its launch comes. The files of a world, like its hosts file,
    are made once; those of a launch go on a tmpfs of that launch over `box`, which goes with it.
    """

    def __init__(self, folder: str) -> None:
        self.root, self.empty, self._box = f"{folder}/root", f"{folder}/empty", f"{folder}/box"
        self.places = [f"{folder}/{number}" for number in range(8)]
        self._folder = folder
        self._boxed = 0
        self._kept: dict[Data, str] = {}

    def prepare(self) -> None:
        tmpfs = pseudo("tmpfs", (("mode", "0700"),), sys.MOUNT_ATTR_NODEV | sys.MOUNT_ATTR_NOSUID)
        put(tmpfs, self._folder)
        for folder in (self.root, self.empty, self._box, *self.places):
            os.mkdir(folder, 0o755)

    def keep(self, world: World) -> None:
        """Make the files of a world, in the helper and before any child that needs them."""
        for mount in world.mounts:
            if isinstance(mount.source, Data) and mount.source not in self._kept:
                path = f"{self._folder}/kept{len(self._kept)}"
                _write(path, mount.source)
                self._kept[mount.source] = path

    def file(self, data: Data) -> str:
        """The path of a file with this content."""
        if data in self._kept:
            return self._kept[data]
        if self._boxed == 0:
            tmpfs = pseudo("tmpfs", (("mode", "0700"),), sys.MOUNT_ATTR_NODEV | sys.MOUNT_ATTR_NOSUID)
            put(tmpfs, self._box)
        self._boxed += 1
        path = f"{self._box}/{self._boxed}"
        _write(path, data)
        return path


def _write(path: str, data: Data) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data.content)
        file.flush()
        os.fchown(descriptor, data.uid, data.gid)
        os.fchmod(descriptor, data.mode)


def copy(place: str) -> int:
    """The mount that stands at a place, with all below it, as one detached tree."""
    return sys.open_tree(sys.AT_FDCWD, os.fsencode(place), CLONE | sys.AT_RECURSIVE)


def put(mount: int, place: str) -> None:
    """Attach a detached mount at a mount point that is there."""
    sys.move_mount(mount, sys.AT_FDCWD, os.fsencode(place))
    os.close(mount)


def attach(mount: int, target: str, *, folder: bool) -> None:
    """Attach a detached mount below the current root, making a missing mount point: where the target is a
    link to nowhere, what it names."""
    try:
        put(mount, target)
    except FileNotFoundError:
        target = os.path.realpath(target)
        os.makedirs(target if folder else os.path.dirname(target), mode=0o755, exist_ok=True)
        if not folder:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        put(mount, target)


def is_folder(mount: Mount) -> bool:
    """Whether a mount needs a folder as its mount point; asked before the pivot."""
    match mount.source:
        case Bind(path=path):
            return os.path.isdir(path)
        case Data():
            return False
        case _:
            return True
