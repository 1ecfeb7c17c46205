"""What 4,000 jobs of 60 steps cost before anything runs, part by part: 30 steps common to all, 20 to a group of 80
jobs, 10 of a job's own; written with named builds and a matrix, and as one flat text of 9 MB.

    python bench/workflows.py

Prints medians of 3 runs. The floor of parsing is Python's own `str.split` of the text; that of the document, writing
the ids of all jobs' steps as JSON and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from planning import Nowhere  # noqa: E402

from engine.dag import Dag  # noqa: E402
from engine.plan import Job, Planner  # noqa: E402
from engine.prospect import Prospect  # noqa: E402
from engine.render import Plan, as_json  # noqa: E402
from grammar.ast import Workflow  # noqa: E402
from grammar.expand import Jobs, expand  # noqa: E402
from grammar.parser import parse_any  # noqa: E402
from grammar.source import Source  # noqa: E402

RUNS = 3
GROUPS, MEMBERS = 50, 80
COMMON, GROUP, OWN = 30, 20, 10
T = TypeVar("T")


def runs(count: int, text: str) -> str:
    return "".join(f'\n   (run (shell "{text} step {number:02}"))' for number in range(count))


def flat() -> str:
    """Every job written out."""
    jobs = []
    for group in range(GROUPS):
        shared = runs(COMMON, "common") + runs(GROUP, f"group {group:02}")
        for member in range(MEMBERS):
            own = runs(OWN, f"job {group:02} {member:02}")
            jobs.append(f" (job job-{group:02}-{member:02}\n  ((from b){shared}{own}))\n")
    return f"(workflow\n{''.join(jobs)})\n"


def matrix() -> str:
    """The same jobs by named builds and a matrix."""
    groups = " ".join(f"{number:02}" for number in range(GROUPS))
    members = " ".join(f"{number:02}" for number in range(MEMBERS))
    return f"""(workflow
 (build common ((from b){runs(COMMON, "common")}))
 (build group-%{{g}} (matrix (g {groups})) ((from (build common)){runs(GROUP, "group %{g}")}))
 (job job-%{{g}}-%{{m}} (matrix (g {groups}) (m {members})) ((from (build group-%{{g}})){runs(OWN, "job %{g} %{m}")})))
"""


def expanded(source: Source, workflow: Workflow) -> Jobs:
    def load(source: Source, path: str) -> Source:
        raise AssertionError("no includes here")

    return expand(source, workflow, parse_any, load, {})


def planned(jobs: Jobs) -> tuple[Planner, Dag]:
    planner = Planner(Nowhere())
    plans = [planner.plan(Job(job.name, job.body, jobs.builds)) for job in jobs.jobs]
    return planner, Dag.of(plans, planner.steps)


def document(dag: Dag) -> str:
    prospect = Prospect(dag, set())
    return "\n".join(as_json(Plan(prospect, prospect.states(), None)))


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """The median of the seconds, and the result."""
    taken = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        result = run()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken), result


def parts(name: str, text: str) -> None:
    source = Source("bench", text)
    parsing, workflow = timed(lambda: parse_any(source))
    assert isinstance(workflow, Workflow)
    expansion, jobs = timed(lambda: expanded(source, workflow))
    planning, (_, dag) = timed(lambda: planned(jobs))
    writing, _ = timed(lambda: document(dag))
    split, _ = timed(text.split)
    ids, _ = timed(lambda: json.dumps([plan.steps for plan in dag.plans]))
    print(
        f"| {name} | {len(text) / 1e6:.2f} | {len(dag)} | {parsing:.2f} | {split:.2f} | {expansion:.2f} "
        f"| {planning:.2f} | {writing:.2f} | {ids:.2f} |"
    )


def command(name: str, text: str) -> None:
    """The whole command, by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "jobs.workflow")
        file.write_text(text)
        Path(folder, "root").mkdir()
        base, store = f"b=dir:{folder}/root", f"overlay:{folder}/none"
        argv = [sys.executable, "-m", "stepwood", "plan", str(file), "--base", base, "--store", store, "--format=json"]
        env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        taken, _ = timed(lambda: subprocess.run([*argv, "-o", f"{folder}/out"], env=env, check=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"`stepwood plan --format=json`, {name}: {taken:.2f} s, {peak:.0f} MB")


if __name__ == "__main__":
    texts = {"builds and a matrix": matrix(), "one flat text": flat()}
    print(
        "| written as | MB of text | distinct steps | parse | (split) | expand | plan + DAG | document | (ids alone) |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, text in texts.items():
        parts(name, text)
    print()
    for name, text in texts.items():
        command(name, text)
