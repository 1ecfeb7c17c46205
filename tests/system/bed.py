"""A place to launch things: a root of busybox, fresh uppers over it, and a helper."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from system.helper.client import Helper, Started
from system.launch import Exec, Exit, Launch, Layers, Mount, World

PATH = (("PATH", "/bin"),)
MOUNT_POINTS = ("proc", "dev", "sys", "tmp", "etc")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:User:/home/user:/bin/sh\n"


def busybox(cache: Path) -> Path:
    """A static busybox: the host's, or Debian's, which then stays in `cache`."""
    host = shutil.which("busybox")
    if host and b"/ld-linux" not in Path(host).read_bytes():
        return Path(host)
    found = cache / "bin/busybox"
    if not found.exists():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["apt-get", "-q", "download", "busybox-static"], cwd=cache, check=True, timeout=60)
            subprocess.run(["dpkg", "-x", *cache.glob("busybox-static*.deb"), cache], check=True, timeout=60)
    if not found.exists():
        pytest.skip("no static busybox here, and none to be had from apt")
    return found


def make_base(program: Path, folder: Path) -> None:
    """`folder/scaffold` and `folder/base`, the two lowers of every root."""
    for name in MOUNT_POINTS:
        (folder / "scaffold" / name).mkdir(parents=True)
    (folder / "scaffold/etc/hosts").touch()
    (folder / "base/bin").mkdir(parents=True)
    (folder / "base/etc").mkdir()
    (folder / "base/etc/passwd").write_text(PASSWD)
    (folder / "base/tmp").mkdir()
    # A shell opens it for what it starts in the background, in worlds that bring no /dev.
    (folder / "base/dev").mkdir()
    (folder / "base/dev/null").touch()
    (folder / "base/dev/null").chmod(0o666)
    (folder / "base/tmp").chmod(0o1777)
    shutil.copy(program, folder / "base/bin/busybox")
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True, timeout=10).stdout
    for applet in set(applets.split()) - {"busybox"}:
        (folder / "base/bin" / applet).symlink_to("busybox")


@dataclass(frozen=True)
class Ended:
    exit: Exit
    text: str
    """Standard output and error, mixed."""

    @property
    def status(self) -> int:
        return self.exit.status


class Job:
    """A launch under way, and the pipe its output comes by."""

    def __init__(self, started: Started, output: int) -> None:
        self.started = started
        self._output = os.fdopen(output, "rb")

    def line(self) -> str:
        return self._output.readline().decode().rstrip("\n")

    def end(self, timeout: float = 20) -> Ended:
        """What it still says, and how it ends."""
        try:
            text = self._output.read().decode(errors="replace")
            return Ended(self.started.wait(timeout), text)
        finally:
            self.close()

    def close(self) -> None:
        self._output.close()
        self.started.close()


class Bed:
    def __init__(self, folder: Path, helper: Helper, prefix: str = "") -> None:
        self.folder = folder
        self.helper = helper
        self._prefix = prefix
        self._numbers = itertools.count()

    def fresh(self, name: str) -> Path:
        """A new empty folder."""
        path = self.folder / f"{self._prefix}{name}-{next(self._numbers)}"
        path.mkdir()
        return path

    def root(self, upper: Path | None = None) -> Layers:
        """The base under a new upper, or under one that a test has filled."""
        upper = upper or self.fresh("upper")
        return Layers(str(self.folder), ("scaffold", "base"), str(upper), str(self.fresh("work")))

    def shell(self, script: str, *mounts: Mount, root: Layers | None = None, world: World | None = None) -> Launch:
        """A shell without a sandbox."""
        process = Exec(("/bin/sh", "-c", script), PATH)
        return Launch(process, world or World(), root=root or self.root(), mounts=mounts)

    @contextlib.contextmanager
    def job(self, launch: Launch, descriptors: Sequence[int] = ()) -> Iterator[Job]:
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            started = self.helper.start(launch, None, write, write, descriptors)
        finally:
            os.close(write)
        job = Job(started, read)
        try:
            yield job
        finally:
            job.close()

    def run(self, launch: Launch) -> Ended:
        with self.job(launch) as job:
            return job.end()


def processes(mark: str) -> list[int]:
    """The host's processes whose command line holds `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def mounted() -> list[str]:
    """What is mounted in this process's namespace."""
    return sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
