"""The opam format, as opam's own lexer and parser read it: in tables (hence the length), printed, in a repository."""

from __future__ import annotations

import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar.lexer import canonical
from grammar.opam.ast import (
    Both,
    Bound,
    Either,
    Field,
    Group,
    Ident,
    Item,
    Option,
    Prefixed,
    Relation,
    Section,
    Update,
    Value,
)
from grammar.opam.parser import DEEPEST, Reader
from grammar.opam.printer import printed
from system.errors import SpecError
from tests.counts import EXAMPLES, FULL
from tests.data import OPAM_FILES

READER = Reader()
"""One for all tests: what it has read may change nothing of what it reads."""
A, B, C, D = map(Ident, "abcd")


def parse(text: str) -> tuple[Item, ...]:
    return READER.parse(text, file="t.opam").items


def value(text: str) -> Value:
    """What `text` is read as where a value stands, between two other fields."""
    before, found, after = parse(f"b: 1 x: {text}\na: 2")
    assert isinstance(before, Field) and isinstance(found, Field) and isinstance(after, Field)
    assert (before.name, before.value, found.name, after.name, after.value) == ("b", 1, "x", "a", 2)
    return found.value


def names(text: str) -> list[Ident]:
    return [Ident(name) for name in text.split()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Blanks and comments. A quote in a comment means nothing, nor a comment's beginning in a string.
        ("", []),
        ("a\tb\nc\r\nd", [A, B, C, D]),
        ('a # b ] " (* \n c #\n d # [\r\n', [A, C, D]),
        ("a(* b ] # \n *)c(**)d(***)", [A, C, D]),
        ("a (* b (* *) (*(**)*) # *) c", [A, C]),
        ('a (* " *) b (* "(*" *) *) c', [A, B, C]),
        ('a "# (*" b "*)"', [A, "# (*", B, "*)"]),
        # Names hold a letter, and digits, "_" and "-".
        ("a A-b _a -a --a a-- 1a 0-1_a a_1-2", names("a A-b _a -a --a a-- 1a 0-1_a a_1-2")),
        ("p:v p+q:v _:v _+p+_:v 1p+-q:1v p+_ _+_", names("p:v p+q:v _:v _+p+_:v 1p+-q:1v p+_ _+_")),
        ("true false True truex true-x x-true", [True, False, *names("True truex true-x x-true")]),
        ("true:x x:true true+x true+true", names("true:x x:true true+x true+true")),
        # Numbers.
        ("0 1 -1 007 -0 1_000 1_ 1__0 -1_2", [0, 1, -1, 7, 0, 1000, 1, 10, -12]),
        ("1-2 -1-2 1_-2 a-1", [1, -2, -1, -2, 1, -2, Ident("a-1")]),
        ("4611686018427387903 -4611686018427387904", [2**62 - 1, -(2**62)]),
        ("true 1 false 0", [True, 1, False, 0]),
        # Strings.
        ('"" "a" "a""b" "a"b"c"1', ["", "a", "a", "b", "a", B, "c", 1]),
        ('"a\nb" "a\tb" "a\r\nb" "a\rb" "\r\r\n"', ["a\nb", "a\tb", "a\nb", "a\rb", "\r\n"]),
        (r'"\\ \" \' \n \t \b \r \  \\n"', ["\\ \" ' \n \t \b \r   \\n"]),
        (r'"\065\066\255" "\x41\x4a\x4A" "\0651\x411"', ["AB\udcff", "AJJ", "A1A1"]),
        (r'"\000" "\x00\x7f"', ["\0", "\0\x7f"]),
        ('"a\\\n  \t b" "a\\\r\n\tb" "a\\\n\nb" "\\\n"', ["ab", "ab", "a\nb", ""]),
        ('"a\\\\\r\nb" "\\r\\\r\n\n" "\\r\n"', ["a\\\nb", "\r\n", "\r\n"]),
        (r'"\xc3\xa9" "\195\169" "\xff" "\169\195"', ["é", "é", "\udcff", "\udca9\udcc3"]),
        ('"é\0\x01\f\ufeff" "\udce9" "\udcc3\\xa9"', ["é\0\x01\f\ufeff", "\udce9", "é"]),
        ('"""""" """a""" """a "b" ""c""" """"a""" """""a"""', ["", "a", 'a "b" ""c', '"a', '""a']),
        (r'"""a\"""b""" """\\""" """\065"""', ['a"""b', "\\", "A"]),
        ('"""a\r\nb\\\n  c"""', ["a\nbc"]),
        # Brackets, and what stands side by side.
        ("[] () [[] ()] [a] (a)", [(), Group(()), ((), Group(())), (A,), Group((A,))]),
        ("a {} a{b} a {b c}", [Option(A, ()), Option(A, (B,)), Option(A, (B, C))]),
        ("[a]{b} (a){b} a {b} {c}", [Option((A,), (B,)), Option(Group((A,)), (B,)), Option(Option(A, (B,)), (C,))]),
        # Operators.
        *[(f"a {op} b", [Relation(op, A, B)]) for op in ["=", "!=", "<", "<=", ">", ">=", "~"]],
        *[(f"a {op} b", [Update(op, A, B)]) for op in ["+=", "=+", ":=", "=:", "=+="]],
        ('"a"="b"', [Relation("=", "a", "b")]),
        ("true!=false 1<2", [Relation("!=", True, False), Relation("<", 1, 2)]),
        ("p:v=q:v a=-b", [Relation("=", Ident("p:v"), Ident("q:v")), Relation("=", A, Ident("-b"))]),
        ('a+=b "a"=+1 a=:b a:=b', [Update("+=", A, B), Update("=+", "a", 1), Update("=:", A, B), Update(":=", A, B)]),
        ("!= a >= b < c ~ d", [Bound("!=", A), Bound(">=", B), Bound("<", C), Bound("~", D)]),
        ("a >= b >= c", [Relation(">=", A, B), Bound(">=", C)]),
        ("a = b c = d", [Relation("=", A, B), Relation("=", C, D)]),
        ("!a ?b !?c a !b", [Prefixed("!", A), Prefixed("?", B), Prefixed("!", Prefixed("?", C)), A, Prefixed("!", B)]),
        ("a & b c | d", [Both(A, B), Either(C, D)]),
    ],
)
def test_values(text: str, expected: list[Value]) -> None:
    found = value(f"[{text}\n]")
    assert found == tuple(expected)
    assert repr(found) == repr(tuple(expected))  # True is not 1


