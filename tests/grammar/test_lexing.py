"""How atoms, strings and comments are read: sexplib's rules, in tables, and against a second reader."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grammar.ast import Shell, Spec
from grammar.parser import decode, parse
from system.errors import SpecError


def argv(text: str | bytes) -> tuple[str, ...]:
    """What `text` is read as where atoms stand."""
    data = text if isinstance(text, bytes) else os.fsencode(text)
    (op,) = parse(decode(b"((from a) (shell " + data + b"\n))"), file="t.spec").ops
    assert isinstance(op, Shell)
    return op.argv


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        # Bare atoms end at a blank, a parenthesis, a quote or a semicolon, and at nothing else.
        ("a b\tc\fd\ne\r\nf", ["a", "b", "c", "d", "e", "f"]),
        ('a"b"c', ["a", "b", "c"]),
        ("a;b\nc", ["a", "c"]),
        ("a'b [c] {d} e,f `g` \\n C:\\src", ["a'b", "[c]", "{d}", "e,f", "`g`", "\\n", "C:\\src"]),
        ("é π \u00a0 \u2003 \x0b \x00 \x7f", ["é", "π", "\u00a0", "\u2003", "\x0b", "\x00", "\x7f"]),
        (b"caf\xe9 \xff", ["caf\udce9", "\udcff"]),
        # "#" and "|" are text where they make no comment.
        ("# | ## || #a |a a# a| a#b|c ||| ###", ["#", "|", "##", "||", "#a", "|a", "a#", "a|", "a#b|c", "|||", "###"]),
        # Strings.
        ('"" "a" "a b" ";" "(" "#|" "|#" "#;"', ["", "a", "a b", ";", "(", "#|", "|#", "#;"]),
        ('"a\nb" "a\r\nb" "a\rb"', ["a\nb", "a\r\nb", "a\rb"]),
        (r'"\\ \" \' \n \t \b \r \  "', ["\\ \" ' \n \t \b \r   "]),
        (r'"\065\066" "\x41\x4a\x4A"', ["AB", "AJJ"]),
        (r'"\000\x00"', ["\0\0"]),
        (r'"\q \z \N \1 \12 \x \x4 \xg0 \é"', [r"\q \z \N \1 \12 \x \x4 \xg0 \é"]),
        ('"a\\\n  \t b" "a\\\r\nb" "a\\\n\nb" "a\\\rb"', ["ab", "ab", "a\nb", "a\\\rb"]),
        (r'"\xc3\xa9" "\195\169"', ["é", "é"]),
        (b'"\\xc3\xa9" "\xc3\\xa9"', ["é", "é"]),
        (r'"\xff" "\xc3" "\xa9\xc3"', ["\udcff", "\udcc3", "\udca9\udcc3"]),
        # Comments.
        ('a ; b " ( #| \n c', ["a", "c"]),
        ("a ; b\r\n c", ["a", "c"]),
        ("a #| b |# c", ["a", "c"]),
        ("a #||# b #|||# c #|#||#|# d", ["a", "b", "c", "d"]),
        ("a #| b #| c |# d |# e", ["a", "e"]),
        ('a #| "|#" " \\" |#" |# b', ["a", "b"]),
        ("a #| ; |# b", ["a", "b"]),
        ("a #|##|a||#|# b", ["a", "b"]),
        ("a #; b c", ["a", "c"]),
        ("a #;b c", ["a", "c"]),
        ("a #; #; b c d", ["a", "d"]),
        ("a #; (b (c) #; d e) f", ["a", "f"]),
        ("a #; #| x |# ; y\n b c", ["a", "c"]),
        ('a #; "b" #; (c) d', ["a", "d"]),
    ],
)
def test_read(text: str | bytes, atoms: list[str]) -> None:
    assert list(argv(text)) == atoms


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a\rb", "1:19", "a carriage return without a line feed"),
        ("; a\rb", "1:21", "a carriage return without a line feed"),
        ("a#|b|#", "1:18", 'comment tokens in unquoted atom: "#|" or "|#"'),
        ("##|", "1:18", 'comment tokens in unquoted atom: "#|" or "|#"'),
        ("||#", "1:18", 'comment tokens in unquoted atom: "#|" or "|#"'),
        ("a|#", "1:18", 'comment tokens in unquoted atom: "#|" or "|#"'),
        ("|#", "1:18", '"|#" ends no comment'),
        ("|#a", "1:18", '"|#" ends no comment'),
        ("#| |# |#", "1:24", '"|#" ends no comment'),
        ('"\\256"', "1:19", '"\\256" is no byte: 255 is the last one'),
        ('"a\nb\\999"', "2:2", '"\\999" is no byte: 255 is the last one'),
        ('#| "\\300" |#', "1:22", '"\\300" is no byte: 255 is the last one'),
        ('"a', "1:18", "this string is never closed"),
        ('"a\\', "1:18", "this string is never closed"),
        ('#| " |#', "1:21", "this string is never closed"),
        ("\n #| a #| b |#", "2:2", 'this "#|" comment is never closed'),
        ("#| a #| b", "1:23", 'this "#|" comment is never closed'),
        ("a #;", "1:20", 'nothing follows "#;" that it could drop'),
        ("#; #; a", "1:18", 'nothing follows "#;" that it could drop'),
        ("#; (a #;) b", "1:24", 'nothing follows "#;" that it could drop'),
    ],
)
def test_refused(text: str, place: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        argv(text)
    assert str(caught.value).splitlines()[0] == f"t.spec:{place}: {message}"


# The second reader: lexer.mll and parser.mly of sexplib, written down again rule by rule, over bytes. As in
# ocamllex the longest match wins, and the earlier rule where two are as long.
_UNQUOTED = rb'[^;()" \t\f\n\r]'
_START = rb'(?:[^;()" \t\f\n\r#|]|#[^;()" \t\f\n\r|]|\|[^;()" \t\f\n\r#])'
_MAIN = [
    ("skip", rb"\n|\r\n"),
    ("skip", rb"[ \t\f]+"),
    ("skip", rb";[^\n\r]*"),
    ("(", rb"\("),
    (")", rb"\)"),
    ("string", rb'"'),
    ("drop", rb"#;"),
    ("block", rb"#\|"),
    ("error", rb"\|#"),
    ("error", rb"##+\|" + _UNQUOTED + rb"*"),
    ("error", rb"\|\|+#" + _UNQUOTED + rb"*"),
    ("error", _START + _UNQUOTED + rb"*(?:#\||\|#)" + _UNQUOTED + rb"*"),
    ("atom", _START + _UNQUOTED + rb"*|#|\|"),
]
_STRING = [
    ("end", rb'"'),
    ("skip", rb"\\\n[ \t]*"),
    ("skip", rb"\\\r\n[ \t]*"),
    ("escape", rb"\\[\\'\"ntbr ]"),
    ("decimal", rb"\\[0-9][0-9][0-9]"),
    ("hex", rb"\\x[0-9a-fA-F][0-9a-fA-F]"),
    ("text", rb"\\[\x00-\xff]"),
    ("text", rb"\n"),
    ("text", rb'[^\\"\n]+'),
]
_BLOCK = [
    ("skip", rb"(?:#*|\|*)\n"),
    ("skip", rb'(?:(?:#*|\|*)[^"#|\n])+'),
    ("string", rb'(?:#*|\|*)"'),
    ("open", rb"#+\|"),
    ("close", rb"\|+#"),
]
Datum = bytes | list["Datum"]


class RefusedError(Exception):
    pass


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def next(self, rules: list[tuple[str, bytes]]) -> tuple[str, bytes]:
        found = [(name, re.compile(rule).match(self.data, self.position)) for name, rule in rules]
        matches = [(name, match[0]) for name, match in found if match]
        if not matches:
            raise RefusedError
        name, lexeme = max(matches, key=lambda match: len(match[1]))  # the first of the longest
        self.position += len(lexeme)
        return name, lexeme

    def token(self) -> tuple[str, bytes]:
        while True:
            if self.position == len(self.data):
                return "eof", b""
            name, lexeme = self.next(_MAIN)
            match name:
                case "skip":
                    pass
                case "string":
                    return "atom", self.string()
                case "block":
                    self.block()
                case "error":
                    raise RefusedError
                case _:
                    return name, lexeme

    def string(self) -> bytes:
        value = b""
        while True:
            name, lexeme = self.next(_STRING)
            match name:
                case "end":
                    return value
                case "escape":
                    value += {b"n": b"\n", b"t": b"\t", b"b": b"\b", b"r": b"\r"}.get(lexeme[1:], lexeme[1:])
                case "decimal":
                    if int(lexeme[1:]) > 255:
                        raise RefusedError
                    value += bytes([int(lexeme[1:])])
                case "hex":
                    value += bytes.fromhex(lexeme[2:].decode())
                case "text":
                    value += lexeme

    def block(self) -> None:
        depth = 1
        while depth:
            name, _ = self.next(_BLOCK)
            match name:
                case "string":
                    self.string()
                case "open":
                    depth += 1
                case "close":
                    depth -= 1

    def datum(self, token: tuple[str, bytes]) -> Datum:
        name, lexeme = token
        if name == "atom":
            return lexeme
        if name != "(":
            raise RefusedError
        return self.data_until(")")

    def data_until(self, end: str) -> list[Datum]:
        found: list[Datum] = []
        while (token := self.token())[0] != end:
            if token[0] == "drop":
                self.dropped()
            else:
                found.append(self.datum(token))
        return found

    def dropped(self) -> None:
        """`sexp_comment: HASH_SEMI sexp_comments? sexp_but_no_comment`."""
        while (token := self.token())[0] == "drop":
            self.dropped()
        self.datum(token)


def second_reading(data: bytes) -> list[Datum] | None:
    """All data of a text, or None where sexplib refuses it."""
    try:
        return Reader(data).data_until("eof")
    except RefusedError:
        return None


# Pieces that matter to the lexer, so that most examples are interesting.
_PIECES = [b"#", b"|", b";", b'"', b"\\", b"(", b")", b" ", b"\t", b"\f", b"\n", b"\r\n", b"\r", b"a", b"x4", b"065"]
_PIECES += [b"256", b"n", b"'", "é".encode(), b"\xc3", b"\xa9", b"\xff", b"#|", b"|#", b"#;", b'"a"', b'"|#"', b"\0"]


@given(st.lists(st.sampled_from(_PIECES) | st.binary(max_size=3), max_size=24).map(b"".join))
@example(b"#; a b)) #; c")
def test_read_like_sexplib(text: bytes) -> None:
    text = b"((from a) (shell " + text + b"))"
    try:
        spec = parse(decode(text), file="t.spec")
    except SpecError:
        spec = None
    match second_reading(text):
        case [[[b"from", b"a"], [b"shell", *data]]] if not any(isinstance(datum, list) for datum in data):
            atoms = [os.fsdecode(datum) for datum in data if isinstance(datum, bytes)]
            assert spec == Spec((), "a", (Shell(tuple(atoms)),))
        case [[[b"from", b"a"], [b"shell", *_], *_]]:
            pass  # `text` has a list or ends the op: it may be right or wrong, but not by the lexer
        case _:
            assert spec is None
