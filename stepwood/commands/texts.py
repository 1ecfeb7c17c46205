"""Commands that only read specs: check, fmt, dockerfile."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click

from grammar import parser
from grammar.ast import Workflow
from stepwood.commands import options
from stepwood.config import STDIN
from stepwood.jobs import expanded, is_python, read, tree
from system.errors import InputError, SpecError


@click.command()
@options.files
@options.values
def check(files: tuple[str, ...], **shared: Any) -> int:
    """Parse and validate specs and workflows; print nothing on success.

    A workflow's parameter without a value stands for itself.
    """
    values = options.given(shared)
    code = 0
    for file in files:
        try:
            source = read(file)
            found = tree(source)
            if isinstance(found, Workflow):
                expanded(source, found, values, lenient=True)
        except SpecError as error:
            sys.stderr.write(f"{error}\n")
            code = error.exit_code
    return code


@click.command()
@options.files
@click.option("--check", "only_check", is_flag=True, help="Say which files are not canonical; exit 1 if any.")
@click.option("--write", is_flag=True, help="Rewrite the files in place.")
def fmt(files: tuple[str, ...], only_check: bool, write: bool) -> int:
    """Print specs and workflows as canonical text; comments are kept. Of Python, what it makes is printed."""
    from grammar.printer import format_spec
    from grammar.remarks import format_text

    code = 0
    for file in files:
        source = read(file)
        if is_python(source) and (only_check or write):
            raise InputError(f"{file} is Python, which is not rewritten", hint="without an option, its text is printed")
        canonical = format_spec(tree(source)) if is_python(source) else format_text(source)
        if only_check:
            if canonical != source.text:
                sys.stderr.write(f"{source.file} is not canonical\n")
                code = 1
        elif write:
            if file == STDIN:
                raise InputError("--write cannot rewrite standard input")
            if canonical != source.text:
                Path(file).write_text(canonical, errors="surrogateescape")
        else:
            sys.stdout.write(canonical)
    return code


@click.command()
@click.argument("file")
@click.option("--buildkit", is_flag=True, help="Use BuildKit's syntax, with caches and secrets.")
@click.option("--escape", type=click.Choice(["unix", "windows"]), default="unix")
def dockerfile(file: str, buildkit: bool, escape: Literal["unix", "windows"]) -> None:
    """Print the Dockerfile that does the same as a spec."""
    from grammar import dockerfile as docker
    from grammar.printer import format_spec

    source = read(file)
    # What specs cannot say, and Python can, is found as a mistake of its text.
    text, of = (format_spec(tree(source)), " as text") if is_python(source) else (source.text, "")
    spec = parser.parse(text, file=f"{source.file}{of}")
    sys.stdout.write(docker.dockerfile(spec, buildkit=buildkit, escape=escape))
