"""A text with the name it has in messages and the folder it stands in; a spec with the text it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from grammar.ast import At, Spec
from grammar.place import PlacedError, place
from system.errors import SpecError


@dataclass(frozen=True, slots=True)
class Source:
    """`file` is the text's name in messages; what it copies and includes is relative to `folder`."""

    file: str
    text: str
    folder: str = ""

    def error(self, at: At, message: str, hint: str | None = None) -> SpecError:
        """What is wrong at a place of this text. Only LF ends a line, as in sexplib."""
        lines = self.text.split("\n", at.line) if at.line else []
        line = lines[at.line - 1].removesuffix("\r") if at.line <= len(lines) and lines else None
        return SpecError(message, file=self.file, line=at.line, column=at.column, text=line, hint=hint)

    def placed(self, error: PlacedError) -> SpecError:
        return self.error(error.at, error.message, error.hint)

    def find(self, part: str, at: At) -> At:
        """Where `part` stands first from `at` on; `at` itself where it does not, as when it is written otherwise."""
        start = 0
        for _ in range(at.line - 1):
            start = self.text.find("\n", start) + 1
        found = self.text.find(part, start + at.column - 1)
        return at if found < 0 else place(self.text, found)


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A spec with nothing left to fill in, and the text that it comes from. Each is equal to itself only."""

    spec: Spec
    source: Source
