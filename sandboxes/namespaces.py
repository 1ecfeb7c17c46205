"""The `namespaces` sandbox: the kernel's namespaces and nothing to install."""

from __future__ import annotations

import os
from dataclasses import replace

from sandboxes.sandbox import CAPABILITIES, HOSTNAME, HOSTS, MASKED, OPEN_FILES, READONLY, Command
from system.errors import SandboxError
from system.launch import Bind, Data, Exec, Launch, Mount, Pseudo, Root, World

_FURNITURE = (
    Mount("/proc", Pseudo("proc"), noexec=True),
    Mount("/dev", Pseudo("tmpfs", (("mode", "0755"), ("size", "65536k")))),
    Mount(
        "/dev/pts", Pseudo("devpts", (("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5"))), noexec=True, nodev=False
    ),
    Mount("/dev/shm", Pseudo("tmpfs", (("mode", "1777"), ("size", "65536k"))), noexec=True),  # noqa: S108
    Mount("/dev/mqueue", Pseudo("mqueue"), noexec=True),
    Mount("/sys", Pseudo("sysfs"), readonly=True, noexec=True),
    Mount("/etc/hosts", Data(HOSTS), readonly=True),
)
_RESOLVER = Mount("/etc/resolv.conf", Bind("/etc/resolv.conf"), readonly=True)

_ALONE = World(
    mounts=_FURNITURE,
    network=False,
    ipc=True,
    hostname=HOSTNAME,
    devices=True,
    masked=MASKED,
    readonly=READONLY,
    capabilities=CAPABILITIES,
    nofile=OPEN_FILES,
)
_CONNECTED = replace(_ALONE, mounts=(*_FURNITURE, _RESOLVER), network=True)


class Namespaces:
    """See `Sandbox` for the contract. `sudo` works inside: no_new_privs is not set."""

    name = "namespaces"

    def launch(self, command: Command, root: Root, scratch: str) -> Launch:
        del scratch
        return Launch(
            process=Exec(command.argv, command.env, command.cwd, home=True, make_cwd=True),
            world=_CONNECTED if command.host_network else _ALONE,
            root=root,
            mounts=command.mounts,
            user=command.user,
        )

    def check(self) -> None:
        if os.geteuid() != 0:
            raise SandboxError("the namespaces sandbox needs root", hint="Run stepwood as root")
