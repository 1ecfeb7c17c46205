"""The order of opam's versions, which is Debian's without epochs.

As opam does it (src/core/opamVersionCompare.ml) and deb-version(7) says it: what stands before the last `-` is compared
first, and what stands behind it next. opam's manual passes over that; but for it, `3.7~coq-platform~open-source` would
be older than `3.7~coq-platform`. Each of the two is runs of characters and numbers in turn. In a run `~` sorts before
all, even the end, then come letters, then the rest by its bytes. A number that is missing is 0: `1.0`, `1.00`, `1.` and
`1.0-0` are one version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NewType

from system.errors import did_you_mean

VersionKey = NewType("VersionKey", bytes)
"""A version as bytes that compare as it does; hashable, equal where the versions are."""

_NUMBERS = re.compile(rb"([0-9]+)")
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_END = b"\x01"
"""The end of a run: above `~`, which becomes 0, and below letters, which come next."""


def _ranks() -> bytes:
    """The place of each byte among those of a run, as `bytes.translate` takes it."""
    others = bytes(byte for byte in range(256) if byte not in b"~0123456789" + _LETTERS)
    table = bytearray(256)
    for rank, byte in enumerate(_LETTERS + others, 2):
        table[byte] = rank
    return bytes(table)


_RANKS = _ranks()


@cache  # a repository compares the same few thousand versions again and again
def key(version: str) -> VersionKey:
    """What a version is compared by. A version that came from a file's name may hold surrogates for its odd bytes."""
    upstream, hyphen, revision = version.encode(errors="surrogateescape").rpartition(b"-")
    if not hyphen:
        upstream, revision = revision, b""
    return VersionKey(_part(upstream) + _part(revision))


def _part(text: bytes) -> bytes:
    """Runs and numbers in turn, and an end. What is equal is written alike. The first byte that differs decides, as
    only the end of the part puts an empty run behind a number, and each number says how long it is."""
    pieces = _NUMBERS.split(text)
    if pieces[-1] or len(pieces) == 1:
        pieces.append(b"0")
    else:
        pieces.pop()  # the empty run behind the last number
    numbers = map(_number, pieces[1::2])
    pairs = zip(pieces[::2], numbers, strict=True)
    return b"".join([run.translate(_RANKS) + _END + number for run, number in pairs]) + _END


def _number(digits: bytes) -> bytes:
    """How many digits there are, in a base-9 tally (9, 18, … are one, two, … nines and a 0), then these."""
    digits = digits.lstrip(b"0")
    nines, rest = divmod(len(digits), 9)
    return b"9" * nines + b"%d" % rest + digits


def hint(version: str, known: Sequence[str]) -> str | None:
    """What to say of a version that is not among those known: one that is like it, or the last of them."""
    return did_you_mean(version, known, f"there are {', '.join(known[-5:])}" if known else None)
