"""The helper process: takes launches over a socket, starts them, reports how they end.

Two processes. The outer one waits for the inner, holds the locks it inherited, and never execs; it
ends only when everything below it has. The inner one is PID 1 of its own pid namespace, so that all
it started dies with it, and works in a private mount namespace, so that no mount of a step can leak.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys as python
from dataclasses import dataclass
from fcntl import ioctl
from typing import NoReturn

from system.helper import child, inside, mounts, wire
from system.helper import syscalls as sys
from system.launch import Launch, World


@dataclass(slots=True)
class Waiting:
    """A child in a furnished world, waiting on `door` for the launch it becomes."""

    pid: int
    pidfd: int
    door: socket.socket
    network: int | None


@dataclass(slots=True)
class Running:
    """A launched process: its pid, the engine's control socket, and the network namespace lent to it."""

    pid: int
    pidfd: int
    control: socket.socket
    network: int | None


class Networks:
    """Network namespaces with a loopback that is up. Making one costs more than all else in a launch, so
    each serves again when the processes of the step that had it are gone."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def take(self) -> int:
        return self._free.pop() if self._free else self._make()

    def give_back(self, network: int) -> None:
        self._free.append(network)

    def _make(self) -> int:
        sys.unshare(sys.CLONE_NEWNET)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                flags = struct.pack("16sh22x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING, netdevice(7)
                ioctl(probe, 0x8914, flags)  # SIOCSIFFLAGS
            return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            sys.setns(self._home, sys.CLONE_NEWNET)


class Loop:
    """The inner process: one thread, one epoll over the engine's socket, the control sockets and the pidfds."""

    def __init__(self, engine: socket.socket, stage: mounts.Stage) -> None:
        self._engine = engine
        self._stage = stage
        self._networks = Networks()
        self._poll = select.epoll()
        self._poll.register(engine, select.EPOLLIN)
        self._worlds: dict[bytes, World] = {}
        self._waiting: dict[bytes, Waiting | None] = {}
        self._by_pidfd: dict[int, Running] = {}
        self._by_control: dict[int, Running] = {}

    def run(self) -> None:
        """Serve until the engine is gone; whatever still runs then dies with this process."""
        while True:
            # A world is furnished ahead only when there is nothing else to do.
            wanted = next((world for world, child in self._waiting.items() if child is None), None)
            events = self._poll.poll(-1 if wanted is None else 0)
            if wanted is not None and not events:
                try:
                    self._waiting[wanted] = self._furnish(wanted)
                except OSError:  # the launch that needs it will say so
                    del self._waiting[wanted]
            for descriptor, _ in events:
                if descriptor in self._by_pidfd:
                    self._reap(self._by_pidfd[descriptor])
                elif descriptor in self._by_control:
                    self._control(self._by_control[descriptor])
                elif descriptor == self._engine.fileno():
                    try:
                        world, launch, descriptors = wire.receive(self._engine)
                    except EOFError:
                        return
                    self._start(world, launch, descriptors)

    def _furnish(self, world: bytes) -> Waiting:
        """A new child that makes itself at home in a world and waits for its launch."""
        if world not in self._worlds:
            kind: World = pickle.loads(world)  # noqa: S301 - from our own engine, over a private socket
            self._stage.keep(kind)
            self._worlds[world] = kind
        kind = self._worlds[world]
        network = None if kind.network else self._networks.take()
        door, inner = socket.socketpair()
        with inner:
            try:
                pid, pidfd = sys.clone(child.namespaces(kind))
            except OSError:
                door.close()
                if network is not None:
                    self._networks.give_back(network)
                raise
            if pid == 0:
                self._become(kind, network, inner)
        return Waiting(pid, pidfd, door, network)

    def _become(self, world: World, network: int | None, door: socket.socket) -> NoReturn:
        """In the child. Never returns: an exception that left here would run the helper's loop twice."""
        control = None
        try:
            trouble = None
            try:
                furnished = child.furnish(world, network, self._stage)
            except Exception as error:
                trouble = error  # there is nobody to tell before the launch comes
            _, message, descriptors = wire.receive(door)
            control = socket.socket(fileno=descriptors[0])
            if trouble is not None:
                raise trouble
            launch: Launch = pickle.loads(message)  # noqa: S301 - as above
            child.run(launch, furnished, descriptors[1:], self._stage)
        except BaseException as error:
            if control is not None:
                _report(control, error)
        finally:
            os._exit(1)

    def _start(self, world: bytes, launch: bytes, descriptors: list[int]) -> None:
        control = socket.socket(fileno=descriptors[0])
        try:
            waiting = self._hand_over(world, launch, descriptors)
        except OSError as error:
            _report(control, error)
            control.close()
            return
        finally:
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        running = Running(waiting.pid, waiting.pidfd, control, waiting.network)
        self._by_pidfd[running.pidfd] = self._by_control[control.fileno()] = running
        self._poll.register(running.pidfd, select.EPOLLIN)
        self._poll.register(control, select.EPOLLIN)

    def _hand_over(self, world: bytes, launch: bytes, descriptors: list[int]) -> Waiting:
        """Give a launch to the child that waits in its world, or to a new one where that has died (killed for want of
        memory, say)."""
        waiting, self._waiting[world] = self._waiting.get(world), None
        while True:
            child = waiting or self._furnish(world)
            try:
                wire.send(child.door, b"", launch, descriptors)
            except OSError:
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
                self._bury(child)
                if waiting is None:
                    raise
                waiting = None
            else:
                return child
            finally:
                child.door.close()

    def _control(self, running: Running) -> None:
        """A request about one process: T terminates its tree, K kills it, a closed socket kills it."""
        try:
            request = running.control.recv(1)
        except OSError:
            request = b""
        if request == b"T":
            terminate(running.pid)
            return
        signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)
        if not request:
            self._forget(running.control.fileno())

    def _forget(self, descriptor: int) -> None:
        # Closing is not enough: a waiting child has a copy, which would keep the registration alive.
        with contextlib.suppress(FileNotFoundError):
            self._poll.unregister(descriptor)

    def _reap(self, running: Running) -> None:
        status, usage = self._bury(running)
        code = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        _send(running.control, ("exit", code if code >= 0 else 128 - code, usage.ru_maxrss * 1024, cpu))
        del self._by_pidfd[running.pidfd], self._by_control[running.control.fileno()]
        self._forget(running.control.fileno())
        running.control.close()

    def _bury(self, gone: Waiting | Running) -> tuple[int, resource.struct_rusage]:
        """Reap a child that has ended, and take back what it was lent."""
        # The kernel reaps a pid namespace's init last, so when this returns nothing of the step is left.
        _, status, usage = os.wait4(gone.pid, 0)
        self._forget(gone.pidfd)
        os.close(gone.pidfd)
        if gone.network is not None:
            self._networks.give_back(gone.network)
        return status, usage


