"""The `copy` op: one launch of the helper's own function, chrooted in the draft, that reads the source from outside."""

from __future__ import annotations

import os

from engine.step import Copy, FromContext, FromStep, Manifest
from system.errors import InputError, SandboxError
from system.helper.client import NO_WORLD, Helper
from system.helper.copying import Listed, Sources
from system.launch import Call, Ids, Launch, Root


def copy(step: Copy, root: Root, view: Root | None, owner: Ids, helper: Helper, output: int) -> None:
    """Carry out `step` on the draft's `root`. `view` is the root to copy from, where that is a step's.

    Blocks until all is copied; what there is to say goes to the descriptor `output`. See
    `system.helper.copying` for what ends up where.

    Errors: `InputError` where a source is missing, a context differs from its manifest or the image has
    something in the way; `OutOfSpace` and the other `MachineError`s. The draft is then half-written.
    """
    views: tuple[Root, ...] = ()
    descriptors: list[int] = []
    what: Sources | Listed
    match step.source:
        case FromContext(manifest=manifest):
            what = _listed(manifest)
            try:
                descriptors = [os.open(manifest.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
            except OSError as error:
                raise InputError(f'cannot open the context "{manifest.folder}": {error.strerror}') from error
        case FromStep():
            what = Sources(step.sources, step.exclude)
            if view is None:
                raise ValueError("a copy from a step needs a view of it")
            views = (view,)
    call = Call("copy", (what, step.destination, owner.uid, owner.gid))
    # No mounts: a /proc would hide the image's, and its mount point would become part of the snapshot.
    launch = Launch(call, NO_WORLD, root, views=views)
    try:
        started = helper.start(launch, None, output, output, descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    status = started.wait().status
    if status:  # a refusal or a failure was raised; this is a kill from outside
        raise SandboxError(f"the copy was stopped with status {status} before it was done")


def _listed(manifest: Manifest) -> Listed:
    items = tuple((entry.path, entry.kind, entry.executable, entry.content) for entry in manifest.entries)
    ends = (*manifest.starts[1:], len(items))
    return tuple(items[start:end] for start, end in zip(manifest.starts, ends, strict=True))
