"""From what the grammar finds to the tree: one method a rule of spec.lark, called as the parser goes.

Every method takes the tokens and values of its rule, without parentheses. Here is said what the grammar
cannot say: that a field of `run` or `copy` is missing, unknown or stands twice, and what a number may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

from grammar.ast import (
    Axis,
    Build,
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
    Priority,
    Retry,
    Run,
    Shell,
    Spec,
    UserIds,
    UserName,
    Workdir,
    Workflow,
)
from grammar.lexer import Row, Token
from grammar.place import PlacedError, did_you_mean, shown
from grammar.printer import format_atom

Field = tuple[Token, Any]
T = TypeVar("T")

# What OCaml's int_of_string reads. OBuilder's ids are such ints.
_INT = re.compile(
    r"([-+]?)"
    r"(?:0[xX]([0-9a-fA-F][0-9a-fA-F_]*)|0[oO]([0-7][0-7_]*)|0[bB]([01][01_]*)|(?:0[uU])?([0-9][0-9_]*))"
)
_MAX_ID = 2**32 - 2  # the last one is -1, which the kernel reads as "leave it as it is"
_MAX_COUNT = 10**6
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
HOLE = "%{"
"""What a text with something to fill in holds. Outside workflows it means nothing."""


class Builder:
    """Makes the tree of a spec. It keeps nothing between calls, so one serves every text."""

    def spec(self, parts: list[Any]) -> Spec:
        count = 0
        while isinstance(parts[count], Build):
            count += 1
        base: Token | FromBuild | FromMerge = parts[count]
        named = base if isinstance(base, (FromBuild, FromMerge)) else base.value
        ops: list[Op] = []
        for part in parts[count + 1 :]:
            if isinstance(part, Row):
                ops += part.ops
            else:
                ops.append(part)
        return Spec(tuple(parts[:count]), named, tuple(ops), base.at)

    def build(self, parts: tuple[Token, Token, Spec]) -> Build:
        keyword, name, spec = parts
        return Build(name.value, spec, keyword.at)

    def base(self, parts: list[Token]) -> Token:
        return parts[1]

    def base_build(self, parts: list[Token]) -> FromBuild:
        return FromBuild(parts[2].value, parts[2].at)

    def base_merge(self, parts: list[Token]) -> FromMerge:
        builds = [FromBuild(name.value, name.at) for name in parts[2:]]
        return FromMerge(tuple(builds), parts[1].at)

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
        return UserIds(user_id(uid), user_id(gid), keyword.at)

    def body_user_ids(self, parts: list[Token]) -> Op:
        keyword, _, uid, _, gid = parts
        return UserIds(_unless_hole(user_id, uid), _unless_hole(user_id, gid), keyword.at)

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
        return Run(
            fields["shell"],
            get("cache", ()),
            get("network", ()),
            get("secrets", ()),
            get("retry"),
            get("timeout"),
            get("silence"),
            keyword.at,
        )

    def limit(self, parts: list[Token]) -> Field:
        return parts[0], _unless_hole(duration, parts[1])

    def retry(self, parts: list[Any]) -> Field:
        keyword, *rules = parts
        attempts: int | str | None = None
        exits: list[int | str] = []
        logs: list[str] = []
        for word, *values in rules:
            match word.value:
                case "attempts":
                    attempts = _unless_hole(tries, values[0])
                case "exit":
                    exits += [_unless_hole(exit_status, value) for value in values]
                case _:
                    logs += [_unless_hole(pattern, value) for value in values]
        return keyword, Retry(attempts, tuple(exits), tuple(logs))

    def rule(self, parts: list[Token]) -> list[Token]:
        return parts

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

    def workflow(self, parts: list[Any]) -> Workflow:
        return Workflow(tuple(parts[1:]), parts[0].at)

    def param(self, parts: list[Token]) -> Item:
        keyword, name, *value = parts
        return Param(name.value, value[0].value if value else None, keyword.at)

    def include(self, parts: list[Token]) -> Item:
        return Include(parts[1].value, parts[0].at)

    def named(self, parts: list[Any]) -> Item:
        keyword, name, *matrix, spec = parts
        return NamedBuild(name.value, spec, matrix[0][1] if matrix else None, keyword.at)

    def job(self, parts: list[Any]) -> Item:
        keyword, name, *heads, spec = parts
        fields = _fields(keyword, heads, _JOB)
        get = fields.get
        return Job(name.value, spec, get("matrix"), get("labels", ()), get("priority", "normal"), keyword.at)

    def matrix(self, parts: list[Any]) -> Field:
        keyword, *found = parts
        axes = [part for part in found if isinstance(part, Axis)]
        names: set[str] = set()
        for axis in axes:
            if axis.name in names:
                raise PlacedError(axis.at, f"axis {shown(axis.name)} stands twice")
            names.add(axis.name)
        return keyword, Matrix(tuple(axes), tuple(found[len(axes) :]), keyword.at)

    def axis(self, parts: list[Token]) -> Axis:
        return Axis(parts[0].value, _values(parts[1:]), parts[0].at)

    def exclude(self, parts: list[Any]) -> tuple[Pair, ...]:
        return tuple(parts[1:])

    def labels(self, parts: list[Any]) -> Field:
        keyword, *pairs = parts
        names: set[str] = set()
        for pair in pairs:
            if pair.name in names:
                raise PlacedError(pair.at, f"label {shown(pair.name)} stands twice")
            names.add(pair.name)
        return keyword, tuple(pairs)

    def priority(self, parts: list[Token]) -> Field:
        keyword, word = parts
        known = get_args(Priority)
        if word.value not in known:
            hint = did_you_mean(word.value, known) or f"one of: {', '.join(known)}"
            raise PlacedError(word.at, f"unknown priority {shown(word.value)}", hint)
        return keyword, word.value

    def pair(self, parts: list[Token]) -> Pair:
        name, value = parts
        return Pair(name.value, value.value, name.at)


# The fields of each form, and whether one must be there.
_COPY = {"from": False, "src": True, "dst": True, "exclude": False}
_RUN = {
    "cache": False,
    "network": False,
    "secrets": False,
    "shell": True,
    "retry": False,
    "timeout": False,
    "silence": False,
}
_JOB = {"matrix": False, "labels": False, "priority": False}
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


def user_id(token: Token) -> int:
    """A user's or group's number, as OCaml reads one."""
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


def tries(token: Token) -> int:
    """How often to try."""
    return _number(token, 1, _MAX_COUNT, "a number of attempts")


def exit_status(token: Token) -> int:
    """The exit status of a failed command."""
    return _number(token, 1, 255, "the exit status of a failure")


def duration(token: Token) -> int:
    """Seconds, from a number and its unit."""
    match = _DURATION.fullmatch(token.value)
    if match is None or not int(match[1]):
        raise PlacedError(token.at, f"{shown(token.value)} is no duration", "write 90s, 30m, 2h or 1d")
    return int(match[1]) * _SECONDS[match[2]]


def pattern(token: Token) -> str:
    """A regular expression, as its text."""
    try:
        re.compile(token.value)
    except (re.error, RecursionError, OverflowError) as error:
        raise PlacedError(token.at, f"{shown(token.value)} is no regular expression: {error}") from None
    return token.value


def _number(token: Token, low: int, high: int, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", token.value) or not low <= int(token.value) <= high:
        raise PlacedError(token.at, f"{shown(token.value)} is not {what}: these are {low} to {high}")
    return int(token.value)


def _unless_hole(read: Callable[[Token], T], token: Token) -> T | str:
    """What a text means, or the text itself while it has a hole."""
    return token.value if HOLE in token.value else read(token)
