"""What a condition of an opam file comes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.opam.ast import Both, Either, Group, Ident, Prefixed, Relation, Value
from stepwood.opam.filters import Constant, constant, holds, truth
from tests.opam.packages import value

VARIABLES = {"os": "linux", "os-version": "12", "build": True, "with-test": False, "yes": "true", "lwt:installed": True}
LONG = 20_000
"""Terms of a chain that is longer than Python's stack is deep."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("false", False),
        ("build", True),
        ("with-test", False),
        ("unheard-of", None),
        ("yes", True),
        ('"false"', False),
        ("lwt:installed", True),
        ("dune:installed", None),
        # texts are compared as versions
        ('os = "linux"', True),
        ('os != "linux"', False),
        ('os-version >= "9"', True),
        ('os-version < "9"', False),
        ('os-version <= "12"', True),
        ('os-version > "12~rc1"', True),
        ('os-version = "012"', True),
        ('os-version != "012"', False),
        ('"1.10" > "1.9"', True),
        ("os-version = 12", True),
        ('build = "true"', True),
        ("with-test = build", False),
        # what is not defined decides nothing, unless the other side does
        ('unheard-of = "1"', None),
        ('unheard-of != "1"', None),
        ("unheard-of = unheard-of", None),
        ("!unheard-of", None),
        ("!build", False),
        ("!with-test", True),
        ("?build", True),
        ("?with-test", True),
        ("?os", True),
        ("?unheard-of", False),
        ("!?unheard-of", True),
        ("?(unheard-of | build)", True),
        ("?(unheard-of & build)", False),
        ("build & unheard-of", None),
        ("unheard-of & with-test", False),
        ("with-test & unheard-of", False),
        ("build | unheard-of", True),
        ("unheard-of | build", True),
        ("with-test | unheard-of", None),
        ("!(unheard-of & with-test)", True),
        ("?unheard-of & unheard-of", False),
        # & binds closer than |, ! closer than both
        ("build | build & with-test", True),
        ("(build | build) & with-test", False),
        ("!with-test | with-test", True),
        ('!(os = "linux")', False),
        ("((build))", True),
    ],
)
def test_truth(text: str, expected: bool | None) -> None:
    assert truth(value(text), VARIABLES) is expected
    assert holds(value(text), VARIABLES) is (expected is True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"1.0"', "1.0"),
        ("12", "12"),
        ("true", True),
        ("os", "linux"),
        ("with-test", False),
        ("unheard-of", None),
        ("(os)", "linux"),
        ("!build", False),
        ('os = "win32"', False),
    ],
)
def test_constant(text: str, expected: Constant | None) -> None:
    found = constant(value(text), VARIABLES)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ['"linux"', "os", "12", '["a"]', '"a" {build}', '>= "1"', "build & os"])
def test_no_condition(text: str) -> None:
    with pytest.raises(ValueError):
        truth(value(text), VARIABLES)


@pytest.mark.parametrize(
    ("op", "end", "expected"),
    [("&", "build", True), ("&", "with-test", False), ("&", "unheard-of", None), ("|", "build", True)],
)
def test_long_chains(op: str, end: str, expected: bool | None) -> None:
    middle = "build" if op == "&" else "with-test"
    text = f" {op} ".join([middle] * LONG + [end])
    assert truth(value(text), VARIABLES) is expected
    assert constant(value(text), VARIABLES) is expected
    assert truth(value(f"!({text})"), VARIABLES) is (None if expected is None else not expected)


_LEAVES: st.SearchStrategy[Value] = st.sampled_from([Ident("yes"), Ident("no"), Ident("maybe"), True, False])


@given(
    st.recursive(
        _LEAVES,
        lambda inner: st.one_of(
            st.builds(Both, inner, inner),
            st.builds(Either, inner, inner),
            st.builds(Prefixed, st.sampled_from("!?"), inner),
            st.builds(lambda one: Group((one,)), inner),
            st.builds(Relation, st.sampled_from(["=", "!="]), inner, inner),
        ),
        max_leaves=8,
    )
)
def test_what_is_said_of_the_undefined_holds_whatever_it_is(condition: Value) -> None:
    """Kleene's logic: a condition that is decided stays so, if `?` does not ask, when a variable is defined."""
    known: dict[str, Constant] = {"yes": True, "no": False}
    found = truth(condition, known)
    both = [truth(condition, {**known, "maybe": one}) for one in (True, False)]
    assert None not in both
    if found is not None and "?" not in str(condition):
        assert both == [found, found]
