"""`stepwood opam`: package sets of opam repositories, solved, planned, built, and what became of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine.analysis.strategies import LARGE, STRATEGIES, auto, evaluate, feasible
from engine.forest import LINES
from engine.step import SHORT
from engine.words import counted, printable
from stepwood.commands import options
from stepwood.commands.options import F
from stepwood.console import put, say
from system.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from engine.analysis.jobs import Jobs
    from engine.analysis.strategies import Result
    from engine.events import Ended, Event
    from engine.plan import Job
    from grammar.source import Body
    from stepwood.opam.asked import Found
    from stepwood.opam.results import Cell
    from stepwood.opam.solutions import Job as Solved
    from stepwood.opam.solutions import Refused
    from stepwood.opam.universe import Id

MAGIC = b"\x28\xb5\x2f\xfd"
"""How a file that Zstandard has compressed begins (RFC 8878)."""
RECIPE = Path(__file__).parents[1] / "opam" / "debian.spec"
ORDERS = ("auto", *(name for name in STRATEGIES if name != "merge"))
LAYOUTS = ("chain", "merge")
WRITTEN_BY = "what `stepwood opam solve --json` writes is read"
RESULTS = "opam"
"""The folder of a store that has the results of its batches."""
REFUSED = 10
"""Packages that are not available of which a line is said each."""
TIMEOUT, SILENCE = "2h", "30m"
"""What a build may take where nothing else is said."""


class _Group(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None:
            hint = did_you_mean(cmd_name, [*self.commands], "`stepwood opam --help` lists the commands")
            raise InputError(f'there is no command "opam {cmd_name}"', hint=hint)
        return command


@click.group(cls=_Group)
def opam() -> None:
    """Solve, plan and build package sets of opam repositories."""


ASKED = ("packages", "every", "revdeps", "changed", "repositories", "compilers", "os", "tests", "oldest", "solutions")
WANTED = (*ASKED, "layout", "order", "recipe")


def _asked(command: F) -> F:
    """What to solve, and where; `_found` takes these."""
    for option in (
        click.option(
            "--solutions", type=click.Path(path_type=Path), metavar="FILE",
            help="Instead of solving: what `opam solve --json` wrote, plain or .zst.",
        ),
        click.option("--lower-bounds", "oldest", is_flag=True, help="Prefer older versions of what packages need."),
        click.option("--with-test", "tests", is_flag=True, help="With the tests of the packages that are asked for."),
        click.option("--os", default="debian-12", show_default=True, metavar="DISTRIBUTION-VERSION"),
        click.option(
            "--compiler", "compilers", metavar="VERSION,…",
            help="OCaml's version, or the package and version of a compiler; of several, each with each package.",
        ),
        click.option(
            "--repo", "repositories", multiple=True, metavar="REPO",
            help="A folder, a tar or GIT:REV; of several, the first that has a version counts.",
        ),
        click.option("--changed", metavar="REV..REV", help="What is new or other in the first --repo, a git checkout."),
        click.option(
            "--revdeps", multiple=True, metavar="PKG", help="The newest version of each package that depends on it."
        ),
        click.option("--all", "every", is_flag=True, help="The newest version of each package."),
        click.argument("packages", nargs=-1, metavar="PKG…"),
    ):  # fmt: skip
        command = option(command)
    return command


def _laid_out(command: F) -> F:
    """How solutions become jobs; `_jobs` takes these."""
    for option in (
        click.option(
            "--recipe", type=click.Path(path_type=Path), default=RECIPE, metavar="FILE",
            help="The spec of what packages are built on; default Debian with opam.",
        ),
        click.option(
            "--order", default="auto", metavar="|".join(ORDERS),
            help="Of a chain; auto: what saves most among those that take about a second.",
        ),
        click.option(
            "--layout", default="chain", metavar="|".join(LAYOUTS),
            help="Each package on all that come before it in its job, or on just what it needs.",
        ),
    ):  # fmt: skip
        command = option(command)
    return _asked(command)


@opam.command("solve")
@_asked
@click.option("--json", "as_json", is_flag=True, help="The document that `--solutions` reads.")
@options.output
def _solve(as_json: bool, output: Path | None, **wanted: Any) -> int:
    """Find for each package the versions that it is built with."""
    from stepwood.opam import solutions

    found = _found(**wanted)
    answers = found.answers
    if as_json:
        put([json.dumps(solutions.document(found.catalogue.variables, found.asked.repositories, answers))], output)
    else:
        put(_told(answers), output)
    return 1 if len(answers) == 1 and isinstance(answers[0], solutions.Refused) else 0


def _told(answers: Sequence[Any]) -> Iterator[str]:
    """A line a package version where one package is asked for, else a line a job."""
    from stepwood.opam.solutions import Job, Refused, name

    several = len({one.compiler for one in answers}) > 1
    jobs = [one for one in answers if isinstance(one, Job)]
    if len(answers) == len(jobs) == 1:
        yield from map(".".join, jobs[0].packages)
        return
    for job in jobs:
        yield f"{name(job, several)}: {counted(len(job.packages), 'package')}"
    for one in answers:
        if isinstance(one, Refused):
            yield f"{name(one, several)}: no solution: {one.reason}"


def _found(
    solutions: Path | None, compilers: str | None, repositories: tuple[str, ...], changed: str | None, **more: Any
) -> Found:
    """Read and solve, or take what is solved already."""
    from stepwood.opam import asked
    from stepwood.opam.memory import remembered
    from stepwood.opam.solutions import compiler

    known = () if not compilers else tuple(dict.fromkeys(map(compiler, compilers.split(","))))
    wanted = asked.Asked(repositories=repositories, compilers=known, changed=changed, **more)
    memory = remembered()
    click.get_current_context().call_on_close(memory.close)
    found = asked.solve(wanted, memory) if solutions is None else asked.recall(wanted, _answers(solutions), memory)
    for problem in found.problems:
        say(f"{problem}\n(left out)")
    return found


def _answers(path: Path) -> list[Any]:
    from stepwood.opam import solutions

    return _read(path, solutions.read)


@opam.command("dedup")
@_asked
@options.document
def _dedup(form: str, output: Path | None, **wanted: Any) -> None:
    """Show how few installations the jobs of a set need in each order, each package with the same before it once."""
    from engine.analysis.solutions import read

    options.known_format(form)
    if wanted["solutions"] is not None and not wanted["repositories"]:
        others = [name for name in ("packages", "every", "revdeps", "changed", "compilers") if wanted[name]]
        if others:
            raise InputError("opam dedup takes --solutions, or packages and a --repo, not both")
        jobs = _read(wanted["solutions"], read)
    else:
        from stepwood.opam.layouts import Batch
        from stepwood.opam.solutions import Job

        jobs = Batch.of([one for one in _found(**wanted).answers if isinstance(one, Job)]).items
    results = evaluate(jobs, feasible(jobs))
    put([json.dumps(_document(jobs, list(results)))] if form == "json" else _text(jobs, results), output)


T = TypeVar("T")


def _read(path: Path, reader: Callable[[dict[str, Any]], T]) -> T:
    """What a reader makes of a document, which may be compressed."""
    try:
        data = path.read_bytes()
        if data.startswith(MAGIC):
            import zstandard

            data = zstandard.ZstdDecompressor().stream_reader(data).read()
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("not an object")
        return reader(document)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except KeyError as error:
        raise InputError(f"{path}: there is no {error}", hint=WRITTEN_BY) from error
    except Exception as error:
        raise InputError(f"{path}: {error}", hint=WRITTEN_BY) from error


def _document(jobs: Jobs, results: Sequence[Result]) -> dict[str, object]:
    from engine.analysis.bound import independent
    from engine.analysis.report import strategies

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
    from engine.analysis.bound import independent
    from engine.analysis.report import row, table

    yield f"{counted(len(jobs.jobs), 'job')}, {counted(jobs.total, 'installation')}"
    yield next(table([]))
    yield from map(row, results)
    if len(jobs.jobs) <= LARGE:
        yield f"no order needs fewer than {independent(jobs):,}"


# --- jobs


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs of what was found, and what cannot be one."""

    solved: Sequence[Solved]
    refused: Sequence[Refused]
    jobs: Sequence[Job]
    accepted: Set[Id]
    """Packages whose maintainers know that they fail here."""


