"""What stores need of the disk that Python does not have: syncfs, locks with a time-out, sizes."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from system import process
from system.errors import Interrupted, OutOfSpace, StoreBusy, StoreError

_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x20000
"""linux/fs.h, on machines with 64 bits; ioctl_iflags(2)."""


def syncfs(folder: Path) -> None:
    """Write everything of the filesystem that holds `folder` to its disk: syncfs(2)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """The kernel's id of this boot: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def now_ns() -> int:
    """Nanoseconds since the boot, sleep included; never steps back while the boot lasts."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def lock(path: Path, *, exclusive: bool) -> int:
    """An open descriptor that holds flock(2) on `path`, waiting as long as it takes. Closing it lets go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    return descriptor


def lock_unless(stopping: threading.Event, path: Path) -> int:
    """As `lock`, exclusively, but a wait ends with `Interrupted` when the event is set."""
    wait = 0.001
    while (held := try_lock(path, exclusive=True)) is None:
        if stopping.wait(wait):
            raise Interrupted(f"stopped while waiting for {path}")
        wait = min(2 * wait, 0.05)
    return held


def try_lock(path: Path, *, exclusive: bool) -> int | None:
    """As `lock`, but None where another holds it."""
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    return _try(path, lambda descriptor: fcntl.flock(descriptor, kind | fcntl.LOCK_NB))


def try_lock_byte(path: Path, place: int) -> int | None:
    """As `try_lock`, exclusively, but on one byte of the file, which need not be so long: F_OFD_SETLK, fcntl(2)."""
    wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)  # struct flock, where off_t has 64 bits
    return _try(path, lambda descriptor: fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted))


def _try(path: Path, take: Callable[[int], object]) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        take(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def holding(lock: int) -> Iterator[None]:
    """Let go of a lock at the end of the block."""
    try:
        yield
    finally:
        os.close(lock)


def spread(folder: Path) -> None:
    """Have each new folder in this one placed in a part of the disk of its own, where the filesystem can: ext4 does
    (the attribute T of chattr(1)), others do so anyway or have no parts."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
        flags[0] |= _FS_TOPDIR_FL
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, flags)
    except OSError:
        pass
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def errors(what: str) -> Iterator[None]:
    """Turns an OSError of store work into the error a user sees."""
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        text = f"{what}: {error.strerror or error}{place}"
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                raise OutOfSpace(text, hint="`stepwood df` shows what the store holds") from error
            case errno.EBUSY:
                raise StoreBusy(text) from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise StoreError(text, hint="the store needs to be writable, by root") from error
            case _:
                raise StoreError(text) from error


def usage(path: Path) -> int:
    """Bytes that a file, or what is in a folder, takes on disk, hard links counted once; 0 where it is gone."""
    seen: set[tuple[int, int]] = set()
    total = 0
    folders = [os.fspath(path)]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except NotADirectoryError:
            return os.lstat(path).st_blocks * 512  # only what was asked for can be a file
        except OSError:
            continue  # gone meanwhile
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif info.st_nlink > 1:
                if (info.st_dev, info.st_ino) in seen:
                    continue
                seen.add((info.st_dev, info.st_ino))
            total += info.st_blocks * 512
    return total


def replace(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace a small file whole; `durable`: its content is on the disk before its name is."""
    new = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.new")
    try:
        with open(new, "w") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def discard(folder: Path) -> None:
    """Remove a tree as far as that goes; what stays is left to a later sweep."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        # Deeper than Python can follow, as any step may make one; rm(1) goes down without a stack.
        process.run(["rm", "-rf", "--one-file-system", "--", str(folder)])
