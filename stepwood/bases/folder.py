"""`dir:PATH`: a folder of the host that holds a root filesystem."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from engine.inputs import Hashes, Memory, hashed
from engine.records import FileStamp
from engine.step import Base
from stepwood.bases.provider import PLAIN, SEARCH_PATH, Draft, finish, stop
from system import process
from system.errors import InputError
from system.launch import Exec

_XATTRS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default", "user.")
_TAR_ENV = (("LC_ALL", "C.UTF-8"), ("PATH", SEARCH_PATH))


class DirectoryTree:
    """Pinned by a manifest of the whole tree, copied by the host's GNU tar.

    The tree is what lies on the folder's own filesystem. Sockets are left out, as tar does; device nodes are
    kept. Times and hard links are copied but are not part of the digest.
    """

    def pin(self, reference: str, rest: str, hashes: Hashes) -> Base:
        folder = Path(rest).resolve()
        if not folder.is_dir():
            raise InputError(f"{reference}: no such folder")
        return Base(reference, "sha256:" + manifest(folder, hashes), PLAIN, f"dir:{folder}")

    def fetch(self, base: Base, rest: str, draft: Draft) -> None:
        if not Path(rest).is_dir():
            raise InputError(f"{base.reference}: no such folder")
        status = _copy(rest, draft)
        # Afterwards, so that what changed during the copy is seen too.
        if "sha256:" + manifest(Path(rest), Memory()) != base.digest:
            raise InputError(f"{base.reference} changed since it was pinned", hint="`--pull always` pins it anew")
        if status != 0:
            raise draft.broken(f"{base.reference} could not be copied: tar ended with status {status}")


def _copy(folder: str, draft: Draft) -> int:
    tar = process.find("tar")
    place, mount = draft.mounted()
    pack = (tar, "--create", "--format=posix", "--one-file-system", "--sparse", "--xattrs", "--acls", "--numeric-owner")
    unpack = (tar, "--extract", "--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*", "--acls",
              "--numeric-owner", "--same-owner", "--preserve-permissions")  # fmt: skip
    reader, writer = os.pipe()
    output = draft.output
    try:
        sender = draft.start(
            Exec((*pack, "-C", folder, "-f", "-", "."), _TAR_ENV), stdin=None, stdout=writer, stderr=output
        )
        try:
            receiver = draft.start(
                Exec((*unpack, "-C", str(place), "-f", "-"), _TAR_ENV),
                mounts=(mount,),
                stdin=reader,
                stdout=output,
                stderr=output,
            )
        except BaseException:
            stop(sender)
            raise
    finally:
        for descriptor in (reader, writer):
            os.close(descriptor)
    try:
        received = finish(receiver)
    except BaseException:
        stop(sender)
        raise
    return received or finish(sender)


def manifest(folder: Path, hashes: Hashes) -> str:
    """The SHA-256, in hex, over every path of a tree: kind, mode, owner, content or target or device, and xattrs."""
    now = time.time_ns()
    try:
        found = list(_walk(os.fsencode(folder)))
        stamps = {
            name: FileStamp.of(os.fsdecode(path), info) for name, path, info in found if stat.S_ISREG(info.st_mode)
        }
        contents = hashed(stamps.values(), hashes, now)
        digest = hashlib.sha256(b"stepwood tree 1\0")
        for name, path, info in found:
            content = contents[stamps[name].path] if name in stamps else ""
            for field in (name, *_fields(path, info, content)):
                digest.update(field + b"\0")
    except OSError as error:
        place = error.filename
        text = os.fsdecode(place) if isinstance(place, str | bytes) else str(folder)
        raise InputError(f"{text}: {error.strerror}") from error
    return digest.hexdigest()


def _walk(top: bytes) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
    """Name from the top, path and status of all in a tree that lies on its own filesystem, sockets left out."""
    device = os.lstat(top).st_dev
    waiting = [b"."]
    while waiting:
        name = waiting.pop()
        path = os.path.normpath(os.path.join(top, name))
        info = os.lstat(path)
        if stat.S_ISSOCK(info.st_mode):
            continue
        yield name, path, info
        if stat.S_ISDIR(info.st_mode) and info.st_dev == device:
            waiting += sorted((os.path.join(name, child) for child in os.listdir(path)), reverse=True)


def _fields(path: bytes, info: os.stat_result, content: str) -> list[bytes]:
    mode = info.st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        content = f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    target = os.readlink(path) if stat.S_ISLNK(mode) else b""
    fields = [f"{mode:o}:{info.st_uid}:{info.st_gid}:{content}".encode(), target]
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        if key.startswith(_XATTRS):
            value = os.getxattr(path, key, follow_symlinks=False)
            fields.append(f"{key}={value.hex()}".encode())
    return fields
