"""The orders of 3,611 real solutions of package builds: never worse than was once reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from engine.analysis.bound import BOUNDS
from engine.analysis.jobs import Jobs, levels
from engine.analysis.solutions import read
from engine.analysis.strategies import BUDGET, STRATEGIES, evaluate
from tests.cli.desk import Desk
from tests.counts import FULL
from tests.data import SOLUTIONS

pytestmark = pytest.mark.skipif(not SOLUTIONS.exists(), reason=f"needs {SOLUTIONS}")


def document() -> dict[str, Any]:
    with SOLUTIONS.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as text:
        found: dict[str, Any] = json.loads(text.read())
        return found


@pytest.fixture(scope="module")
def jobs() -> Jobs:
    return read(document())


def test_the_batch(jobs: Jobs) -> None:
    assert (len(jobs.jobs), jobs.total, max(map(len, jobs.jobs))) == (3611, 126_167, 203)
    assert (len(jobs.names), len(set(jobs.names))) == (5762, 4067)
    assert sum(map(len, jobs.needs)) == 34_534
    assert max(levels(jobs)) == 30


@pytest.mark.parametrize(
    ("name", "steps"),
    [("arbitrary", 40_486), ("alphabetical", 52_806), ("popular", 35_947), ("merge", 5_762)],
)
def test_plain_orders(jobs: Jobs, name: str, steps: int) -> None:
    (result,) = evaluate(jobs, [name])
    assert result.distinct == steps


@pytest.mark.parametrize(("name", "steps"), [("greedy", 22_625), ("online", 19_081), ("agglomerative", 16_620)])
def test_better_orders(jobs: Jobs, name: str, steps: int) -> None:
    (result,) = evaluate(jobs, [name])
    assert result.distinct <= steps


def test_search(jobs: Jobs) -> None:
    (result,) = evaluate(jobs, ["search"], seconds=BUDGET if FULL else 4)
    assert result.distinct <= (16_500 if FULL else 16_620)


def test_bounds(jobs: Jobs) -> None:
    some = jobs if FULL else Jobs(jobs.names, jobs.needs, jobs.jobs[:300])
    spanning, independent, claims = (bound(some) for bound in BOUNDS.values())
    (agglomerative,) = evaluate(some, ["agglomerative"])
    assert spanning < independent < claims <= agglomerative.distinct
    if FULL:
        assert (spanning, independent) == (8_550, 16_084)
        assert claims >= 16_300


def test_the_command(tmp_path: Path) -> None:
    """It takes 20 s for all jobs, and 2 s for thirty."""
    file = SOLUTIONS if FULL else tmp_path / "some.json"
    if not FULL:
        file.write_text(json.dumps({"jobs": document()["jobs"][:30]}))
    done = Desk(tmp_path, None, None).ok("opam", "dedup", "--solutions", str(file), "--format=json")
    found = json.loads(done.stdout)
    steps = {one["name"]: one["distinct"] for one in found["strategies"]}
    assert list(steps) == [*STRATEGIES]
    arbitrary, merge = (40_486, 5_762) if FULL else (689, 225)
    assert (found["jobs"], found["steps"]) == ((3_611, 126_167) if FULL else (30, 978))
    assert found["distinct"] == steps["arbitrary"] == arbitrary
    assert steps["merge"] == merge < found["bound"] <= steps["search"] <= steps["agglomerative"]
    assert found["bound"] == (16_084 if FULL else 330)
    assert steps["search"] <= (16_500 if FULL else 339)
