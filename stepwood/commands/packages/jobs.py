"""`stepwood opam spec`, `plan` and `build`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.analysis.strategies import auto, evaluate
from engine.forest import LINES
from engine.words import counted
from stepwood.commands import options
from stepwood.commands.packages.found import LAYOUTS, ORDERS, RECIPE, WANTED, found, laying_out
from stepwood.commands.packages.outcomes import RESULTS, show
from stepwood.console import put, say
from system.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from engine.events import Ended, Event
    from engine.plan import Job
    from grammar.source import Body
    from stepwood.opam.results import Cell
    from stepwood.opam.solutions import Job as Solved
    from stepwood.opam.solutions import Refused
    from stepwood.opam.universe import Id

REFUSED = 10
"""Packages that are not available of which a line is said each."""
TIMEOUT, SILENCE = "2h", "30m"
"""What a build may take where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Made:
    """The jobs of what was found, and what cannot be one."""

    solved: Sequence[Solved]
    refused: Sequence[Refused]
    jobs: Sequence[Job]
    accepted: Set[Id]
    """Packages whose maintainers know that they fail here."""
    folders: Set[str]
    """What packages are pinned to: the contexts of their sources."""

    def check(self, context: Path | None) -> None:
        """Raises InputError where a context would stand in for these."""
        if context is not None and self.folders:
            raise InputError("--context is where every copy reads, and a --pin has a folder of its own")


def jobs_of(layout: str, order: str, recipe: Path, **wanted: Any) -> Made:
    from stepwood.opam.layouts import Batch, Layout, buildable
    from stepwood.opam.recipe import Recipe

    for name, value, known in (("layout", layout, LAYOUTS), ("order", order, ORDERS)):
        if value not in known:
            raise InputError(f'--{name}: there is no "{value}"', hint=did_you_mean(value, known))
    ground = Recipe.of(_recipe(recipe))
    answered = found(**wanted)
    packages = answered.packages()
    solved, refused = buildable(answered.answers, packages)
    batch = Batch.of(solved)
    needed: frozenset[Id] = frozenset().union(*(job.packages for job in solved))
    system = frozenset().union(*(packages[id].depexts for id in needed))
    made = Layout(batch, ground, packages, answered.catalogue.files, system)
    if layout == "merge":
        jobs = made.merges()
    else:
        chosen = auto(batch.items) if order == "auto" else next(evaluate(batch.items, [order]))
        assert chosen.orders is not None
        jobs = made.chains(chosen.orders)
    accepted = {id for id in needed if answered.asked.os in packages[id].accepts_failures}
    return Made(solved, refused, jobs, accepted, {packages[id].folder for id in needed} - {""})


def _recipe(path: Path) -> Body:
    from grammar import parser
    from grammar.ast import Spec
    from grammar.source import Body
    from stepwood.jobs import read

    source = read(str(path))
    spec = parser.parse_any(source)
    if not isinstance(spec, Spec):
        raise InputError(f"{path} is a workflow; a recipe is one spec")
    return Body(spec, source)


@click.command("spec")
@laying_out
@options.output
def spec(output: Path | None, **wanted: Any) -> int:
    """Print the jobs as text: one package's chain as a spec, else a workflow."""
    from grammar import printer
    from stepwood.opam.layouts import inlined, workflow

    made = jobs_of(**wanted)
    _tell(made.refused)
    if len(made.folders) > 1:
        raise InputError(
            "opam spec prints what has one folder pinned at most", hint="a text copies from the one folder of --context"
        )
    for folder in made.folders:
        say(f"to be built with --context {shlex.quote(folder)}")
    if len(made.jobs) == 1 and wanted["layout"] == "chain":
        put([printer.format_spec(inlined(made.jobs[0])).rstrip("\n")], output)
    elif made.jobs:
        put([printer.format_spec(workflow(made.jobs)).rstrip("\n")], output)
    return 0 if made.jobs else 1


