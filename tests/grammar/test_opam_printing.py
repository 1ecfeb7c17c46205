"""Printing opam values: what is printed says the same."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.opam import printer
from grammar.opam.ast import (
    Both,
    Bound,
    Either,
    Field,
    File,
    Group,
    Ident,
    Option,
    Prefixed,
    Relation,
    Section,
    Update,
    Value,
)
from grammar.opam.parser import Reader
from tests.data import OPAM_FILES

SOME = 1000
"""Real files; more would say the same again."""


def parsed(text: str) -> File:
    return Reader().parse(text, file="opam")


def value(text: str) -> Value:
    (item,) = parsed(f"x: {text}").items
    assert isinstance(item, Field)
    return item.value


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('"a"{>="1"&build}', '"a" {>= "1" & build}'),
        ('["a"  "b" {post}]', '["a" "b" {post}]'),
        ('("a"|"b")', '("a" | "b")'),
        ('"a" | "b" & "c" | "d"', '"a" | "b" & "c" | "d"'),
        ('"a" & ("b" | "c")', '"a" & ("b" | "c")'),
        ("!ocaml:native & ?x", "!ocaml:native & ?x"),
        ('!(os = "linux")', '!(os = "linux")'),
        ('[[PATH += "%{bin}%"]]', '[[PATH += "%{bin}%"]]'),
        (r'"say \"hi\" \\ \065"', r'"say "hi" \\ A"'.replace('"hi"', r"\"hi\"")),
        ('"""a "quoted" word"""', r'"a \"quoted\" word"'),
        ("-12", "-12"),
        ("[]", "[]"),
        ("# a comment\n true", "true"),
    ],
)
def test_one_form_for_each_meaning(text: str, printed: str) -> None:
    assert printer.printed(value(text)) == printed
    assert value(printed) == value(text)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
IDENTS = st.sampled_from(["os", "with-test", "ocaml:native", "_:lib", "a+b:enable", "conf-x"]).map(Ident)
ATOMS = st.one_of(TEXTS, st.integers(-(2**62), 2**62 - 1), st.booleans(), IDENTS)
OPS = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "~"])
UPDATES = st.sampled_from(["+=", "=+", ":=", "=:", "=+="])


def _more(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    lists = st.lists(values, max_size=3).map(tuple)
    atoms = st.one_of(ATOMS, lists, lists.map(Group))
    relations = st.one_of(st.builds(Relation, OPS, ATOMS, ATOMS), st.builds(Update, UPDATES, ATOMS, ATOMS))
    # Behind another value a bound would be a relation with that.
    bounds = st.one_of(st.builds(Bound, OPS, ATOMS), st.builds(Both, st.builds(Bound, OPS, ATOMS), ATOMS))
    conditions = st.one_of(lists, bounds.map(lambda bound: (bound,)))
    postfixed = st.one_of(atoms, relations, st.builds(Option, st.one_of(atoms, relations), conditions))
    prefixed = st.one_of(postfixed, st.builds(Prefixed, st.sampled_from(["!", "?"]), postfixed))
    conjunctions = st.one_of(prefixed, st.builds(Both, prefixed, prefixed))
    return st.one_of(conjunctions, st.builds(Either, conjunctions, conjunctions))


@given(st.recursive(ATOMS, _more, max_leaves=10))
def test_what_is_printed_is_read_back_as_the_same(tree: Value) -> None:
    assert value(printer.printed(tree)) == tree


def test_a_chain_longer_than_the_stack_is_printed() -> None:
    text = " | ".join(f'"p{number}"' for number in range(5000))
    assert printer.printed(value(text)) == text


@pytest.mark.skipif(not OPAM_FILES.exists(), reason="needs the real repository's opam files in ../shared/data")
def test_real_files_are_printed_and_read_back() -> None:
    reader = Reader()
    read = 0
    with tarfile.open(OPAM_FILES) as archive:
        for member in archive:
            if member.isreg() and read < SOME:
                content = archive.extractfile(member)
                assert content is not None
                file = reader.parse(content.read().decode(), file=member.name)
                again = reader.parse("".join(map(_item, file.items)), file=member.name)
                assert [*map(_said, again.items)] == [*map(_said, file.items)], member.name
                read += 1
    assert read == SOME


def _item(item: Field | Section) -> str:
    if isinstance(item, Field):
        return printer.field(item.name, item.value)
    return printer.section(
        item.kind, item.label, [(one.name, one.value) for one in item.items if isinstance(one, Field)]
    )


def _said(item: Field | Section) -> object:
    if isinstance(item, Field):
        return item.name, item.value
    return item.kind, item.label, [_said(one) for one in item.items]
