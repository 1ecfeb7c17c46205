"""The system calls that the helper needs and Python does not have, over ctypes.

Numbers above 423 are the same on every architecture (Linux `unistd.h`); only pivot_root differs.
Each function raises OSError with the call's name, and returns what the call returns.
Man pages: open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), mount_setattr(2),
clone3(2), pivot_root(2), capset(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import os

# PyDLL keeps the interpreter lock: the helper has one thread, and the clone must not drop a lock in between.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLONE3, _MOUNT_SETATTR = 435, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}.get(os.uname().machine, 41)

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x8000, 0x100
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_SYMLINKS = 0x04, 0x10
FSOPEN_CLOEXEC = FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CMD_CREATE = 0, 1, 6

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8

MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 1 << 18, 2

CLONE_PIDFD = 0x1000
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000

CAPABILITY_BITS = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
    "SYS_CHROOT": 18, "MKNOD": 27, "AUDIT_WRITE": 29, "SETFCAP": 31,
}  # fmt: skip
"""linux/capability.h, for the names a launch may keep."""

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_CAP_VERSION_3 = 0x20080522


def _failed(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), call)


def _call(name: str, *arguments: object) -> int:
    result: int = _syscall(*arguments)
    if result < 0:
        raise _failed(name)
    return result


def open_tree(directory: int, path: bytes, flags: int) -> int:
    """A descriptor of a mount; with OPEN_TREE_CLONE of a detached copy of it."""
    return _call("open_tree", _OPEN_TREE, directory, path, flags | OPEN_TREE_CLOEXEC)


def move_mount(source: int, directory: int, path: bytes) -> None:
    """Attach the detached mount `source` at `path`, whose links are followed (inside the current root)."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS
    _call("move_mount", _MOVE_MOUNT, source, b"", directory, path, flags)


def fsopen(kind: bytes) -> int:
    """A configuration context for a new filesystem of a kind."""
    return _call("fsopen", _FSOPEN, kind, FSOPEN_CLOEXEC)


def fsconfig(context: int, key: bytes, value: bytes | None) -> None:
    """Set one option; `None` for a flag. A string holds at most 255 bytes."""
    if value is None:
        _call("fsconfig", _FSCONFIG, context, _SET_FLAG, key, None, 0)
    else:
        _call("fsconfig", _FSCONFIG, context, _SET_STRING, key, value, 0)


def fsmount(context: int, attributes: int) -> int:
    """Create the configured filesystem and give a detached mount of it."""
    _call("fsconfig(CREATE)", _FSCONFIG, context, _CMD_CREATE, None, None, 0)
    return _call("fsmount", _FSMOUNT, context, FSMOUNT_CLOEXEC, attributes)


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def mount_setattr(mount: int, attributes: int, *, recursive: bool = False) -> None:
    """Add attributes to a mount."""
    attr = _MountAttr(attributes, 0, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _call("mount_setattr", _MOUNT_SETATTR, mount, b"", flags, ctypes.byref(attr), ctypes.sizeof(attr))


class _CloneArgs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls")
    ]


def clone(flags: int) -> tuple[int, int]:
    """Fork with new namespaces: (0, -1) in the child, (pid, pidfd) in the parent."""
    pidfd = ctypes.c_int(-1)
    args = _CloneArgs(flags | CLONE_PIDFD, ctypes.addressof(pidfd), 0, 0, 17)  # SIGCHLD
    pid = _call("clone3", _CLONE3, ctypes.byref(args), ctypes.sizeof(args))
    return pid, pidfd.value if pid else -1


def mount(source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None) -> None:
    """mount(2), for what the new calls cannot say on an older kernel."""
    if _libc.mount(source, target, kind, ctypes.c_ulong(flags), data) < 0:
        raise _failed("mount")


def make_private() -> None:
    """No mount or unmount below crosses from or to the namespace this one was copied from."""
    mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def pivot_root(new_root: int) -> None:
    """Make the attached mount behind the descriptor `new_root` the root; the old one goes with `umount(b".")`."""
    os.fchdir(new_root)
    # pivot_root(".", ".") stacks the old root on the new one, see pivot_root(2).
    _call("pivot_root", _PIVOT_ROOT, b".", b".")


def unshare(flags: int) -> None:
    if _libc.unshare(flags) < 0:
        raise _failed("unshare")


def setns(namespace: int, kind: int) -> None:
    if _libc.setns(namespace, kind) < 0:
        raise _failed("setns")


def die_with_parent() -> None:
    """KILL this process when its parent thread ends: a second line only, cleared by setresuid and set-uid execs."""
    _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def _bits(names: tuple[str, ...]) -> int:
    return sum(1 << CAPABILITY_BITS[name] for name in names)


def bound_capabilities(names: tuple[str, ...]) -> None:
    """Drop all other capabilities from the bounding set; those in force stay until `keep_capabilities`."""
    kept = _bits(names)
    for bit in range(64):
        if not kept >> bit & 1 and _libc.prctl(_PR_CAPBSET_DROP, bit, 0, 0, 0) < 0:
            if ctypes.get_errno() == 22:  # EINVAL: past the last capability of this kernel
                break
            raise _failed("prctl(PR_CAPBSET_DROP)")


def keep_capabilities(names: tuple[str, ...]) -> None:
    """These and no others become permitted, effective and inheritable."""
    kept = _bits(names)
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    if _libc.capset(header, data) < 0:
        raise _failed("capset")


def umount(target: bytes) -> None:
    """Detach a mount from the tree at once; it goes when nobody uses it any more."""
    if _libc.umount2(target, MNT_DETACH) < 0:
        raise _failed("umount2")
