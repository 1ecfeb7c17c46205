"""What the commands of `stepwood opam` are asked, and the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine.analysis.strategies import STRATEGIES
from stepwood.commands.options import F
from stepwood.console import say, status
from system.errors import InputError

if TYPE_CHECKING:
    from stepwood.opam.asked import Found

MAGIC = b"\x28\xb5\x2f\xfd"
"""How a file that Zstandard has compressed begins (RFC 8878)."""
RECIPE = Path(__file__).parents[2] / "opam" / "debian.spec"
ORDERS = ("auto", *(name for name in STRATEGIES if name != "merge"))
LAYOUTS = ("chain", "merge")
WRITTEN_BY = "what `stepwood opam solve --json` writes is read"

ASKED = (
    "packages",
    "every",
    "revdeps",
    "changed",
    "repositories",
    "pins",
    "compilers",
    "os",
    "tests",
    "oldest",
    "solver",
    "solutions",
)
WANTED = (*ASKED, "layout", "order", "recipe")


def asking(command: F) -> F:
    """What to solve, and where; `found` takes these."""
    for option in (
        click.option(
            "--solutions", type=click.Path(path_type=Path), metavar="FILE",
            help="Instead of solving: what `opam solve --json` wrote, plain or .zst.",
        ),
        click.option(
            "--solver", default="libsolv", metavar="libsolv|clingo",
            help="clingo: by opam's own criteria; needs `pip install 'stepwood[clingo]'`.",
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
        click.option(
            "--pin", "pins", multiple=True, metavar="PIN",
            help="NAME.VERSION, or NAME[.VERSION]=FOLDER to build what a folder has: of NAME there is nothing else.",
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


def laying_out(command: F) -> F:
    """How solutions become jobs; `stepwood.commands.packages.jobs` takes these."""
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
    return asking(command)


def found(
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
    with status() as watch:
        if solutions is None:
            found = asked.solve(wanted, memory, watch)
        else:
            found = asked.recall(wanted, _answers(solutions), memory, watch)
    for problem in found.problems:
        say(f"{problem}\n(left out)")
    return found


def _answers(path: Path) -> list[Any]:
    from stepwood.opam import solutions

    return read_document(path, solutions.read)


T = TypeVar("T")


def read_document(path: Path, reader: Callable[[dict[str, Any]], T], hint: str = WRITTEN_BY) -> T:
    """What a reader makes of a document, which may be compressed. `hint`: what writes such documents."""
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
        raise InputError(f"{path}: there is no {error}", hint=hint) from error
    except Exception as error:
        raise InputError(f"{path}: {error}", hint=hint) from error
