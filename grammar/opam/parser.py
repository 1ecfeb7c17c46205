"""Opam files in, values out."""

from __future__ import annotations

from collections.abc import Set
from functools import cache
from pathlib import Path
from typing import Any

from grammar import lalr
from grammar.opam.ast import File, Value
from grammar.opam.builder import Builder
from grammar.opam.lexer import Bare, Token, tokens, whole
from grammar.place import PlacedError, place, shown
from grammar.source import Source

Known = dict[str, Value]
"""Values by how they are written."""

DEEPEST = 100
"""How deep values, and sections, may nest: five times what a real file does, and short of Python's recursion limit for
all that walks a value."""
_OPERANDS = frozenset(["IDENT", "STRING", "TRIPLE", "INT", "RPAR", "RSQB", "RBRACE"])
"""Tokens that a value can end with. Only where one does, a name begins the next item."""
_CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_CLOSED = frozenset(_CLOSER.values())
_SIGNS = frozenset(["BANG", "QMARK"])
_SHOWN = {"COLON": '":"', "LBRACE": '"{"', "RBRACE": '"}"', "RSQB": '"]"', "RPAR": '")"', "$END": "the end"}


class Reader:
    """Reads opam files; a value that stands in many of them is parsed once, and is one object."""

    def __init__(self) -> None:
        self._known: Known = {}

    def parse(self, text: str, *, file: str) -> File:
        """What a file says; `file` is its name in errors. Raises SpecError with the place of the first mistake."""
        try:
            return self._parse(text, tokens(text))
        except PlacedError as error:
            raise Source(file, text).placed(error) from None

    def _parse(self, text: str, bare: list[Bare]) -> File:
        feed = lalr.state(_parser(), "opam").feed_token
        at, count, sections = 0, len(bare), 0
        try:
            while at < count:
                token = whole(text, bare[at])
                feed(token)
                at += 1
                sections += (token.type == "LBRACE") - (token.type == "RBRACE")
                if sections > DEEPEST:
                    raise PlacedError(place(text, token.start), f"sections nest more than {DEEPEST} deep")
                if token.type == "COLON":
                    end = _value_end(bare, at)
                    if end > at:
                        feed(Token("VALUE", self._value(text, bare, at, end), bare[at][1]))
                    at = end
            found: File = feed(_end(bare, count), is_end=True)
        except lalr.Unexpected as error:
            raise _unexpected(text, bare, error.token, error.expected) from None
        return found

    def _value(self, text: str, bare: list[Bare], start: int, end: int) -> Value:
        written = text[bare[start][1] : bare[end - 1][2]]
        found = self._known.get(written)
        if found is None:
            if (deep := _too_deep(bare, start, end)) is not None:
                raise PlacedError(place(text, deep), f"values nest more than {DEEPEST} deep")
            feed = lalr.state(_parser(), "value").feed_token
            try:
                for one in bare[start:end]:
                    feed(whole(text, one))
                found = self._known[written] = feed(_end(bare, end), is_end=True)
            except lalr.Unexpected as error:
                raise _unexpected(text, bare[start:], error.token, error.expected) from None
        return found


def _end(bare: list[Bare], at: int) -> Token:
    """The end of what is read, where the token after it stands, or behind the file's last one."""
    return Token("$END", "", bare[at][1] if at < len(bare) else bare[-1][2] if bare else 0)


def _value_end(bare: list[Bare], start: int) -> int:
    """The place of the token after the value that begins at `start`."""
    depth, before = 0, ""
    for at in range(start, len(bare)):
        kind = bare[at][0]
        if kind in _CLOSER:
            depth += 1
        elif kind in _CLOSED:
            if not depth:
                return at
            depth -= 1
        elif kind == "IDENT" and not depth and before in _OPERANDS:
            return at
        before = kind
    return len(bare)


def _too_deep(bare: list[Bare], start: int, end: int) -> int | None:
    """Where a value nests too deep: brackets, the signs before a value and the conditions behind it count alike."""
    outer: list[int] = []
    """For each open bracket, the signs and conditions of what it is a part of."""
    depth, own, before = 0, 0, ""
    for kind, offset, _ in bare[start:end]:
        if kind in _CLOSED:
            own = outer.pop() if outer else 0
            depth -= own + (kind != "RBRACE")
        else:
            if before not in _SIGNS and kind != "LBRACE":
                own = 0  # another value begins
            if kind in _SIGNS or kind == "LBRACE":
                own += 1
            if depth + own > DEEPEST:
                return offset
            if kind in _CLOSER:
                outer.append(own)
                depth, own = depth + own + (kind != "LBRACE"), 0
        before = kind
    return None


@cache
def _parser() -> lalr.Parser:
    grammar = Path(__file__).parents[1].joinpath("opam.lark").read_text(encoding="utf-8")
    return lalr.read(grammar, ["opam", "value"], Builder(), punctuation=True)


def _unexpected(text: str, bare: list[Bare], token: Any, expected: Set[str]) -> PlacedError:
    """What is wrong at `token`, and what might stand there.

    `expected` has too much: to the parser's tables a value looks the same in every bracket and in none. Which are open
    is seen from `bare`: all tokens, or those from the start of the value on that `token` is in.
    """
    opens: list[str] = []
    what = "the end of the file"
    for kind, start, end in bare:
        if start >= token.start:
            what = shown(token.value if token.type == "STRING" else text[start:end])
            break
        if kind in _CLOSER:
            opens.append(_CLOSER[kind])
        elif kind in _CLOSED:
            opens.pop()
    if (complete := "VBAR" in expected) and not opens:
        known = ["the next field"]
    else:
        last = opens[-1] if opens else "$END"
        known = [_SHOWN[type] for type in ([last] if complete else ["COLON", "LBRACE", last]) if type in expected]
        if expected & {"VALUE", "BOOL"}:
            known.insert(0, "a value")
        elif "IDENT" in expected:
            known.insert(0, "the name of a field")
    return PlacedError(place(text, token.start), f"unexpected {what}", f"expected {' or '.join(known)}")
