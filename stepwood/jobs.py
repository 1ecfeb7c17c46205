"""From the FILEs of a command line to named jobs."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from engine.plan import Job
from grammar import parser
from grammar.ast import Spec
from stepwood.config import STDIN
from system.errors import InputError


def read(file: str) -> str:
    """The text of a FILE; `-` is standard input."""
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    return parser.decode(data)


def jobs(files: tuple[str, ...], context: Path | None) -> list[Job]:
    """A job for each file, in order; each distinct text is parsed once."""
    specs: dict[str, Spec] = {}
    names = _names(files)
    found: list[Job] = []
    for file, name in zip(files, names, strict=True):
        text = read(file)
        shown = "<stdin>" if file == STDIN else file
        if text not in specs:
            specs[text] = parser.parse(text, file=shown)
        own = Path.cwd() if file == STDIN else Path(file).parent
        folder = os.path.abspath(context or own)
        found.append(Job(name, specs[text], shown, text, folder))
    return found


def _names(files: tuple[str, ...]) -> list[str]:
    short = ["stdin" if file == STDIN else Path(file).stem for file in files]
    twice = {name for name, count in Counter(short).items() if count > 1}
    names = [os.path.splitext(file)[0] if name in twice else name for file, name in zip(files, short, strict=True)]
    twice = {name for name, count in Counter(names).items() if count > 1}
    names = [file if name in twice else name for file, name in zip(files, names, strict=True)]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{name} is given {count} times")
    return names