def ungrouped(value: Value) -> Value:
    """Without the parentheses around one value."""
    match value:
        case Group((inner,)):
            return ungrouped(inner)
        case Both() | Either():
            return replace(value, left=ungrouped(value.left), right=ungrouped(value.right))
        case Option():
            return Option(ungrouped(value.value), tuple(map(ungrouped, value.conditions)))
        case Prefixed():
            return Prefixed(value.op, ungrouped(value.value))
    return value


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a | b & c", "a | (b & c)"),
        ("a & b | c", "(a & b) | c"),
        ("a | b | c", "(a | b) | c"),
        ("a & b & c", "(a & b) & c"),
        ("a | b & c & d | a", "(a | ((b & c) & d)) | a"),
        ("!a & b", "(!a) & b"),
        ("a & !b", "a & (!b)"),
        ("!a | b", "(!a) | b"),
        ("?a & b", "(?a) & b"),
        ("!?a | b", "(!(?a)) | b"),
        ("!a {b}", "!(a {b})"),
        ("?a {b} {c}", "?((a {b}) {c})"),
        ("a & b {c}", "a & (b {c})"),
        ("a {b} & c {d} | a", "((a {b}) & (c {d})) | a"),
        ("a = b {c}", "(a = b) {c}"),
        (">= b {c}", "(>= b) {c}"),
        ("a += b {c}", "(a += b) {c}"),
        ("!a = b", "!(a = b)"),
        ("! >= b", "!(>= b)"),
        ("?a = b & c", "(?(a = b)) & c"),
        ("a = b & c = d | >= a & < b", "((a = b) & (c = d)) | ((>= a) & (< b))"),
        ("a {b & c | d}", "a {(b & c) | d}"),
    ],
)
def test_precedence(text: str, meaning: str) -> None:
    assert ungrouped(value(text)) == ungrouped(value(meaning))
    assert not isinstance(value(text), Group)


