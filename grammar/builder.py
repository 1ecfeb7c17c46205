"""From what the grammar finds to the tree: one method a rule of spec.lark, called as the parser goes.

Every method takes the tokens and values of its rule, without parentheses. Here is said what the grammar
cannot say: that a field of `run` or `copy` is missing, unknown or stands twice, and what a number may be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from grammar.ast import (
    Build,
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
from grammar.lexer import Token
from grammar.place import PlacedError, did_you_mean, shown
from grammar.printer import format_atom

Field = tuple[Token, Any]

# What OCaml's int_of_string reads. OBuilder's ids are such ints.
_INT = re.compile(
    r"([-+]?)"
    r"(?:0[xX]([0-9a-fA-F][0-9a-fA-F_]*)|0[oO]([0-7][0-7_]*)|0[bB]([01][01_]*)|(?:0[uU])?([0-9][0-9_]*))"
)
_MAX_ID = 2**32 - 2  # the last one is -1, which the kernel reads as "leave it as it is"


class Builder:
    """Makes the tree of a spec. It keeps nothing between calls, so one serves every text."""

    def spec(self, parts: list[Any]) -> Spec:
        count = 0
        while isinstance(parts[count], Build):
            count += 1
        base: Token = parts[count]
        return Spec(tuple(parts[:count]), base.value, tuple(parts[count + 1 :]), base.at)

    def build(self, parts: tuple[Token, Token, Spec]) -> Build:
        keyword, name, spec = parts
        return Build(name.value, spec, keyword.at)

    def base(self, parts: list[Token]) -> Token:
        return parts[1]

    def comment(self, parts: list[Token]) -> Op:
        return Comment(parts[1].value, parts[0].at)

    def workdir(self, parts: list[Token]) -> Op:
        return Workdir(parts[1].value, parts[0].at)

    def shell(self, parts: list[Token]) -> Op:
        return Shell(_values(parts[1:]), parts[0].at)

    def env(self, parts: list[Token]) -> Op:
        keyword, name, value = parts
        return Env(name.value, value.value, keyword.at)

    def user_ids(self, parts: list[Token]) -> Op:
        keyword, _, uid, _, gid = parts
        return UserIds(_id(uid), _id(gid), keyword.at)

    def user_name(self, parts: list[Token]) -> Op:
        return UserName(parts[2].value, parts[0].at)

    def copy(self, parts: list[Any]) -> Op:
        keyword, *found = parts
        fields = _fields(keyword, found, _COPY)
        source = fields.get("from", FromContext())
        return Copy(fields["src"], fields["dst"], source, fields.get("exclude", ()), keyword.at)

    def run(self, parts: list[Any]) -> Op:
        keyword, *found = parts
        fields = _fields(keyword, found, _RUN)
        get = fields.get
        return Run(fields["shell"], get("cache", ()), get("network", ()), get("secrets", ()), keyword.at)

    def text(self, parts: list[Token]) -> Field:
        return parts[0], parts[1].value

    def texts(self, parts: list[Token]) -> Field:
        return parts[0], _values(parts[1:])

    def from_word(self, parts: list[Token]) -> Field:
        keyword, word = parts
        if word.value != "context":
            message = f"a copy is from context or from (build NAME), not from {shown(word.value)}"
            hint = did_you_mean(word.value, ["context"]) or f"write (from (build {format_atom(word.value)}))"
            raise PlacedError(word.at, message, hint)
        return keyword, FromContext()

    def from_build(self, parts: list[Token]) -> Field:
        keyword, _, name = parts
        return keyword, FromBuild(name.value, name.at)

    def mounts(self, parts: list[Any]) -> Field:
        return parts[0], tuple(parts[1:])

    def mount(self, parts: list[Any]) -> Mount:
        name, *found = parts
        fields = _fields(name, found, _MOUNT)
        return Mount(name.value, fields["target"], fields.get("buildkit_options", ()), name.at)

    def options(self, parts: list[Any]) -> Field:
        return parts[0], tuple(parts[1:])

    def option(self, parts: list[Token]) -> tuple[str, str]:
        return parts[0].value, parts[1].value


# The fields of each form, and whether one must be there.
_COPY = {"from": False, "src": True, "dst": True, "exclude": False}
_RUN = {"cache": False, "network": False, "secrets": False, "shell": True}
_MOUNT = {"target": True, "buildkit_options": False}


def _fields(owner: Token, found: Sequence[Field], known: dict[str, bool]) -> dict[str, Any]:
    """The values of the fields `found` in the form that begins with `owner`, by name."""
    fields: dict[str, Any] = {}
    for token, value in found:
        name = token.value
        if name not in known:  # `Shell`, which the lexer takes for `shell`, as an op may be written so
            raise PlacedError(token.at, f"unknown field {shown(name)}", did_you_mean(name, known))
        if name in fields:
            raise PlacedError(token.at, f"field {name} stands twice")
        fields[name] = value
    for name, needed in known.items():
        if needed and name not in fields:
            raise PlacedError(owner.at, f"field {name} is missing")
    return fields


def _values(found: Sequence[Token]) -> tuple[str, ...]:
    return tuple([token.value for token in found])


def _id(token: Token) -> int:
    match = _INT.fullmatch(token.value)
    if match is None:
        raise PlacedError(token.at, f"expected a whole number, found {shown(token.value)}")
    sign, *by_base = match.groups()
    base, digits = next((base, digits) for base, digits in zip((16, 8, 2, 10), by_base, strict=True) if digits)
    digits = digits.replace("_", "").lstrip("0")
    # Python refuses to read thousands of decimal digits; an id has ten, or 32 in base 2.
    number = int(digits or "0", base) if len(digits) <= 32 else _MAX_ID + 1
    if number > _MAX_ID or (sign == "-" and number):
        raise PlacedError(token.at, f"{shown(token.value)} is no id: ids are 0 to {_MAX_ID}")
    return number
