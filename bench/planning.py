"""What planning and cached steps cost, and how fast a command starts.

    sudo python bench/planning.py

Prints medians of 5 runs. The floors: for planning, hashing as many step encodings with nothing around them; for
start-up, `python -c pass`.
"""

from __future__ import annotations

import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from engine import digest  # noqa: E402
from engine.dag import Dag  # noqa: E402
from engine.plan import Job, Planner  # noqa: E402
from engine.records import Attempt, to_meta  # noqa: E402
from engine.step import Base, Config, Manifest  # noqa: E402
from grammar import parser  # noqa: E402
from grammar.source import Body, Source  # noqa: E402
from stores.overlay import overlay  # noqa: E402

RUNS = 5


class Nowhere:
    """A world with one base and no files."""

    def pin(self, base: str) -> Base:
        return Base(base, "sha256:0", Config(), "")

    def manifest(self, folder: str, sources: tuple[str, ...], exclude: tuple[str, ...]) -> Manifest:
        raise AssertionError("no copies here")


def texts(jobs: int, common: int, group: int, own: int, groups: int) -> list[str]:
    """Specs whose first steps all share, the next a group shares, and the last are a job's own."""
    found = []
    for job in range(jobs):
        lines = [f'(run (shell "common {i}"))' for i in range(common)]
        lines += [f'(run (shell "group {job % groups} step {i}"))' for i in range(group)]
        lines += [f'(run (shell "job {job} step {i}"))' for i in range(own)]
        found.append("((from b)\n" + "\n".join(lines) + ")\n")
    return found


def plan(specs: list[str]) -> Dag:
    planner = Planner(Nowhere())
    parsed = {text: parser.parse(text, file="bench") for text in set(specs)}
    plans = [planner.plan(Job(f"j{i}", Body(parsed[text], Source("bench", text, "/")))) for i, text in enumerate(specs)]
    return Dag.of(plans, planner.steps)


def median(run: Callable[[], object]) -> float:
    """Seconds."""
    taken = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def planning() -> None:
    print("| parse + plan + DAG | steps | distinct | seconds | steps a second | hashing alone, seconds | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    cases = {
        "1,000 specs of 60, 30 common, 20 a group": texts(1000, 30, 20, 9, 12),
        "1,000 specs of 60, nothing shared": texts(1000, 0, 0, 59, 1),
        "1,000 times the same spec of 60": texts(1, 30, 20, 9, 1) * 1000,
    }
    for name, specs in cases.items():
        sys.stdout.flush()
        if os.fork() == 0:  # its peak of memory is its own
            _row(name, specs)
            sys.stdout.flush()
            os._exit(0)
        os.wait()


def _row(name: str, specs: list[str]) -> None:
    dag = plan(specs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    steps = sum(len(one.steps) for one in dag.plans)
    ours = median(lambda: plan(specs))
    encoded = [repr(digest.fields(step.action)).encode() for step in dag]
    floor = median(lambda: [hashlib.sha256(text).hexdigest() for text in encoded])
    print(f"| {name} | {steps} | {len(dag)} | {ours:.2f} | {steps / ours:,.0f} | {floor:.3f} | {peak:.0f} |")


def cached() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        (spec,) = texts(1, 10_000, 0, 0, 1)
        file = Path(folder, "long.spec")
        root = Path(folder, "root")
        root.mkdir()
        file.write_text(spec)
        short = Path(folder, "short.spec")
        short.write_text(texts(1, 1, 0, 0, 1)[0])
        argv = ["--store", f"overlay:{folder}/store", "--base", f"b=dir:{root}"]
        _fill(Path(folder, "store"), spec, root)
        long = median(lambda: stepwood("build", "-q", *argv, str(file)))
        start = median(lambda: stepwood("build", "-q", *argv, str(short)))
        print(f"\na cached step in a 10,000-step plan: {(long - start) / 10_000 * 1e3:.3f} ms (OBuilder: 0.33)")


def _fill(folder: Path, spec: str, root: Path) -> None:
    """Commit every step of a spec without running it: only its being there counts."""
    from stepwood.bases import base as bases

    class World(Nowhere):
        def pin(self, base: str) -> Base:
            return bases.pin(f"dir:{root}")

    planner = Planner(World())
    planner.plan(Job("fill", Body(parser.parse(spec, file="bench"), Source("bench", spec, "/"))))
    store = overlay(folder)
    store.start()
    for step in planner.steps.values():
        with store.draft(step.id, step.inputs) as draft:
            row = Attempt(step.id, 1, time.time(), 0.1, "built", exit=0)
            draft.commit(to_meta(step, digest.fields(step.action), row))
    store.close()


def stepwood(*arguments: str) -> None:
    argv = [sys.executable, "-m", "stepwood", *arguments]
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(argv, env=env, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode())


def starting() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "small.spec")
        file.write_text('((from b) (run (shell "true")))\n')
        floor = median(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
        for arguments in (["--help"], ["check", str(file)]):
            taken = median(lambda arguments=arguments: stepwood(*arguments))
            print(f"stepwood {arguments[0]}: {taken * 1e3:.0f} ms (python alone: {floor * 1e3:.0f} ms)")


if __name__ == "__main__":
    planning()
    cached()
    starting()
