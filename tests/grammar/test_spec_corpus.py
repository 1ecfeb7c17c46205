"""Every spec of the repository: it can be read, printed and read back, and changes to it never crash the parser."""

from __future__ import annotations

import random
import time
from itertools import chain
from pathlib import Path

import pytest

from grammar.ast import Comment, Copy, Env, Run, Shell, Spec, UserIds, UserName, Workdir
from grammar.dockerfile import dockerfile
from grammar.parser import decode, parse
from grammar.printer import format_spec
from grammar.remarks import format_text
from grammar.source import Source
from system.errors import SpecError
from tests.counts import MUTANTS

SPECS = Path(__file__).parents[2] / "specs"
FILES = sorted(SPECS.rglob("*.spec"))


def read(file: Path) -> Spec:
    return parse(decode(file.read_bytes()), file=str(file))


def everything_in(spec: Spec) -> set[type]:
    inner = [everything_in(build.spec) for build in spec.builds]
    return set(chain(map(type, spec.ops), *inner))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SPECS)))
def test_sample(file: Path) -> None:
    text = decode(file.read_bytes())
    spec = parse(text, file=str(file))
    printed = format_spec(spec)
    assert parse(printed, file=str(file)) == spec
    formatted = format_text(Source(str(file), text))
    assert parse(formatted, file=str(file)) == spec
    assert format_text(Source(str(file), formatted)) == formatted
    assert dockerfile(spec).startswith("FROM ")


def test_samples_use_every_op() -> None:
    found = set(chain.from_iterable(everything_in(read(file)) for file in FILES))
    assert found == {Comment, Copy, Env, Run, Shell, UserIds, UserName, Workdir}


def test_a_formatted_sample_stays_as_it_is() -> None:
    text = (SPECS / "language/every-op.spec").read_text()
    assert format_text(Source("every-op.spec", text)) == text


_PIECES = [
    b"(",
    b")",
    b'"',
    b"\\",
    b"#;",
    b"#|",
    b"|#",
    b";",
    b"\n",
    b"\r",
    b" ",
    b"\0",
    b"\xff",
    b"from",
    b"(run",
    b"256",
]


def mutant(chance: random.Random, texts: list[bytes]) -> bytes:
    """One of `texts` with a few deletions, insertions, swaps, repetitions, splices or an early end."""
    text = chance.choice(texts)
    for _ in range(chance.randint(1, 4)):
        a, b, c = sorted(chance.randrange(len(text) + 1) for _ in range(3))
        near = min(b, a + chance.randint(1, 8))
        other = chance.choice(texts)
        start = chance.randrange(len(other) + 1)
        text = chance.choice(
            [
                text[:a] + text[near:],
                text[:a] + text[b:],
                text[:a] + chance.choice(_PIECES) + text[a:],
                text[:a] + chance.randbytes(1) + text[a + 1 :],
                text[:a] + text[b:c] + text[a:b] + text[c:],
                text[:b] + text[a:b] + text[b:],
                text[:a] + other[start : start + chance.randint(1, 200)] + text[b:],
                text[:c],
            ]
        )
    return text


def test_mutants() -> None:
    """A changed spec is a spec, or a SpecError that can be shown; soon, in either case."""
    chance = random.Random(1)
    texts = [file.read_bytes() for file in FILES]
    accepted = 0
    for number in range(MUTANTS):
        text = decode(mutant(chance, texts))
        began = time.perf_counter()
        try:
            spec = parse(text, file="mutant.spec")
        except SpecError as error:
            assert error.text is not None and error.text == text.split("\n")[error.line - 1].removesuffix("\r"), number
            assert 1 <= error.column <= len(error.text) + 1, number
            assert str(error).startswith(f"mutant.spec:{error.line}:{error.column}: {error.message}\n"), number
        else:
            accepted += 1
            assert parse(format_spec(spec), file="mutant.spec") == spec, number
            assert parse(format_text(Source("mutant.spec", text)), file="mutant.spec") == spec, number
        assert time.perf_counter() - began < 1, number
    assert accepted > MUTANTS // 100  # else the mutants are too wild to say anything
