"""From text to tokens, exactly as sexplib's lexer reads it (its `lexer.mll`).

A bare atom and a string are the same kind of token: `"run"` is `run`. One that follows "(" directly is
a keyword where it is one; what stands anywhere else is always text. Comments are gone, the datum after
`#;` too, and parentheses balance: a parser sees `LPAR`, `RPAR`, `ATOM` and keywords, never a stray one.

A sexplib string holds bytes; here it holds their UTF-8 text, with a lone surrogate for each byte that is
not UTF-8, as `os.fsdecode` has it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grammar.ast import At, Op
from grammar.place import PlacedError, place

# One match a token. sexplib's unquoted atoms are the longest runs of characters that nothing else claims;
# its rules for "#" and "|" come down to this: "#;" and "#|" at the start are comments, and neither "#|" nor
# "|#" may stand in an atom.
TOKEN = re.compile(
    r"""
    [ \t\f]*+ (?:
        (?P<open> \( )
      | (?P<close> \) )
      | (?P<space> (?: [ \t\f]++ | \r?\n | ;[^\n\r]*+ )++ | \Z )
      | "(?P<string> [^"\\]*+ (?: \\. [^"\\]*+ )*+ )"
      | (?P<drop> \#; )
      | (?P<block> \#\| )
      | (?P<atom> [^;()"\ \t\f\n\r]++ )
      | (?P<wrong> . )
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_STRING = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_IN_BLOCK = re.compile(r'#\||\|#|"')
_ESCAPE = re.compile(r"\\(?:(?P<newline>\r?\n[ \t]*+)|(?P<decimal>[0-9]{3})|x(?P<hex>[0-9A-Fa-f]{2})|.)", re.DOTALL)
_ESCAPED = {r"\n": "\n", r"\t": "\t", r"\b": "\b", r"\r": "\r", r"\\": "\\", r"\"": '"', r"\'": "'", r"\ ": " "}


@dataclass(slots=True)  # not frozen, for speed alone: a line of a spec makes seven
class Token:
    """A parenthesis, an atom or a keyword, and where it begins."""

    type: str
    value: str
    line: int
    column: int

    @property
    def at(self) -> At:
        return At(self.line, self.column)


def canonical(text: str) -> str:
    """`text` with lone surrogates that are UTF-8 together joined, as reading the same bytes would give it."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


@dataclass(slots=True)
class Row:
    """Ops whose trees are known already, in the place of their tokens, and where the last one ends."""

    ops: Sequence[Op]
    end: int
    type: str = "OPS"


Skip = Callable[[int, int, int], Row | None]
"""Asked at each ")" for what stands behind it: the offset, its line, the offset before that line's first character."""


def tokens(text: str, keywords: Mapping[str, str], skip: Skip | None = None) -> Iterator[Token | Row]:
    """The tokens of `text`, which must be `canonical`; `keywords` names the type of an atom that follows "("."""
    if "#;" in text:  # what is dropped must not be skipped
        return _without_dropped(scan(text, keywords), keywords)
    return scan(text, keywords, skip)


def scan(  # noqa: PLR0912, PLR0915 - a branch a kind of token
    text: str,
    keywords: Mapping[str, str],
    skip: Skip | None = None,
    *,
    start: int = 0,
    end: int = sys.maxsize,
    line: int = 1,
    before: int = -1,
) -> Iterator[Token | Row]:
    """The tokens of `text[start:end]`, "#;" among them.

    `line` is the number of the line at `start`, `before` the offset just before its first character.
    """
    opens: list[Token] = []
    after_open = False
    resume: int | None = start
    while resume is not None:
        begin, resume = resume, None
        for match in TOKEN.finditer(text, begin, end):
            kind = match.lastgroup
            assert kind is not None
            offset = match.start(kind)
            if kind == "open":
                opens.append(token := Token("LPAR", "(", line, offset - before))
                yield token
                after_open = True
            elif kind == "close":
                if not opens:
                    raise PlacedError(At(line, offset - before), 'this ")" closes nothing')
                opens.pop()
                yield Token("RPAR", ")", line, offset - before)
                after_open = False
                if skip is not None and (row := skip(offset + 1, line, before)) is not None:
                    yield row
                    resume = row.end
                    if breaks := text.count("\n", offset, resume):
                        line, before = line + breaks, text.rindex("\n", offset, resume)
                    break
            elif kind == "atom":
                value = match["atom"]
                if "#|" in value or "|#" in value:
                    raise _comment_token(value, At(line, offset - before))
                yield Token(keywords.get(value, "ATOM") if after_open else "ATOM", value, line, offset - before)
                after_open = False
            elif kind == "string":
                raw = match["string"]
                value = unescape(text, offset, match.end() - 1) if "\\" in raw else raw
                # The token begins at its quote, one before its text.
                yield Token(keywords.get(value, "ATOM") if after_open else "ATOM", value, line, offset - 1 - before)
                after_open = False
                if "\n" in raw:
                    line, before = line + raw.count("\n"), text.rindex("\n", offset, match.end())
            elif kind == "space":
                if breaks := match["space"].count("\n"):
                    line, before = line + breaks, text.rindex("\n", offset, match.end())
            elif kind == "drop":
                yield Token("DROP", "#;", line, offset - before)
            elif kind == "block":
                resume = block_end(text, offset)
                if breaks := text.count("\n", offset, resume):
                    line, before = line + breaks, text.rindex("\n", offset, resume)
                break
            else:
                raise _unreadable(text[offset], At(line, offset - before))
    if opens:
        hint = f"{len(opens)} parentheses are open at the end of the file" if len(opens) > 1 else None
        raise PlacedError(opens[-1].at, 'this "(" is never closed', hint)


def _without_dropped(found: Iterator[Token | Row], keywords: Mapping[str, str]) -> Iterator[Token | Row]:
    """The same tokens without each `#;` and its datum; several in a row drop as many data."""
    depth, after_open = 0, False
    waiting: list[tuple[int, At]] = []  # the depth and place of each "#;" whose datum has not ended yet
    for token in found:
        assert isinstance(token, Token), "nothing is skipped here"
        kept = not waiting
        if token.type == "DROP":
            waiting.append((depth, token.at))
            continue
        if token.type == "LPAR":
            depth += 1
        else:
            if token.type == "RPAR":
                if waiting and waiting[-1][0] == depth:
                    raise _nothing_dropped(waiting[-1][1])
                depth -= 1
            elif kept:
                token.type = keywords.get(token.value, "ATOM") if after_open else "ATOM"
            if waiting and waiting[-1][0] == depth:
                waiting.pop()
        if kept:
            yield token
            after_open = token.type == "LPAR"
    if waiting:
        raise _nothing_dropped(waiting[-1][1])


def unescape(text: str, start: int, end: int) -> str:
    """The value of the string that is written as `text[start:end]`."""

    def escape(match: re.Match[str]) -> str:
        if match["newline"]:
            return ""
        if match["decimal"]:
            byte = int(match["decimal"])
            if byte > 255:
                raise PlacedError(place(text, start + match.start()), f'"{match[0]}" is no byte: 255 is the last one')
        elif match["hex"]:
            byte = int(match["hex"], 16)
        else:
            return _ESCAPED.get(match[0], match[0])  # one that sexplib does not know stands for itself
        return chr(byte if byte < 0x80 else 0xDC00 + byte)

    return canonical(_ESCAPE.sub(escape, text[start:end]))


def block_end(text: str, offset: int) -> int:
    """Where the block comment that begins at `offset` ends. They nest, and a string in one hides what it holds."""
    opens = [offset]
    end = offset + 2
    while opens:
        match = _IN_BLOCK.search(text, end)
        if match is None:
            raise PlacedError(place(text, opens[-1]), 'this "#|" comment is never closed')
        end = match.end()
        if match[0] == "#|":
            opens.append(match.start())
        elif match[0] == "|#":
            opens.pop()
        else:
            string = _STRING.match(text, match.start())
            if string is None:
                raise _unreadable('"', place(text, match.start()))
            unescape(text, *string.span(1))  # only for its errors, which sexplib gives in comments too
            end = string.end()
    return end


def _comment_token(atom: str, at: At) -> PlacedError:
    if atom.startswith("|#"):
        return PlacedError(at, '"|#" ends no comment')
    return PlacedError(at, 'comment tokens in unquoted atom: "#|" or "|#"', "put the atom in double quotes")


def _unreadable(char: str, at: At) -> PlacedError:
    if char == '"':
        return PlacedError(at, "this string is never closed")
    return PlacedError(at, "a carriage return without a line feed", "end lines with LF or CR LF")


def _nothing_dropped(at: At) -> PlacedError:
    return PlacedError(at, 'nothing follows "#;" that it could drop')
