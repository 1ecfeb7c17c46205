"""table.py is what lark makes of spec.lark now, and what it is for: a fast start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import grammar.parser
from grammar import table
from grammar.builder import Builder
from grammar.lalr import VERSION
from grammar.parser import grammar_text, parse, read_grammar
from grammar.renew import table_text


@pytest.fixture
def afresh() -> None:
    """No parser has been made yet, and none stays."""
    grammar.parser._parser.cache_clear()


def test_the_table_belongs_to_the_grammar() -> None:
    assert grammar_text() == table.GRAMMAR, "run: python -m grammar.renew"


of_this_lark = pytest.mark.skipif(table.LARK != VERSION, reason="the table is another lark's: it is not used")


@of_this_lark
def test_the_table_is_current() -> None:
    text = Path(table.__file__).read_text(encoding="utf-8")
    assert table_text() == text, "run: python -m grammar.renew"


def test_another_lark_reads_the_grammar_anew(afresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "((from a) (run (shell x)))"
    expected = parse(text, file="t.spec")
    grammar.parser._parser.cache_clear()
    monkeypatch.setattr(table, "LARK", "0.0")
    assert parse(text, file="t.spec") == expected
    grammar.parser._parser.cache_clear()


@of_this_lark
def test_the_parser_is_ready_soon(afresh: None) -> None:
    def seconds(make: object) -> float:
        began = time.perf_counter()
        assert callable(make)
        make()
        return time.perf_counter() - began

    loaded = min(seconds(grammar.parser._parser.__wrapped__) for _ in range(3))
    read = min(seconds(lambda: read_grammar(grammar_text(), Builder())) for _ in range(3))
    assert loaded < read / 2


def test_speed() -> None:
    """30,000 lines a second are the goal; a third of it is asked, so that a busy machine does not fail."""
    count = 10_000
    text = "((from a)" + "".join(f'\n (run (shell "opam install -y package.{n}"))' for n in range(count)) + ")"
    began = time.perf_counter()
    parse(text, file="t.spec")
    assert count / (time.perf_counter() - began) > 10_000
