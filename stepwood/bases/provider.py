"""What a base provider is, and the draft it fills."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.step import Base, Config
from system.errors import StepwoodError
from system.helper.client import Helper, Started, null
from system.launch import Call, Exec, Launch, Mount, Root, World

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

    def start(self, program: Exec, *, mounts: tuple[Mount, ...] = (), stdin: int, stdout: int, stderr: int) -> Started:
        """Start a program of the host in private namespaces."""
        launch = Launch(program, mounts=mounts)
        return self.helper.start(launch, stdin, stdout, stderr)

    def run(self, program: Exec, *, mounts: tuple[Mount, ...] = (), stderr: int | None = None) -> int:
        """Run a program of the host in private namespaces to its end; its exit status."""
        nothing = null()
        try:
            errors = self.output if stderr is None else stderr
            started = self.start(program, mounts=mounts, stdin=nothing, stdout=self.output, stderr=errors)
        finally:
            os.close(nothing)
        return finish(started)

    def unpack(self, read: Callable[[int], bytes], *, whiteouts: bool) -> None:
        """Unpack an uncompressed tar, read piece by piece, chrooted in the root. `InputError`: it is hostile or broken."""
        reader, writer = os.pipe()
        nothing = null()
        try:
            launch = Launch(Call("unpack", (whiteouts,)), world=_BARE, root=self.root)
            started = self.helper.start(launch, nothing, self.output, self.output, [reader])
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
            os.close(nothing)
        try:
            with open(writer, "wb", buffering=0) as pipe:
                _pump(read, pipe.write)
        except BaseException:
            stop(started)
            raise
        finish(started)


def _pump(read: Callable[[int], bytes], write: Callable[[memoryview], int]) -> None:
    """Read to the end and write it all; a reader that has gone tells why itself."""
    wanted = True
    while piece := read(1 << 20):
        left = memoryview(piece)
        while wanted and left:
            try:
                left = left[write(left) :]
            except BrokenPipeError:
                return


def finish(started: Started) -> int:
    """Wait for a launched process, or stop it when the wait is broken off; its exit status."""
    try:
        return started.wait().status
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

    `pin` says what the URL `reference` is right now; `rest` is what follows its scheme. It writes nothing.
    `fetch` fills a draft with exactly what `base` pinned; `rest` is what follows the scheme in `base.source`.
    Both raise `InputError` where the base is missing, malformed or, at `fetch`, no longer what was pinned,
    `RegistryError` where a server does not answer, and `ToolMissing`.
    """

    def pin(self, reference: str, rest: str) -> Base: ...

    def fetch(self, base: Base, rest: str, draft: Draft) -> None: ...
