"""`stepwood opam results` and `compare`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.step import SHORT
from engine.words import counted, printable
from stepwood.commands import options
from stepwood.commands.packages.found import read_document
from stepwood.console import put
from system.errors import InputError

if TYPE_CHECKING:
    from stepwood.opam.results import Cell

RESULTS = "opam"
"""The folder of a store that has the results of its batches."""


@click.command("results")
@click.argument("batch", required=False)
@options.store
@click.option("--json", "as_json", is_flag=True, help="The document.")
def results_(batch: str | None, as_json: bool, config: Path | None, **shared: Any) -> None:
    """Show what became of a batch of packages, the last one where none is named: BATCH, or a file of results."""
    store, path = _place(config, shared, batch)
    document = _read(path)[0]
    if as_json:
        put([json.dumps(document)], None)
    else:
        show(document, store)


@click.command("compare")
@click.argument("old")
@click.argument("new", required=False)
@options.store
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def compare(old: str, new: str | None, as_json: bool, config: Path | None, **shared: Any) -> int:
    """Compare two batches of packages, the second by default the last one: what broke, what still is, what is fixed."""
    from stepwood.opam import results

    before, after = (_read(_place(config, shared, one)[1])[1] for one in (old, new))
    found = results.compare(before, after)
    if as_json:
        put([json.dumps(results.compared(found))], None)
    else:
        put(results.told(found), None)
    return 1 if any(one.change == "newly broken" for one in found) else 0


def _read(path: Path) -> tuple[dict[str, Any], list[Cell]]:
    """A document of results that is one, and its cells."""
    from stepwood.opam import results

    def reader(document: dict[str, Any]) -> tuple[dict[str, Any], list[Cell]]:
        if not isinstance(document["command"], str):
            raise TypeError("command: no text")
        return document, results.read(document)

    return read_document(path, reader, "`stepwood opam build --results FILE` writes what is read")


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


def show(document: dict[str, Any], store: Path) -> None:
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
    cascaded = Counter(root for cell in cells if cell.result == "dependency failed" for root in cell.root)
    if cascaded:
        yield ""
    for root, count in cascaded.most_common():
        yield f"{root} failed for {counted(count, 'package')} that {'needs' if count == 1 else 'need'} it"
    yield ""
