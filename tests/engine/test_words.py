"""Numbers and ops as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.words import WIDTH, brief, counted, size, span

UNITS = {
    "s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0,
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
}  # fmt: skip
WRITTEN = re.compile(r"([\d,]+(?:\.\d)?) (\w+)")


@pytest.mark.parametrize(
    ("number", "what", "text"),
    [
        (0, "step", "0 steps"),
        (1, "step", "1 step"),
        (2, "step", "2 steps"),
        (1, "more branch", "1 more branch"),
        (1000, "more branch", "1,000 more branches"),
        (1234567, "job", "1,234,567 jobs"),
        (2, "cause", "2 causes"),
    ],
)
def test_counted(number: int, what: str, text: str) -> None:
    assert counted(number, what) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (0.36, "0.4 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (41.4, "41 s"),
        (89.9, "90 s"),
        (90, "1.5 min"),
        (725, "12 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (9000, "2.5 h"),
        (172_799, "48 h"),
        (172_800, "2.0 days"),
        (1e6, "12 days"),
        (1e9, "11,574 days"),
    ],
)
def test_a_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("bytes", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (123_456, "123 kB"),
        (1_200_000, "1.2 MB"),
        (45_600_000_000, "46 GB"),
        (7.5e12, "7.5 TB"),
        (1.25e15, "1,250 TB"),
    ],
)
def test_a_size(bytes: float, text: str) -> None:
    assert size(bytes) == text


def read(text: str) -> tuple[str, float, float]:
    """The digits, the unit, and the number that both stand for."""
    match = WRITTEN.fullmatch(text)
    assert match, text
    return match[1], UNITS[match[2]], float(match[1].replace(",", "")) * UNITS[match[2]]


@given(seconds=st.floats(0, 1e12))
def test_a_span_is_what_it_says_but_for_a_twentieth(seconds: float) -> None:
    _, unit, said = read(span(seconds))
    assert abs(said - seconds) <= max(0.0501 * unit, 0.051 * seconds)


@given(bytes=st.floats(0, 1e18))
def test_a_size_is_what_it_says_but_for_a_twentieth(bytes: float) -> None:
    _, unit, said = read(size(bytes))
    assert abs(said - bytes) <= max(0.5 if unit == 1 else 0.0501 * unit, 0.051 * bytes)


@given(seconds=st.floats(0, 900 * 86400))
@example(59.96)
@example(3599.0)
@example(172_799.9)
def test_a_span_has_up_to_three_digits(seconds: float) -> None:
    assert len(read(span(seconds))[0].replace(".", "")) <= 3


@given(power=st.integers(0, 4), part=st.floats(1, 999.4))
@example(power=1, part=999.6)
@example(power=3, part=999.999)
def test_a_size_has_up_to_three_digits(power: int, part: float) -> None:
    """However near it is to the next unit."""
    assert len(read(size(part * 1000**power))[0].replace(".", "")) <= 3


@pytest.mark.parametrize(
    ("op", "text"),
    [
        ("(run (shell make))", "(run (shell make))"),
        ('(run (network host) (shell "make all"))', '(run … (shell "make all"))'),
        ("(run (cache (a (target /a)) (b (target /b))) (secrets (s (target /s))) (shell x))", "(run … (shell x))"),
        ('(run (cache (c (target "/(shell x"))) (shell y))', "(run … (shell y))"),
        ('(run (cache (c (target "/a\\"(shell x"))) (shell y))', "(run … (shell y))"),
        ('(run (network host) (shell "a (shell b)"))', '(run … (shell "a (shell b)"))'),
        ("(copy (src a) (dst b))", "(copy (src a) (dst b))"),
        ("(from debian)", "(from debian)"),
        ("x" * WIDTH, "x" * WIDTH),
        ("x" * (WIDTH + 1), "x" * (WIDTH - 1) + "…"),
        (f"(run (network host) (shell {'x' * 1000}))", f"(run … (shell {'x' * (WIDTH - 15)}…"),
    ],
)
def test_a_brief_op(op: str, text: str) -> None:
    assert brief(op) == text
