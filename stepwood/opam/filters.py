"""Conditions of opam files: what they come to in an environment of variables.

A condition is true, false, or undefined where a variable that decides it is (opam's manual, "Filters"). Texts are
compared as versions, and so are equal where those are. A chain of `&` or `|` may be longer than Python's stack is deep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grammar.opam.ast import Both, Either, Group, Ident, Prefixed, Relation, Value
from stepwood.opam.versions import key

Constant = str | bool
Variables = Mapping[str, Constant]
"""The variables that are defined, by name; one of a package as `package:name`."""

RELATIONS: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda one, other: key(one) == key(other),
    "!=": lambda one, other: key(one) != key(other),
    "<": lambda one, other: key(one) < key(other),
    "<=": lambda one, other: not key(other) < key(one),
    ">": lambda one, other: key(other) < key(one),
    ">=": lambda one, other: not key(one) < key(other),
}


def holds(condition: Value, variables: Variables) -> bool:
    """Whether a condition is true; one that is undefined is not."""
    return truth(condition, variables) is True


def truth(condition: Value, variables: Variables) -> bool | None:
    """What a condition comes to; None where it is undefined. Raises ValueError for what is no condition."""
    match condition:
        case Both():
            sides = [truth(one, variables) for one in chain(condition, Both)]
            return False if False in sides else None if None in sides else True
        case Either():
            sides = [truth(one, variables) for one in chain(condition, Either)]
            return True if True in sides else None if None in sides else False
        case Prefixed("!", value):
            found = truth(value, variables)
            return None if found is None else not found
        case Prefixed("?", value):
            return constant(value, variables) is not None
        case Relation(op, left, right):
            one, other = constant(left, variables), constant(right, variables)
            if one is None or other is None:
                return None
            if op not in RELATIONS:
                raise ValueError(f'"{op}" compares no texts')
            return RELATIONS[op](_text(one), _text(other))
        case Group((value,)):
            return truth(value, variables)
    known = constant(condition, variables)
    if known is None or isinstance(known, bool):
        return known
    if known in ("true", "false"):
        return known == "true"
    raise ValueError(f'"{known}" is neither true nor false')


def constant(value: Value, variables: Variables) -> Constant | None:
    """What stands for a text or a boolean; None where a variable is not defined."""
    match value:
        case bool() | str():
            return value
        case int():
            return str(value)
        case Ident(name):
            return variables.get(name)
        case Group((inner,)):
            return constant(inner, variables)
        case Both() | Either() | Prefixed() | Relation():
            return truth(value, variables)
    raise ValueError("a condition, a variable or a text is expected")


def chain(value: Value, kind: type[Both | Either]) -> list[Value]:
    """The members of a chain of `&`, or of `|`."""
    found: list[Value] = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, kind):
            todo += [one.right, one.left]
        else:
            found.append(one)
    return found


def _text(constant: Constant) -> str:
    return constant if isinstance(constant, str) else str(constant).lower()
