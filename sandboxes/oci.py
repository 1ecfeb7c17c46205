"""The `oci` sandbox: an OCI runtime, runc or crun, started in private mount and pid namespaces of the helper."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from sandboxes.sandbox import CAPABILITIES, HOSTNAME, HOSTS, MASKED, OPEN_FILES, READONLY, Command
from system import process
from system.errors import SandboxError
from system.launch import Bind, Data, Exec, Launch, Mount, Pseudo, Root, World

Json = dict[str, object]

_WORLD = World(
    mounts=(
        Mount("/proc", Pseudo("proc"), noexec=True),
        # A cgroup2 that cannot be written makes both runtimes leave cgroups alone: the pid namespace ends a step.
        Mount("/sys/fs/cgroup", Pseudo("cgroup2"), readonly=True, noexec=True),
    )
)

_OPTIONS = {"runc": ("--rootless=true",), "crun": ("--cgroup-manager=disabled",)}

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "ppc64le": ("SCMP_ARCH_PPC64LE",),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
}
"""What a kernel's programs may be compiled for: a system call of an architecture not listed would kill its caller."""

_MOUNTS = (
    ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", "devpts", ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5", "nosuid", "noexec")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev")),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),  # noqa: S108
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
)

_MOUNT = "/bin/mount"

_HOSTS = Mount("/etc/hosts", Data(HOSTS), readonly=True)
_RESOLVER = Mount("/etc/resolv.conf", Bind("/etc/resolv.conf"), readonly=True)


@dataclass(frozen=True, slots=True)
class Oci:
    """See `Sandbox` for the contract. `sudo` works inside: no_new_privs is not set.

    A tmpfs over the step's scratch folder holds all that the runtime reads and writes: its state, the
    bundle, the files of this step. It goes with the step's mount namespace. What the runtime itself
    cannot do (a program that is missing, say) it reports on standard error and by its own status.
    """

    runtime: Literal["runc", "crun"] = "runc"
    path: str = field(default_factory=lambda: os.environ.get("PATH", os.defpath))
    machine: str = field(default_factory=lambda: os.uname().machine)

    @property
    def name(self) -> str:
        return f"oci-{self.runtime}"

    def launch(self, command: Command, root: Root, scratch: str) -> Launch:
        bundle = f"{scratch}/bundle"
        argv = (self.runtime, "--root", f"{scratch}/state", *_OPTIONS[self.runtime], "run", "--bundle", bundle, "step")
        brought = (_HOSTS, *((_RESOLVER,) if command.host_network else ()), *command.mounts)
        staged = tuple((mount, f"{scratch}/mounts/{number}") for number, mount in enumerate(brought))
        config = _config(command, staged, self.machine)
        if self.runtime == "crun":
            config["hooks"] = _nodev_again(f"{bundle}/rootfs")
        return Launch(
            process=Exec(argv, env=(("PATH", self.path),)),
            world=_WORLD,
            mounts=(
                Mount(scratch, Pseudo("tmpfs", (("mode", "0700"),))),
                Mount(f"{bundle}/config.json", Data(json.dumps(config).encode(), mode=0o400), readonly=True),
                Mount(f"{bundle}/rootfs", root, nosuid=False),
                *(replace(mount, target=place) for mount, place in staged),
            ),
        )

    def check(self) -> None:
        if os.geteuid() != 0:
            raise SandboxError("the oci sandbox needs root", hint="Run stepwood as root")
        process.find(self.runtime)
        if self.runtime == "crun":
            process.find(_MOUNT)


def _config(command: Command, staged: tuple[tuple[Mount, str], ...], machine: str) -> Json:
    """OBuilder's config.json, and a seccomp rule against device nodes. Format: the OCI runtime-spec."""
    capabilities = [f"CAP_{name}" for name in CAPABILITIES]
    user: Json = {"uid": command.user.uid, "gid": command.user.gid, "additionalGids": list(command.user.groups)}
    process: Json = {
        "terminal": False,
        "user": user,
        "args": list(command.argv),
        "env": [f"{name}={value}" for name, value in command.env],
        "cwd": command.cwd,
        "capabilities": {kind: capabilities for kind in ("bounding", "effective", "inheritable", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": OPEN_FILES, "soft": OPEN_FILES}],
        "noNewPrivileges": False,
    }
    kinds = (*(() if command.host_network else ("network",)), "pid", "ipc", "uts", "mount")
    linux: Json = {
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": list(MASKED),
        "readonlyPaths": list(READONLY),
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": list(_ARCHITECTURES.get(machine, ())),
            "syscalls": list(_no_device_nodes()),
        },
    }
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": False},
        "hostname": HOSTNAME,
        "mounts": [
            *(
                {"destination": target, "type": kind, "source": source, "options": list(options)}
                for target, kind, source, options in _MOUNTS
            ),
            *(_bind(mount, place) for mount, place in staged),
        ],
        "linux": linux,
    }


def _bind(mount: Mount, place: str) -> Json:
    # All flags again: a runtime that remounts for one of them drops those it was not told of.
    flags = {"ro": mount.readonly, "nosuid": mount.nosuid, "nodev": mount.nodev, "noexec": mount.noexec}
    options = ["rbind", "rprivate", *(flag for flag, wanted in flags.items() if wanted)]
    return {"destination": mount.target, "type": "bind", "source": place, "options": options}


def _nodev_again(rootfs: str) -> Json:
    """crun binds the root onto itself and drops the flags it has, so a device node of an image could be opened.

    A hook must read its standard input to the end: where it ends first, crun's write to it fails, and with it the step.
    """
    script = f'while read -r _; do :; done; exec {_MOUNT} -n -o remount,bind,nodev "$0"'
    return {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script, rootfs]}]}


def _no_device_nodes() -> Iterator[Json]:
    """EPERM for making a block or character device: the runtime's /dev is not `nodev`, its six nodes must open."""
    for call, argument in (("mknod", 1), ("mknodat", 2)):
        for kind in (0x6000, 0x2000):  # S_IFBLK, S_IFCHR
            yield {
                "names": [call],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "args": [{"index": argument, "value": 0xF000, "valueTwo": kind, "op": "SCMP_CMP_MASKED_EQ"}],
            }
