"""Text in, a checked tree out: the one door of lark.

The grammar is spec.lark. lark's LALR parser takes the tokens of our own lexer one by one and calls
`Builder` for each rule as it goes, so that no parse tree is ever made.

Reading a grammar costs lark more than reading most specs does, so table.py holds what lark made of it
(`python -m grammar.renew` writes it). It is used only where it was made from this very grammar by this
very version of lark; otherwise the grammar is read anew, which is slower and gives the same parser.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import lark

from grammar import table
from grammar.ast import Spec
from grammar.builder import Builder
from grammar.check import check
from grammar.explain import explain
from grammar.lexer import Token, canonical, tokens
from grammar.place import PlacedError, place
from system.errors import SpecError

LARK_VERSION = lark.__version__


def decode(data: bytes) -> str:
    """The text of a file. A byte that is not UTF-8 becomes a lone surrogate, as `os.fsdecode` has it."""
    return data.decode("utf-8", "surrogateescape")


def parse(text: str, *, file: str) -> Spec:
    """The spec that `text` is, checked; `file` is its name in errors.

    Raises SpecError with the place of the first mistake.
    """
    try:
        text = _readable(text)
        spec: Spec = _parse(text, "spec")
        check(spec)
    except PlacedError as error:
        line = text.split("\n", error.at.line)[error.at.line - 1].removesuffix("\r")
        at = error.at
        raise SpecError(error.message, file=file, line=at.line, column=at.column, text=line, hint=error.hint) from None
    return spec


def _readable(text: str) -> str:
    try:
        return canonical(text)
    except UnicodeEncodeError as error:
        raise PlacedError(place(text, error.start), f"U+{ord(text[error.start]):04X} is no character") from None


def _parse(text: str, start: str) -> Any:
    """What `text` is by the rule `start`."""
    state = _parser().parse_interactive(start=start).parser_state
    feed: Callable[..., Any] = state.feed_token
    token = Token("", "", 1, 1)
    try:
        for token in tokens(text, _keywords()):
            feed(token)
        return feed(Token("$END", "", token.line, token.column), is_end=True)
    except lark.UnexpectedToken as error:
        raise explain(error.token, state.value_stack, error.expected) from None


@cache
def _parser() -> lark.Lark:
    grammar = grammar_text()
    if table.LARK != LARK_VERSION or grammar != table.GRAMMAR:
        return read_grammar(grammar, Builder())
    saved = json.loads(table.TABLE, object_hook=_numbered)
    saved["data"]["options"]["transformer"] = Builder()
    return lark.Lark.load(saved)


def _numbered(values: dict[str, Any]) -> dict[Any, Any]:
    """A dictionary whose keys are numbers again, which JSON cannot write."""
    return {int(key) if key.isdecimal() else key: value for key, value in values.items()}


def grammar_text() -> str:
    """What spec.lark says."""
    return Path(__file__).with_name("spec.lark").read_text(encoding="utf-8")


def read_grammar(grammar: str, builder: Builder | None) -> lark.Lark:
    """The parser of `grammar`, made by lark from scratch. Its lexer is never used: the tokens are ours."""
    return lark.Lark(
        grammar, parser="lalr", lexer="basic", start=["spec"], maybe_placeholders=False, transformer=builder
    )


# OBuilder capitalises an op's name before it looks it up, so `(Run …)` is `(run …)`. Fields have one name only.
_OPS = ("comment", "workdir", "shell", "env", "user", "copy", "run")


@cache
def _keywords() -> dict[str, str]:
    """The types of keywords by how they are written: those that spec.lark names, and ops with a capital."""
    words = {terminal.pattern.value: terminal.name for terminal in _parser().terminals}
    return {word: name for word, name in words.items() if name == word.upper()} | {
        op.capitalize(): op.upper() for op in _OPS
    }
