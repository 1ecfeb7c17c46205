"""What became of the jobs of a batch: a result for each package and compiler, and how two batches compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from engine.dag import Dag
from engine.events import Ended
from engine.outcome import MACHINE, Cancelled, Failed
from engine.plan import Plan
from engine.step import Run, Step, StepId
from stepwood.opam import recipe, solutions
from stepwood.opam.solutions import Job, Refused

Result = Literal["good", "partial", "bad", "dependency failed", "not available", "internal failure"]
"""What became of a package with a compiler:

good               it was installed, and its tests passed where they ran
partial            it was installed, and its tests failed
bad                it could not be fetched, built or installed
dependency failed  so it was with a package that it needs
not available      the solver found no versions to build it with, or its source is at no fixed state
internal failure   the machine, the base or the run failed it
"""
RESULTS: tuple[Result, ...] = get_args(Result)
MARKS: Mapping[Result, str] = {
    "good": "ok", "partial": "tests", "bad": "BAD", "dependency failed": "dep", "not available": "-",
    "internal failure": "?",
}  # fmt: skip
"""How a matrix shows them."""
FINE = frozenset[Result](["good", "not available"])


@dataclass(frozen=True, slots=True)
class Cell:
    """One package with one compiler.

    package, compiler   NAME.VERSION, and the compiler as it was asked for
    why                 what went wrong in a few words, "" where nothing did
    root                the packages that failed, themselves or others, of which any would have been enough
    step, log           the first step that failed, and its log's path from the store's folder
    accepted            its maintainers know that it fails here
    seconds             what its own steps took in this batch
    """

    package: str
    compiler: str
    result: Result
    why: str = ""
    root: tuple[str, ...] = ()
    step: StepId | None = None
    log: str | None = None
    accepted: bool = False
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        return self.result in FINE or self.accepted


def refused(answer: Refused) -> Cell:
    """The cell of a root without a solution."""
    return Cell(".".join(answer.root), solutions.short(answer.compiler), "not available", answer.reason)


def cell(job: Job, plan: Plan, dag: Dag, ended: Mapping[StepId, Ended], accepted: bool) -> Cell:
    """What became of a job whose steps have ended; one that has not counts as stopped."""
    package, compiler = ".".join(job.root), solutions.short(job.compiler)
    steps = [dag[id] for id in plan.steps]
    own = [step for step in steps if _of(step)[1] == package]
    seconds = sum(ended[step.id].seconds for step in own if step.id in ended)
    failed = [step for step in steps if step.id in ended and isinstance(ended[step.id].outcome, Failed)]
    if not failed:
        stopped = any(step.id not in ended or isinstance(ended[step.id].outcome, Cancelled) for step in steps)
        if stopped:
            return Cell(package, compiler, "internal failure", "the run was stopped", seconds=seconds)
        return Cell(package, compiler, "good", seconds=seconds)
    first = next((step for step in failed if _of(step)[1] == package), failed[0])
    end = ended[first.id]
    assert isinstance(end.outcome, Failed)
    result = _result(first, end.outcome, package)
    root = tuple(dict.fromkeys(_of(step)[1] for step in failed if _of(step)[1]))
    return Cell(
        package, compiler, result, _why(first, end.outcome, package), root, first.id, end.log,
        accepted and result in ("bad", "partial"), seconds,
    )  # fmt: skip


def _of(step: Step) -> tuple[recipe.Kind | None, str]:
    """What a step is for, and of which package."""
    return (isinstance(step.action, Run) and recipe.label(step.action.command)) or (None, "")


def _result(step: Step, failed: Failed, package: str) -> Result:
    kind, of = _of(step)
    if kind in (None, "system") or failed.cause in MACHINE or failed.cause in ("input", "cancelled"):
        return "internal failure"
    if of != package:
        return "dependency failed"
    return "partial" if kind == "test" else "bad"


def _why(step: Step, failed: Failed, package: str) -> str:
    kind, of = _of(step)
    match kind:
        case "source" if failed.status == recipe.GONE:
            what = "its source is gone"
        case "source" if failed.status == recipe.CHANGED:
            what = "its source is not what its checksum says"
        case "source":
            what = "its source cannot be fetched"
        case "install":
            what = "it cannot be installed"
        case "test":
            what = "its tests fail"
        case "system":
            what = "system packages cannot be installed"
        case None:
            what = "what packages are built on cannot be made"
    how = failed.message or (f"status {failed.status}" if failed.status is not None else failed.cause)
    return f"{'' if of in ('', package) else f'{of}: '}{what} ({how})"


# --- documents


def document(batch: str, command: str, cells: Iterable[Cell]) -> dict[str, object]:
    """What docs/reference/cli.md describes."""
    found = list(cells)
    return {
        "version": 1,
        "batch": batch,
        "command": command,
        "totals": _counts(found),
        "cells": [asdict(cell) for cell in found],
    }


def read(document: Mapping[str, object]) -> list[Cell]:
    """The cells of such a document. Raises KeyError, TypeError or ValueError for what is none."""
    cells = document["cells"]
    if not isinstance(cells, list):
        raise ValueError("no list of cells")
    found = [Cell(**cell | {"root": tuple(cell["root"])}) for cell in cells]
    for one in found:
        texts = (one.package, one.compiler, one.why, *one.root, one.step or "", one.log or "")
        if one.result not in RESULTS or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"no cell: {one.package} with {one.compiler}")
    return found


# --- matrix


def matrix(cells: Sequence[Cell]) -> Iterator[str]:
    """A row a package, a column a compiler, and what the marks mean."""
    compilers = list(dict.fromkeys(cell.compiler for cell in cells))
    rows: dict[str, dict[str, Cell]] = {}
    for one in cells:
        rows.setdefault(one.package, {})[one.compiler] = one
    width = max(map(len, rows), default=0)
    columns = [max(len(compiler), len("tests*")) for compiler in compilers]
    yield "  ".join([" " * width, *(f"{name:>{size}}" for name, size in zip(compilers, columns, strict=True))])
    for package, row in rows.items():
        marks = [_mark(row[compiler]) if compiler in row else "" for compiler in compilers]
        yield "  ".join([f"{package:{width}}", *(f"{m:>{size}}" for m, size in zip(marks, columns, strict=True))])


def _mark(cell: Cell) -> str:
    return MARKS[cell.result] + ("*" if cell.accepted else "")


def legend(cells: Sequence[Cell]) -> str:
    """How many of each, with their marks."""
    told = [f"{count:,} {result} ({MARKS[result]})" for result, count in _counts(cells).items() if count]
    accepted = sum(cell.accepted for cell in cells)
    return ", ".join(told) + (f"; {accepted:,} known to fail here (*)" if accepted else "")


def _counts(cells: Iterable[Cell]) -> dict[Result, int]:
    """How many of each result, in their order, 0 too."""
    found = Counter(cell.result for cell in cells)
    return {result: found[result] for result in RESULTS}


# --- two batches


Change = Literal["newly broken", "still broken", "fixed", "new", "gone", "not known"]
"""What is different:

