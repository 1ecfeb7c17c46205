"""The only place that starts programs of the host: tools, and the helper, which then starts the steps."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from system.errors import MachineError, ToolMissing

DEBIAN_PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "skopeo": "skopeo",
    "runc": "runc",
    "crun": "crun",
    "/bin/mount": "mount",
    "tar": "tar",
    "cp": "coreutils",
    "rm": "coreutils",
    "xz": "xz-utils",
    "zstd": "zstd",
}


@dataclass(frozen=True, slots=True)
class Result:
    """How a finished program ended. `stdout` and `stderr` as bytes, whole."""

    status: int
    stdout: bytes
    stderr: bytes


def find(tool: str) -> str:
    """The absolute path of a program, or `ToolMissing` that says which package has it."""
    path = shutil.which(tool)
    if path is None:
        package = DEBIAN_PACKAGES.get(tool, tool)
        raise ToolMissing(f"{tool} is not installed", hint=f"On Debian and Ubuntu: apt-get install {package}")
    return path


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float | None = None) -> Result:
    """Run a program to its end without standard input; a non-zero status is a value, not an error."""
    try:
        done = subprocess.run(
            [find(argv[0]), *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MachineError(f"{argv[0]} did not end within {timeout:.0f} s") from None
    return Result(done.returncode, done.stdout, done.stderr)


def start(
    argv: Sequence[str],
    *,
    pass_fds: Sequence[int] = (),
    stdin: int | None = None,
    stdout: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program and leave it running. Its standard error is the engine's."""
    return subprocess.Popen(
        argv, pass_fds=pass_fds, stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=stdout
    )
