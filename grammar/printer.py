r"""From the tree back to text. Parsing what is printed here gives the same tree.

`format_op` and its like write one line, whatever its length: they name steps in plans, logs and errors.
`format_spec` lays a whole spec out as OBuilder does: an op a line, the fields of a `run` below each
other. A command of several lines is broken after each `\n` by a backslash and a line end, which the
reader drops together with the blanks that follow.

The tree holds no comments of a text (nor does OBuilder's): `format_spec` cannot print them, and
`remarks.format_text` can, as it is given the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from grammar.ast import (
    NOWHERE,
    At,
    Comment,
    Copy,
    Env,
    FromBuild,
    FromContext,
    Mount,
    Op,
    Run,
    Shell,
    Spec,
    UserIds,
    UserName,
    Workdir,
)

WIDTH = 80
"""A copy that would reach beyond this column has its fields below each other."""

_BARE = re.compile(r'[^;()"\s]+')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\b": r"\b", "\r": r"\r"}


def format_atom(text: str) -> str:
    """`text` as an atom: bare where it reads back as itself and can be seen, else quoted."""
    if _BARE.fullmatch(text) and text.isprintable() and "#|" not in text and "|#" not in text:
        return text
    return quoted(text)


def quoted(text: str) -> str:
    r"""`text` as a string on one line. What cannot be seen is written as the bytes it is, `\xHH` each."""
    if text.isprintable():
        return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
    return '"' + "".join(map(_escape, text)) + '"'


def format_base(base: str) -> str:
    """`(from BASE)`, on one line."""
    return _form("from", format_atom(base))


def format_op(op: Op) -> str:
    """The canonical text of `op` on one line, never cut."""
    return _form(*_parts(op))


def format_spec(spec: Spec) -> str:
    """The canonical text of `spec`, to the line end behind its last parenthesis."""
    return "".join(f"{line.text}\n" for line in layout(spec))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a printed spec. The first line of an item (a build, the base, an op) knows where that item stood."""

    text: str
    at: At = NOWHERE
    depth: int = 0
    """How many parentheses are open where the item begins."""


def layout(spec: Spec) -> list[Line]:
    """The lines of `spec`, each item's first one with its place in the text that `spec` was read from."""
    return [*_spec_lines(spec, 0, 1), Line(")")]


def _spec_lines(spec: Spec, column: int, depth: int) -> list[Line]:
    """The lines of `spec`, but for its last parenthesis; its first one stands at `column`."""
    indent = " " * (column + 1)
    lines: list[Line] = []
    for build in spec.builds:
        lines.append(Line(f"{indent}(build {format_atom(build.name)}", build.at, depth))
        lines += _spec_lines(build.spec, len(f"{indent}(build "), depth + 2)
        lines[-1] = replace(lines[-1], text=lines[-1].text + "))")
    lines.append(Line(indent + format_base(spec.base), spec.base_at, depth))
    for op in spec.ops:
        first, *more = _op_lines(op, column + 1)
        lines.append(Line(indent + first, op.at, depth))
        lines += map(Line, more)
    lines[0] = replace(lines[0], text=f"{indent[1:]}({lines[0].text[len(indent) :]}")
    return lines


def _op_lines(op: Op, column: int) -> list[str]:
    """The lines of `op`; the first one, which is to stand at `column`, without its indent."""
    line = format_op(op)
    name, *fields = _parts(op)
    indent = " " * (column + len(f"({name} "))
    match op:
        case Run():
            fields[-1] = _form("shell", _command(op.command, indent + " " * len("(shell ")))
        case Copy() if column + len(line) > WIDTH:
            pass
        case _:
            return [line]
    return _form(name, f"\n{indent}".join(fields)).split("\n")


def _command(command: str, indent: str) -> str:
    """A command as a string that is broken after its line ends; `indent` leads to its quote."""
    body, end = (command[:-1], "\n") if command.endswith("\n") else (command, "")
    if "\n" not in body:
        return format_atom(command)
    first, *more = [quoted(line)[1:-1] for line in body.split("\n")]
    # A blank at the start of a line would be dropped with the indent.
    more = [f"\\{line}" if line.startswith(" ") else line for line in more]
    return '"' + f"\\n\\\n{indent} ".join([first, *more]) + quoted(end)[1:]


def _parts(op: Op) -> list[str]:
    """The name of `op` and its printed arguments or fields."""
    match op:
        case Comment(text):
            parts = ["comment", format_atom(text)]
        case Workdir(path):
            parts = ["workdir", format_atom(path)]
        case Shell(argv):
            parts = ["shell", *map(format_atom, argv)]
        case Env(name, value):
            parts = ["env", format_atom(name), format_atom(value)]
        case UserIds(uid, gid):
            parts = ["user", f"(uid {uid})", f"(gid {gid})"]
        case UserName(name):
            parts = ["user", _form("name", format_atom(name))]
        case Copy():
            parts = [
                "copy",
                *_source(op.source),
                _form("src", *map(format_atom, op.sources)),
                _form("dst", format_atom(op.destination)),
                *_optional("exclude", map(format_atom, op.exclude)),
            ]
        case Run():
            parts = [
                "run",
                *_optional("cache", map(_mount, op.cache)),
                *_optional("network", map(format_atom, op.network)),
                *_optional("secrets", map(_mount, op.secrets)),
                _form("shell", format_atom(op.command)),
            ]
    return parts


def _source(source: FromContext | FromBuild) -> list[str]:
    match source:
        case FromContext():
            return []
        case FromBuild(name):
            return [_form("from", _form("build", format_atom(name)))]


def _mount(mount: Mount) -> str:
    options = " ".join([_form(format_atom(key), format_atom(value)) for key, value in mount.options])
    return _form(
        format_atom(mount.id),
        _form("target", format_atom(mount.target)),
        *([_form("buildkit_options", f"({options})")] if options else []),
    )


def _optional(name: str, values: Iterable[str]) -> list[str]:
    """The field `name`, unless it is empty, which says the same."""
    found = list(values)
    return [_form(name, *found)] if found else []


def _form(name: str, *arguments: str) -> str:
    return f"({' '.join([name, *arguments])})"


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