def _jobs(layout: str, order: str, recipe: Path, **wanted: Any) -> _Jobs:
    from stepwood.opam.layouts import Batch, Layout, buildable
    from stepwood.opam.recipe import Recipe

    for name, value, known in (("layout", layout, LAYOUTS), ("order", order, ORDERS)):
        if value not in known:
            raise InputError(f'--{name}: there is no "{value}"', hint=did_you_mean(value, known))
    ground = Recipe.of(_recipe(recipe))
    found = _found(**wanted)
    packages = found.packages()
    solved, refused = buildable(found.answers, packages)
    batch = Batch.of(solved)
    needed = {id for job in solved for id in job.packages}
    system = frozenset().union(*(packages[id].depexts(found.catalogue.variables) for id in needed))
    made = Layout(batch, ground, packages, found.catalogue.files, system)
    if layout == "merge":
        jobs = made.merges()
    else:
        chosen = auto(batch.items) if order == "auto" else next(evaluate(batch.items, [order]))
        assert chosen.orders is not None
        jobs = made.chains(chosen.orders)
    accepted = {id for id in needed if found.asked.os in packages[id].accepts_failures()}
    return _Jobs(solved, refused, jobs, accepted)


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


@opam.command("spec")
@_laid_out
@options.output
def _spec(output: Path | None, **wanted: Any) -> int:
    """Print the jobs as text: one package's chain as a spec, else a workflow."""
    from grammar import printer
    from stepwood.opam.layouts import inlined, workflow

    made = _jobs(**wanted)
    _tell(made.refused)
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


