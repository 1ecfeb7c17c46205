"""Stepwood, the application: the command line and the wiring of concrete stores, sandboxes and bases.

And the languages in Python: `from stepwood import Workflow, Spec, run, copy`; see docs/reference/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grammar.python import Spec as Spec
    from grammar.python import Workflow as Workflow
    from grammar.python import build as build
    from grammar.python import built as built
    from grammar.python import comment as comment
    from grammar.python import copy as copy
    from grammar.python import env as env
    from grammar.python import include as include
    from grammar.python import job as job
    from grammar.python import merge as merge
    from grammar.python import mount as mount
    from grammar.python import param as param
    from grammar.python import retry as retry
    from grammar.python import run as run
    from grammar.python import shell as shell
    from grammar.python import user as user
    from grammar.python import workdir as workdir
    from stepwood.session import Session as Session

__all__ = [
    "Session", "Spec", "Workflow", "build", "built", "comment", "copy", "env", "include", "job", "merge", "mount",
    "param", "retry", "run", "shell", "user", "workdir",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """What is asked for, when it is: the command line imports this package too, and starts fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Session":
        from stepwood.session import Session

        return Session
    from grammar import python

    return getattr(python, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
