"""The `overlay` store: each step's changes are one layer, and a root is the layers of a chain.

A step that changed nothing adds no layer: the lowest layer, the scaffold, holds every mount point of a
sandbox. Long chains are squashed a run of small layers at a time, by hard links, so that no content
is copied and each layer is squashed a few times at most.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stores import squash
from stores.tree import TreeStore
from system.launch import Layers, Root

SCAFFOLD = {"proc": 0o755, "dev": 0o755, "sys": 0o755, "etc": 0o755, "tmp": 0o1777}
RUN = 32
"""How many layers of one level make one of the next. `bench/steps.py` shows where squashing begins to pay."""
SMALL = 2000
"""A run of layers with more entries than this together is left as it is: relinking it would cost more than it saves."""
LIMIT = 400
"""At this length everything above the base is squashed, whatever it costs; the kernel refuses more than 500."""
UNUSED = "unused"
"""Where the layer of a step that changed nothing goes, in the work folder, until there is time to remove it."""


class _Overlay:
    kind = "overlay"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, snapshot: Path, work: Path) -> None:
        self._scaffold()
        os.mkdir(snapshot / "layer")
        if os.path.exists(work / UNUSED):
            os.rmdir(work / UNUSED)
        # What `volatile` leaves, and on which the kernel would refuse the folder; its own `work` it makes anew.
        mark = work / "work" / "incompat"
        if os.path.exists(mark):
            os.unlink(mark / "volatile" / "dirty")
            os.rmdir(mark / "volatile")
            os.rmdir(mark)

    def begin(self, snapshot: Path, work: Path, parent: Mapping[str, Any] | None) -> Root:
        layer = snapshot / "layer"
        chain = self._chain(parent)
        squash.dress(layer, like=self._top(chain))
        lowers = ("scaffold", *(str(layer["path"]) for layer in chain))
        return Layers(str(self._folder), lowers, self._inside(layer), self._inside(work))

    def finish(self, snapshot: Path, work: Path, id: str, parent: Mapping[str, Any] | None) -> dict[str, Any]:
        layer = snapshot / "layer"
        entries, size = squash.measure(layer)
        chain = self._chain(parent)
        if not entries and squash.dressed_alike(layer, self._top(chain)):
            os.rename(layer, work / UNUSED)
            return {"layers": chain, "bytes": 0}
        chain.append({"path": f"snapshots/{id}/layer", "entries": entries, "level": 0})
        newest = layer  # still where the draft is
        while run := _run(chain):
            level = 1 + max(layer["level"] for layer in chain[-run:])
            paths = [*(self._folder / layer["path"] for layer in chain[-run:-1]), newest]
            below = [self._folder / path for path in ("scaffold", *(layer["path"] for layer in chain[:-run]))]
            flat = snapshot / f"flat{level}"
            squash.join(paths, flat, below)
            if newest != layer:
                shutil.rmtree(newest)
            entries, _ = squash.measure(flat)
            chain[-run:] = [{"path": f"snapshots/{id}/{flat.name}", "entries": entries, "level": level}]
            newest = flat
        return {"layers": chain, "bytes": size}

    def view(self, meta: Mapping[str, Any]) -> Root:
        lowers = [str(layer["path"]) for layer in self._chain(meta)]
        return Layers(str(self._folder), ("scaffold", *(lowers or ["nothing"])))

    def begin_cache(self, copy: Path, work: Path, current: Sequence[str], owner: tuple[int, int] | None) -> Root:
        self._scaffold()
        layer = copy / "layer"
        os.mkdir(layer)
        squash.dress(layer, like=Path(current[-1]) if current else self._folder / "nothing")
        if owner is not None:
            os.chown(layer, *owner)
        lowers = ("nothing", *(os.path.relpath(path, self._folder) for path in current))
        return Layers(str(self._folder), lowers, self._inside(layer), self._inside(work))

    def finish_cache(self, copy: Path, cache: Path, current: Sequence[str]) -> Sequence[str] | None:
        layer = copy / "layer"
        if current and not squash.measure(layer)[0] and squash.dressed_alike(layer, Path(current[-1])):
            return None
        name = uuid.uuid4().hex
        if len(current) < RUN:
            os.rename(layer, cache / name)
            return [*(os.path.basename(path) for path in current), name]
        flat = copy / "flat"
        squash.join([*(Path(path) for path in current), layer], flat, [])
        os.rename(flat, cache / name)
        return [name]

    def _inside(self, path: Path) -> str:
        return os.fspath(path).removeprefix(f"{self._folder}/")

    def _chain(self, meta: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        return [] if meta is None else list(meta["store"]["layers"])

    def _top(self, chain: Sequence[Mapping[str, Any]]) -> Path:
        """The folder whose owner and mode the root of a chain has."""
        return self._folder / (chain[-1]["path"] if chain else "scaffold")

    def _scaffold(self) -> None:
        """Make the lowest layers; all modes are set, for the umask may be anything."""
        scaffold = self._folder / "scaffold"
        done = scaffold / "etc" / "resolv.conf"
        if done.exists():
            return
        os.chmod(self._folder / "nothing", 0o755)
        os.chmod(scaffold, 0o755)
        for name, mode in SCAFFOLD.items():
            os.makedirs(scaffold / name, exist_ok=True)
            os.chmod(scaffold / name, mode)
        for file in (done.with_name("hosts"), done):
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
            os.chmod(file, 0o644)


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
