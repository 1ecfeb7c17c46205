"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from stepwood.jobs import Choice
from system.errors import InputError

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


def values(command: F) -> F:
    """--set; `given` reads it."""
    return click.option(
        "--set", "values", multiple=True, metavar="NAME=VALUE", help="The value of a workflow's parameter."
    )(command)


def choice(command: F) -> F:
    """--set and --only, which say what is wanted of workflows; `chosen` reads them."""
    command = click.option(
        "--only",
        multiple=True,
        metavar="KEY=VALUE|GLOB",
        help="Only jobs with this label (or matrix value), or with such a name; several add up.",
    )(command)
    return values(command)


def given(shared: dict[str, Any]) -> dict[str, str]:
    """Takes the parameters' values out of a command's options."""
    found: dict[str, str] = {}
    for pair in shared.pop("values"):
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f'--set takes NAME=VALUE, not "{pair}"')
        found[name] = value
    return found


def chosen(shared: dict[str, Any]) -> Choice:
    """Takes --set and --only out of a command's options."""
    return Choice(given(shared), shared.pop("only"))