def terminate(root: int) -> None:
    """TERM to a step's whole tree. To a namespace's init the kernel delivers no signal that it does not handle:
    where one has nothing below it and handles no TERM, it is killed. Under a runtime there are two."""
    children = descendants(root)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for pid, below in children.items():
        if not below and deaf_init(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(root: int) -> dict[int, list[int]]:
    """A process and all below it, each with its children, by the parents that /proc tells."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(name))
    tree = [root]
    for pid in tree:
        tree += parents.get(pid, [])
    return {pid: parents.get(pid, []) for pid in tree}


def deaf_init(pid: int) -> bool:
    """Whether a process is PID 1 of its own pid namespace and does not catch TERM (`NSpid`, `SigCgt`, proc(5))."""
    try:
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
    except OSError:
        return False
    caught = int(status["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1
    return status["NSpid"].split()[-1] == "1" and not caught


def _report(control: socket.socket, error: BaseException) -> None:
    match error:
        case inside.Refused():
            _send(control, ("refused", str(error)))
        case OSError():
            _send(control, ("failed", error.errno or 0, error.strerror or str(error), str(error.filename or "")))
        case _:
            _send(control, ("failed", 0, f"{type(error).__name__}: {error}", ""))


def _send(control: socket.socket, message: tuple[object, ...]) -> None:
    try:
        control.send(pickle.dumps(message), socket.MSG_NOSIGNAL)
    except OSError:
        pass  # the engine no longer asks


def main(engine_descriptor: int, stage_folder: str) -> None:
    """The outer process. Everything the engine passed down stays open in both until they end."""
    os.setsid()  # a terminal's ^C is for the engine, which then decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            if int(name) > 2:
                os.set_inheritable(int(name), False)  # kept open here, but for no step's program
    engine = socket.socket(fileno=engine_descriptor)
    pid, _ = sys.clone(sys.CLONE_NEWPID | sys.CLONE_NEWNS)
    if pid:
        engine.close()
        os.waitpid(pid, 0)
        os._exit(0)
    sys.die_with_parent()
    child.default_signals()
    sys.make_private()
    with contextlib.suppress(OSError):
        # Every launch copies the mounts of this namespace, and of cgroups there may be a dozen, which no launch reads.
        sys.umount(b"/sys/fs/cgroup")
    proc = mounts.pseudo("proc", (), sys.MOUNT_ATTR_NOSUID | sys.MOUNT_ATTR_NODEV | sys.MOUNT_ATTR_NOEXEC)
    mounts.put(proc, "/proc")
    stage = mounts.Stage(stage_folder)
    stage.prepare()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    gc.freeze()  # the collector would touch, and so copy, every page in every child
    try:
        Loop(engine, stage).run()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(int(python.argv[1]), python.argv[2])
