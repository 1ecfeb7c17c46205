"""What a formula of packages asks for once its conditions are decided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwood.opam.filters import truth
from stepwood.opam.formulas import All, Any, Atom, Formula, atoms, reduced
from stepwood.opam.versions import key
from tests.opam.packages import value

VARIABLES = {"build": True, "post": True, "with-test": False, "os": "linux", "name": "me", "version": "7"}
LONG = 20_000
A, B, C = Atom("a"), Atom("b"), Atom("c")


def atom(name: str, *groups: str) -> Atom:
    """`atom("a", ">= 1 < 2", "= 5")`: the alternatives of its versions."""
    words = [group.split() for group in groups]
    return Atom(name, tuple(tuple(zip(one[::2], one[1::2], strict=True)) for one in words))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", All(())),
        ('"a"', A),
        ('["a" "b"]', All((A, B))),
        ('"a" & "b"', All((A, B))),
        ('["a" | "b"]', Any((A, B))),
        ('["a" "b" | "c"]', All((A, Any((B, C))))),
        ('"a" & "b" | "c"', Any((All((A, B)), C))),
        ('"a" & ("b" & "c")', All((A, B, C))),
        ('"a" | ("b" | "c")', Any((A, B, C))),
        ('("a" "b") | "c"', Any((All((A, B)), C))),
        ('"a" {>= "1"}', atom("a", ">= 1")),
        ('"a" {>= "1" & < "2"}', atom("a", ">= 1 < 2")),
        ('"a" {< "1" | >= "2"}', atom("a", "< 1", ">= 2")),
        ('"a" {(< "1" | >= "2") & != "3"}', atom("a", "< 1 != 3", ">= 2 != 3")),
        ('"a" {>= "1"} {< "2"}', atom("a", ">= 1 < 2")),
        # a condition that is false, or undefined, drops the atom, and leaves the other branches
        ('"a" {build}', A),
        ('"a" {post}', A),
        ('"a" {with-test}', All(())),
        ('"a" {unheard-of}', All(())),
        ('"a" {!unheard-of}', All(())),
        ('"a" {?unheard-of}', All(())),
        ('"a" {!?unheard-of}', A),
        ('["a" {with-test} "b"]', B),
        ('"a" {with-test} | "b"', B),
        ('"a" {with-test} | "b" | "c"', Any((B, C))),
        ('"a" {with-test} | "b" {with-test}', All(())),
        ('("a" {with-test} & "b") | "c"', Any((B, C))),
        ('["a" ("b" {with-test} | "c" {unheard-of})]', A),
        # with versions
        ('"a" {build & >= "1"}', atom("a", ">= 1")),
        ('"a" {with-test & >= "1"}', All(())),
        ('"a" {>= "1" & unheard-of}', All(())),
        ('"a" {with-test | >= "1"}', atom("a", ">= 1")),
        ('"a" {>= "1" | build}', A),
        ('"a" {os = "linux" & = "1" | os = "win32" & = "2"}', atom("a", "= 1")),
        # `!` turns them round, and decides nothing of what is undefined
        ('"a" {! >= "1"}', atom("a", "< 1")),
        ('"a" {!(= "1")}', atom("a", "!= 1")),
        ('"a" {!(!= "1")}', atom("a", "= 1")),
        ('"a" {!(> "1" & <= "2")}', atom("a", "<= 1", "> 2")),
        ('"a" {!(<= "1" | > "2")}', atom("a", "> 1 <= 2")),
        ('"a" {!(!(< "1"))}', atom("a", "< 1")),
        ('"a" {!(with-test & < "1")}', A),
        ('"a" {!(build & < "1")}', atom("a", ">= 1")),
        ('"a" {!(< "1" & unheard-of)}', atom("a", ">= 1")),
        ('"a" {!(< "1" | unheard-of)}', All(())),
        ('"a" {!(< "1" & ! >= "3")}', atom("a", ">= 1", ">= 3")),
        # the package itself
        ('"a" {= version}', atom("a", "= 7")),
        ('"a" {name = "me"}', A),
        ('"a" {version >= "10"}', All(())),
        ('"a" {= unheard-of}', All(())),
        ('"a" {!(= unheard-of)}', All(())),
        ('"a" {= unheard-of | < "3"}', atom("a", "< 3")),
        # conditions on a group are on each of its atoms
        ('("a" & "b") {>= "1"}', All((atom("a", ">= 1"), atom("b", ">= 1")))),
        ('("a" | "b" {< "2"}) {>= "1"}', Any((atom("a", ">= 1"), atom("b", "< 2 >= 1")))),
        ('("a" | "b") {with-test}', All(())),
        ('("a" "b" {unheard-of}) {build}', A),
        ('(("a" | "b") {>= "1"} & "c") {build} {< "9"}', None),
    ],
)
def test_reduced(text: str, expected: Formula | None) -> None:
    if expected is None:
        expected = All((Any((atom("a", ">= 1 < 9"), atom("b", ">= 1 < 9"))), atom("c", "< 9")))
    assert reduced(value(text), VARIABLES) == expected


@pytest.mark.parametrize("text", ["build", "12", '!"a"', '"a" = "b"', '["a" (build)]', '"a" {~ "1"}', '"a" {"x"}'])
def test_no_formula(text: str) -> None:
    with pytest.raises(ValueError):
        reduced(value(text), VARIABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ('["a" "b"]', [A, B]),
        ('"a" | ("b" & "c")', [A, B, C]),
        ('["a" {with-test} "b" {< "2"} | "a"]', [atom("b", "< 2"), A]),
        ('["a" "a" {< "2"}]', [A, atom("a", "< 2")]),
    ],
)
def test_atoms(text: str, expected: list[Atom]) -> None:
    assert atoms(value(text), VARIABLES) == expected


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ("", "1~rc1 1 1.0 2 10"),
        ('{>= "1"}', "1 1.0 2 10"),
        ('{> "1"}', "1.0 2 10"),
        ('{< "1"}', "1~rc1"),
        ('{<= "1"}', "1~rc1 1"),
        ('{= "01"}', "1"),
        ('{!= "1.00"}', "1~rc1 1 2 10"),
        ('{>= "1" & < "2"}', "1 1.0"),
        ('{< "1" | > "2"}', "1~rc1 10"),
        ('{> "2" & < "2"}', ""),
    ],
)
def test_allows(condition: str, allowed: str) -> None:
    found = reduced(value(f'"a" {condition}'), VARIABLES)
    assert isinstance(found, Atom)
    versions = ["1~rc1", "1", "1.0", "2", "10"]
    assert [version for version in versions if found.allows(version)] == allowed.split()
    assert [versions[place] for place in sorted(found.places([*map(key, versions)]))] == allowed.split()


@pytest.mark.parametrize(("op", "kind"), [("&", All), ("|", Any)])
@pytest.mark.parametrize("around", ["{0}", "({0})", "({0}) {{build}}"])
def test_long_formulas(op: str, kind: type[All | Any], around: str) -> None:
    names = [f"p{number}" for number in range(LONG)]
    text = around.format(f" {op} ".join(f'"{name}"' for name in names))
    assert reduced(value(text), VARIABLES) == kind(tuple(map(Atom, names)))
    assert [one.name for one in atoms(value(text), VARIABLES)] == names


@pytest.mark.parametrize(
    ("op", "one", "expected"),
    [("&", "build", A), ("|", "with-test", All(())), ("&", '>= "1"', None), ("|", '>= "1"', None)],
)
def test_long_conditions(op: str, one: str, expected: Formula | None) -> None:
    found = reduced(value(f'"a" {{{f" {op} ".join([one] * LONG)}}}'), VARIABLES)
    if expected is not None:
        assert found == expected
    else:
        assert isinstance(found, Atom)
        assert [version for version in ["0", "1", "2"] if found.allows(version)] == ["1", "2"]


_CONDITIONS = st.recursive(
    st.sampled_from(['>= "2"', '< "2"', '= "1"', '!= "3"', '<= "3"', '> "1"', "build", "with-test", 'os != "linux"']),
    lambda inner: st.one_of(
        st.builds("({} & {})".format, inner, inner),
        st.builds("({} | {})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=6,
)


@given(_CONDITIONS)
def test_a_condition_lets_through_what_it_is_true_of(text: str) -> None:
    """As a filter that compares a variable says it."""
    found = reduced(value(f'"a" {{{text}}}'), VARIABLES)
    spelled = _compared(text)
    versions = ["1", "2", "3", "10"]
    places = found.places([*map(key, versions)]) if isinstance(found, Atom) else ()
    for place, version in enumerate(versions):
        allowed = isinstance(found, Atom) and found.allows(version)
        assert allowed is (place in places)
        assert allowed is truth(value(spelled), {**VARIABLES, "v": version})


def _compared(text: str) -> str:
    """With the version that is compared written out."""
    words = text.replace("(", "( ").replace("!(", "! (").split()
    spelled: list[str] = []
    for word in words:
        bare = word in (">=", "<=", "!=", "=", "<", ">") and (not spelled or spelled[-1] != "os")
        spelled += ["v", word] if bare else [word]
    return " ".join(spelled)