newly broken  it was good, or not there, and now fails or is not available any more
still broken  it failed, and fails
fixed         it failed, and is good
new           it is good, and was not there or not available
gone          it was there, and is not there or not available any more
not known     the machine failed it now
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A package and compiler of which two batches say something else, or that is broken in both.

    `was` and `now`: None where a batch has none. `direct`: what broke is the package itself, no dependency of it.
    """

    change: Change
    was: Cell | None
    now: Cell | None

    @property
    def cell(self) -> Cell:
        found = self.now or self.was
        assert found is not None
        return found

    @property
    def direct(self) -> bool:
        return self.cell.result != "dependency failed"


def compare(old: Iterable[Cell], new: Iterable[Cell]) -> list[Difference]:
    """What is different in the new batch. Versions do not count: a package is compared by its name, so that a new
    version that fails is newly broken; where a batch has several versions of a name, they are compared one by one."""
    before, after = list(old), list(new)
    by_version = _several(before) or _several(after)
    was = {_key(cell, by_version): cell for cell in before}
    now = {_key(cell, by_version): cell for cell in after}
    found = []
    for key in dict.fromkeys([*now, *was]):
        one, other = was.get(key), now.get(key)
        change = _change(one, other)
        if change is not None:
            found.append(Difference(change, one, other))
    order = get_args(Change)
    return sorted(found, key=lambda one: (order.index(one.change), not one.direct))


def compared(found: Iterable[Difference]) -> dict[str, object]:
    """What docs/reference/cli.md describes."""
    return {
        "version": 1,
        "changes": [
            {
                "change": one.change,
                "direct": one.direct,
                "was": None if one.was is None else asdict(one.was),
                "now": None if one.now is None else asdict(one.now),
            }
            for one in found
        ],
    }


def told(found: Sequence[Difference]) -> Iterator[str]:
    """A line a difference, below what kind it is of; what only cascades is counted below what it comes from."""
    if not found:
        yield "nothing is different"
    kinds = dict.fromkeys((one.change, one.direct) for one in found)
    for change, direct in kinds:
        group = [one for one in found if (one.change, one.direct) == (change, direct)]
        yield f"{change}{'' if direct else ', by a dependency'}: {len(group):,}"
        for one in group:
            cell = one.cell
            why = f": {cell.result}: {cell.why}" if cell.why else ""
            yield f"  {cell.package} with {cell.compiler}{why}"


def _several(cells: Sequence[Cell]) -> bool:
    return len({_key(cell, False) for cell in cells}) < len(cells)


def _key(cell: Cell, by_version: bool) -> tuple[str, str]:
    return (cell.package if by_version else cell.package.partition(".")[0]), cell.compiler


def _change(was: Cell | None, now: Cell | None) -> Change | None:
    match _state(was), _state(now):
        case _, "unknown":
            return "not known"
        case "broken", "broken":
            return "still broken"
        case (("good" | "none" | "unknown"), "broken"):
            return "newly broken"
        case "good", "none" if now is not None:
            return "newly broken"
        case "broken", "good":
            return "fixed"
        case "none", "good":
            return "new"
        case (("broken" | "good"), "none"):
            return "gone"
    return None


def _state(cell: Cell | None) -> Literal["good", "broken", "none", "unknown"]:
    if cell is None or cell.result == "not available":
        return "none"
    if cell.result == "internal failure":
        return "unknown"
    return "good" if cell.fine else "broken"