@opam.command("plan")
@_laid_out
@options.shown
@click.option("--whole", is_flag=True, help=f"In text, every step, however many; default about {LINES} lines.")
def _plan(**shared: Any) -> None:
    """Show what building the jobs would run, what is cached, what it would cost."""
    from stepwood.commands import plan

    plan.check(**shared)
    made = _jobs(**{name: shared.pop(name) for name in WANTED})
    _tell(made.refused)
    plan.show(made.jobs, True, **shared)


# --- building, and what became of it


@opam.command("build")
@_laid_out
@options.running
@click.option(
    "--results", "into", type=click.Path(path_type=Path), metavar="FILE", help="Write the results to a file too."
)
def _build(into: Path | None, as_json: bool, **shared: Any) -> int:
    """Build packages, each distinct step once; then the results, a row a package and a column a compiler."""
    from stepwood.commands import build
    from stepwood.opam import results

    wanted = {name: shared.pop(name) for name in WANTED}
    made = _jobs(**wanted)
    _tell(made.refused)
    seen: dict[str, Ended] = {}
    shared["timeout"], shared["silence"] = shared["timeout"] or TIMEOUT, shared["silence"] or SILENCE
    ran = build.run(made.jobs, True, _remember(seen), as_json=as_json, **shared)
    cells = [
        results.cell(job, plan, ran.dag, seen, job.root in made.accepted)
        for job, plan in zip(made.solved, ran.dag.plans, strict=True)
    ]
    cells += map(results.refused, made.refused)
    command = shlex.join(["stepwood", "opam", "build", *_repeated(wanted)])
    document = results.document(ran.summary.batch, command, cells)
    kept = ran.store / RESULTS / f"{ran.summary.batch}.json"
    kept.parent.mkdir(exist_ok=True)
    put([json.dumps(document)], kept)
    if into is not None:
        put([json.dumps(document)], into)
    if not as_json:
        _show(document, ran.store)
    if ran.summary.exit_code == 1 and all(cell.fine for cell in cells):
        return 0  # only what is known to fail has failed
    return ran.summary.exit_code


def _remember(seen: dict[str, Ended]) -> Callable[[Event], None]:
    from engine.events import Ended

    def listen(event: Event) -> None:
        if isinstance(event, Ended):
            seen[event.id] = event

    return listen


