"""Values in, the text of an opam file out: one field a line, whatever it looked like before."""

from __future__ import annotations

from collections.abc import Iterable

from grammar.opam.ast import (
    Both,
    Bound,
    Either,
    Group,
    Ident,
    Option,
    Prefixed,
    Relation,
    Update,
    Value,
)


def field(name: str, value: Value) -> str:
    """A field as a line; parsing it back gives the same value."""
    return f"{name}: {printed(value)}\n"


def section(kind: str, label: str, fields: Iterable[tuple[str, Value]]) -> str:
    """A section, its fields by name."""
    head = f"{kind} {printed(label)}" if label else kind
    return f"{head} {{\n{''.join(f'  {field(name, value)}' for name, value in fields)}}}\n"


def printed(value: Value) -> str:
    """A value as it is written. Groups stand in the tree, so nothing needs parentheses of its own."""
    match value:
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r")
            return f'"{escaped}"'
        case tuple():
            return f"[{' '.join(map(printed, value))}]"
        case Ident(name):
            return name
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Group(values):
            return f"({' '.join(map(printed, values))})"
        case Option(inner, conditions):
            return f"{printed(inner)} {{{' '.join(map(printed, conditions))}}}"
        case Relation(op, left, right) | Update(op, left, right):
            return f"{printed(left)} {op} {printed(right)}"
        case Bound(op, right):
            return f"{op} {printed(right)}"
        case Prefixed(op, inner):
            return f"{op}{printed(inner)}"
        case Both() | Either():
            return _chain(value)


def _chain(value: Both | Either) -> str:
    """A chain of one operator may be longer than Python's stack; it leans to the left."""
    kind, sign = (Both, " & ") if isinstance(value, Both) else (Either, " | ")
    rest: list[str] = []
    one: Value = value
    while isinstance(one, kind):
        rest.append(printed(one.right))
        one = one.left
    return sign.join([printed(one), *reversed(rest)])
