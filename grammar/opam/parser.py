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

_OPERANDS = frozenset(["IDENT", "STRING", "TRIPLE", "INT", "RPAR", "RSQB", "RBRACE"])
"""Tokens that a value can end with. Only where one does, a name begins the next item."""
_OPEN, _CLOSE = frozenset(["LPAR", "LSQB", "LBRACE"]), frozenset(["RPAR", "RSQB", "RBRACE"])
_SHOWN = {"COLON": '":"', "RBRACE": '"}"', "RSQB": '"]"', "RPAR": '")"', "$END": "the end"}


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
        at, count = 0, len(bare)
        try:
            while at < count:
                token = whole(text, bare[at])
                feed(token)
                at += 1
                if token.type == "COLON":
                    end = _value_end(bare, at)
                    if end > at:
                        feed(Token("VALUE", self._value(text, bare[at:end]), bare[at][1]))
                    at = end
            found: File = feed(Token("$END", "", len(text)), is_end=True)
        except lalr.Unexpected as error:
            raise _unexpected(text, error.token, error.expected) from None
        return found

    def _value(self, text: str, bare: list[Bare]) -> Value:
        written = text[bare[0][1] : bare[-1][2]]
        found = self._known.get(written)
        if found is None:
            feed = lalr.state(_parser(), "value").feed_token
            for one in bare:
                feed(whole(text, one))
            found = self._known[written] = feed(Token("$END", "", bare[-1][2]), is_end=True)
        return found


def _value_end(bare: list[Bare], start: int) -> int:
    """The place of the token after the value that begins at `start`."""
    depth, before = 0, ""
    for at in range(start, len(bare)):
        kind = bare[at][0]
        if kind in _OPEN:
            depth += 1
        elif kind in _CLOSE:
            if not depth:
                return at
            depth -= 1
        elif kind == "IDENT" and not depth and before in _OPERANDS:
            return at
        before = kind
    return len(bare)


@cache
def _parser() -> lalr.Parser:
    grammar = Path(__file__).parents[1].joinpath("opam.lark").read_text(encoding="utf-8")
    return lalr.read(grammar, ["opam", "value"], Builder(), punctuation=True)


def _unexpected(text: str, token: Any, expected: Set[str]) -> PlacedError:
    known = [word for type, word in _SHOWN.items() if type in expected]
    if expected & {"STRING", "VALUE"}:
        known.insert(0, "a value")
    elif "IDENT" in expected:
        known.insert(0, "the name of a field")
    what = "the end of the file" if token.type == "$END" else shown(str(token.value))
    hint = f"expected {' or '.join(known)}" if known else None
    return PlacedError(place(text, token.start), f"unexpected {what}", hint)
