"""From the text of an opam file to tokens, as opam's own lexer reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grammar.lexer import unescape
from grammar.place import PlacedError, place

_ID = r"[0-9_-]*+[A-Za-z][A-Za-z0-9_-]*+"
# No group that may fail in its middle is possessive: Python before 3.11.4 forgets to go back to its start.
# One match a token. Only `:` with no blank before a name joins it to a package's: `pkg:name`, but `name: value`.
# `_` is the package that is being described: a part of a name, and no name alone.
TOKEN = re.compile(
    rf"""
    (?P<space> (?: [ \t\n]++ | \r\n | \#[^\n]*+ )+ )
  | (?P<TRIPLE> \"\"\" (?: [^"\\]++ | \\. | "(?!"") )* \"\"\" )
  | (?P<STRING> "(?!"") [^"\\]*+ (?: \\. [^"\\]*+ )*+ " )
  | (?P<IDENT> (?: {_ID} | _ (?= \+(?:{_ID}|_) | :{_ID} ) ) (?: \+ (?:{_ID}|_) )* (?: :{_ID} )? )
  | (?P<INT> -?[0-9][0-9_]*+ )
  | (?P<comment> \(\* )
  | (?P<LPAR> \( ) | (?P<RPAR> \) ) | (?P<LSQB> \[ ) | (?P<RSQB> \] ) | (?P<LBRACE> \{{ ) | (?P<RBRACE> \}} )
  | (?P<ENVOP> \+= | =\+=? | := | =: )
  | (?P<RELOP> != | [<>]=? | [=~] )
  | (?P<COLON> : ) | (?P<AMPERSAND> & ) | (?P<VBAR> \| ) | (?P<BANG> ! ) | (?P<QMARK> \? )
  | (?P<wrong> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_COMMENT = re.compile(r"\(\*|\*\)")
_ESCAPE = re.compile(
    r"\\(?:\r?\n|[\\\"'nrtb ]|(?:[01][0-9]|2[0-4])[0-9]|25[0-5]|x[0-9A-Fa-f]{2}|(?P<wrong>[0-9]{3}|.))", re.DOTALL
)
_NONE = frozenset(["wrong", "comment"])
_INTEGERS = range(-(2**62), 2**62)

Bare = tuple[str, int, int]
"""A token's type, and from where to where in the text it is."""


@dataclass(slots=True)  # not frozen, for speed alone
class Token:
    """A token as the parser takes it; `value` is what a string means, and else what is written."""

    type: str
    value: object
    start: int


def tokens(text: str) -> list[Bare]:
    """All tokens, without blanks and comments. At what is none, one of the type "wrong" or "comment" is the last."""
    found: list[Bare] = []
    begin = 0
    while begin >= 0:
        start, begin = begin, -1
        for match in TOKEN.finditer(text, start):
            kind = match.lastgroup
            if kind == "space":
                continue
            offset = match.start()
            if kind == "comment" and (begin := _comment_end(text, offset)) >= 0:
                break
            assert kind is not None
            found.append((kind, offset, match.end()))
            if kind in _NONE:
                break
    return found


def whole(text: str, bare: Bare) -> Token:
    """A token with its value. Raises PlacedError where there is none."""
    kind, start, end = bare
    match kind:
        case "STRING":
            return Token("STRING", _text(text, start + 1, end - 1), start)
        case "TRIPLE":
            return Token("STRING", _text(text, start + 3, end - 3), start)
        case "IDENT" if text[start:end] in ("true", "false"):
            return Token("BOOL", text[start:end] == "true", start)
        case "INT":
            return Token("INT", _integer(text, start, end), start)
        case "wrong" | "comment":
            raise _wrong(text, start)
        case _:
            return Token(kind, text[start:end], start)


def _text(text: str, start: int, end: int) -> str:
    written = text[start:end]
    if "\\" in written:
        for match in _ESCAPE.finditer(written):
            if match["wrong"]:
                at = place(text, start + match.start())
                raise PlacedError(at, f'"{match[0]}" is no escape', r'"\\" is a backslash, "\255" the last byte')
    written = written.replace("\r\n", "\n")
    return unescape(written, 0, len(written)) if "\\" in written else written


def _integer(text: str, start: int, end: int) -> int:
    digits = text[start:end].replace("_", "")
    if len(digits) > 4000 or int(digits) not in _INTEGERS:  # `int` raises ValueError at a few more
        raise PlacedError(place(text, start), "this number is too large", "opam's integers have 63 bits")
    return int(digits)


def _comment_end(text: str, offset: int) -> int:
    """Where the comment ends that begins at `offset`, or -1. They nest; a string in one hides nothing."""
    depth = 0
    for match in _IN_COMMENT.finditer(text, offset):
        depth += 1 if match[0] == "(*" else -1
        if not depth:
            return match.end()
    return -1


def _wrong(text: str, offset: int) -> PlacedError:
    if text[offset] == '"':
        return PlacedError(place(text, offset), "this string is never closed")
    if text.startswith("(*", offset):
        return PlacedError(place(text, offset), 'this "(*" comment is never closed')
    return PlacedError(place(text, offset), f"unexpected character {text[offset]!r}")
