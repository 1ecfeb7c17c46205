r"""From the tree back to text. Parsing what is printed here gives the same tree.

`format_op` and its like write one line, whatever its length: they name steps in plans, logs and errors.
`format_spec` lays a whole spec out as OBuilder does: an op a line, the fields of a `run` below each
other; in a workflow an empty line follows each build and job. A command of several lines is broken
after each `\n` by a backslash and a line end, which the reader drops together with the blanks that follow.

The tree holds no comments of a text (nor does OBuilder's): `format_spec` cannot print them, and
`remarks.format_text` can, as it is given the text.
"""

from __future__ import annotations

import json
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
    FromMerge,
    Include,
    Item,
    Job,
    Matrix,
    Mount,
    NamedBuild,
    Op,
    Pair,
    Param,
    Retry,
    Run,
    Shell,
    Spec,
    UserIds,
    UserName,
    Workdir,
    Workflow,
)

WIDTH = 80
"""A copy that would reach beyond this column has its fields below each other."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_BARE = re.compile(r'[^;()"\s]+')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\b": r"\b", "\r": r"\r"}

_AS_JSON = json.JSONEncoder(ensure_ascii=False).encode
"""What can be seen, and line ends, as JSON has them; it is the fastest that there is."""
_TO_ESCAPE = re.compile(r"[^ !#-\[\]-~]")
"""Characters that `_escape` may make another of: all but ASCII's, and of those what is special or not seen."""


def format_atom(text: str) -> str:
    """`text` as an atom: bare where it reads back as itself and can be seen, else quoted."""
    if _BARE.fullmatch(text) and text.isprintable() and "#|" not in text and "|#" not in text:
        return text
    return quoted(text)


def quoted(text: str) -> str:
    r"""`text` as a string on one line. What cannot be seen is written as the bytes it is, `\xHH` each."""
    if text.replace("\n", "").isprintable():  # nearly all, and long ones among them
        return _AS_JSON(text)
    return '"' + _TO_ESCAPE.sub(lambda match: _escape(match[0]), text) + '"'


def format_base(base: str | FromBuild | FromMerge) -> str:
    """`(from BASE)`, on one line."""
    match base:
        case str():
            return _form("from", format_atom(base))
        case FromBuild(name):
            return _form("from", _form("build", format_atom(name)))
        case FromMerge(builds):
            return _form("from", _form("merge", *(format_atom(build.name) for build in builds)))


def format_op(op: Op) -> str:
    """The canonical text of `op` on one line, never cut."""
    return _form(*_parts(op))


def format_spec(spec: Spec | Workflow) -> str:
    """The canonical text of a spec or a workflow, to the line end behind its last parenthesis."""
    return "".join(f"{line.text}\n" for line in layout(spec))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a printed spec. The first line of an item (a build, the base, an op) knows where that item stood."""

    text: str
    at: At = NOWHERE
    depth: int = 0
    """How many parentheses are open where the item begins."""


def layout(spec: Spec | Workflow) -> list[Line]:
    """The lines of a spec or a workflow, each item's first one with its place in the text that it was read from."""
    if isinstance(spec, Spec):
        return [*_spec_lines(spec, 0, 1), Line(")")]
    lines = [Line("(workflow", spec.at)]
    for item in spec.items:
        if isinstance(lines[-1], _Spaced):
            lines.append(Line(""))
        lines += _item_lines(item)
    return [*lines, Line(")")]


class _Spaced(Line):
    """The last line of a build or a job: an empty one separates it from what follows."""


def _item_lines(item: Item) -> list[Line]:
    """The lines of an item of a workflow."""
    match item:
        case Param(name, value):
            values = [] if value is None else [value]
            return [Line(" " + _form("param", *map(format_atom, [name, *values])), item.at, 1)]
        case Include(path):
            return [Line(" " + _form("include", format_atom(path)), item.at, 1)]
        case NamedBuild():
            keyword, heads = "build", _matrix_lines(item.matrix)
        case Job():
            keyword, heads = "job", _matrix_lines(item.matrix)
            if item.labels:
                heads.append(_form("labels", *map(_pair, item.labels)))
            if item.priority != "normal":
                heads.append(_form("priority", item.priority))
    lines = [Line(f" ({keyword} {format_atom(item.name)}", item.at, 1)]
    lines += [Line(f"  {head}") for head in heads]
    *body, last = _spec_lines(item.spec, 2, 3)
    body[:0] = lines
    return [*body, _Spaced(f"{last.text}))", last.at, last.depth)]


def _matrix_lines(matrix: Matrix | None) -> list[str]:
    """`(matrix …)`, its axes below each other where they are wide."""
    if matrix is None:
        return []
    parts = [_form(format_atom(axis.name), *map(format_atom, axis.values)) for axis in matrix.axes]
    parts += [_form("exclude", *map(_pair, pairs)) for pairs in matrix.excludes]
    line = _form("matrix", *parts)
    return [line] if len(line) + 2 <= WIDTH else _form("matrix", "\n        ".join(parts)).split("\n")


def _pair(pair: Pair) -> str:
    return _form(format_atom(pair.name), format_atom(pair.value))


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
            parts = ["user", _form("uid", format_atom(str(uid))), _form("gid", format_atom(str(gid)))]
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
                *([_retry(op.retry)] if op.retry else []),
                *([_form("timeout", _duration(op.timeout))] if op.timeout else []),
                *([_form("silence", _duration(op.silence))] if op.silence else []),
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


def _retry(retry: Retry) -> str:
    attempts = [] if retry.attempts is None else [_form("attempts", format_atom(str(retry.attempts)))]
    exits = _optional("exit", (format_atom(str(status)) for status in retry.exits))
    return _form("retry", *attempts, *exits, *(_form("log", format_atom(log)) for log in retry.logs))


def _duration(seconds: int | str) -> str:
    """Seconds in the largest unit that holds them."""
    if isinstance(seconds, str):
        return format_atom(seconds)
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


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
