"""`stepwood opam`: what is there of it, which is what an order of packages is worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from engine.analysis.bound import independent
from engine.analysis.jobs import Jobs
from engine.analysis.report import row, strategies, table
from engine.analysis.solutions import read
from engine.analysis.strategies import LARGE, Result, evaluate, feasible
from engine.words import counted
from stepwood.commands import options
from stepwood.console import put
from system.errors import InputError, did_you_mean

LATER = ("solve", "spec", "plan", "build")
"""Commands of the contract that no release has yet; they say so and exit with 2."""
MAGIC = b"\x28\xb5\x2f\xfd"
"""How a file that Zstandard has compressed begins (RFC 8878)."""


class _Group(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in LATER:
            raise InputError(f"`stepwood opam {cmd_name}` is not supported yet", hint="there is dedup")
        command = super().get_command(ctx, cmd_name)
        if command is None:
            hint = did_you_mean(cmd_name, ["dedup", *LATER], "`stepwood opam --help` lists the commands")
            raise InputError(f'there is no command "opam {cmd_name}"', hint=hint)
        return command


@click.group(cls=_Group)
def opam() -> None:
    """Batch-build package sets of opam; for now, what an order of their packages would save."""


@opam.command("dedup")
@click.option(
    "--solutions", type=click.Path(path_type=Path), metavar="FILE", help="Packages of each job (JSON, plain or .zst)."
)
@options.document
def _dedup(solutions: Path | None, form: str, output: Path | None) -> None:
    """Show how few installations the jobs of a set need in each order, each package with the same before it once."""
    options.known_format(form)
    if solutions is None:
        raise InputError("opam dedup takes --solutions FILE", hint="solving comes with a later release")
    jobs = _read(solutions)
    results = evaluate(jobs, feasible(jobs))
    put([json.dumps(_document(jobs, list(results)))] if form == "json" else _text(jobs, results), output)


def _read(path: Path) -> Jobs:
    try:
        data = path.read_bytes()
        if data.startswith(MAGIC):
            import zstandard

            data = zstandard.ZstdDecompressor().stream_reader(data).read()
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("not an object")
        return read(document)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except Exception as error:
        raise InputError(f"{path}: {error}", hint="what `stepwood opam solve --json` writes is read") from error


def _document(jobs: Jobs, results: list[Result]) -> dict[str, object]:
    stands = results[0]
    return {
        "version": 1,
        "jobs": len(jobs.jobs),
        "steps": jobs.total,
        "distinct": stands.distinct,
        "ratio": stands.ratio,
        "strategies": strategies(results),
        "bound": independent(jobs) if len(jobs.jobs) <= LARGE else None,
    }


def _text(jobs: Jobs, results: Iterator[Result]) -> Iterator[str]:
    """Lines as they are known: a search takes half a minute."""
    yield f"{counted(len(jobs.jobs), 'job')}, {counted(jobs.total, 'installation')}"
    yield next(table([]))
    yield from map(row, results)
    if len(jobs.jobs) <= LARGE:
        yield f"no order needs fewer than {independent(jobs):,}"
