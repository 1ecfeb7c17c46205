"""From the text of an opam file to tokens, as opam's own lexer reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grammar.lexer import unescape
from grammar.place import PlacedError, place

_ID = r"[0-9_-]*+[A-Za-z][A-Za-z0-9_-]*+"
# One match a token. Only `:` with no blank before a name joins it to a package's: `pkg:name`, but `name: value`.
TOKEN = re.compile(
    rf"""
    (?P<space> (?: [ \t\r\n]++ | \#[^\n]*+ )++ )
  | (?P<TRIPLE> \"\"\" (?: [^"\\]++ | \\. | "(?!"") )*+ \"\"\" )
  | (?P<STRING> " [^"\\]*+ (?: \\. [^"\\]*+ )*+ " )
  | (?P<IDENT> (?:{_ID}|_) (?: \+ (?:{_ID}|_) )*+ (?: :{_ID} )?+ )
  | (?P<INT> -?[0-9]++ )
  | (?P<comment> \(\* )
  | (?P<LPAR> \( ) | (?P<RPAR> \) ) | (?P<LSQB> \[ ) | (?P<RSQB> \] ) | (?P<LBRACE> \{{ ) | (?P<RBRACE> \}} )
  | (?P<ENVOP> \+= | =\+=? | := | =: )
  | (?P<RELOP> != | [<>]=? | [=~] )
  | (?P<COLON> : ) | (?P<AMPERSAND> & ) | (?P<VBAR> \| ) | (?P<BANG> ! ) | (?P<QMARK> \? )
  | (?P<wrong> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_COMMENT = re.compile(r'\(\*|\*\)|"(?:[^"\\]|\\.)*+"', re.DOTALL)

Bare = tuple[str, int, int]
"""A token's type, and from where to where in the text it is."""


@dataclass(slots=True)  # not frozen, for speed alone
class Token:
    """A token as the parser takes it; `value` is what a string means, and else what is written."""

    type: str
    value: object
    start: int


def tokens(text: str) -> list[Bare]:
    """All tokens, without blanks and comments. Raises PlacedError at what is none."""
    found: list[Bare] = []
    begin = 0
    while begin >= 0:
        start, begin = begin, -1
        for match in TOKEN.finditer(text, start):
            kind = match.lastgroup
            if kind == "space":
                continue
            offset = match.start()
            if kind == "comment":
                begin = _comment_end(text, offset)
                break
            if kind == "wrong":
                raise _wrong(text, offset)
            assert kind is not None
            found.append((kind, offset, match.end()))
    return found


def whole(text: str, bare: Bare) -> Token:
    """A token with its value."""
    kind, start, end = bare
    match kind:
        case "STRING":
            return Token("STRING", _text(text, start + 1, end - 1), start)
        case "TRIPLE":
            return Token("STRING", _text(text, start + 3, end - 3), start)
        case "IDENT" if text[start:end] in ("true", "false"):
            return Token("BOOL", text[start:end] == "true", start)
        case "INT":
            return Token("INT", int(text[start:end]), start)
        case _:
            return Token(kind, text[start:end], start)


def stream(text: str, bare: list[Bare]) -> Iterator[Token]:
    return (whole(text, one) for one in bare)


def _text(text: str, start: int, end: int) -> str:
    written = text[start:end]
    return unescape(text, start, end) if "\\" in written else written


def _comment_end(text: str, offset: int) -> int:
    """Where the comment ends that begins at `offset`: they nest, and a string in one hides what it holds."""
    depth = 0
    for match in _IN_COMMENT.finditer(text, offset):
        depth += {"(*": 1, "*)": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    raise PlacedError(place(text, offset), 'this "(*" comment is never closed')


def _wrong(text: str, offset: int) -> PlacedError:
    if text[offset] == '"':
        return PlacedError(place(text, offset), "this string is never closed")
    return PlacedError(place(text, offset), f"unexpected character {text[offset]!r}")
