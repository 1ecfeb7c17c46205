"""How close runs come to the least time there is, by the order in which steps start; and what the scheduler costs.

    python bench/scheduling.py [--index PATH] [--solutions PATH]

Simulated: the real scheduler on a clock that does not wait. The DAGs are all installations of the opam solutions, each
package version with the same dependencies once (left out where the file is not found: `../shared/data`, or the folder
that STEPWOOD_DATA names), and two random ones. Durations are log-normal, from a fixed seed, or with `--index` drawn
from the builds that an index remembers. Makespans are shown as ratios to max(critical path, work / workers), which no
order can go below.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import zstandard

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from engine.dag import Dag  # noqa: E402
from engine.estimate import Estimates, estimate  # noqa: E402
from engine.index import Index  # noqa: E402
from engine.outcome import Built, Failed  # noqa: E402
from engine.plan import Plan  # noqa: E402
from engine.records import Attempt  # noqa: E402
from engine.scheduler import Order, Scheduler  # noqa: E402
from engine.simulate import Makespan, predict, simulate  # noqa: E402
from engine.step import Ids, Run, Step, StepId  # noqa: E402

SOLUTIONS = "opam_solutions_5.3.0.json.zst"
WORKERS = (8, 32, 256)
MEDIAN, SPREAD = 5.0, 1.2
"""Of the durations that are made up: seconds, and the standard deviation of their logarithm."""


@dataclass(frozen=True, slots=True)
class Node(Step):
    """A step that reads any number of others."""

    needs: tuple[StepId, ...] = ()

    @property
    def inputs(self) -> tuple[StepId, ...]:
        return self.needs


def node(name: str, needs: Iterable[StepId]) -> Node:
    """A step of which nothing counts but what it reads."""
    needs = tuple(needs)
    id = hashlib.sha256("\n".join([name, *sorted(needs)]).encode()).hexdigest()
    return Node(id, f'(run (shell "opam install {name}"))', Run("", name, (), "/", (), Ids()), needs=needs)


def solutions() -> Path | None:
    """Where the solutions are; None where they are not."""
    folder = Path(os.environ.get("STEPWOOD_DATA") or HERE.parents[1] / "shared" / "data")
    path = folder / SOLUTIONS
    return path if path.exists() else None


def opam(path: Path) -> Dag:
    """Each package version with its closure of dependencies once; a job is what one package needs."""
    jobs = json.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=2**30))["jobs"]
    steps: dict[StepId, Step] = {}
    plans = []
    for job in jobs:
        made: dict[int, Node] = {}
        waiting = list(range(len(job["packages"])))
        while waiting:
            package = waiting[-1]
            missing = [other for other in job["deps"][package] if other not in made]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if package not in made:
                # The id holds the ids of all it reads, so it stands for the whole closure.
                made[package] = node(job["packages"][package], (made[other].id for other in job["deps"][package]))
        steps |= {one.id: one for one in made.values()}
        final = made[job["packages"].index(f"{job['root']}.{job['version']}")]
        plans.append(Plan(job["root"], tuple(one.id for one in made.values()), final.id))
    return Dag.of(plans, steps)


def layered(steps: int, width: int, fan_in: int, seed: int = 0) -> Dag:
    """A random DAG: the first `width` steps read nothing, all others up to `fan_in` of the steps not long before."""
    chance = Random(seed)
    made: list[Node] = []
    for number in range(steps):
        window = range(max(0, number - 3 * width), number - width) if number > width else ()
        needs = {made[chance.choice(window)].id for _ in range(fan_in)} if window else set()
        made.append(node(str(number), sorted(needs)))
    return Dag.of([Plan("all", tuple(one.id for one in made), made[-1].id)], {one.id: one for one in made})


def durations(dag: Dag, seed: int = 0, known: Sequence[float] = ()) -> dict[StepId, float]:
    """Seconds for each step: log-normal, or drawn from those `known`."""
    chance = Random(seed)
    if known:
        return {step.id: chance.choice(known) for step in dag}
    return {step.id: MEDIAN * chance.lognormvariate(0.0, SPREAD) for step in dag}


def first_come() -> Order:
    """The step that has been ready for longest goes first."""
    places = itertools.count()
    return lambda _: next(places)


def at_random(seed: int = 0) -> Order:
    chance = Random(seed)
    return lambda _: chance.random()


def compare(dag: Dag, seconds: Mapping[StepId, float], workers: int) -> dict[str, Makespan]:
    orders: dict[str, Order | None] = {"ours": None, "FIFO": first_come(), "random": at_random()}
    return {name: simulate(dag, seconds, workers, order=order) for name, order in orders.items()}


def makespans(dags: Mapping[str, Dag], known: Sequence[float]) -> None:
    print("| DAG | steps | workers | work s | critical path s | ours | FIFO | random | ours, misled | utilisation |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, dag in dags.items():
        seconds = durations(dag, known=known)
        chance = Random(1)
        # Misled: what is expected of a step is off by a factor, of 2 for one standard deviation.
        believed = {id: took * chance.lognormvariate(0.0, 0.7) for id, took in seconds.items()}
        for workers in WORKERS:
            found = compare(dag, seconds, workers)
            found["errors"] = simulate(dag, seconds, workers, expected=believed)
            ours = found["ours"]
            ratios = " | ".join(f"{one.makespan / one.bound:.3f}" for one in found.values())
            print(
                f"| {name} | {len(dag):,} | {workers} | {ours.work:,.0f} | {ours.critical_path:,.0f} | {ratios}"
                f" | {ours.utilisation:.1%} |"
            )


def timed(what: Callable[[], object]) -> float:
    """Seconds of processor time, the least of three: this machine may be busy."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        what()
        taken.append(time.process_time() - begun)
    return min(taken)


