"""What a launched process does between its clone and its program: furnish its world, then give up power.

The order is the one that is safe: sources before the pivot, mount points and targets after it,
capabilities and ids last. Runs in the child; whatever fails is raised to `main`, which reports it.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
from dataclasses import dataclass
from typing import NoReturn

from system.helper import inside, mounts
from system.helper import syscalls as sys
from system.launch import Call, Exec, Launch, Pseudo, World

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
)

CANNOT_START = 126
NOT_FOUND = 127


@dataclass(slots=True)
class Furnished:
    """A world in wait: detached mounts to attach below a root, as (target, is a folder, descriptor)."""

    world: World
    mounts: list[tuple[str, bool, int]]


def namespaces(world: World) -> int:
    """The clone flags of a world. A network namespace is not among them: the helper lends one."""
    return (
        sys.CLONE_NEWPID
        | sys.CLONE_NEWNS
        | (sys.CLONE_NEWIPC if world.ipc else 0)
        | (sys.CLONE_NEWUTS if world.hostname is not None else 0)
    )


def furnish(world: World, network: int | None, stage: mounts.Stage) -> Furnished:
    """Everything of a launch that does not depend on its root."""
    sys.die_with_parent()
    os.setsid()
    if network is not None:
        sys.setns(network, sys.CLONE_NEWNET)
    if world.hostname is not None:
        socket.sethostname(world.hostname)
    if world.nofile is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (world.nofile, world.nofile))
    if world.capabilities is not None:
        sys.bound_capabilities(world.capabilities)
    os.umask(world.umask)
    places = iter(stage.places)
    standing: dict[str, str] = {}
    ready: list[tuple[str, bool, int]] = []

    def at(path: str) -> str:
        """Where a path below a standing mount is now."""
        top = next(target for target in standing if path.startswith(target + "/"))
        return standing[top] + path.removeprefix(top)

    for mount in world.mounts:
        source = mounts.source(mount, stage)
        if any(mount.target.startswith(target + "/") for target in standing):
            place = at(mount.target)
            os.mkdir(place, 0o755)
            mounts.put(source, place)
        elif isinstance(mount.source, Pseudo):
            place = standing[mount.target] = next(places)
            mounts.put(source, place)
            if world.devices and mount.target == "/dev":
                _fill_dev(place)
        else:
            ready.append((mount.target, mounts.is_folder(mount), source))
    for path in world.masked:
        _mask(at(path), stage.empty)
    for path in world.readonly:
        _make_readonly(at(path))
    # Detached copies, with all that stands on them, so that the old root can be gone before a target is looked up.
    # What they are copies of goes with it: to unmount each here would wait for the kernel each time.
    trees = [(target, True, mounts.copy(place)) for target, place in standing.items()]
    return Furnished(world, trees + ready)


def run(launch: Launch, furnished: Furnished, descriptors: list[int], stage: mounts.Stage) -> NoReturn:
    """Become the launched process. `descriptors`: standard input, output and error, then the extra ones."""
    function = inside.function(launch.process.function) if isinstance(launch.process, Call) else None
    views = [mounts.root(view, stage) for view in launch.views]
    sources = [(mount.target, mounts.is_folder(mount), mounts.source(mount, stage)) for mount in launch.mounts]
    if launch.root is not None:
        root = mounts.root(launch.root, stage, nodev=launch.nodev)
        sys.move_mount(root, sys.AT_FDCWD, os.fsencode(stage.root))
        sys.pivot_root(root)
        os.close(root)
        # Before any target is looked up: the old root lies on top of the new one, where a link to `/..` finds it.
        sys.umount(b".")
        os.chdir("/")
    for target, folder, mount in [*furnished.mounts, *sources]:
        mounts.attach(mount, target, folder=folder)
    for number in range(3):
        os.dup2(descriptors[number], number)
    match launch.process:
        case Call(arguments=arguments):
            assert function is not None
            function(*views, *descriptors[3:], *arguments)
            os._exit(0)
        case Exec() as program:
            _exec(launch, program, furnished.world)


def _fill_dev(dev: str) -> None:
    # A device is bound from the host: where one made by mknod could be opened, any could.
    for name in DEVICES:
        device = sys.open_tree(sys.AT_FDCWD, b"/dev/" + name.encode(), mounts.CLONE)
        path = f"{dev}/{name}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        mounts.put(device, path)
    for target, name in DEVICE_LINKS:
        os.symlink(target, f"{dev}/{name}")


def _mask(path: str, empty: str) -> None:
    try:
        folder = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    mask = sys.open_tree(sys.AT_FDCWD, os.fsencode(empty) if folder else b"/dev/null", mounts.CLONE)
    sys.mount_setattr(mask, sys.MOUNT_ATTR_RDONLY)
    mounts.put(mask, path)


def _make_readonly(path: str) -> None:
    try:
        mount = sys.open_tree(sys.AT_FDCWD, os.fsencode(path), mounts.CLONE)
    except FileNotFoundError:
        return
    sys.mount_setattr(mount, sys.MOUNT_ATTR_RDONLY)
    mounts.put(mount, path)


def _exec(launch: Launch, program: Exec, world: World) -> NoReturn:
    """Give up power and become the program; what keeps it from starting is said on its standard error."""
    env = dict(program.env)
    user = launch.user
    if program.home and "HOME" not in env:
        env["HOME"] = inside.home(user.uid)
    try:
        _enter(program)
        if world.capabilities is not None:
            sys.keep_capabilities(world.capabilities)
        if user.uid or user.gid or launch.root is not None:
            os.setgroups(user.groups)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        sys.die_with_parent()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvpe(program.argv[0], program.argv, env)  # noqa: S606 - to be that program is the point
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        name = getattr(error, "filename", None) or program.argv[0]
        reason = getattr(error, "strerror", None) or str(error)
        os.write(2, os.fsencode(f"stepwood: cannot start {os.fsdecode(name)}: {reason}\n"))
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_START)


def default_signals() -> None:
    """Ignore and block no signal: exec hands that on, and a shell cannot trap what it was started to ignore. Once, in
    the helper, for all its children.

    Python ignores SIGPIPE and SIGXFSZ, the helper SIGTERM, and who started the engine perhaps more. SIGPIPE stays
    ignored until the exec, for a `Call` that writes to a pipe.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _enter(program: Exec) -> None:
    try:
        os.chdir(program.cwd)
    except FileNotFoundError:
        if not program.make_cwd:
            raise
        os.makedirs(program.cwd, mode=0o755, exist_ok=True)
        os.chdir(program.cwd)
