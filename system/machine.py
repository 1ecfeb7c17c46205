"""What the machine has."""

from __future__ import annotations

import re
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def free_memory() -> int | None:
    """Bytes that can be used without swapping: what the kernel takes to be available (proc_meminfo(5)), or the limit of
    the control group where that is less. None where the kernel does not say."""
    found = []
    try:
        meminfo = Path("/proc/meminfo").read_text()
    except OSError:
        meminfo = ""
    if match := re.search(r"^MemAvailable: +(\d+) kB$", meminfo, re.M):
        found.append(int(match[1]) * 1024)
    for limit in _LIMITS:
        try:
            found.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(found, default=None)
