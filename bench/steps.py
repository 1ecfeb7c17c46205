"""What a `run` step costs: the slope between a 20-step and a 220-step chain, beside its floor and a shell loop.

    sudo python bench/steps.py [RUNS]

Needs root, gcc and a static busybox. A row is taken RUNS times (default 5), its three figures one after the other each
time, and their medians are printed, in milliseconds a step. A second table shows how many layers are best squashed
into one, over a chain of 380 steps that write a file each.

Nothing is removed before the end: ext4 makes files slowly where many were removed in the last minute.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
SHORT, LONG = 20, 220
COMMANDS = {"nothing": ":", "a small file": "echo x > /f"}
LAYERS = (1, 50, 200)
CHAIN = 380
"""Steps of a chain that is squashed, or not: a store squashes any of 400."""
SQUASHED = (4, 8, 16, 32, 64, 128, 10_000)


def base(folder: Path) -> Path:
    """A root with a shell and nothing else."""
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("bench: busybox is not installed: apt-get install busybox-static")
    root = folder / "base"
    (root / "bin").mkdir(parents=True)
    for name in ("etc", "proc", "sys", "dev", "tmp"):
        (root / name).mkdir()
    shutil.copy2(busybox, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    return root


def spec(steps: int, command: str, before: int, mark: str) -> str:
    """A chain: `before` steps that each add a layer, then the steps that are measured, each distinct."""
    filling = [f'(run (shell "echo {i} > /layer{i}"))' for i in range(before)]
    measured = [f'(run (shell "{command}{i if "/f" in command else ""} # {i} {mark}"))' for i in range(steps)]
    return "((from bench) (shell /bin/sh -c)\n" + "\n".join(filling + measured) + ")\n"


def stepwood(folder: Path, root: Path, text: str, store: Path, before: str = "") -> float:
    """Seconds of one `stepwood build`, after some Python."""
    file = folder / "chain.spec"
    file.write_text(text)
    program = f"{before}\nfrom stepwood.cli import main\nmain()"
    argv = [sys.executable, "-c", program, "build", "-q", "-j1", "--store", f"overlay:{store}"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*argv, "--base", f"bench=dir:{root}", str(file)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stderr.decode())
    return seconds


def slope(folder: Path, root: Path, command: str, layers: int) -> float:
    """Milliseconds a step on top of `layers` layers: two chains of different length on the same filled store."""
    store = Path(tempfile.mkdtemp(dir=folder, prefix="store"))
    stepwood(folder, root, spec(0, command, layers - 1, ""), store)
    short = stepwood(folder, root, spec(SHORT, command, layers - 1, "short"), store)
    long = stepwood(folder, root, spec(LONG, command, layers - 1, "long"), store)
    return (long - short) / (LONG - SHORT) * 1e3


def squashing(folder: Path, root: Path, run: int) -> float:
    """Milliseconds a step of a long chain in which `run` layers become one."""
    store = Path(tempfile.mkdtemp(dir=folder, prefix="store"))
    before = f"import stores.overlay; stores.overlay.RUN = {run}"
    short = stepwood(folder, root, spec(SHORT, COMMANDS["a small file"], 0, "short"), store, before)
    long = stepwood(folder, root, spec(CHAIN, COMMANDS["a small file"], 0, "long"), store, before)
    return (long - short) / (CHAIN - SHORT) * 1e3


def bare(folder: Path, program: Path, root: Path, command: str, layers: int) -> float:
    """Milliseconds a step of the bare calls."""
    work = Path(tempfile.mkdtemp(dir=folder, prefix="bare"))
    shutil.copytree(root, work / "base", symlinks=True)
    (work / "mnt").mkdir()
    for i in range(layers - 1):
        (work / f"l{i}").mkdir()
        (work / f"l{i}" / f"layer{i}").write_text("x")
    text = command if command == ":" else "echo x > /f"
    done = subprocess.run([program, work, str(layers), "200", text], capture_output=True, text=True, check=True)
    return float(done.stdout)


def shell(folder: Path, root: Path, command: str) -> float:
    """Milliseconds a step of a shell loop over unshare, mount and chroot."""
    work = Path(tempfile.mkdtemp(dir=folder, prefix="shell"))
    (work / "mnt").mkdir()
    loop = f"""
        cd {work}
        for i in $(seq 200); do
          mkdir up$i wk$i
          unshare -m -p -i -u -n -f sh -c \
            "mount -t overlay overlay -olowerdir={root},upperdir=up$i,workdir=wk$i mnt &&
             chroot mnt /bin/sh -c '{command if command == ":" else "echo x > /f"}'" || exit 1
        done"""
    begun = time.perf_counter()
    subprocess.run(["sh", "-c", loop], check=True)
    return (time.perf_counter() - begun) / 200 * 1e3


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        program = folder / "bare-calls"
        subprocess.run(["gcc", "-O2", "-o", program, HERE / "bare.c"], check=True)
        root = base(folder)
        print("| a step that writes | layers | stepwood ms | bare calls ms | ratio | shell loop ms | ratio |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for what, command in COMMANDS.items():
            for layers in LAYERS:
                rows = [
                    (
                        slope(folder, root, command, layers),
                        bare(folder, program, root, command, layers),
                        shell(folder, root, command),
                    )
                    for _ in range(runs)
                ]
                ours, floor, loop = (statistics.median(column) for column in zip(*rows, strict=True))
                figures = f"{ours:.2f} | {floor:.2f} | {ours / floor:.2f} | {loop:.2f} | {ours / loop:.2f}"
                print(f"| {what} | {layers} | {figures} |", flush=True)
        print("\n| layers squashed into one | ms a step |")
        print("| --- | --- |")
        taken: dict[int, list[float]] = {run: [] for run in SQUASHED}
        for _ in range(runs):
            for run in SQUASHED:
                taken[run].append(squashing(folder, root, run))
        for run in SQUASHED:
            print(f"| {run if run < CHAIN else 'none'} | {statistics.median(taken[run]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
