"""What an opam file says. A string, a number, a boolean and a list are Python's own; a list is a tuple."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union


class _Node:
    """Pickles by its fields, as it is made: what dataclasses do takes three times as long to read back."""

    __slots__: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Ident(_Node):
    """A variable by its name, `pkg:name` where it is a package's."""

    name: str


@dataclass(frozen=True, slots=True)
class Group(_Node):
    """Values in parentheses. In a formula one alone is itself, several are all wanted."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Option(_Node):
    """A value with conditions: `"dune" {>= "3.0" & build}`."""

    value: Value
    conditions: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Relation(_Node):
    """`left OP right`, OP being one of = != < <= > >= ~."""

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Bound(_Node):
    """`OP right`: a relation whose left side is what the condition is of, a package's version."""

    op: str
    right: Value


@dataclass(frozen=True, slots=True)
class Update(_Node):
    """`left OP right`, OP being one of += =+ := =: =+= : what becomes of an environment variable."""

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Both(_Node):
    """`left & right`."""

    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Either(_Node):
    """`left | right`."""

    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Prefixed(_Node):
    """`! value`, its negation, and `? value`, whether it is defined."""

    op: Literal["!", "?"]
    value: Value


Value = Union[  # noqa: UP007 - `|` does not take the name of what is being defined
    bool, int, str, tuple["Value", ...], Ident, Group, Option, Relation, Bound, Update, Both, Either, Prefixed
]


@dataclass(frozen=True, slots=True)
class Field(_Node):
    """`name: value`, and where in the text it begins."""

    name: str
    value: Value
    offset: int


@dataclass(frozen=True, slots=True)
class Section(_Node):
    """`kind label { … }`; the label is "" where there is none."""

    kind: str
    label: str
    items: tuple[Item, ...]
    offset: int


Item = Field | Section


@dataclass(frozen=True, slots=True)
class File(_Node):
    """All that a file says, in its order."""

    items: tuple[Item, ...]
