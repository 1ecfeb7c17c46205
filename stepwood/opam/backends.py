"""The solvers that there are, by the names that users call them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stepwood.opam import libsolv
from stepwood.opam.possible import Possible
from stepwood.opam.solver import Solver
from stepwood.opam.universe import Id
from system.errors import InputError, ToolMissing, did_you_mean

NAMES = ("libsolv", "clingo")


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of solver.

    version  another where it may answer otherwise
    greedy   whether what `Greedy` finds is its answer too
    start    for what is possible, and all of that which may come in question for what will be asked
    """

    version: str
    greedy: bool
    start: Callable[[Possible, Iterable[Id]], Solver]


def backend(name: str) -> Backend:
    """Raises InputError for a name of none, and ToolMissing where it is not installed."""
    match name:
        case "libsolv":
            return Backend(libsolv.VERSION, True, libsolv.Libsolv)
        case "clingo":
            try:
                from stepwood.opam import clingo
            except ImportError as error:
                raise ToolMissing("clingo is not installed", hint="pip install 'stepwood[clingo]'") from error
            return Backend(clingo.VERSION, False, clingo.Clingo)
    raise InputError(f'--solver: there is no "{name}"', hint=did_you_mean(name, NAMES, f"there are {', '.join(NAMES)}"))
