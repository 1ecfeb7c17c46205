"""Places in a text, what is wrong at one of them, and the words to say it in."""

from __future__ import annotations

from collections.abc import Iterable

from grammar.ast import At
from grammar.printer import quoted
from system.errors import closest


class PlacedError(Exception):
    """Something in a text is wrong at a place; `Source.placed` makes a SpecError of it, adding file and line."""

    def __init__(self, at: At, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.at, self.message, self.hint = at, message, hint


def place(text: str, offset: int) -> At:
    """Where the character at `offset` stands. Only LF ends a line, as in sexplib."""
    return At(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def shown(word: str) -> str:
    """`word` in quotes for a message: escaped, and cut where nobody would read on."""
    return quoted(word if len(word) <= 60 else word[:59] + "…")


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """A hint that names the one of `words` that `word` was perhaps meant to be."""
    close = closest(word, sorted(set(words)))
    return None if close is None else f"did you mean {shown(close)}?"