def _tell(refused: Sequence[Refused]) -> None:
    """What cannot be had, to standard error."""
    for one in refused[:REFUSED]:
        say(f"{'.'.join(one.root)} is not available: {one.reason}")
    if len(refused) > REFUSED:
        say(f"{counted(len(refused) - REFUSED, 'more package')} not available: `stepwood opam solve` lists them")


@click.command("plan")
@laying_out
@options.shown
@click.option("--whole", is_flag=True, help=f"In text, every step, however many; default about {LINES} lines.")
def plan(**shared: Any) -> None:
    """Show what building the jobs would run, what is cached, what it would cost."""
    from stepwood.commands import plan as plans

    plans.check(**shared)
    made = jobs_of(**{name: shared.pop(name) for name in WANTED})
    made.check(shared["context"])
    _tell(made.refused)
    plans.show(made.jobs, True, **shared)


@click.command("build")
@laying_out
@options.running
@click.option(
    "--results", "into", type=click.Path(path_type=Path), metavar="FILE", help="Write the results to a file too."
)
def build(into: Path | None, as_json: bool, **shared: Any) -> int:
    """Build packages, each distinct step once; then the results, a row a package and a column a compiler."""
    from stepwood.opam import results

    wanted = {name: shared.pop(name) for name in WANTED}
    made = jobs_of(**wanted)
    made.check(shared["context"])
    _tell(made.refused)
    command = shlex.join(["stepwood", "opam", "build", *_repeated(wanted, shared["base"])])
    ran = run(made, as_json=as_json, **shared) if made.jobs else None
    cells = [*(ran.cells if ran else ()), *map(results.refused, made.refused)]
    document = results.document(ran.batch if ran else "", command, cells)
    if ran:
        kept = ran.store / RESULTS / f"{ran.batch}.json"
        kept.parent.mkdir(exist_ok=True)
        put([json.dumps(document)], kept)
    if into is not None:
        put([json.dumps(document)], into)
    if ran is None:
        return 1
    if not as_json:
        show(document, ran.store)
    if ran.exit_code == 1 and all(cell.fine for cell in cells):
        return 0  # only what is known to fail has failed
    return ran.exit_code


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of packages that is over."""

    cells: Sequence[Cell]
    batch: str
    store: Path
    exit_code: int


def run(made: Made, **shared: Any) -> Ran:
    """Build; `shared` are the options of `running`."""
    from stepwood.commands import build as builds
    from stepwood.opam import results

    seen: dict[str, Ended] = {}
    shared["timeout"], shared["silence"] = shared["timeout"] or TIMEOUT, shared["silence"] or SILENCE
    ran = builds.run(made.jobs, True, _remember(seen), **shared)
    cells = [
        results.cell(job, plan, ran.dag, seen, job.root in made.accepted)
        for job, plan in zip(made.solved, ran.dag.plans, strict=True)
    ]
    return Ran(cells, ran.summary.batch, ran.store, ran.summary.exit_code)


def _remember(seen: dict[str, Ended]) -> Callable[[Event], None]:
    from engine.events import Ended

    def listen(event: Event) -> None:
        if isinstance(event, Ended):
            seen[event.id] = event

    return listen


def _repeated(wanted: dict[str, Any], bases: Sequence[str]) -> Iterator[str]:
    """The options that say what is built on what, without the packages: what every cell is reproduced with."""
    after = (wanted["changed"] or "").partition("..")[2]
    for number, repository in enumerate(wanted["repositories"]):
        yield f"--repo={repository}:{after}" if after and not number else f"--repo={repository}"
    yield from (f"--pin={pin}" for pin in wanted["pins"])
    yield from (f"--base={base}" for base in bases)
    for name, option, plain in (
        ("os", "--os", "debian-12"),
        ("solver", "--solver", "libsolv"),
        ("layout", "--layout", "chain"),
        ("recipe", "--recipe", RECIPE),
    ):
        if wanted[name] != plain:
            yield f"{option}={wanted[name]}"
    for name, option in (("tests", "--with-test"), ("oldest", "--lower-bounds")):
        if wanted[name]:
            yield option
