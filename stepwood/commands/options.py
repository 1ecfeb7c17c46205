"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

files = click.argument("files", nargs=-1, required=True, metavar="FILE…")


def store(command: F) -> F:
    """--store and --config."""
    command = click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings (stepwood.toml)."
    )(command)
    return click.option("--store", metavar="URL", help="overlay:DIR or directory:DIR.")(command)


def world(command: F) -> F:
    """What planning needs: the store's options, --context, --base, --pull."""
    pull = click.Choice(["missing", "always", "never"])
    command = click.option("--pull", type=pull, default=None, help="When to take bases' pins anew.")(command)
    command = click.option(
        "--base",
        multiple=True,
        metavar="NAME=URL",
        help="What a (from NAME) means: dir:, tar:, oci:, docker://, debootstrap:.",
    )(command)
    command = click.option(
        "--context",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where copy reads; default the spec's own folder.",
    )(command)
    return store(command)
