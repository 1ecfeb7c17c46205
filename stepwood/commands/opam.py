"""`stepwood opam`: what is there of it, which is solving, and what an order of packages is worth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from engine.analysis.bound import independent
from engine.analysis.jobs import Jobs
from engine.analysis.report import row, strategies, table
from engine.analysis.solutions import read
from engine.analysis.strategies import LARGE, Result, evaluate, feasible
from engine.words import counted
from stepwood.commands import options
from stepwood.commands.options import F
from stepwood.console import put, say
from system.errors import InputError, did_you_mean

LATER = ("spec", "plan", "build")
"""Commands of the contract that no release has yet; they say so and exit with 2."""
MAGIC = b"\x28\xb5\x2f\xfd"
"""How a file that Zstandard has compressed begins (RFC 8878)."""
BASE = "ocaml-base-compiler"
"""The package that a compiler's version is of."""


class _Group(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in LATER:
            raise InputError(f"`stepwood opam {cmd_name}` is not supported yet", hint="there are solve and dedup")
        command = super().get_command(ctx, cmd_name)
        if command is None:
            hint = did_you_mean(cmd_name, [*self.commands, *LATER], "`stepwood opam --help` lists the commands")
            raise InputError(f'there is no command "opam {cmd_name}"', hint=hint)
        return command


@click.group(cls=_Group)
def opam() -> None:
    """Solve package sets of opam, and see what orders of their packages would save."""


def _wanted(command: F) -> F:
    """What to solve, and where."""
    for option in (
        click.option("--os", "platform", default="debian-12", show_default=True, metavar="DISTRIBUTION-VERSION"),
        click.option("--compiler", metavar="VERSION", help="The version of OCaml."),
        click.option(
            "--repo", "repositories", multiple=True, metavar="REPO",
            help="A folder, a tar or GIT:REV; of several, the first that has a version counts.",
        ),
        click.option("--all", "every", is_flag=True, help="The newest version of each package."),
        click.argument("packages", nargs=-1, metavar="PKG…"),
    ):  # fmt: skip
        command = option(command)
    return command


@opam.command("solve")
@_wanted
@click.option("--json", "as_json", is_flag=True, help="The document that `opam dedup --solutions` reads.")
@options.output
def _solve(as_json: bool, output: Path | None, **wanted: Any) -> int:
    """Find for each package the versions that it is built with."""
    found = _solutions(**wanted)
    lost: dict[str, str] = found["reasons"]
    if as_json:
        put([json.dumps(found)], output)
    else:
        put(_told(found), output)
    return 1 if len(wanted["packages"]) == 1 and lost else 0


def _told(found: dict[str, Any]) -> Iterator[str]:
    """A line a package version where one package is asked for, else a line a job."""
    jobs = found["jobs"]
    if len(jobs) == 1 and not found["reasons"]:
        yield from jobs[0]["packages"]
        return
    for job in jobs:
        yield f"{job['root']}.{job['version']}: {counted(len(job['packages']), 'package')}"
    for root, reason in found["reasons"].items():
        yield f"{root}: no solution: {reason}"


def _solutions(
    packages: tuple[str, ...], every: bool, repositories: tuple[str, ...], compiler: str | None, platform: str
) -> dict[str, Any]:
    """Read, solve, and the document of what came of it."""
    if every == bool(packages):
        raise InputError("opam takes either packages or --all", hint="a package is NAME or NAME.VERSION")
    if not repositories or compiler is None:
        missing = "--repo REPO" if not repositories else "--compiler VERSION"
        raise InputError(f"opam needs {missing}", hint="for instance --repo opam-repository --compiler 5.3.0")
    from stepwood.opam import reading, solutions
    from stepwood.opam.libsolv import Libsolv
    from stepwood.opam.platform import variables
    from stepwood.opam.sources import ProcessMemory, open_source
    from stepwood.opam.universe import Universe

    memory = ProcessMemory()
    found = reading.read([open_source(repository, memory) for repository in repositories])
    for problem in found.problems:
        say(f"{problem}\n(left out)")
    universe = Universe.of(found.packages, variables(platform))
    wanted = solutions.everything(universe) if every else solutions.roots(universe, packages)
    base = (BASE, compiler)
    known = [*universe.packages.get(BASE, {})]
    if compiler not in known:
        hint = did_you_mean(compiler, known, f"there are {', '.join(known[-5:])}" if known else None)
        raise InputError(f"no {BASE} has the version {compiler}", hint=hint)
    try:
        solver = Libsolv(universe, base)
    except KeyError as error:
        raise InputError(f"{BASE}.{compiler} has needs of its own that cannot be met here") from error
    return solutions.document(universe, base, repositories, list(solutions.solved(solver, wanted)))


@opam.command("dedup")
@_wanted
@click.option(
    "--solutions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead of solving: what `opam solve --json` wrote, plain or .zst.",
)
@options.document
def _dedup(solutions: Path | None, form: str, output: Path | None, **wanted: Any) -> None:
    """Show how few installations the jobs of a set need in each order, each package with the same before it once."""
    options.known_format(form)
    if solutions is None:
        jobs = read(_solutions(**wanted))
    elif wanted["packages"] or wanted["every"] or wanted["repositories"]:
        raise InputError("opam dedup takes --solutions, or packages and a --repo, not both")
    else:
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


def _document(jobs: Jobs, results: Sequence[Result]) -> dict[str, object]:
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
