"""Words that are looked for in logs: as a query for the full-text index, and as the lines in which they stand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from engine.logtext import CHUNK, readable
from system.errors import InputError

WIDTH = 200
"""Characters of a line that are shown."""
SHOWN = 3
"""Lines of a log that are shown."""
_OVERLAP = 256
"""Characters that pieces of a long line have in common, so that a word on the border is seen."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log, from 1 on; its text is cut around the match, and control characters are escaped."""

    number: int
    text: str
    words: tuple[str, ...]
    """Those that stand in it."""


class Words:
    """What a user looks for: words that must all be there, each as it is written but for its case.

    A word begins and ends where a word does (`foo` is not in `foobar`), unless `*` stands at its end.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """InputError where no word has a letter or a digit. What stands between blanks is a word."""
        self.words = tuple(dict.fromkeys(word for text in words for word in readable(os.fsencode(text)).split()))
        self._patterns = {word: _pattern(word) for word in self.words}
        if not any(map(_has_token, self.words)):
            raise InputError("a search needs a word with a letter or a digit")
        self._any = re.compile("|".join(pattern.pattern for pattern in self._patterns.values()), re.IGNORECASE)
        self._literals = [_literal(word).lower() for word in self.words]

    def query(self) -> str:
        """For FTS5: each word a phrase in quotes. It may find more than `lines` does, never less."""
        return " ".join(_phrase(word) for word in self.words if _has_token(word))

    def lines(self, log: BinaryIO) -> list[Line]:
        """The first lines with all words; or else, where all are in the log, the first with each of them."""
        whole: list[Line] = []
        first: dict[str, Line] = {}
        for number, text in self._pieces(log):
            there = tuple(word for word, pattern in self._patterns.items() if pattern.search(text))
            if not there:
                continue
            new = [word for word in there if word not in first]
            complete = len(there) == len(self.words) and (not whole or whole[-1].number != number)
            if new or complete:
                line = Line(number, _shown(text, self._patterns[new[0] if new else there[0]]), there)
                first.update(dict.fromkeys(new, line))
                if complete:
                    whole.append(line)
                    if len(whole) == SHOWN:
                        break
        if whole or len(first) < len(self.words):
            return whole
        return sorted(dict.fromkeys(first.values()), key=lambda line: line.number)[:SHOWN]

    def _pieces(self, log: BinaryIO) -> Iterator[tuple[int, str]]:
        """The lines with any of the words, numbered from 1; of a line longer than a chunk, pieces that overlap."""
        number, rest = 1, b""
        while chunk := log.read(CHUNK):
            data = rest + chunk
            end = data.rfind(b"\n") + 1
            block, rest = data[:end], data[end:]
            if block:
                yield from self._matching(number, block)
                number += block.count(b"\n")
            if len(rest) > CHUNK:
                yield from self._matching(number, rest)
                rest = rest[-_OVERLAP:]
        yield from self._matching(number, rest)

    def _matching(self, number: int, block: bytes) -> Iterator[tuple[int, str]]:
        text = readable(block)
        small = text.lower()
        if not any(literal in small for literal in self._literals):
            return  # most are: to look for a literal is much faster
        at = 0
        while found := self._any.search(text, at):
            start = text.rfind("\n", at, found.start()) + 1 or at
            number += text.count("\n", at, start)
            end = text.find("\n", found.end())
            end = len(text) if end < 0 else end
            yield number, text[start:end]
            at = end


def _literal(word: str) -> str:
    return word.removesuffix("*") or word


def _pattern(word: str) -> re.Pattern[str]:
    literal = _literal(word)
    escaped = re.escape(literal)
    # What stands before is looked at last, which is five times as fast.
    before = rf"(?<![^\W_]{escaped})" if literal[0].isalnum() else ""
    after = r"(?![^\W_])" if literal[-1].isalnum() and literal == word else ""
    return re.compile(escaped + after + before, re.IGNORECASE)


def _phrase(word: str) -> str:
    literal = word.removesuffix("*")
    quoted = '"' + literal.replace('"', '""') + '"'
    return quoted + " *" if literal != word and literal[-1].isalnum() else quoted


def _has_token(word: str) -> bool:
    return any(map(str.isalnum, word))


def _shown(line: str, pattern: re.Pattern[str]) -> str:
    """A line, or of a long one what stands around the match."""
    line = line.rstrip()
    if len(line) > WIDTH:
        found = pattern.search(line)
        at = found.start() if found else 0
        start = max(0, min(at - WIDTH // 4, len(line) - WIDTH))
        line = ("…" if start else "") + line[start : start + WIDTH] + ("…" if start + WIDTH < len(line) else "")
    return "".join(c if c.isprintable() else " " if c == "\t" else _escaped(c) for c in line)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", errors="surrogatepass").decode()
