"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stepwood.config import Choice
from system.errors import InputError

if TYPE_CHECKING:
    from grammar.lexer import Token  # a command that reads no spec need not import how they are read

REMEMBERED = 7 * 86400.0
"""Seconds for which a failure is known where nothing else is said."""
FORMATS = ("text", "json", "dot", "mermaid", "html")
"""Of plans."""
T = TypeVar("T")
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


def output(command: F) -> F:
    """--output."""
    file = click.Path(path_type=Path)
    return click.option("-o", "--output", type=file, metavar="OUT", help="Write to a file.")(command)


def document(command: F) -> F:
    """--format and --output of a command that writes text or JSON; `known_format` checks the one."""
    form = click.option("--format", "form", default="text", metavar="text|json", help="How to show it.")
    return form(output(command))


def known_format(form: str, known: tuple[str, ...] = ("text", "json")) -> None:
    if form not in known:
        raise InputError(f'format "{form}" is not supported yet', hint=f"there are {', '.join(known)}")


def failures(command: F) -> F:
    """--failures-for and --retry-failed; `known_for` reads them."""
    command = click.option(
        "--failures-for",
        metavar="DUR",
        help="How long a failed command is not run again: 30m, 2h, 7d; default 7d with a workflow, else not at all.",
    )(command)
    return click.option(
        "--retry-failed/--no-retry-failed", default=None, help="Whether commands that are known to fail run again."
    )(command)


def known_for(shared: dict[str, Any], workflow: bool) -> float | None:
    """Takes them out of a command's options: the seconds for which a failure is known, None where it is not."""
    again, text = shared.pop("retry_failed"), shared.pop("failures_for")
    age = REMEMBERED if text is None else seconds("--failures-for", text)
    if again or (again is None and text is None and not workflow):
        return None
    return age


def seconds(option: str, text: str) -> float:
    """A duration of the command line."""
    from grammar.builder import duration

    return parsed(option, text, duration)


def parsed(option: str, text: str, read: Callable[[Token], T]) -> T:
    """What the grammar's `read` makes of an option's text."""
    from grammar.lexer import Token
    from grammar.place import PlacedError

    try:
        return read(Token("ATOM", text, 1, 1))
    except PlacedError as error:
        raise InputError(f"{option}: {error.message}", hint=error.hint) from None


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


def running(command: F) -> F:
    """How a run goes about it; `stepwood.commands.build.run` takes these."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One event a line on standard output."),
        click.option("--secret", "secrets", multiple=True, metavar="ID=FILE", help="The value of a secret."),
        click.option(
            "--keep-failed", is_flag=True, help="Set the tree of a failed step aside in the store's failed/ folder."
        ),
        click.option("--silence", metavar="DUR", help="How long a run may print nothing where it says nothing else."),
        click.option(
            "--timeout", metavar="DUR", help="How long a run may take where it says nothing else: 90s, 30m, 2h."
        ),
        click.option(
            "--retry", multiple=True, metavar="EXIT|PATTERN",
            help="Try a command again that fails with this status, or prints this.",
        ),
        failures,
        click.option("--keep-going/--fail-fast", default=True, help="Whether other jobs go on after a failure."),
        click.option("-q", "--quiet", is_flag=True, help="Do not show the logs of cached steps."),
        click.option("--plain", is_flag=True, help="On a terminal too, a line for each thing that happens."),
        click.option(
            "-j", "workers", type=click.IntRange(1), default=None, help="Steps at once; default the number of cores."
        ),
        click.option("--sandbox", metavar="NAME", help="namespaces (default), oci or oci:crun."),
        world,
    ):  # fmt: skip
        command = option(command)
    return command


def shown(command: F) -> F:
    """How a plan is shown; `stepwood.commands.plan.show` takes these."""
    for option in (
        failures,
        click.option(
            "--what-if", is_flag=True,
            help="Predict for this machine as it is, and for each -j on one with memory enough.",
        ),
        click.option(
            "-j", "workers", type=click.IntRange(1), multiple=True, help="Steps at once that times are predicted for."
        ),
        output,
        click.option("--format", "form", default="text", metavar="|".join(FORMATS), help="How to show the plan."),
        world,
    ):  # fmt: skip
        command = option(command)
    return command
