"""Every sample of specs/ is built on a Debian base, with its jobs side by side; then nothing is left to run."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPECS = Path(__file__).parents[2] / "specs"
SAMPLES = sorted(SPECS.glob("*.spec"))

pytestmark = [
    pytest.mark.root,
    pytest.mark.debian,
    pytest.mark.tool("mmdebstrap"),
    pytest.mark.timeout(900),
]


def stepwood(*arguments: str | Path, code: int = 0) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "stepwood", *arguments], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == code, done.stderr.decode()[-4000:] + done.stdout.decode()[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The store, and Debian as this machine's release has it: another's archive it may not know."""
    folder = tmp_path_factory.mktemp("samples")
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    base = f"debian=debootstrap:{suite}?include=gcc,libc6-dev,make,xz-utils"
    return ["--store", f"overlay:{folder / 'store'}", "--base", base]


def events(output: bytes, kind: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, output.splitlines()) if event["event"] == kind]


@pytest.fixture(scope="module")
def build(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command that builds all samples."""
    secret = tmp_path_factory.mktemp("secrets") / "token"
    secret.write_text("a sample's secret")
    return ["build", *SAMPLES, *options, "--secret", f"token={secret}", "--json"]


@pytest.fixture(scope="module")
def first(build: list[str | Path]) -> bytes:
    """What it prints the first time."""
    return stepwood(*build)


def test_samples_are_built_and_then_cached(build: list[str | Path], first: bytes, options: list[str]) -> None:
    assert {job["name"]: job["outcome"] for job in events(first, "job")} == {file.stem: "built" for file in SAMPLES}
    said = "".join(event["text"] for event in events(first, "log"))
    assert "Hello from a snapshot" in said
    assert "hello from Stepwood" in said

    plan = json.loads(stepwood("plan", *SAMPLES, *options, "--format=json"))
    assert plan["totals"]["jobs"] == len(SAMPLES)
    assert plan["totals"]["to_run"] == 0
    demos = [set(job["steps"]) for job in plan["jobs"] if job["name"].startswith("demo-")]
    assert len(demos) == 3
    assert len(set.intersection(*demos)) == 2  # the base and the fetch

    again = stepwood(*build)
    assert {job["outcome"] for job in events(again, "job")} == {"cached"}


def masked(text: str) -> str:
    """What a command printed, without ids, times and sizes, and the width of the columns that hold them."""
    text = re.sub(r"\b[0-9a-f]{12}\b", "ID", text)
    text = re.sub(r"(critical path: .*) to \S+", r"\1 to one of them", text)
    return re.sub(r" *\b[\d.,]+ (?:s|min|h|days|kB|MB|GB)\b", " N", text)


@pytest.mark.usefixtures("first")
def test_levels_are_planned_built_and_analysed_as_the_readme_shows(options: list[str]) -> None:
    """After the samples, as the README says."""
    blocks = re.findall(r"^```\n(.*?)^```", (SPECS.parent / "README.md").read_text(), re.M | re.S)
    workflow = SPECS / "levels.workflow"
    plan = stepwood("plan", workflow, *options, "--only", "*-O2", "--what-if", "-j", "16").decode()
    cores = f"predicted at -j {os.cpu_count()}:"
    assert masked(plan.replace(cores, "predicted at -j 2:")) in map(masked, blocks)

    done = stepwood("build", workflow, *options, "--json")
    assert [job["outcome"] for job in events(done, "job")] == ["built"] * 6
    assert masked(stepwood("dedup", workflow, *options).decode()) in map(masked, blocks)
    found = json.loads(stepwood("dedup", workflow, *options, "--format=json"))
    assert (found["jobs"], found["steps"], found["distinct"]) == (6, 36, 26)
    assert [(miss["differs"], miss["excess"], miss["after"]) for miss in found["near_misses"]] == [
        (["env CFLAGS"], 4, 2)
    ] * 3


def test_every_program_of_the_workflow_is_compiled_and_run(options: list[str]) -> None:
    workflow = SPECS / "archive.workflow"
    plan = json.loads(stepwood("plan", workflow, *options, "--format=json"))
    assert plan["totals"]["jobs"] >= 30

    done = stepwood("build", workflow, *options, "--json")
    assert {job["name"]: job["outcome"] for job in events(done, "job")} == {
        job["name"]: "built" for job in plan["jobs"]
    }
    said = "".join(event["text"] for event in events(done, "log"))
    assert "Hello from a snapshot" in said

    again = json.loads(stepwood("plan", workflow, *options, "--format=json"))
    assert again["totals"]["to_run"] == 0
    chosen = json.loads(stepwood("plan", workflow, *options, "--only", "kind=text", "--format=json"))
    assert 0 < chosen["totals"]["jobs"] < plan["totals"]["jobs"]