def _repeated(wanted: dict[str, Any]) -> Iterator[str]:
    """The options that say what is built on what, without the packages: what every cell is reproduced with."""
    for repository in wanted["repositories"]:
        yield f"--repo={repository}"
    for name, option, plain in (
        ("os", "--os", "debian-12"),
        ("layout", "--layout", "chain"),
        ("recipe", "--recipe", RECIPE),
    ):
        if wanted[name] != plain:
            yield f"{option}={wanted[name]}"
    for name, option in (("tests", "--with-test"), ("oldest", "--lower-bounds")):
        if wanted[name]:
            yield option


@opam.command("results")
@click.argument("batch", required=False)
@options.store
@click.option("--json", "as_json", is_flag=True, help="The document.")
def _results(batch: str | None, as_json: bool, config: Path | None, **shared: Any) -> None:
    """Show what became of a batch of packages, the last one where none is named: BATCH, or a file of results."""
    store, path = _place(config, shared, batch)
    document = _read(path, dict)
    if as_json:
        put([json.dumps(document)], None)
    else:
        _show(document, store)


@opam.command("compare")
@click.argument("old")
@click.argument("new", required=False)
@options.store
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def _compare(old: str, new: str | None, as_json: bool, config: Path | None, **shared: Any) -> int:
    """Compare two batches of packages, the second by default the last one: what broke, what still is, what is fixed."""
    from stepwood.opam import results

    before, after = (_read(_place(config, shared, one)[1], results.read) for one in (old, new))
    found = results.compare(before, after)
    if as_json:
        put([json.dumps(results.compared(found))], None)
    else:
        put(results.told(found), None)
    return 1 if any(one.change == "newly broken" for one in found) else 0


def _place(config: Path | None, shared: dict[str, Any], batch: str | None) -> tuple[Path, Path]:
    """The store's folder, and the file with the results of a batch."""
    from stepwood import wire
    from stepwood.config import settings

    store = wire.store(settings(config, shared)).folder
    if batch is not None and Path(batch).is_file():
        return store, Path(batch)
    known = sorted((store / RESULTS).glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not known:
        raise InputError(f"there are no results in {store}", hint="`stepwood opam build` makes some")
    if batch is None:
        return store, known[-1]
    found = [path for path in known if path.stem.startswith(batch)]
    if len(found) != 1:
        names = ", ".join(path.stem for path in (found or known)[-5:])
        what = f"several batches begin with {batch}" if found else f"no batch of packages begins with {batch}"
        raise InputError(what, hint=f"there are {names}")
    return store, found[0]


def _show(document: dict[str, Any], store: Path) -> None:
    """The matrix, and of each failure of its own why, the lines of its log that tell, and how to see it again."""
    from stepwood.opam import results

    cells = results.read(document)
    put(results.matrix(cells), None)
    put(_failures(cells, document["command"], store), None)
    put([results.legend(cells)], None)


def _failures(cells: Sequence[Cell], command: str, store: Path) -> Iterator[str]:
    from engine.logtext import open_log
    from engine.telling import telling
    from stepwood.opam.recipe import output

    shown: set[str | None] = set()
    for cell in cells:
        if cell.fine or cell.result == "dependency failed":
            continue
        yield f"\n{cell.package} with {cell.compiler}: {cell.result}: {cell.why}"
        if cell.log is not None and cell.log not in shown:
            shown.add(cell.log)
            try:
                with open_log(store, cell.log) as log:
                    lines = (line.rstrip() for line in TextIOWrapper(log, errors="replace"))
                    yield from (f"  | {printable(line)}" for line in telling(output(lines)))
            except OSError:
                yield "  (its log was pruned)"
        if cell.step is not None:
            yield f"  stepwood log {cell.step[:SHORT]}"
        yield f"  {command} {cell.package} --compiler={cell.compiler}"
    cascaded: dict[str, int] = {}
    for cell in cells:
        if cell.result == "dependency failed":
            for root in cell.root:
                cascaded[root] = cascaded.get(root, 0) + 1
    if cascaded:
        yield ""
    for root, count in sorted(cascaded.items(), key=lambda item: -item[1]):
        yield f"{root} failed for {counted(count, 'package')} that {'needs' if count == 1 else 'need'} it"
    yield ""
