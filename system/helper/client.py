"""The engine's side of the helper: start it once, before there are threads; hand it launches from any thread."""

from __future__ import annotations

import errno
import os
import pickle
import select
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from system import process
from system.errors import HelperError, InputError, MachineError, OutOfSpace, SandboxError, StoreBusy
from system.helper import wire
from system.launch import Exit, Launch, World

_SOURCE = str(Path(__file__).parents[2])
# Not `-m system.helper.main`: with -S -I no path of ours is searched, and nothing of the user's either.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from system.helper.main import main; main(int(sys.argv[2]), sys.argv[3])"
)


NO_WORLD = World(mounts=())
"""What stands in a launch on the wire, where its world goes apart."""


@cache
def _pickled(world: World) -> bytes:
    return pickle.dumps(world, protocol=pickle.HIGHEST_PROTOCOL)


class Started:
    """A launched process, until `wait` tells how it ended."""

    def __init__(self, control: socket.socket, ended: Callable[[Started], None]) -> None:
        self._control = control
        self._ended = ended
        self._exit: Exit | None = None

    def fileno(self) -> int:
        """A descriptor that is readable when `wait` would not block long."""
        return self._control.fileno()

    def terminate(self) -> None:
        """TERM to the whole tree of the process."""
        self._ask(b"T")

    def kill(self) -> None:
        """KILL the process and with it its pid namespace."""
        self._ask(b"K")

    def _ask(self, request: bytes) -> None:
        try:
            self._control.send(request)
        except OSError:
            pass  # it has ended

    def wait(self, timeout: float | None = None) -> Exit:
        """How the process ended; when this returns, nothing of it is left.

        Raises what kept the process from starting: `InputError` where a `Call` refused its request,
        `OutOfSpace`, `StoreBusy`, `SandboxError`; `HelperError` where the helper is gone; `TimeoutError`.
        """
        if self._exit is not None:
            return self._exit
        trouble: MachineError | InputError | None = None
        while True:
            if timeout is not None and not self._readable(timeout):
                raise TimeoutError
            try:
                message = self._control.recv(65536)
            except OSError:
                message = b""
            if not message:
                self.close()
                raise trouble or HelperError("the helper process is gone; every step it ran was stopped with it")
            match pickle.loads(message):  # noqa: S301 - from our own helper, over a private socket
                case ("exit", status, peak_memory, cpu_seconds):
                    self.close()
                    if trouble is not None:
                        raise trouble
                    self._exit = Exit(status, peak_memory, cpu_seconds)
                    return self._exit
                case ("refused", text):
                    trouble = InputError(text)
                case ("failed", number, reason, where):
                    trouble = _trouble(number, reason, where)

    def _readable(self, timeout: float) -> bool:
        poll = select.poll()  # select(2) refuses descriptors from 1024 on
        poll.register(self._control, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def close(self) -> None:
        """Forget the process; if it still runs, it is killed."""
        self._control.close()
        self._ended(self)


def _trouble(number: int, reason: str, where: str) -> MachineError:
    text = f"{where}: {reason}" if where else reason
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            return OutOfSpace(f"no space left: {text}", hint="`stepwood df` shows what the store holds")
        case errno.EBUSY | errno.EAGAIN:
            return StoreBusy(f"busy: {text}")
        case errno.EPERM | errno.EACCES:
            return SandboxError(f"not permitted: {text}", hint="Steps need root, or a machine that allows namespaces")
        case _:
            return SandboxError(f"a step could not be set up: {text}")


class Helper:
    """The running helper. `stage` is an empty folder it may cover with a tmpfs of its own; `locks` are
    descriptors that it keeps open for as long as anything it started may be alive."""

    def __init__(self, stage: Path, locks: Sequence[int] = ()) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            argv = [sys.executable, "-SI", "-c", _START, _SOURCE, str(theirs.fileno()), str(stage)]
            self._process = process.start(argv, pass_fds=[theirs.fileno(), *locks])
        self._socket = ours
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._live: set[Started] = set()
        self._stopping = False

    def start(
        self,
        launch: Launch,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        descriptors: Sequence[int] = (),
    ) -> Started:
        """Start a launch with these standard descriptors and, for a `Call`, extra ones, which stay the caller's.

        None stands for /dev/null.
        """
        world = _pickled(launch.world)
        message = pickle.dumps(replace(launch, world=NO_WORLD), protocol=pickle.HIGHEST_PROTOCOL)
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                standard = [self._null if one is None else one for one in (stdin, stdout, stderr)]
                with self._lock:
                    wire.send(self._socket, world, message, [theirs.fileno(), *standard, *descriptors])
            except OSError as error:
                control.close()
                raise HelperError(f"the helper process is gone: {error.strerror}") from error
            started = Started(control, self._forget)
            with self._lock:
                self._live.add(started)
                stopping = self._stopping
        if stopping:
            started.terminate()
        return started

    def stop(self) -> None:
        """TERM to all that runs, and to all that is started from now on; `close` kills what does not heed it."""
        with self._lock:
            self._stopping = True
            live = list(self._live)
        for started in live:
            started.terminate()

    def _forget(self, started: Started) -> None:
        with self._lock:
            self._live.discard(started)

    def close(self) -> None:
        """End the helper and everything it started."""
        self._socket.close()
        self._process.wait()
        if self._null >= 0:
            os.close(self._null)
            self._null = -1

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
