"""What README, docs/ and the samples claim is so: links, commands, settings, the example and its plan."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.schema import MIGRATIONS
from engine.words import brief
from grammar.parser import decode, parse
from grammar.printer import format_op
from grammar.remarks import format_text
from grammar.source import Source
from stepwood.cli import COMMANDS, LATER
from stepwood.commands.opam import opam

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
SAMPLES = sorted(
    [
        *(PROJECT / "specs").glob("*.spec"),
        *(PROJECT / "specs").glob("*.workflow"),
        *(PROJECT / "specs/opam").glob("*.spec"),
    ]
)

OPAM = sorted(opam.commands)


def named(file: Path) -> str:
    return str(file.relative_to(PROJECT))


def page(name: str) -> str:
    return (PROJECT / name).read_text()


@pytest.mark.parametrize("file", PAGES, ids=named)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text()):
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize("file", PAGES, ids=named)
def test_no_page_names_a_machine(file: Path) -> None:
    assert not re.search(r"https?://|(?<![\w.])/(?:home|root|work)/", file.read_text())


def test_every_page_can_be_reached() -> None:
    index = page("docs/index.md")
    pages = {str(file.relative_to(PROJECT / "docs")) for file in PAGES if file.is_relative_to(PROJECT / "docs")}
    assert {name for name in pages if f"({name})" not in index} == {"index.md"}


def test_the_reference_lists_the_commands() -> None:
    text = page("docs/reference/cli.md")
    table = text.partition("| command | what it does |")[2].partition("\n\n")[0]
    assert list(dict.fromkeys(re.findall(r"^\| `(\w+)", table, re.M))) == list(COMMANDS)
    assert set(re.findall(r"`(\w+)`", text.partition("Named, but not there yet")[2].partition("\n")[0])) == set(LATER)
    assert set(re.findall(r"`(\w+)`", page("README.md").partition("not there yet")[2].partition("\n")[0])) == set(LATER)


@pytest.mark.parametrize("command", [*COMMANDS, *(f"opam {name}" for name in OPAM)])
def test_the_reference_lists_the_options(command: str) -> None:
    argv = [sys.executable, "-m", "stepwood", *command.split(), "--help"]
    done = subprocess.run(argv, capture_output=True, check=True)
    options = set(re.findall(r"(?<![\w/])(--[a-z-]+)", done.stdout.decode())) - {"--help"}
    text = page("docs/reference/cli.md")
    assert {option for option in options if option not in text} == set()


def test_the_reference_of_the_index_names_every_table_and_column() -> None:
    text = page("docs/reference/index.md")
    sql = "\n".join(sql for _, sql in MIGRATIONS)
    tables = re.findall(r"CREATE TABLE (\w+) \((.*?)^\)", sql, re.M | re.S)
    assert tables
    for name, body in tables:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert [column for column in re.findall(r"^    ([a-z]\w*) ", body, re.M) if f"`{column}`" not in row] == []
    assert all(f"`{view}`" in text for view in re.findall(r"CREATE VIEW (\w+)", sql))


def test_the_example_of_the_readme_and_its_plan() -> None:
    text = page("README.md")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    example = next(block for block in blocks if block.startswith("((build tool"))
    spec = parse(example, file="README.md")
    assert format_text(Source("README.md", example)) == example
    plan = next(block for block in blocks if "→ first" in block)
    ops = [*spec.builds[0].spec.ops, *spec.ops]
    steps = [format_op(op) for op in ops if type(op).__name__ in ("Copy", "Run")]
    told = re.findall(r"^\w+ +[├─│└ ]*[0-9a-f]{12} (.*?)(?:  [\d.]+ s)?(?:  → first)?$", plan, re.M)
    assert told[1:] == [brief(step) for step in steps]


@pytest.mark.parametrize("file", SAMPLES, ids=named)
def test_samples_are_canonical(file: Path) -> None:
    text = decode(file.read_bytes())
    assert format_text(Source(file.name, text)) == text


def test_there_are_enough_samples() -> None:
    assert len(SAMPLES) >= 8
