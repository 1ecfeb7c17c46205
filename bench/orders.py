"""How few steps each order needs for real package builds, and how few any order could do with.

    python bench/orders.py [SECONDS]

SECONDS is the budget of `search`. Reads opam_solutions_5.3.0.json.zst in ../shared/data or the folder that
STEPWOOD_DATA names: the solutions of 3,611 packages. Each row is a process of its own; its peak of memory holds the
jobs too, as the first row shows.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from engine.analysis.bound import BOUNDS  # noqa: E402
from engine.analysis.jobs import Jobs  # noqa: E402
from engine.analysis.solutions import read  # noqa: E402
from engine.analysis.strategies import BUDGET, STRATEGIES, evaluate  # noqa: E402

DATA = Path(os.environ.get("STEPWOOD_DATA") or HERE.parents[1] / "shared" / "data")


def load() -> Jobs:
    with (DATA / "opam_solutions_5.3.0.json.zst").open("rb") as packed:
        return read(json.loads(zstandard.ZstdDecompressor().stream_reader(packed).read()))


def alone(run: Callable[[], list[float]]) -> list[float]:
    """What a function gives, run in a process of its own, and then that process's peak of memory in MB."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        found = run()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.write(writing, json.dumps([*found, peak]).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        found = json.load(answer)
    os.wait()
    return found


def strategy(jobs: Jobs, name: str, seconds: float) -> list[float]:
    (result,) = evaluate(jobs, [name], seconds=seconds)
    return [result.distinct, result.ratio, result.depth, result.compute_seconds]


def bound(jobs: Jobs, name: str) -> list[float]:
    begun = time.perf_counter()
    steps = BOUNDS[name](jobs)
    return [steps, time.perf_counter() - begun]


def main(seconds: float) -> None:
    jobs = load()
    print(f"{len(jobs.jobs):,} jobs, {jobs.total:,} steps\n")
    print("| strategy | distinct | ratio | depth | seconds | peak MB |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    print(f"| (the jobs alone) | | | | | {alone(list)[0]:.0f} |", flush=True)
    reached = {}
    for name in STRATEGIES:
        steps, ratio, depth, taken, peak = alone(lambda name=name: strategy(jobs, name, seconds))
        reached[name] = steps
        print(f"| `{name}` | {steps:,} | {ratio:.2f} × | {depth} | {taken:.2f} | {peak:.0f} |", flush=True)
    print("\n| no order needs fewer than | steps | seconds | peak MB |")
    print("| --- | --- | --- | --- |", flush=True)
    most = 0.0
    for name in BOUNDS:
        steps, taken, peak = alone(lambda name=name: bound(jobs, name))
        most = max(most, steps)
        print(f"| {name} | {steps:,} | {taken:.1f} | {peak:.0f} |", flush=True)
    if most:
        print(f"\n`search` needs at most {reached['search'] / most - 1:.2%} more steps than the best order.")


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else BUDGET)
