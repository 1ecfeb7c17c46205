"""Unpack a tar stream into the tree one is chrooted in: a base's tar, or one layer of an image.

Written by hand because tarfile's own extraction loses capabilities and has no filter in Debian's 3.11.2. Links
are followed, but only ever inside the tree. Whiteouts and opaque folders: OCI image-spec, layer.md.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import struct
import tarfile
from typing import BinaryIO

from system.helper.refused import Refused

_WHITEOUT, _OPAQUE = b".wh.", b".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_KEPT_XATTRS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default", "user.")
_OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")
_FAULT_OF_THE_ARCHIVE = (
    errno.ELOOP, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL, errno.EXDEV,
)  # fmt: skip
_CHUNK = 1 << 20
_BLOCKS = 1 << 15  # tarfile copies what is left of its buffer at every read


class _DamagedError(Exception):
    """The archive breaks off or is not one."""


class _UnsafeError(Exception):
    """A member asks for what no honest archive needs."""


class _Member(tarfile.TarInfo):
    """A member whose damaged header is an error; tarfile alone takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
            raise  # two zero blocks, or nothing at all: the end
        except tarfile.HeaderError as error:
            raise _DamagedError(str(error)) from error


class _Framed(io.RawIOBase):
    """One archive of several in a stream of frames: a length of four bytes and as many bytes; 0 at its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = 0
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        if self._left == 0 and not self._ended:
            (self._left,) = struct.unpack("<I", self._exactly(4))
            self._ended = self._left == 0
        piece = self._exactly(min(size, self._left))
        self._left -= len(piece)
        return piece

    def _exactly(self, size: int) -> bytes:
        piece = self._stream.read(size)
        if len(piece) != size:
            raise _DamagedError("the engine broke off")
        return piece


def unpack(descriptor: int, names: tuple[str, ...], whiteouts: bool) -> None:
    """Unpack uncompressed tar archives, one over the other; they come as frames (`_Framed`) from `descriptor`.

    Owners, modes, times, hard links, device nodes and the xattrs above are kept. A leading `/` is dropped;
    `..`, overlay's own xattrs, device 0:0 (overlay's whiteout) and hard links to what is not there raise `Refused`,
    which calls the archives by these names.
    """
    tarfile.pwd = tarfile.grp = None  # type: ignore[attr-defined]  # a planted nsswitch.conf would load libraries
    os.umask(0)
    with open(descriptor, "rb", buffering=_CHUNK) as stream:
        for name in names:
            framed = _Framed(stream)
            try:
                _unpack(framed, whiteouts)
            except _UnsafeError as error:
                raise Refused(f"{name} may not be unpacked: {error}") from None
            except (_DamagedError, tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
                raise Refused(f"{name} is damaged: {error}") from None


def _unpack(stream: _Framed, whiteouts: bool) -> None:
    """Unpack one archive and read it to its end."""
    with tarfile.open(
        fileobj=stream, mode="r|", bufsize=_BLOCKS, encoding="utf-8", errors="surrogateescape", tarinfo=_Member
    ) as archive:
        tree = _Tree(whiteouts)
        while (member := archive.next()) is not None:
            try:
                tree.add(archive, member)
            except OSError as error:
                if error.errno not in _FAULT_OF_THE_ARCHIVE:
                    raise
                raise _UnsafeError(f"{member.name}: {error.strerror}") from error
            archive.members = []  # type: ignore[attr-defined]  # or it keeps them all
        tree.finish()
    while stream.read(_CHUNK):
        pass


class _Tree:
    """The tree as it fills. Paths are bytes below `/`, their folders free of links."""

    def __init__(self, whiteouts: bool) -> None:
        self._whiteouts = whiteouts
        self._made: set[bytes] = set()
        self._times: dict[bytes, int] = {}
        self._real: dict[bytes, bytes] = {}

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        folder, name = _split(member.name)
        if not name:
            if not member.isdir():
                raise _UnsafeError(f"{member.name}: the root must be a folder")
            self._dress(b"/", member)
            return
        if self._whiteouts and name.startswith(_WHITEOUT):
            self._white_out(folder, name)
            return
        path = os.path.join(self._folder(folder), name)
        if member.isdir():
            path = self._make_folder(path)
        elif member.islnk():
            self._link(path, member)
            self._made.add(path)
            return
        else:
            self._remove(path)
            self._make(path, archive, member)
        self._made.add(path)
        self._dress(path, member)

    def finish(self) -> None:
        """Folders' times come last: what is made in them changes them."""
        for path, time in self._times.items():
            if stat.S_ISDIR(_mode(path)):
                os.utime(path, ns=(time, time), follow_symlinks=False)

    def _folder(self, path: bytes) -> bytes:
        """The folder that a member lies in, made where it is missing, with its links resolved."""
        real = self._real.get(path)
        if real is None:
            real = self._real[path] = os.path.realpath(path)
            os.makedirs(real, mode=0o755, exist_ok=True)
        return real

    def _make_folder(self, path: bytes) -> bytes:
        """A folder at `path`; where a link to a folder stands (`bin`), that folder, which the link must not hide."""
        mode = _mode(path)
        if stat.S_ISLNK(mode) and os.path.isdir(path):
            return os.path.realpath(path)
        if not stat.S_ISDIR(mode):
            self._remove(path)
            os.mkdir(path, 0o700)
        return path

    def _make(self, path: bytes, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if member.isreg():
            self._write(path, archive, member)
        elif member.issym():
            os.symlink(_encoded(member.linkname), path)
            self._real.clear()
        elif member.isfifo():
            os.mkfifo(path, 0o600)
        elif member.ischr() or member.isblk():
            if member.ischr() and member.devmajor == member.devminor == 0:
                raise _UnsafeError(f"{member.name}: a character device 0:0 would be taken for a whiteout")
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(path, kind | 0o600, os.makedev(member.devmajor, member.devminor))
        else:
            raise _UnsafeError(f"{member.name}: unknown type {member.type!r}")

    def _write(self, path: bytes, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        source = archive.extractfile(member)
        assert source is not None
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
            if file.tell() != member.size:
                raise _DamagedError(f"{member.name} breaks off")

    def _link(self, path: bytes, member: tarfile.TarInfo) -> None:
        folder, name = _split(member.linkname)
        target = os.path.join(os.path.realpath(folder), name)
        mode = _mode(target)
        if not name or not mode or stat.S_ISDIR(mode):
            raise _UnsafeError(f"{member.name}: a hard link to {member.linkname}, which is not a file of the archive")
        if target != path:
            self._remove(path)
            os.link(target, path, follow_symlinks=False)

    def _dress(self, path: bytes, member: tarfile.TarInfo) -> None:
        """Owner, then mode, xattrs and time: a change of owner takes set-uid bits and capabilities away."""
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
        if not member.issym():
            os.chmod(path, member.mode & 0o7777)
        for key, value in member.pax_headers.items():
            if key.startswith(_XATTR):
                _set_xattr(path, key.removeprefix(_XATTR), value, member.name)
        time = int(float(member.mtime) * 1_000_000_000)
        if member.isdir():
            self._times[path] = time
        else:
            os.utime(path, ns=(time, time), follow_symlinks=False)

    def _remove(self, path: bytes) -> None:
        """Whatever stands at `path` makes room."""
        mode = _mode(path)
        if not mode:
            return
        self._real.clear()
        if stat.S_ISDIR(mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def _white_out(self, parent: bytes, name: bytes) -> None:
        folder = os.path.realpath(parent)
        if name == _OPAQUE:
            if os.path.isdir(folder):
                for child in os.listdir(folder):
                    self._hide(os.path.join(folder, child))
        elif not name.startswith(_WHITEOUT * 2):  # other names of two are aufs' own
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in (b"", b".", b".."):
                raise _UnsafeError(f"{os.fsdecode(os.path.join(parent, name))}: a whiteout of nothing")
            self._hide(os.path.join(folder, hidden))

    def _hide(self, path: bytes) -> None:
        """Remove what the layers below brought; what this layer made stays, whichever came first in it."""
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            for child in os.listdir(path):
                self._hide(os.path.join(path, child))
            if path not in self._made and not os.listdir(path):
                os.rmdir(path)
        elif mode and path not in self._made:
            os.unlink(path)
        self._real.clear()


def _encoded(name: str) -> bytes:
    encoded = name.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise _UnsafeError(f"{name!r}: a name with a NUL")
    return encoded


def _split(name: str) -> tuple[bytes, bytes]:
    """A member's folder and name; of the root (`/`, b"")."""
    parts = [part for part in _encoded(name).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise _UnsafeError(f'{name}: ".." in a name')
    return b"/" + b"/".join(parts[:-1]), parts[-1] if parts else b""


def _mode(path: bytes) -> int:
    """The type and mode of what stands at a path, 0 where nothing does."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _set_xattr(path: bytes, key: str, value: str, name: str) -> None:
    if key.startswith(_OVERLAY_XATTRS):
        raise _UnsafeError(f"{name}: the extended attribute {key} is overlayfs' own")
    if not key.startswith(_KEPT_XATTRS):
        return
    try:
        os.setxattr(path, key, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP or not key.startswith("user."):
            raise
