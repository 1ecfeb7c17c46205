"""What a sandbox is: a pure function from one command on one root to a launch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from system.launch import Ids, Launch, Mount, Root

CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
)
"""OBuilder's twelve: Docker's default set without NET_RAW and NET_BIND_SERVICE. See capabilities(7)."""

ROOT = Ids()
HOSTNAME = "builder"
HOSTS = b"127.0.0.1 localhost builder\n"
OPEN_FILES = 1024

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a `run`: what to start, as whom, where, and what it may see besides its root."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: Ids = ROOT
    host_network: bool = False
    mounts: tuple[Mount, ...] = ()
    """Caches (writable) and secrets (read-only `Data`)."""


class Sandbox(Protocol):
    """Turns a command on a root into a launch.

    `launch` is pure: it reads nothing, starts nothing and mounts nothing; equal arguments give equal
    launches. Every sandbox gives the command the twelve `CAPABILITIES` and no more, its own pid,
    mount, IPC, UTS and (unless `host_network`) network namespace, the host name `HOSTNAME`, the masked
    and read-only paths above, `/etc/hosts` as `HOSTS`, a private `/dev` with the six standard nodes,
    umask 022, and a root in which device nodes cannot be opened.

    `scratch` is a private place on the host, where nothing is yet; what is mounted there makes it.
    `check` raises `ToolMissing` or `SandboxError` where this sandbox cannot work on this machine.
    """

    @property
    def name(self) -> str: ...

    def launch(self, command: Command, root: Root, scratch: str) -> Launch: ...

    def check(self) -> None: ...