def field(name: str, value: Value) -> Field:
    return Field(name, value, 0)


def section(kind: str, label: str, *items: Item) -> Section:
    return Section(kind, label, items, 0)


def placed(item: Item, text: str) -> Item:
    """The same at offset 0; its own must be where its name is."""
    if isinstance(item, Field):
        assert text.startswith(item.name, item.offset)
        return replace(item, offset=0)
    assert text.startswith(item.kind, item.offset)
    return replace(item, items=tuple(placed(one, text) for one in item.items), offset=0)


def items(text: str) -> list[Item]:
    return [placed(item, text) for item in parse(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n # nothing", []),
        ("(* nothing *)#", []),
        ("x: 1", [field("x", 1)]),
        ("x :1\r\n", [field("x", 1)]),
        ("# a\rb\nx :y z\t:a", [field("x", Ident("y")), field("z", A)]),
        ('x:"a"y:[]z:()', [field("x", "a"), field("y", ()), field("z", Group(()))]),
        ("x: y z: 1", [field("x", Ident("y")), field("z", 1)]),
        ("x: y:z a: 1", [field("x", Ident("y:z")), field("a", 1)]),
        ("x:\ny z\n:\n1", [field("x", Ident("y")), field("z", 1)]),
        ("x:y:1", [field("x:y", 1)]),
        ("x: true y: false", [field("x", True), field("y", False)]),
        ("x: a {b} c {}", [field("x", Option(A, (B,))), section("c", "")]),
        ("x: a & b c: d", [field("x", Both(A, B)), field("c", D)]),
        ("x: >= a b: c", [field("x", Bound(">=", A)), field("b", C)]),
        ("x: !a b: c", [field("x", Prefixed("!", A)), field("b", C)]),
        ("x: [a b] c: d", [field("x", (A, B)), field("c", D)]),
        ("x: 1 x: 2", [field("x", 1), field("x", 2)]),  # opam's parser allows it too
        ("s {}", [section("s", "")]),
        ('s "" {} s "l" {}s"""l"""{}', [section("s", ""), section("s", "l"), section("s", "l")]),
        (
            's { x: a } t "l" { y: b z {} }',
            [section("s", "", field("x", A)), section("t", "l", field("y", B), section("z", ""))],
        ),
    ],
)
def test_items(text: str, expected: list[Item]) -> None:
    assert items(text) == expected


def test_offsets() -> None:
    """They count characters, whatever stands before."""
    found = parse('# é\r\n x: 1 (* *) s\t"l" {\n\ty: 2 }')
    assert [item.offset for item in found] == [6, 17]
    assert isinstance(found[1], Section)
    assert [item.offset for item in found[1].items] == [26]


