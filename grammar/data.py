"""The ops of a long text by how they are written, so that each distinct one is parsed once.

A generated text of megabytes says the same thing again and again. Matching an op whole and looking it up costs a
twentieth of parsing it. An op that is met again keeps the place where it stood first: what is wrong with it is
wrong there too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from grammar.ast import Copy, FromBuild, Op
from grammar.lexer import Row

LONG = 1 << 15
"""Characters from which a text is worth it."""
ENOUGH = 500
"""New ops after which a text in which few are met again is parsed as ever."""
_DEPTH = 6
"""How deep lists nest in an op: `(run (cache (ID (buildkit_options ((KEY VALUE))))))`."""


@cache
def _op() -> re.Pattern[str]:
    """An op without comments: what the lexer would have to look into is not matched, and parsed as ever.

    Made when a long text comes: compiling it takes as long as reading a short one.
    """
    inner = r'[^()";#|\r]++ | "[^"\\]*+(?:\\.[^"\\]*+)*+"'
    datum = rf"\((?: {inner} )*+\)"
    for _ in range(_DEPTH - 1):
        datum = rf"\((?: {inner} | {datum} )*+\)"
    return re.compile(rf"(?: [ \t\f\n]++ | ;[^\n\r]*+ )*+ ({datum})", re.VERBOSE | re.DOTALL)


class Data:
    """The ops of one text. `read` parses the one that stands at an offset, on a line; None where it is none."""

    def __init__(self, text: str, read: Callable[[int, int, int, int], Op | None]) -> None:
        self._text, self._read = text, read
        self._match = _op().match
        self._known: dict[str, Op] = {}
        self._new = self._met = 0

    def row(self, start: int, line: int, before: int) -> Row | None:
        """The ops from offset `start` on, or None. `line` and `before` are as in `lexer.scan`."""
        if self._new > max(ENOUGH, self._met):
            return None
        text, ops, end, counted = self._text, [], start, start
        while (match := self._match(text, end)) is not None:
            written = match[1]
            op = self._known.get(written)
            if op is not None:
                self._met += 1
            else:
                self._new += 1
                if breaks := text.count("\n", counted, match.start(1)):
                    line, before = line + breaks, text.rindex("\n", counted, match.start(1))
                counted = match.start(1)
                op = self._read(counted, match.end(), line, before)
                if op is None:
                    break
                # What a name stands for depends on where it stands.
                if not (isinstance(op, Copy) and isinstance(op.source, FromBuild)):
                    self._known[written] = op
            ops.append(op)
            end = match.end()
        return Row(ops, end) if ops else None
