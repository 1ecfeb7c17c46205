"""Numbers and ops as people read them."""

from __future__ import annotations

import re

WIDTH = 120
"""Characters of an op in a line that tells of something else too."""

# What stands between a run's head and its command: fields of up to four levels. A quoted text may hold anything.
_TEXT = r'[^()"]|"(?:[^"\\]|\\.)*"'
_INMOST = rf"\((?:{_TEXT}|\((?:{_TEXT})*\))*\)"
_INNER = rf"\((?:{_TEXT}|{_INMOST})*\)"
_FIELDS = re.compile(rf"\(run ((?:\((?!shell )(?:{_TEXT}|{_INNER})*\) ?)*)(?=\(shell )")
_TITLE = re.compile(r'\(run .*?\(shell "(# (?:[^"\\]|\\[^n])+)(?:\\n|")', re.DOTALL)
"""A comment at the start of a command."""
_UNITS = ((86400.0 * 2, 86400.0, "days"), (5400.0, 3600.0, "h"), (90.0, 60.0, "min"))
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def counted(number: int, what: str) -> str:
    """A number and what it counts: `1 step`, `2 steps`, `1,000 branches`."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what}es" if what.endswith("ch") else f"{number:,} {what}s"


def span(seconds: float) -> str:
    """A time by its two or three first digits: `0.4 s`, `41 s`, `12 min`, `2.5 h`."""
    for start, unit, name in _UNITS:
        if seconds >= start:
            return f"{_digits(seconds / unit)} {name}"
    return f"{_digits(seconds)} s"


def size(bytes: float) -> str:
    """Bytes by their two or three first digits, in powers of a thousand: `512 B`, `1.2 MB`."""
    for unit, name in _SIZES:
        if bytes >= 0.9995 * unit:
            return f"{_digits(bytes / unit)} {name}"
    return f"{bytes:.0f} B"


def _digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"


def brief(op: str, width: int = WIDTH) -> str:
    """An op as a line for people has it: of a run the command, and a sign where it says more; long ones are cut. A
    command that begins with a comment is called by that."""
    if title := _TITLE.match(op):
        op = f"(run {title[1]})"
    elif (found := _FIELDS.match(op)) and found[1]:
        op = f"(run … {op[found.end(1) :]}"
    return op if len(op) <= width else f"{op[: width - 1]}…"


def printable(text: str) -> str:
    """What a terminal can take: a command, or a name, may hold any character."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else "\ufffd" for c in text)
