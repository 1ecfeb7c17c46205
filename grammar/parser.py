"""Text in, a tree out.

The grammar is spec.lark. The parser takes the tokens of our own lexer one by one and calls `Builder` for each rule.

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

from grammar import lalr, table
from grammar.ast import At, Op, Spec, Workflow
from grammar.builder import Builder
from grammar.check import check
from grammar.data import LONG, Data
from grammar.explain import explain
from grammar.lexer import Row, Skip, Token, canonical, scan, tokens
from grammar.place import PlacedError, place
from grammar.source import Source


def decode(data: bytes) -> str:
    """The text of a file. A byte that is not UTF-8 becomes a lone surrogate, as `os.fsdecode` has it."""
    return data.decode("utf-8", "surrogateescape")


def parse(text: str, *, file: str) -> Spec:
    """The spec that `text` is, checked; `file` is its name in errors.

    Raises SpecError with the place of the first mistake.
    """
    found = parse_any(Source(file, text))
    if isinstance(found, Workflow):
        raise Source(file, text).error(At(1, 1), "this is a workflow, and a spec is expected")
    return found


def parse_any(source: Source, *, places: bool = False) -> Spec | Workflow:
    """What a text is: a workflow where its first atom is `workflow`, else a spec, which is checked.

    In a long text an op that stands in many places has the first one of them, unless all `places` are asked for.

    Names in a workflow mean something only when it is expanded (`grammar.expand`), and are looked up then.
    Raises SpecError with the place of the first mistake.
    """
    try:
        text = _readable(source.text)
        if is_workflow(text):
            workflow: Workflow = _parse(text, "workflow", "" if places else "body_op")
            return workflow
        spec: Spec = _parse(text, "spec", "" if places else "op")
        check(spec)
    except PlacedError as error:
        raise source.placed(error) from None
    return spec


def is_workflow(text: str) -> bool:
    """Whether the first atom of `text` is `workflow` and opens its first list."""
    found = tokens(text, _keywords())
    try:
        return next(found).type == "LPAR" and next(found).type == "WORKFLOW"
    except (StopIteration, PlacedError):
        return False


def _readable(text: str) -> str:
    try:
        return canonical(text)
    except UnicodeEncodeError as error:
        raise PlacedError(place(text, error.start), f"U+{ord(text[error.start]):04X} is no character") from None


def _parse(text: str, start: str, op: str) -> Any:
    """What `text` is by the rule `start`; an `op` that stands in it many times is parsed once."""
    state = _state(start)
    feed: Callable[..., Any] = state.feed_token
    skip = _known_ops(text, state, op) if op and len(text) >= LONG else None
    last = Token("", "", 1, 1)
    try:
        for token in tokens(text, _keywords(), skip):
            feed(token)
            last = token if isinstance(token, Token) else last
        return feed(Token("$END", "", last.line, last.column), is_end=True)
    except lalr.Unexpected as error:
        raise explain(error.token, state.value_stack, error.expected) from None


def _known_ops(text: str, state: Any, op: str) -> Skip:
    """Skips what is known, wherever `state` would take an op."""

    def read(start: int, end: int, line: int, before: int) -> Op | None:
        inner = _state(op)
        try:
            for token in scan(text, _keywords(), start=start, end=end, line=line, before=before):
                inner.feed_token(token)
            found: Op = inner.feed_token(Token("$END", "", line, 1), is_end=True)
        except (lalr.Unexpected, PlacedError):
            return None  # said better by the parser of the whole text
        return found

    data, actions = Data(text, read), state.parse_conf.states

    def skip(offset: int, line: int, before: int) -> Row | None:
        return data.row(offset, line, before) if "OPS" in actions[state.position] else None

    return skip


def _state(start: str) -> Any:
    return lalr.state(_parser(), start)


@cache
def _parser() -> lalr.Parser:
    grammar = grammar_text()
    if table.LARK != lalr.VERSION or grammar != table.GRAMMAR:
        return read_grammar(grammar, Builder())
    saved = json.loads(table.TABLE, object_hook=_numbered)
    saved["data"]["options"]["transformer"] = Builder()
    return lalr.load(saved)


def _numbered(values: dict[str, Any]) -> dict[Any, Any]:
    """A dictionary whose keys are numbers again, which JSON cannot write."""
    return {int(key) if key.isdecimal() else key: value for key, value in values.items()}


def grammar_text() -> str:
    """What spec.lark says."""
    return Path(__file__).with_name("spec.lark").read_text(encoding="utf-8")


def read_grammar(grammar: str, builder: Builder | None) -> lalr.Parser:
    """The parser of `grammar`, made from scratch."""
    return lalr.read(grammar, ["spec", "workflow", "op", "body_op"], builder)


# OBuilder capitalises an op's name before it looks it up, so `(Run …)` is `(run …)`. Fields have one name only.
_OPS = ("comment", "workdir", "shell", "env", "user", "copy", "run")


@cache
def _keywords() -> dict[str, str]:
    """The types of keywords by how they are written: those that spec.lark names, and ops with a capital."""
    words = {terminal.pattern.value: terminal.name for terminal in _parser().terminals}
    return {word: name for word, name in words.items() if name == word.upper()} | {
        op.capitalize(): op.upper() for op in _OPS
    }