def overhead(dags: Mapping[str, Dag]) -> None:
    print("\n| ms a step | steps | scheduler | where memory is short | where every tenth fails | simulated run, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, dag in dags.items():
        seconds = durations(dag)
        chance = Random(2)
        memory = {step.id: chance.randrange(2**30) for step in dag}

        def run(room: int | None, failures: bool, dag: Dag = dag, seconds=seconds, memory=memory) -> None:
            scheduler = Scheduler(dag, set(), seconds, memory=memory, room=room)
            running: list[StepId] = []
            for number in itertools.count():
                while len(running) < 32 and (id := scheduler.take()) is not None:
                    running.append(id)
                if not running:
                    return
                failed = failures and number % 10 == 9
                scheduler.finish(running.pop(0), Failed(1, "exit", 1.0) if failed else Built(1.0, None, 0))

        cases = ((None, False), (8 * 2**30, False), (None, True))
        costs = " | ".join(f"{timed(lambda case=case: run(*case)) / len(dag) * 1e3:.4f}" for case in cases)
        once = timed(lambda dag=dag, seconds=seconds: simulate(dag, seconds, 32))
        print(f"| {name} | {len(dag):,} | {costs} | {once:.2f} |")


def predicting(dag: Dag) -> None:
    seconds = durations(dag)
    guess = Estimates(seconds, dict.fromkeys(seconds, 0.5), {}, set(), set())
    begun = time.process_time()
    found = predict(dag, guess, 32, runs=50)
    took = time.process_time() - begun
    print(f"\n50 simulated runs of {len(dag):,} steps: {took:.1f} s; p50 {found.p50:,.0f} s, p90 {found.p90:,.0f} s")


def estimating(builds: int = 100_000, steps: int = 5_000) -> None:
    with tempfile.TemporaryDirectory() as folder, Index.open(Path(folder, "index.db")) as index:
        past = [node(f"package{number % 4000}.{number}", ()) for number in range(builds)]
        index.add_steps(past, lambda _: [])
        index.record_attempts(None, (Attempt(one.id, 1, 0.0, 1.0, "built", exit=0, peak_memory=1) for one in past))
        new = [node(f"package{number}.0.{number}", ["none"]) for number in range(steps)]
        print(f"estimates for {steps:,} steps, {builds:,} builds in the index, processor seconds: "
              f"never built {timed(lambda: estimate(index, new)):.2f}, "
              f"all built {timed(lambda: estimate(index, past[:steps])):.2f}")  # fmt: skip


def recorded(path: Path) -> list[float]:
    """The seconds of the builds that an index remembers."""
    index = Index.find(path)
    if index is None:
        sys.exit(f"bench: {path} is not there")
    with index:
        return [seconds for seconds, _, _ in index.latest_builds(100_000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path, help="draw durations from the builds in this index")
    parser.add_argument("--solutions", type=Path, default=solutions())
    options = parser.parse_args()
    known = recorded(options.index) if options.index else []
    dags = {
        "random, wide": layered(20_000, 2_000, 3),
        "random, very wide": layered(100_000, 10_000, 2),
    }
    if options.solutions is not None:
        dags = {"opam": opam(options.solutions), **dags}
    makespans(dags, known)
    overhead(dags)
    predicting(next(iter(dags.values())))
    estimating()


if __name__ == "__main__":
    main()