LAST = r'"\\" is a backslash, "\255" the last byte'
END = "unexpected the end of the file"
BITS = "opam's integers have 63 bits"


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        # What is no token.
        ("x: a\rb", "1:5", r"unexpected character '\r'", None),
        ("x: \f", "1:4", r"unexpected character '\x0c'", None),
        ("x: 1\0", "1:5", r"unexpected character '\x00'", None),
        ("\ufeffx: 1", "1:1", r"unexpected character '\ufeff'", None),
        ("x: é", "1:4", "unexpected character 'é'", None),
        ("x: \udce9", "1:4", r"unexpected character '\udce9'", None),
        ("x: _", "1:4", "unexpected character '_'", None),
        ("x: __", "1:4", "unexpected character '_'", None),
        ("x: [_1]", "1:5", "unexpected character '_'", None),
        ("x: [a+_ _ b]", "1:9", "unexpected character '_'", None),
        ("x: [- a]", "1:5", "unexpected character '-'", None),
        ("x: a+1", "1:5", "unexpected character '+'", None),
        ("x: 1 *) y: 2", "1:6", "unexpected character '*'", None),
        ("x: 1 (* (* *)", "1:6", 'this "(*" comment is never closed', None),
        ("x: 1 (*) y: 2", "1:6", 'this "(*" comment is never closed', None),
        ('x: 1\ny: "a\\"\n\n', "2:4", "this string is never closed", None),
        ('x: "a\\', "1:4", "this string is never closed", None),
        ('x: """a" ""', "1:4", "this string is never closed", None),
        ('x: ["""a""" """"]', "1:13", "this string is never closed", None),
        ('x: 1 (* " *) " *)', "1:14", "this string is never closed", None),
        # What is no value of a token.
        (r'x: "\q"', "1:5", r'"\q" is no escape', LAST),
        (r'x: "a\\\1"', "1:8", r'"\1" is no escape', LAST),
        (r'x: "\12a"', "1:5", r'"\1" is no escape', LAST),
        (r'x: "\256"', "1:5", r'"\256" is no escape', LAST),
        (r'x: """\x4"""', "1:7", r'"\x" is no escape', LAST),
        (r'x {} y "\X41" {}', "1:9", r'"\X" is no escape', LAST),
        ('x: "a\\\rb"', "1:6", '"\\\r" is no escape', LAST),
        ('x: "\r\nb\\é"', "2:2", '"\\é" is no escape', LAST),
        ("x: 4611686018427387904", "1:4", "this number is too large", BITS),
        ("x: [1 -4_611686018427387905]", "1:7", "this number is too large", BITS),
        ("x: 1" + "0" * 5000, "1:4", "this number is too large", BITS),
        # Items.
        ("1", "1:1", 'unexpected "1"', "expected the name of a field or the end"),
        ("true: 1", "1:1", 'unexpected "true"', "expected the name of a field or the end"),
        ("x: 1\n y: true 1_0", "2:10", 'unexpected "1_0"', "expected the next field"),
        ("x: true\ntrue: 1", "2:1", 'unexpected "true"', "expected the name of a field or the end"),
        ("x: 1 }", "1:6", 'unexpected "}"', "expected the name of a field or the end"),
        ("s { x: 1 ] }", "1:10", 'unexpected "]"', 'expected the name of a field or "}"'),
        ("s { x: 1", "1:9", END, 'expected the name of a field or "}"'),
        ("s { t {} # }\n\n", "1:9", END, 'expected the name of a field or "}"'),
        ("x: y z", "1:7", END, 'expected ":" or "{"'),
        ("x: y:z: 1", "1:7", 'unexpected ":"', "expected the next field"),
        ("x:y", "1:4", END, 'expected ":" or "{"'),
        ("x := 1", "1:3", 'unexpected ":="', 'expected ":" or "{"'),
        ("x: 1 y [a]", "1:8", 'unexpected "["', 'expected ":" or "{"'),
        ('s "l" x: 1', "1:7", 'unexpected "x"', 'expected "{"'),
        ('s "l" "m" {}', "1:7", 'unexpected "m"', 'expected "{"'),
        # Values.
        ("x:", "1:3", END, "expected a value"),
        ("x: \ny: 1", "2:2", 'unexpected ":"', "expected the next field"),
        ("s { x: }", "1:8", 'unexpected "}"', "expected a value"),
        ("s { x: a = }", "1:12", 'unexpected "}"', "expected a value"),
        ("s { x: !\n}", "2:1", 'unexpected "}"', "expected a value"),
        ("x: a & # b\n", "1:7", END, "expected a value"),
        ("x: a &\n| b", "2:1", 'unexpected "|"', "expected a value"),
        ("x: {a}", "1:4", 'unexpected "{"', "expected a value"),
        ("x: [a\ny: 1", "2:2", 'unexpected ":"', 'expected a value or "]"'),
        ("x: [a (b {c", "1:12", END, 'expected a value or "}"'),
        ("x: [a {b} (c ]", "1:14", 'unexpected "]"', 'expected a value or ")"'),
        ("x: [", "1:5", END, 'expected a value or "]"'),
        ("x: [a & ]", "1:9", 'unexpected "]"', "expected a value"),
        ("x: (a] y: 1", "1:6", 'unexpected "]"', 'expected a value or ")"'),
        ("s { x: a :b }", "1:10", 'unexpected ":"', "expected the next field"),
        ("s { x: [a :b] }", "1:11", 'unexpected ":"', 'expected a value or "]"'),
        ("x: 1 2", "1:6", 'unexpected "2"', "expected the next field"),
        ("x: a = b = c", "1:10", 'unexpected "="', "expected the next field"),
        ("x: (a) = b", "1:8", 'unexpected "="', "expected the next field"),
        ("x: a = (b)", "1:8", 'unexpected "("', "expected a value"),
        ("x: [a += b += c]", "1:12", 'unexpected "+="', 'expected a value or "]"'),
        ("x: += a", "1:4", 'unexpected "+="', "expected a value"),
        ("x: a =:= b", "1:8", 'unexpected "="', "expected a value"),
        ("x: a => b", "1:7", 'unexpected ">"', "expected a value"),
        ("x: a !b", "1:6", 'unexpected "!"', "expected the next field"),
        ('x: 1 "a\\"' + "b" * 60 + '"', "1:6", f'unexpected "a\\"{"b" * 57}…"', "expected the next field"),
        # The first mistake is told, not one that makes a later token none.
        ('x: ] "', "1:4", 'unexpected "]"', "expected a value"),
        ('x: a = ] (* "', "1:8", 'unexpected "]"', "expected a value"),
        ("x: [\\]", "1:5", r"unexpected character '\\'", None),
    ],
)
def test_refused(text: str, place: str, message: str, hint: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    error = caught.value
    assert (f"{error.line}:{error.column}", error.message, error.hint) == (place, message, hint)


def test_shown() -> None:
    """A mistake is shown with its line and a caret below it."""
    with pytest.raises(SpecError) as caught:
        parse("x: 1\r\n\ty: [é & ]\r\n")
    assert str(caught.value) == "t.opam:2:6: unexpected character 'é'\n\ty: [é & ]\n\t    ^"
    with pytest.raises(SpecError) as caught:
        parse('# \n\tx: [ "é" & ] # \n')
    assert str(caught.value) == 't.opam:2:13: unexpected "]"\n\tx: [ "é" & ] # \n\t           ^\nexpected a value'


def test_a_chain_is_not_bound_by_pythons_recursion_limit() -> None:
    for op, kind in [("&", Both), ("|", Either)]:
        found = value(f" {op} ".join(f'"{number}"' for number in range(20_000)))
        for number in range(19_999, 0, -1):
            assert isinstance(found, kind) and found.right == str(number)
            found = found.left
        assert found == "0"
    assert value("a " + "(*" * 5000 + "*)" * 5000) == A


DEEP = [("[", "]"), ("(", ")"), ("!", ""), ("?", ""), ("!(", ")"), ("a {", "}"), ("[!a {", "}]")]


@pytest.mark.parametrize(("before", "after"), DEEP)
def test_what_nests_too_deep_is_refused_at_its_place(before: str, after: str) -> None:
    """Whatever walks a value may recurse: it is printed, compared and hashed."""
    each = len(re.sub(r"[^!?([{]", "", before))
    for levels in (DEEPEST // each, DEEPEST // each // 2):
        found = value(before * levels + "a" + after * levels)
        assert found == value(before * levels + "a " + after * levels)
        assert hash(found) == hash(found) and repr(found) and printed(found)
    with pytest.raises(SpecError, match=r"t.opam:1:\d+: values nest more than 100 deep") as caught:
        value(before * (DEEPEST // each + 2) + "a" + after * (DEEPEST // each + 2))
    place = int(str(caught.value).split(":")[2]) - len("b: 1 x: ")
    assert abs(place - (DEEPEST // each) * len(before)) <= len(before) + 2


def test_conditions_behind_one_another_nest_too() -> None:
    value("a" + "{}" * DEEPEST)
    with pytest.raises(SpecError, match="values nest more than 100 deep"):
        value("a" + "{}" * (DEEPEST + 1))


def test_values_side_by_side_do_not_nest() -> None:
    value(f"[{'[!a {b}] (c) ' * 5000}]")
    value(" & ".join(["!(a) {b}"] * 5000))


def test_sections_that_nest_too_deep_are_refused() -> None:
    assert len(parse("s {" * DEEPEST + "}" * DEEPEST)) == 1
    with pytest.raises(SpecError, match=r"t.opam:1:303: sections nest more than 100 deep"):
        parse("s {" * 5000 + "}" * 5000)


def test_what_is_written_alike_is_one_object() -> None:
    reader = Reader()
    texts = ['x: ["a" {>= "1"}] y: "a b"', '# \ns "l" {\n x : "a b"\n}\nz:["a" {>= "1"}]', "x: true y: 1"]
    (one, two), (three, four), (five, six) = (reader.parse(text, file="t.opam").items for text in texts)
    assert isinstance(one, Field) and isinstance(two, Field) and isinstance(four, Field)
    assert isinstance(three, Section) and isinstance(three.items[0], Field)
    assert one.value is four.value
    assert two.value is three.items[0].value
    assert one.value == (Option("a", (Bound(">=", "1"),)),)
    assert isinstance(five, Field) and isinstance(six, Field)
    assert (five.value, six.value) == (True, 1)


def test_errors_are_not_remembered() -> None:
    """Nor is a value elsewhere that is written like a part of what was refused."""
    reader = Reader()
    for line in (1, 2):
        with pytest.raises(SpecError) as caught:
            reader.parse("\n" * (line - 1) + "x: [a = ]", file="t.opam")
        assert (caught.value.line, caught.value.column) == (line, 9)
    assert reader.parse("x: [a]", file="t.opam").items == (Field("x", (A,), 0),)


# A printer: values with the tokens that write them, and blanks and comments for between those.

Written = tuple[Any, list[str]]
RELOPS, UPDATES = ["=", "!=", "<", "<=", ">", ">=", "~"], ["+=", "=+", ":=", "=:", "=+="]
BRACKETS = "[](){}&|"
BLANKS = [" ", "\n", "\t", "\r\n", "(**)", '# " é (* \r\n', '(* " # ] (*)\n*) a: *)', "#\n"]
BLANK = st.lists(st.sampled_from(BLANKS), min_size=1, max_size=2).map("".join)
LEVELS: dict[type, int] = {Either: 0, Both: 1, Prefixed: 2, Option: 3}
"""How tightly a value holds together; all others do more."""


def quoted(text: str, style: int) -> str:
    data, inner = os.fsencode(text), text.replace("\\", r"\\").replace("\r", r"\r")
    if style == 0 and '"""' not in text and not text.endswith('"'):
        return f'"""{inner}"""'
    if style == 1:
        inner = "".join(rf"\{byte:03}" for byte in data)
    elif style == 2:
        inner = "".join(rf"\x{byte:02x}" for byte in data)
    elif style == 3:  # with its lines broken everywhere
        ends = {" ": r"\ ", "\t": r"\t", "\r": r"\r", "\\": r"\\", '"': r"\""}
        inner = "\\\r\n \t".join(ends.get(char, char) for char in text)
    else:
        inner = inner.replace('"', r"\"").replace("\n", "\r\n" if style == 4 else "\n")
    return f'"{inner}"'


def fit(one: Written, least: int) -> Written:
    value, tokens = one
    return one if LEVELS.get(type(value), 4) >= least else (Group((value,)), ["(", *tokens, ")"])


def joined(written: Iterable[Written]) -> Written:
    written = list(written)
    return tuple(value for value, _ in written), [token for _, tokens in written for token in tokens]


def beside(written: list[Written]) -> Written:
    """Values side by side: what begins with `>=` must not take the one before for its left side."""
    return joined(fit(one, 5) if one[1][0] in RELOPS else one for one in written)


def binary(make: Callable[[str, Any, Any], Any]) -> Callable[[Written, str, Written], Written]:
    return lambda left, op, right: (make(op, left[0], right[0]), [*left[1], op, *right[1]])


def unary(make: Callable[[str, Any], Any]) -> Callable[[str, Written], Written]:
    return lambda op, right: (make(op, right[0]), [op, *right[1]])


def enclosed(opening: str, written: Written, closing: str) -> list[str]:
    return [opening, *written[1], closing]


def combined(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    side = st.lists(inner, max_size=3).map(beside)
    conjunction, prefixed, optional = (inner.map(partial(fit, least=level)) for level in (1, 2, 3))
    return (
        side.map(lambda some: (some[0], enclosed("[", some, "]")))
        | side.map(lambda some: (Group(some[0]), enclosed("(", some, ")")))
        | st.builds(lambda one, some: (Option(one[0], some[0]), one[1] + enclosed("{", some, "}")), optional, side)
        | st.builds(unary(Prefixed), st.sampled_from("!?"), prefixed)
        | st.builds(binary(lambda _, left, right: Both(left, right)), conjunction, st.just("&"), prefixed)
        | st.builds(binary(lambda _, left, right: Either(left, right)), inner, st.just("|"), conjunction)
    )


NAMES = st.from_regex(r"(_\+)?[0-9_-]{0,2}[A-Za-z][0-9a-z_-]{0,2}(\+(_|[0-9_-]?[a-z]))?(:_?[A-Z])?", fullmatch=True)
TEXTS = st.text(st.sampled_from('ab"\\\n\r\t #(*)x0é€\udcff\udcc3\udca9\0'), max_size=8).map(canonical)
STRINGS = st.builds(lambda text, style: (text, [quoted(text, style)]), TEXTS, st.integers(0, 5))
INTEGERS = st.integers(-(2**62), 2**62 - 1)
ATOMS: st.SearchStrategy[Written] = (
    NAMES.map(lambda name: (Ident(name), [name]))
    | STRINGS
    | st.builds(lambda value, form: (value, [format(value, form)]), INTEGERS, st.sampled_from("d_"))
    | st.booleans().map(lambda value: (value, [str(value).lower()]))
)
VALUES = st.recursive(
    ATOMS
    | st.builds(binary(Relation), ATOMS, st.sampled_from(RELOPS), ATOMS)
    | st.builds(unary(Bound), st.sampled_from(RELOPS), ATOMS)
    | st.builds(binary(Update), ATOMS, st.sampled_from(UPDATES), ATOMS),
    combined,
    max_leaves=8,
)
FIELDS = st.builds(lambda name, value: (field(name, value[0]), [name, ":", *value[1]]), NAMES, VALUES)


def sections(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    return st.builds(
        lambda kind, label, some: (section(kind, label[0], *some[0]), [kind, *label[1], *enclosed("{", some, "}")]),
        NAMES,
        STRINGS | st.just(("", [])),
        st.lists(inner, max_size=3).map(joined),
    )


ITEMS = st.lists(st.recursive(FIELDS, sections, max_leaves=4), max_size=4).map(joined)


def together(left: str, right: str) -> bool:
    """Whether two tokens may stand with nothing between them."""
    return right == ":" or left in BRACKETS or right in BRACKETS or (left[-1] == '"') != (right[0] == '"')


@given(ITEMS, st.data())
def test_printed_and_read(written: Written, data: st.DataObject) -> None:
    """No value reaches into the next item, be there a line between them or only what must be."""
    expected, tokens = written
    gaps = [data.draw(BLANK | st.just("") if together(*pair) else BLANK) for pair in pairwise(["[", *tokens, "]"])]
    text = "".join(gap + token for gap, token in zip(gaps, [*tokens, ""], strict=True))
    found = items(text)
    assert found == list(expected)
    assert repr(found) == repr(list(expected))  # True is not 1


SNIPPETS = [
    'depends: [\n "a" {>= "4.02.3" & != "5.0" | os = "win32"} # why\n ("b" | "c") & "d" {with-test & !(= "1")}\n]',
    'build: [\n  ["dune" "build" name {with-doc}]\n  ["\\x41%{_:doc}%" "\\065\\\n b"] {?x:y}\n]\n',
    'description: """\nA "parser" of\\\nC:\\\\opam files.\r\n"""\nflags: [light-uninstall avoid-version]\n',
    'url {\n  src: "https://a.b/c.tbz" (* a (* b *) *)\n  checksum: ["md5=0"]\n}\nextra-source "a" { size: 1_0 }\n',
    'build-env: [[A += "b"] [C =: "d"]]\navailable: !(os = "win32") & opam-version >= "2.1"\r\n',
]
PIECES = ['"', '"""', "\\", "\\\n", "\\256", "\\q", "(*", "*)", "#", "_", "-", ":", "=", "+", "!", "&", "|", "~", "?"]
PIECES += ["[", "]", "(", ")", "{", "}", "a", "1", "9" * 20, "true", "a:b", "x: ", " ", "\n", "\r", "\0", "é", "\udce9"]
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.sampled_from(PIECES)), max_size=4)


@settings(max_examples=500 * EXAMPLES)
@given(st.sampled_from(SNIPPETS), CHANGES)
def test_changed(text: str, changes: list[tuple[int, int, str]]) -> None:
    """What is damaged is read or refused, at a place in it, and for the same reason whatever follows."""
    assert parse(text)
    for start, size, piece in changes:
        text = text[: start % len(text)] + piece + text[start % len(text) + size :]
    try:
        assert all(isinstance(item, Field | Section) for item in parse(text))
    except SpecError as error:
        line = text.split("\n")[error.line - 1]
        assert error.line >= 1 and 1 <= error.column <= len(line) + 1
        assert error.text == line.removesuffix("\r")
        if error.message != END:
            with pytest.raises(SpecError) as caught:
                parse(f"{text} \n] \0")  # a blank first: what ends in a CR must not become the end of a line
            again = caught.value
            assert (again.line, again.column, again.message) == (error.line, error.column, error.message)


# The repository: the tokens of its files, as a regular expression finds them and as their values have them.

APART = re.compile(r'"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\])*"|#[^\n]*|\(\*.*?\*\)', re.DOTALL)
TOKEN = re.compile(r"""["[({&|?~]|[!<>]=?|[+:]=|=[+:]?=?|\w[\w+:-]*\w|\w""")


def found_in(text: str) -> Counter[str]:
    """How often a text has each name, operator and opening bracket; a string is a quote."""
    return Counter(TOKEN.findall(APART.sub(lambda match: ' " ' if match[0][0] == '"' else " ", text)))


def said_by(value: object) -> Iterator[str]:
    """The same of an item or a value."""
    match value:
        case bool() | int():
            yield str(value).lower()
        case str():
            yield '"'
        case Ident(name):
            yield name
        case Field(name, inner):
            yield from (name, *said_by(inner))
        case Section(kind, label, inner):
            yield from (kind, "{", *('"' if label else ""), *chain(*map(said_by, inner)))
        case tuple():
            yield from ("[", *chain(*map(said_by, value)))
        case Group(values):
            yield from ("(", *chain(*map(said_by, values)))
        case Option(inner, conditions):
            yield from ("{", *said_by(inner), *chain(*map(said_by, conditions)))
        case Prefixed(op, inner) | Bound(op, inner):
            yield from (op, *said_by(inner))
        case Relation(op, left, right) | Update(op, left, right):
            yield from (op, *said_by(left), *said_by(right))
        case Both(left, right):
            yield from ("&", *said_by(left), *said_by(right))
        case Either(left, right):
            yield from ("|", *said_by(left), *said_by(right))


@pytest.mark.skipif(not OPAM_FILES.exists(), reason=f"needs {OPAM_FILES}")
def test_the_repository() -> None:
    """Reading all of it takes about 6 s, and every twentieth file half a second."""
    reader, total, read = Reader(), Counter[str](), 0
    with tarfile.open(OPAM_FILES) as tar:
        for member in [one for one in tar if one.isfile()][:: 1 if FULL else 20]:
            packed = tar.extractfile(member)
            assert packed is not None
            text = os.fsdecode(packed.read())
            items = reader.parse(text, file=member.name).items
            said = Counter(chain(*map(said_by, items)))
            assert said == found_in(text), member.name
            total += said
            read += 1
    assert total["depends"] > total["depopts"] > 0
    if FULL:
        assert read == 18_793
        wanted = {"depends": 18_560, "url": 17_978, "with-test": 25_166, "&": 31_767, "|": 3_329}
        assert {word: total[word] for word in wanted} == wanted
