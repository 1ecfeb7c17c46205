"""The `copy` op, chrooted in its destination: OBuilder's rules, carried out between directory descriptors.

The source is never reached through a link. The destination may be: a link of the image to a folder is
followed, as merged-usr images need, and leads nowhere but into the image.

What stands in the way is treated as GNU tar does: a file or link gives way to a file, link or folder; a
folder stays and gets the owner, mode and time of the one copied onto it. Unlike tar, an empty folder
does not give way to a file either, and a link to a folder is kept.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from system.helper import walk
from system.helper.refused import Refused

Item = tuple[str, str, bool, str]
"""Path, kind, executable, content, as in `engine.step.Entry`. A file's content "" is not checked."""

CHUNK = 1 << 20
FOLDER_MODE, PROGRAM_MODE, FILE_MODE = 0o755, 0o755, 0o644
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_RANGE = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
# What opening a folder gives for a file, for a link that leads nowhere, and for one that leads to itself.
_NO_FOLDER = (errno.ENOTDIR, errno.ENOENT, errno.ELOOP)
# What a source gives when it is no longer what was listed.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO)


class Sources(NamedTuple):
    """What to copy, where that is still to be listed."""

    paths: tuple[str, ...]
    exclude: tuple[str, ...]


Listed = tuple[tuple[Item, ...], ...]
"""What there is to copy, for each source: its first item is the source itself."""


def copy(folder: int, what: Sources | Listed, destination: str, uid: int, gid: int) -> None:
    """Copy from the open `folder` to the absolute path `destination`, for the owner uid:gid.

    `destination` with a `/` at its end takes each source under its basename (the contents of the source
    `.`); else it is what the single source becomes. Missing folders above are made, root's. What differs
    from `Listed` is `Refused`: the step's id was taken of that.
    """
    for items in _list(folder, what) if isinstance(what, Sources) else what:
        top = items[0][0]
        into = destination.endswith("/") and top != walk.TOP
        place = destination + os.path.basename(top) if into else destination.rstrip("/")
        above, name = os.path.split(place)
        target = _folder_at(above or "/")
        try:
            _Tree(folder, uid, gid).copy(items, _To(target, name or ".", place or "/"))
        finally:
            os.close(target)


def _list(folder: int, sources: Sources) -> Listed:
    exclude = frozenset(sources.exclude)
    return tuple(
        tuple((path, kind, executable, target) for path, kind, executable, target, _ in walk.tree(folder, one, exclude))
        for one in sources.paths
    )


class _From(NamedTuple):
    """A name in an open folder, and its path for people."""

    folder: int
    name: str
    path: str


class _To(NamedTuple):
    """A name in an open folder of the destination, and its path for people."""

    folder: int
    name: str
    place: str


class _Level(NamedTuple):
    """A folder being copied."""

    path: str
    source: int
    target: int
    place: str
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class _Tree:
    folder: int
    uid: int
    gid: int

    def copy(self, items: Sequence[Item], to: _To) -> None:
        """Copy one source; its first item becomes `to`."""
        top = items[0]
        parent = self._parent(top[0])
        stack: list[_Level] = []
        try:
            self._item(stack, _From(parent, os.path.basename(top[0]), top[0]), to, top)
            for item in items[1:]:
                above, _, name = item[0].rpartition("/")
                while stack[-1].path != (above or walk.TOP):
                    self._leave(stack.pop())
                level = stack[-1]
                to = _To(level.target, name, f"{level.place.rstrip('/')}/{name}")
                self._item(stack, _From(level.source, name, item[0]), to, item)
            while stack:
                self._leave(stack.pop())
        finally:
            os.close(parent)
            for level in stack:
                os.close(level.source)
                os.close(level.target)

    def _item(self, stack: list[_Level], source: _From, to: _To, item: Item) -> None:
        path, kind, executable, content = item
        if kind == "file":
            self._file(source, to, executable, content)
        elif kind == "link":
            self._link(source, to, content)
        else:
            below = _open(source, os.O_PATH | walk.DOWN)
            try:
                stack.append(_Level(path, below, _enter(to), to.place, os.fstat(below)))
            except BaseException:
                os.close(below)
                raise

    def _parent(self, path: str) -> int:
        """A new descriptor of the folder that holds a source."""
        parent = os.open(".", os.O_PATH | walk.DOWN, dir_fd=self.folder)
        for name in path.split("/")[:-1]:
            try:
                below = _open(_From(parent, name, path), os.O_PATH | walk.DOWN)
            finally:
                os.close(parent)
            parent = below
        return parent

    def _file(self, source: _From, to: _To, executable: bool, content: str) -> None:
        reader = _open(source, _READ)
        try:
            status = os.fstat(reader)
            if not stat.S_ISREG(status.st_mode) or bool(status.st_mode & 0o111) != executable:
                raise _changed(source)
            writer = _create(to)
            try:
                if not content:
                    _copy_plain(reader, writer, status.st_size)
                elif _copy_hashed(reader, writer, status.st_size) != content:
                    raise _changed(source)
                os.fchown(writer, self.uid, self.gid)
                os.fchmod(writer, PROGRAM_MODE if executable else FILE_MODE)  # after chown, which clears bits
                os.utime(writer, ns=(status.st_mtime_ns, status.st_mtime_ns))
            except OSError as error:
                raise _named(error, to.place) from None
            finally:
                os.close(writer)
        finally:
            os.close(reader)

    def _link(self, source: _From, to: _To, content: str) -> None:
        try:
            time = os.lstat(source.name, dir_fd=source.folder).st_mtime_ns
            now = os.readlink(source.name, dir_fd=source.folder)
        except OSError as error:
            raise _changed(source) if error.errno in _GONE else _named(error, source.path) from None
        if now != content:
            raise _changed(source)
        try:
            try:
                os.symlink(content, to.name, dir_fd=to.folder)
            except FileExistsError:
                _clear(to)
                os.symlink(content, to.name, dir_fd=to.folder)
            os.chown(to.name, self.uid, self.gid, dir_fd=to.folder, follow_symlinks=False)
            os.utime(to.name, ns=(time, time), dir_fd=to.folder, follow_symlinks=False)
        except OSError as error:
            raise _named(error, to.place) from None

    def _leave(self, level: _Level) -> None:
        """Give a folder its owner, mode and time, now that nothing more is written to it."""
        try:
            now = os.fstat(level.target)
            # Only what differs: on an overlay each change copies the folder up into the layer.
            if (now.st_uid, now.st_gid) != (self.uid, self.gid):
                os.fchown(level.target, self.uid, self.gid)
            if stat.S_IMODE(now.st_mode) != FOLDER_MODE:
                os.fchmod(level.target, FOLDER_MODE)
            time = level.status.st_mtime_ns
            if now.st_mtime_ns != time:
                os.utime(level.target, ns=(time, time))
        except OSError as error:
            raise _named(error, level.place) from None
        finally:
            os.close(level.source)
            os.close(level.target)


