"""From what the grammar finds to values: one method a rule of opam.lark, called as the parser goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grammar.opam.ast import (
    Both,
    Bound,
    Either,
    Field,
    File,
    Group,
    Ident,
    Item,
    Option,
    Prefixed,
    Relation,
    Section,
    Update,
    Value,
)
from grammar.opam.lexer import Token


class Builder:
    """Takes the tokens and values of each rule, those of punctuation too."""

    def opam(self, items: Sequence[Item]) -> File:
        return File(tuple(items))

    def field(self, parts: Sequence[Any]) -> Field:
        name, _, value = parts
        return Field(name.value, value.value, name.start)

    def section(self, parts: Sequence[Any]) -> Section:
        kind, _, *items, _ = parts
        return Section(kind.value, "", tuple(items), kind.start)

    def named_section(self, parts: Sequence[Any]) -> Section:
        kind, label, _, *items, _ = parts
        return Section(kind.value, label.value, tuple(items), kind.start)

    def disjunction(self, parts: Sequence[Any]) -> Value:
        return Either(parts[0], parts[2])

    def conjunction(self, parts: Sequence[Any]) -> Value:
        return Both(parts[0], parts[2])

    def negation(self, parts: Sequence[Any]) -> Value:
        return Prefixed("!", parts[1])

    def defined(self, parts: Sequence[Any]) -> Value:
        return Prefixed("?", parts[1])

    def option(self, parts: Sequence[Any]) -> Value:
        value, _, *conditions, _ = parts
        return Option(value, tuple(conditions))

    def relation(self, parts: Sequence[Any]) -> Value:
        return Relation(parts[1].value, parts[0], parts[2])

    def bound(self, parts: Sequence[Any]) -> Value:
        return Bound(parts[0].value, parts[1])

    def update(self, parts: Sequence[Any]) -> Value:
        return Update(parts[1].value, parts[0], parts[2])

    def group(self, parts: Sequence[Any]) -> Value:
        return Group(tuple(parts[1:-1]))

    def list(self, parts: Sequence[Any]) -> Value:
        return tuple(parts[1:-1])

    def ident(self, parts: Sequence[Token]) -> Value:
        return Ident(str(parts[0].value))

    def string(self, parts: Sequence[Any]) -> Value:
        value: str = parts[0].value
        return value

    def integer(self, parts: Sequence[Any]) -> Value:
        value: int = parts[0].value
        return value

    def boolean(self, parts: Sequence[Any]) -> Value:
        value: bool = parts[0].value
        return value
