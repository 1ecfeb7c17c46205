"""Values that say how to see a tree and how to start a process in it. Making one does nothing.

The engine and the sandboxes build these; the helper carries them out. They cross to the helper by
pickle, so they hold plain values only: `str` paths, numbers and tuples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Folder:
    """A root that is one plain folder of the host."""

    path: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Layers:
    """A root that is an overlay of layers: overlayfs, see the kernel's filesystems/overlayfs.rst.

    `lowers` stand bottom to top. All paths are relative to `folder`, which keeps long chains short on
    the wire and each string under fsconfig(2)'s 255 bytes. Without an `upper` the root is read-only and
    needs two lowers; an `upper` needs one lower and an empty `work` folder on its own filesystem.
    """

    folder: str
    lowers: tuple[str, ...]
    upper: str | None = None
    work: str | None = None


Root = Folder | Layers


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host, by its absolute path, links followed: /etc/resolv.conf often is one."""

    path: str


@dataclass(frozen=True, slots=True)
class Data:
    """A file that exists for this launch only: hosts, a secret, a config."""

    content: bytes = field(repr=False)
    mode: int = 0o444
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Pseudo:
    """A new instance of a kernel filesystem with its mount options."""

    kind: Literal["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2"]
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount below the root. A missing mount point is made (in the root, never outside it).

    `target` is absolute, and resolved inside the root after the pivot, links and all.
    """

    target: str
    source: Bind | Data | Pseudo | Folder | Layers
    readonly: bool = False
    nosuid: bool = True
    nodev: bool = True
    noexec: bool = False


@dataclass(frozen=True, slots=True)
class Ids:
    """Whom a process runs as: numbers, because names mean something only inside a root."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Exec:
    """Replace the launched process by a program. Not found: status 127; not executable: 126, as in POSIX sh.

    `home`: when `env` has no HOME, take it from the root's passwd file, as runc does.
    `make_cwd`: make a missing working directory, as runc does.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str = "/"
    home: bool = False
    make_cwd: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """Run a function of `system.helper.inside` by name, chrooted, instead of a program.

    The function gets the descriptors of the launch's `views`, then the launch's extra descriptors, then `arguments`.
    """

    function: str
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """What a process finds around it, the same for every step of a sandbox.

    The helper keeps one furnished world of each kind in wait, so that a launch costs little more than its root.

    mounts          `/proc`, `/dev` and the like, each before what lies below it
    network         False: no network but a loopback of its own; True: the host's
    ipc, hostname   a new IPC namespace; a new UTS namespace with this name
    devices         fill the tmpfs on /dev with the six standard nodes and the usual links
    masked          paths below `mounts` to hide behind an empty read-only file or folder, where they exist
    readonly        paths below `mounts` to make read-only, where they exist
    capabilities    the names to keep (without CAP_), in every set but ambient; None keeps all
    nofile          RLIMIT_NOFILE, soft and hard; None leaves it
    """

    mounts: tuple[Mount, ...] = (Mount("/proc", Pseudo("proc"), noexec=True),)
    network: bool = True
    ipc: bool = False
    hostname: str | None = None
    devices: bool = False
    masked: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()
    capabilities: tuple[str, ...] | None = None
    nofile: int | None = None
    umask: int = 0o022


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one process in a world. It has a mount and a pid namespace of its own and dies with the helper.

    root      the tree to pivot into; None keeps the host's tree (in a private mount namespace)
    nodev     device nodes in the root cannot be opened
    views     further roots, mounted read-only and detached, for a `Call` to read
    mounts    those of this launch alone, after the world's: caches, secrets
    user      whom an `Exec` runs as
    """

    process: Exec | Call
    world: World = World()
    root: Root | None = None
    nodev: bool = True
    views: tuple[Root, ...] = ()
    mounts: tuple[Mount, ...] = ()
    user: Ids = Ids()


@dataclass(frozen=True, slots=True)
class Exit:
    """How a launched process ended: `status` as a shell has it (128 + signal), peak memory in bytes, CPU seconds."""

    status: int
    peak_memory: int
    cpu_seconds: float
