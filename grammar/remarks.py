"""Formatting a text without losing its comments, which its tree does not hold.

A remark is whatever sexplib skips: a `;` comment, a `#| … |#` one, or `#;` with the datum that it drops.
Each is kept as it is written. It goes on a line of its own before what it stood before. One that stood in
an op, or behind it on its line, stays with that op: above it, or behind it where it is the only one, a
`;` comment, and the op is one line.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from grammar.ast import NOWHERE
from grammar.lexer import TOKEN, block_end
from grammar.parser import parse_any
from grammar.printer import Line, layout
from grammar.source import Source

_LINE_COMMENT = re.compile(r";[^\n\r]*")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is no part of the tree: its text, its place, how many parentheses are open there."""

    text: str
    place: tuple[int, int]
    depth: int
    behind: bool
    """Whether something else stands before it on its line."""


def format_text(source: Source) -> str:
    """The canonical text of a spec or a workflow, with its comments. Raises SpecError as `parse_any` does."""
    *lines, end = layout(parse_any(source, places=True))
    waiting = deque(remarks(source.text))
    printed: list[str] = []
    for item, following in pairwise([*_items(lines), None]):
        assert item is not None
        printed += _with_remarks(item, following[0] if following else None, waiting)
    printed += [" " + remark.text for remark in waiting if remark.depth]
    printed += [end.text, *[remark.text for remark in waiting if not remark.depth]]
    return "".join(f"{line}\n" for line in printed)


def _items(lines: list[Line]) -> list[list[Line]]:
    """The lines of each build's head, base and op."""
    items: list[list[Line]] = []
    for line in lines:
        if line.at is NOWHERE:
            items[-1].append(line)
        else:
            items.append([line])
    return items


def _with_remarks(item: list[Line], following: Line | None, waiting: deque[Remark]) -> list[str]:
    """The lines of `item` with the remarks that go with it, which are taken from those that wait."""
    first = item[0]
    above: list[Remark] = []
    while waiting and waiting[0].place < _place(first):
        above.append(waiting.popleft())
    own: list[Remark] = []
    # What stands inside the head of a build goes before the build's first item.
    inner_depth = first.depth + 1 if following is None or following.depth <= first.depth else 1 << 62
    while waiting and (following is None or waiting[0].place < _place(following)):
        if not waiting[0].behind and waiting[0].depth < inner_depth:
            break
        own.append(waiting.popleft())
    lines = [line.text for line in item]
    if len(own) == len(lines) == 1 and own[0].text.startswith(";"):
        lines[0] += f" {own.pop().text}"
    indent = first.text[: len(first.text) - len(first.text.lstrip(" "))]
    return [indent + remark.text for remark in above + own] + lines


def _place(line: Line) -> tuple[int, int]:
    return line.at.line, line.at.column


def remarks(text: str) -> list[Remark]:
    """The remarks of `text`, which must be one that can be parsed, by place."""
    found: list[Remark] = []
    line, before, seen = 1, -1, 0  # the line, the offset before it, and how far they are counted
    position = depth = last = 0  # `last` is where the last token ended
    while position < len(text):
        match = TOKEN.match(text, position)
        assert match is not None and match.lastgroup is not None
        kind, start, position = match.lastgroup, match.start(match.lastgroup), match.end()
        if kind == "space":
            spans = [comment.span() for comment in _LINE_COMMENT.finditer(text, start, position)]
        elif kind in ("block", "drop"):
            position = block_end(text, start) if kind == "block" else _datum_end(text, position)
            spans = [(start, position)]
        else:
            depth += {"open": 1, "close": -1}.get(kind, 0)
            last, spans = position, []
        for begin, end in spans:
            if breaks := text.count("\n", seen, begin):
                line, before = line + breaks, text.rindex("\n", seen, begin)
            seen = begin
            behind = last > 0 and "\n" not in text[last:begin]
            found.append(Remark(text[begin:end], (line, begin - before), depth, behind))
    return found


def _datum_end(text: str, position: int) -> int:
    """Where the datum ends that a `#;` drops which ends at `position`."""
    depth, awaited = 0, 1
    while awaited:
        match = TOKEN.match(text, position)
        assert match is not None
        kind, position = match.lastgroup, match.end()
        if kind == "block":
            position = block_end(text, match.start("block"))
        elif kind == "drop" and depth == 0:
            awaited += 1
        elif kind == "open":
            depth += 1
        elif kind in ("close", "atom", "string"):
            depth -= kind == "close"
            awaited -= depth == 0
    return position
