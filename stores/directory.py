"""The `directory` store: one whole tree a snapshot, copied for each step, with extents shared where that can be."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stores.tree import TreeStore
from system import process
from system.errors import OutOfSpace, StoreError
from system.launch import Folder, Root


class _Copies:
    kind = "directory"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, snapshot: Path, work: Path) -> None:
        _new(snapshot / "root")

    def begin(self, snapshot: Path, work: Path, parent: Mapping[str, Any] | None) -> Root:
        root = snapshot / "root"
        if parent is not None:
            _copy(self._folder / "snapshots" / parent["id"] / "root", root)
        return Folder(str(root))

    def finish(self, snapshot: Path, work: Path, id: str, parent: Mapping[str, Any] | None) -> dict[str, Any]:
        return {}

    def view(self, meta: Mapping[str, Any]) -> Root:
        return Folder(str(self._folder / "snapshots" / meta["id"] / "root"), readonly=True)

    def begin_cache(self, copy: Path, work: Path, current: Sequence[str], owner: tuple[int, int] | None) -> Root:
        root = copy / "root"
        _new(root)
        if owner is not None:
            os.chown(root, *owner)
        for folder in current:
            _copy(Path(folder), root)
        return Folder(str(root))

    def finish_cache(self, copy: Path, cache: Path, current: Sequence[str]) -> Sequence[str] | None:
        name = uuid.uuid4().hex
        os.rename(copy / "root", cache / name)
        return [name]


def directory(folder: Path, *, boot: str | None = None) -> TreeStore:
    """A `directory` store in `folder`."""
    return TreeStore(folder, _Copies(folder), boot=boot)


def _new(folder: Path) -> None:
    os.mkdir(folder)
    os.chmod(folder, 0o755)  # whatever the umask is


def _copy(source: Path, target: Path) -> None:
    done = process.run(["cp", "-a", "--reflink=auto", f"{source}/.", str(target)])
    if done.status:
        text = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        message = f"cannot copy a snapshot: {''.join(text)}"
        raise OutOfSpace(message) if b"No space left" in done.stderr else StoreError(message)