def _open(source: _From, flags: int) -> int:
    try:
        return os.open(source.name, flags, dir_fd=source.folder)
    except OSError as error:
        raise _changed(source) if error.errno in _GONE else _named(error, source.path) from None


def _changed(source: _From) -> Refused:
    return Refused(f'"{source.path}" changed while it was copied; run again')


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, path)


def _folder_at(path: str) -> int:
    """Open a folder of the destination, following its links; what is missing is made, root's and 0755."""
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in path.split("/"):
        if not name:
            continue
        try:
            try:
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
            except FileNotFoundError:
                os.mkdir(name, FOLDER_MODE, dir_fd=folder)
                below = os.open(name, os.O_RDONLY | walk.DOWN, dir_fd=folder)
                os.fchown(below, 0, 0)  # a set-gid folder above would have given its group and bit
                os.fchmod(below, FOLDER_MODE)
        except (NotADirectoryError, FileExistsError):
            raise Refused(f'cannot copy to "{path}": "{name}" is not a directory there') from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Refused(f'cannot copy to "{path}": "{name}" is a symlink that leads nowhere') from None
            raise _named(error, path) from None
        finally:
            os.close(folder)
        folder = below
    return folder


def _enter(to: _To) -> int:
    """Open a folder, or a link to one, in the place of whatever else is there."""
    folder, name, place = to
    try:
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            try:
                return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
            except OSError as error:
                if error.errno not in _NO_FOLDER:
                    raise
                os.unlink(name, dir_fd=folder)
                os.mkdir(name, 0o700, dir_fd=folder)
        return os.open(name, os.O_RDONLY | walk.DOWN, dir_fd=folder)
    except OSError as error:
        raise _named(error, place) from None


def _create(to: _To) -> int:
    """A new empty file in the place of whatever is there, which is never opened or followed."""
    try:
        try:
            return os.open(to.name, _CREATE, 0o600, dir_fd=to.folder)
        except FileExistsError:
            _clear(to)
            return os.open(to.name, _CREATE, 0o600, dir_fd=to.folder)
    except OSError as error:
        raise _named(error, to.place) from None


def _clear(to: _To) -> None:
    """Remove what is there, unless it is a folder."""
    if stat.S_ISDIR(os.lstat(to.name, dir_fd=to.folder).st_mode):
        inside = f'(dst "{to.place.rstrip("/")}/")'
        raise Refused(f'cannot copy a file to "{to.place}": it is a directory; to copy into it, write {inside}')
    os.unlink(to.name, dir_fd=to.folder)


def _copy_hashed(reader: int, writer: int, size: int) -> str:
    """Copy at most `size` bytes and one: a file that grows has another hash, and is not followed for ever."""
    digest = hashlib.sha256()
    left = size + 1
    while left:
        data = os.read(reader, min(left, CHUNK))
        if not data:
            break
        digest.update(data)
        left -= len(data)
        while data:
            data = data[os.write(writer, data) :]
    return digest.hexdigest()


def _copy_plain(reader: int, writer: int, size: int) -> None:
    """Copy `size` bytes in the kernel, sharing extents where the filesystem can."""
    left = size
    by_range = True
    while left:
        try:
            done = os.copy_file_range(reader, writer, left) if by_range else os.sendfile(writer, reader, None, left)
        except OSError as error:
            if not by_range or error.errno not in _NO_RANGE:
                raise
            by_range = False
            continue
        if not done:
            raise OSError(errno.EIO, "the file is shorter than it says")
        left -= done
