"""The `overlay` store: each step's changes are one layer, and a root is the layers of a chain.

A step that changed nothing adds no layer: the lowest layer, the scaffold, holds every mount point of a
sandbox. Long chains are squashed a run of small layers at a time, by hard links, so that no content
is copied and each layer is squashed a few times at most.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stores import squash
from stores.tree import TreeStore
from system.launch import Layers, Root

SCAFFOLD = ("proc", "dev", "sys", "etc", "tmp")
RUN = 32
"""How many layers of one level make one of the next. bench/chain.py shows where squashing begins to pay."""
SMALL = 2000
"""A run of layers with more entries than this together is left as it is: relinking it would cost more than it saves."""
LIMIT = 400
"""At this length everything above the base is squashed, whatever it costs; the kernel refuses more than 500."""


class _Overlay:
    kind = "overlay"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, snapshot: Path, work: Path, parent: Mapping[str, Any] | None) -> Root:
        self._scaffold()
        layer = snapshot / "layer"
        _new(layer)
        inside = work.relative_to(self._folder)
        lowers = ("scaffold", *(str(layer["path"]) for layer in self._chain(parent)))
        return Layers(str(self._folder), lowers, str(layer.relative_to(self._folder)), str(inside))

    def finish(self, snapshot: Path, id: str, parent: Mapping[str, Any] | None) -> dict[str, Any]:
        layer = snapshot / "layer"
        entries, size = squash.measure(layer)
        chain = self._chain(parent)
        if not entries:
            os.rmdir(layer)
            return {"layers": chain, "bytes": 0}
        chain.append({"path": f"snapshots/{id}/layer", "entries": entries, "level": 0})
        run = _run(chain)
        if run:
            # The newest layer of the run is still where the draft is.
            paths = [self._folder / layer["path"] for layer in chain[-run:-1]] + [layer]
            flat = snapshot / "flat"
            _new(flat)
            squash.join(paths, flat)
            level = 1 + max(layer["level"] for layer in chain[-run:])
            chain[-run:] = [{"path": f"snapshots/{id}/flat", "entries": squash.measure(flat)[0], "level": level}]
        return {"layers": chain, "bytes": size}

    def view(self, meta: Mapping[str, Any]) -> Root:
        lowers = [str(layer["path"]) for layer in self._chain(meta)]
        return Layers(str(self._folder), ("scaffold", *(lowers or ["nothing"])))

    def begin_cache(self, copy: Path, work: Path, current: Sequence[str], owner: tuple[int, int] | None) -> Root:
        layer = copy / "layer"
        _new(layer)
        if current:
            top = os.stat(current[-1])
            os.chown(layer, top.st_uid, top.st_gid)
            os.chmod(layer, top.st_mode & 0o7777)
        elif owner is not None:
            os.chown(layer, *owner)
        lowers = ("nothing", *(os.path.relpath(path, self._folder) for path in current))
        inside = [str(path.relative_to(self._folder)) for path in (layer, work)]
        return Layers(str(self._folder), lowers, *inside)

    def finish_cache(self, copy: Path, cache: Path, current: Sequence[str]) -> Sequence[str] | None:
        layer = copy / "layer"
        if current and not squash.measure(layer)[0]:
            return None
        name = uuid.uuid4().hex
        if len(current) < RUN:
            os.rename(layer, cache / name)
            return [*(os.path.basename(path) for path in current), name]
        flat = copy / "flat"
        _new(flat)
        squash.join([*(Path(path) for path in current), layer], flat)
        os.rename(flat, cache / name)
        return [name]

    def _chain(self, meta: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        return [] if meta is None else list(meta["store"]["layers"])

    def _scaffold(self) -> None:
        scaffold = self._folder / "scaffold"
        if (scaffold / "etc" / "resolv.conf").exists():
            return
        os.chmod(scaffold, 0o755)
        for name in SCAFFOLD:
            os.makedirs(scaffold / name, mode=0o755, exist_ok=True)
        os.chmod(scaffold / "tmp", 0o1777)
        for name in ("hosts", "resolv.conf"):
            (scaffold / "etc" / name).touch()


def overlay(folder: Path, *, boot: str | None = None) -> TreeStore:
    """An `overlay` store in `folder`."""
    return TreeStore(folder, _Overlay(folder), boot=boot)


def _run(chain: Sequence[Mapping[str, Any]]) -> int:
    """How many of the newest layers to squash into one; 0 for none."""
    if len(chain) >= LIMIT:
        return len(chain) - 1
    newest = chain[-RUN:]
    alike = len({layer["level"] for layer in newest}) == 1
    return RUN if len(newest) == RUN and alike and sum(layer["entries"] for layer in newest) <= SMALL else 0


def _new(folder: Path) -> None:
    os.mkdir(folder)
    os.chmod(folder, 0o755)  # whatever the umask is
