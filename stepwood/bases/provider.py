"""What a base provider is, and the draft it fills."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.inputs import Hashes
from engine.step import Base, Config
from stepwood.bases.compression import Packed
from system.errors import MachineError, OutOfSpace, StepwoodError
from system.helper.client import Helper, Started
from system.launch import Call, Exec, Folder, Launch, Layers, Mount, Root, World

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PLAIN = Config(env=(("PATH", SEARCH_PATH),))
"""The config of a base that brings none."""

_BARE = World(mounts=(), network=False)


@dataclass(frozen=True, slots=True)
class Draft:
    """An empty root to fill, and what to fill it with: an empty folder for work, the helper, where output goes."""

    root: Root
    scratch: Path
    helper: Helper
    output: int

    def mounted(self) -> tuple[Path, Mount]:
        """The root as a folder of the host, for a launch that has this mount and no root."""
        place = self.scratch / "root"
        place.mkdir(exist_ok=True)
        return place, Mount(str(place), self.root, nosuid=False)

    def start(
        self, program: Exec, *, mounts: tuple[Mount, ...] = (), stdin: int | None, stdout: int, stderr: int
    ) -> Started:
        """Start a program of the host in private namespaces. `stdin` None: it reads nothing."""
        launch = Launch(program, mounts=mounts)
        return self.helper.start(launch, stdin, stdout, stderr)

    def run(self, program: Exec, *, mounts: tuple[Mount, ...] = (), stderr: int | None = None) -> int:
        """Run a program of the host in private namespaces to its end; its exit status."""
        errors = self.output if stderr is None else stderr
        return finish(self.start(program, mounts=mounts, stdin=None, stdout=self.output, stderr=errors))

    def broken(self, what: str) -> MachineError:
        """Why a tool that ended badly did so, as far as the disk tells; `what` else."""
        match self.root:
            case Folder(path=path):
                disk = os.statvfs(path)
            case Layers(folder=folder, upper=upper):
                disk = os.statvfs(os.path.join(folder, upper or ""))
        full = disk.f_bavail * disk.f_frsize < 1 << 20 or (disk.f_files and not disk.f_favail)
        return (
            OutOfSpace(f"no space left: {what}", hint="`stepwood df` shows what the store holds")
            if full
            else MachineError(what)
        )

    def unpack(self, archives: Sequence[Packed], *, whiteouts: bool) -> None:
        """Unpack tar archives one over the other, chrooted in the root. `InputError`: one is hostile or broken.

        All in one launch: an upper that was mounted `volatile` cannot be mounted again.
        """
        reader, writer = os.pipe()
        try:
            names = tuple(archive.name for archive in archives)
            launch = Launch(Call("unpack", (names, whiteouts)), world=_BARE, root=self.root)
            started = self.helper.start(launch, None, self.output, self.output, [reader])
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        try:
            with open(writer, "wb", buffering=0) as pipe:
                _pump(archives, pipe)
        except BaseException:
            stop(started)
            raise
        finish(started)


def _pump(archives: Sequence[Packed], pipe: io.FileIO) -> None:
    """Send archives as frames, a length and its bytes; an empty frame ends an archive."""
    for archive in archives:
        wanted = True
        with archive.opened() as read:
            more = True
            while wanted and more:
                piece = read(1 << 20)
                more = bool(piece)
                wanted = _sent(pipe, struct.pack("<I", len(piece))) and _sent(pipe, piece)
        if not wanted:
            return


def _sent(pipe: io.FileIO, data: bytes) -> bool:
    """Write it all. False: the child has gone, and its end says why."""
    left = memoryview(data)
    try:
        while left:
            left = left[pipe.write(left) :]
    except BrokenPipeError:
        return False
    return True


def finish(started: Started) -> int:
    """Wait for a launched process, or stop it when the wait is broken off; its exit status."""
    try:
        return started.wait().status
    except StepwoodError:
        raise  # it never started, or is gone with the helper
    except BaseException:
        stop(started)
        raise


def stop(started: Started) -> None:
    """Kill a launched process; when this returns, nothing of it is left."""
    started.kill()
    with suppress(StepwoodError, OSError):
        started.wait(timeout=10)
    started.close()


class Provider(Protocol):
    """Brings the bases of one kind of URL.

    `pin` says what the URL `reference` is right now; `rest` is what follows its scheme. It writes nothing but hashes.
    `fetch` fills a draft with exactly what `base` pinned; `rest` is what follows the scheme in `base.source`.
    Both raise `InputError` where the base is missing, malformed or, at `fetch`, no longer what was pinned,
    `RegistryError` where a server does not answer, and `ToolMissing`.
    """

    def pin(self, reference: str, rest: str, hashes: Hashes) -> Base: ...

    def fetch(self, base: Base, rest: str, draft: Draft) -> None: ...
