"""What many small jobs cost as a whole command: 20 jobs that share 20 steps and add one each, and 200 jobs of a second.

    sudo python bench/batches.py [RUNS]

Needs root and a static busybox. Medians of RUNS runs (default 5), each on a store of its own; what start-up costs is
the same command on one cached job of one step, taken in between.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steps import HERE, base

JOBS, SHARED = 20, 20
SLEEPERS = 200


def spec(*commands: str) -> str:
    steps = "\n".join(f'(run (shell "{command}"))' for command in commands)
    return f"((from bench) (shell /bin/sh -c)\n{steps})\n"


def build(root: Path, store: Path, files: list[Path], *options: str) -> tuple[float, str]:
    """Seconds of one `stepwood build`, and its output."""
    argv = [sys.executable, "-m", "stepwood", "build", "--store", f"overlay:{store}", "--base", f"bench=dir:{root}"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*argv, *options, *files], env={**os.environ, "PYTHONPATH": str(HERE.parent)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stderr)
    return seconds, done.stdout


def write(folder: Path, texts: list[str]) -> list[Path]:
    files = [folder / f"job{number}.spec" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return files


def shared(folder: Path, root: Path, runs: int) -> None:
    """20 jobs that share 20 steps and add one each."""
    common = [f"echo {number} > /shared{number}" for number in range(SHARED)]
    many = write(folder, [spec(*common, f"echo own {number} > /own") for number in range(JOBS)])
    (folder / "one").mkdir()
    one = write(folder / "one", [spec("echo one > /one")])
    whole, start = [], []
    for _ in range(runs):
        store = Path(tempfile.mkdtemp(dir=folder, prefix="store"))
        build(root, store, one)
        start.append(build(root, store, one)[0])
        whole.append(build(root, store, many)[0])
    total, startup = statistics.median(whole), statistics.median(start)
    print("| 20 jobs that share 20 steps and add one each | s |\n| --- | --- |")
    print(f"| the whole command | {total:.2f} |\n| start-up alone | {startup:.2f} |\n| **besides start-up** "
          f"| **{total - startup:.2f}** |", flush=True)  # fmt: skip


def sleepers(folder: Path, root: Path, runs: int) -> None:
    """200 jobs of one step that sleeps a second, all at once."""
    files = write(folder, [spec(f"sleep 1 # {number}") for number in range(SLEEPERS)])
    took = []
    for _ in range(runs):
        store = Path(tempfile.mkdtemp(dir=folder, prefix="store"))
        _, output = build(root, store, files, "-j", str(SLEEPERS), "--json")
        events = [json.loads(line) for line in output.splitlines()]
        ids = {event["id"] for event in events if event["event"] == "start" and "sleep" in event["op"]}
        first = min(event["time"] for event in events if event.get("id") in ids)
        took.append(max(event["time"] for event in events) - first)
    print(f"\n{SLEEPERS} jobs that sleep a second, `-j {SLEEPERS}`: {statistics.median(took):.2f} s from the first "
          f"start to the end, slowest {max(took):.2f} s")  # fmt: skip


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        root = base(Path(name))
        shared(Path(name), root, runs)
        sleepers(Path(name), root, min(runs, 3))


if __name__ == "__main__":
    main()
