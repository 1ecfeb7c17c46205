"""Commands that look after a store: delete, clean, df, fsck, healthcheck."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from engine.index import Index
from engine.plan import Job
from engine.step import SHORT
from stepwood import wire
from stepwood.commands import options
from stepwood.config import Settings, settings
from stepwood.console import say
from stores.store import Store
from system.errors import InputError, StoreError


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@options.store
def delete(ids: tuple[str, ...], config: Path | None, **shared: Any) -> None:
    """Delete snapshots and what was built on them."""
    store = wire.store(settings(config, shared))
    for id in store.delete([_snapshot(store, id) for id in ids]):
        say(f"deleted {id[:SHORT]}")


def _snapshot(store: Store, prefix: str) -> str:
    """The one snapshot whose id begins so; or the last step of a job, by its name."""
    present = store.ids()
    found = sorted(id for id in present if prefix and id.startswith(prefix))
    index = wire.index(store)
    if not found and index is not None:
        with index:
            step = index.step_of(index.resolve(prefix, "step", "job"))
            found = [step] if step in present else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f'"{prefix}" may be any of {", ".join(id[:SHORT] for id in found[:5])}')
    raise InputError(f'there is no snapshot "{prefix}" in {store.url}')


@click.command()
@options.store
def clean(config: Path | None, **shared: Any) -> None:
    """Delete every snapshot, cache, log and set-aside tree; the index keeps its history."""
    store = wire.store(settings(config, shared))
    count = store.clean()
    say(f"deleted {count} snapshots")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON document.")
@options.store
def df(as_json: bool, config: Path | None, **shared: Any) -> None:
    """Show what the store holds, in bytes."""
    store = wire.store(settings(config, shared))
    parts = store.usage()
    totals: dict[str, int] = {}
    for part in parts:
        totals[part.kind] = totals.get(part.kind, 0) + part.bytes
    if as_json:
        shown = [{"name": part.name, "kind": part.kind, "bytes": part.bytes} for part in parts]
        sys.stdout.write(json.dumps({"store": store.url, "totals": totals, "parts": shown}) + "\n")
        return
    sys.stdout.write(f"{store.url}\n")
    for part in sorted(parts, key=lambda part: -part.bytes)[:20]:
        sys.stdout.write(f"  {part.bytes:>14,} {part.kind:9} {part.name[:40]}\n")
    for kind, size in totals.items():
        sys.stdout.write(f"{size:>16,} in {sum(part.kind == kind for part in parts)} {kind}\n")


@click.command()
@click.option("--rebuild-index", is_flag=True, help="Make the index anew from the snapshots.")
@options.store
def fsck(rebuild_index: bool, config: Path | None, **shared: Any) -> int:
    """Check the store; with --rebuild-index, make the index anew from what the snapshots say of themselves."""
    store = wire.store(settings(config, shared))
    found = list(store.check())
    for line in found:
        say(line)
    if rebuild_index:
        if not store.folder.exists():
            raise InputError(f"there is no store in {store.folder}")
        metas = []
        for id in sorted(store.ids()):
            try:
                metas.append(store.meta(id))
            except (KeyError, StoreError):
                continue  # check() has said so
        for line in Index.rebuild(store.folder / wire.INDEX, metas):
            say(line)
        say(f"the index knows {len(metas)} snapshots again")
    return StoreError.exit_code if found else 0


@click.command()
@click.option("--sandbox", metavar="NAME", help="namespaces (default), oci or oci:crun.")
@options.store
def healthcheck(config: Path | None, **shared: Any) -> int:
    """Run one step in a small base of its own to see that store and sandbox work."""
    from engine.executor.loop import Loop, Options
    from grammar import parser
    from grammar.source import Body, Source
    from stepwood.world import planned

    chosen = settings(config, shared)
    name, text = "healthcheck", '((from healthcheck) (shell /stepwood-true) (run (shell "healthcheck")))'
    with TemporaryDirectory() as folder:
        _tiny_root(Path(folder))
        own = Settings(chosen.store, chosen.sandbox, None, {"healthcheck": f"dir:{folder}"}, chosen.pull)
        with wire.workshop(own, {}) as shop:
            job = Job(name, Body(parser.parse(text, file=name), Source(name, text, folder)))
            dag = planned([job], own, None)
            failures: list[str] = []

            def hear(event: Any) -> None:
                outcome = getattr(event, "outcome", None)
                if getattr(outcome, "name", "") == "failed":
                    failures.append(getattr(outcome, "message", "") or "the step failed")

            code = Loop(dag, shop.worker, shop.index, hear, Options(workers=1)).run().exit_code
            url = shop.worker.store.url
            finals = [id for step in dag if (id := step.id) in shop.worker.store.ids() and not step.inputs]
        if finals:
            wire.store(own).delete(finals)
    for line in failures:
        say(line)
    say(f"{url} with {own.sandbox}: {'works' if not code else 'does not work'}")
    return code


def _tiny_root(folder: Path) -> None:
    """A root with one program that needs nothing else: the dynamic loader's libraries come along."""
    import re

    from system import process

    true = process.find("true")
    listed = process.run(["ldd", true]).stdout.decode()
    shutil.copy2(true, folder / "stepwood-true")
    for path in re.findall(r"(/\S+)", listed):
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
