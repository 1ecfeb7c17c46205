"""The one door of lark: an LALR parser of a grammar, to which tokens of our own lexers are fed one by one.

A builder has a method for each rule, which is called as the parser goes, so that no parse tree is ever made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lark

VERSION = lark.__version__

Parser = lark.Lark
Unexpected = lark.UnexpectedToken
"""Raised by `feed_token` at a token that may not stand there; it has the `token` and the types `expected`."""


def read(grammar: str, starts: Sequence[str], builder: object, *, punctuation: bool = False) -> Parser:
    """The parser of a grammar, made from scratch. `punctuation`: rules are given tokens that the grammar quotes too."""
    return lark.Lark(
        grammar,
        parser="lalr",
        lexer="basic",  # never used
        start=list(starts),
        maybe_placeholders=False,
        keep_all_tokens=punctuation,
        transformer=builder,
    )


def load(saved: dict[str, Any]) -> Parser:
    """A parser as `Parser.save` wrote it down."""
    return lark.Lark.load(saved)


def state(parser: Parser, start: str) -> Any:
    """A fresh state of the parser: its `feed_token` takes tokens, and gives the result at the last, "$END"."""
    return parser.parse_interactive(start=start).parser_state
