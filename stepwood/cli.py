"""The command line: one lazy group, so that a command imports only what it needs; errors become messages here."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from system.errors import InputError, StepwoodError, did_you_mean

COMMANDS = {
    "check": "texts", "fmt": "texts", "dockerfile": "texts",
    "plan": "plan", "build": "build", "dedup": "dedup", "opam": "opam",
    "why": "look", "log": "look", "ls": "look", "history": "history", "show": "look",
    "report": "report",
    "delete": "keep", "clean": "keep", "df": "keep", "fsck": "keep", "healthcheck": "keep",
}  # fmt: skip
LATER = ("shell", "diff", "export", "prune", "base")
"""Commands of the contract that no release has yet; they say so and exit with 2."""

HELP = {
    "check": "Parse and validate specs; print nothing on success.",
    "fmt": "Print specs as canonical text.",
    "dockerfile": "Print the Dockerfile that does the same as a spec.",
    "plan": "Show what a build would run, what is cached, what it would cost.",
    "build": "Run the jobs of specs.",
    "dedup": "Show which steps jobs share, and could share.",
    "opam": "Solve, plan and build package sets of opam repositories.",
    "why": "Show what a step's id is made of, and how two differ.",
    "log": "Print a step's log, or search all logs.",
    "ls": "List batches and their jobs.",
    "history": "List batches; show what changed from one to another.",
    "show": "Show a step, a job or a batch.",
    "report": "Write a batch as a page to look at.",
    "delete": "Delete a snapshot and what was built on it.",
    "clean": "Delete every snapshot, cache and log.",
    "df": "Show what the store holds, in bytes.",
    "fsck": "Check the store; rebuild the index.",
    "healthcheck": "Run one step in a base of its own to see that all works.",
}


class Lazy(click.Group):
    """Loads `stepwood.commands.X` only for the command that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in LATER:
            raise InputError(f"`stepwood {cmd_name}` is not supported yet")
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"stepwood.commands.{COMMANDS[cmd_name]}"), cmd_name)
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _gone_reader():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _gone_reader():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, HELP[name]) for name in COMMANDS])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and args[0] not in LATER and not args[0].startswith("-"):
            hint = did_you_mean(args[0], [*COMMANDS, *LATER], "`stepwood --help` lists the commands")
            raise InputError(f'there is no command "{args[0]}"', hint=hint)
        return super().resolve_command(ctx, args)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
@click.version_option(package_name="stepwood")
def stepwood(debug: bool) -> None:
    """Run many build jobs as one DAG of hashed steps, each distinct step once."""
    del debug  # read by main(), which must know it when parsing itself fails


def main(argv: list[str] | None = None) -> None:
    """The entry point: exits with the codes that docs/reference/exit-codes.md lists."""
    gc.disable()  # what a command makes it keeps to its end, except for a build, which turns it on for its run
    arguments = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        _lenient(stream)
    if "--debug" in arguments:
        import logging

        logging.basicConfig(level=logging.DEBUG)
    try:
        result = stepwood.main(arguments, prog_name="stepwood", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except StepwoodError as error:
        code = _failed(str(error), error.exit_code, arguments)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (KeyboardInterrupt, click.Abort):
        code = _failed("interrupted", 130, arguments)
    except BrokenPipeError:
        # Whoever read our output has gone; python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = _failed(f"{where}{error.strerror or error}", 3, arguments)
    except Exception as error:
        text = f"a fault of Stepwood: {type(error).__name__}: {error}\n`stepwood --debug …` shows where"
        code = _failed(text, 3, arguments)
    gc.freeze()  # python would look through all once more before it ends
    sys.exit(code)


@contextmanager
def _gone_reader() -> Iterator[None]:
    """Output that nobody reads any more ends a command well; click would make it exit with 1."""
    try:
        yield
    except BrokenPipeError:
        raise click.exceptions.Exit(0) from None


def _failed(text: str, code: int, arguments: list[str]) -> int:
    if "--debug" in arguments:
        import traceback

        traceback.print_exc()
    sys.stderr.write(text + "\n")
    return code


def _lenient(stream: Any) -> None:
    """File names that are not UTF-8 are printed as they are instead of ending the program."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="surrogateescape")


if __name__ == "__main__":
    main()
