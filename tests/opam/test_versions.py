"""The order of versions: opam's own, which is Debian's wherever Debian has one."""

from __future__ import annotations

import subprocess
import tarfile
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stepwood.opam.versions import key
from tests.counts import EXAMPLES, FULL
from tests.data import OPAM_FILES

# Oldest first; those in a line are one version. So opam 2.1.2 has them, asked by `opam show NAME -f all-versions`.
KNOWN = """
~~
~~a
~
0~1
0 00 0-0 -
0.1-1.5
0.1.2
1~~
1~-1
1~a
1-~1
1 1-0 01 1-00 1-
1-1~
1-1
1-a
1-_
1-1-
1.0~~
1.0~~a
1.0~
1.0~alpha
1.0~beta2
1.0~beta10
1.0~beta.2
1.0~rc1
1.0 1.00 1. 1.0-0 1.0-
1.0-1
1.0-a
1.0a 1.0a0
1.0a.1
1.0+
1.0+1
1.0+beta
1.0.0 1.0. 1.0.00
1.0.1~git
1.0.1
1.1
1.02
1.9
1.10
1.10a
1.10-1-1
1.18446744073709551615
1.18446744073709551616
1_
3.7~coq-platform
3.7~coq-platform~open-source
10
20240101
A
Z
a~1.0
a
v0.9
v0.16.0
v0.16.0-1
v0.16.0-2
v0.16.1
+
.
_
"""
ORDERED = [line.split() for line in KNOWN.splitlines() if line]

versions = st.text("~-.+_:azAZ0019", max_size=8)


def test_known_versions_are_ordered_as_opam_does() -> None:
    for older, newer in pairwise(ORDERED):
        for one in older:
            for other in newer:
                assert key(one) < key(other), f"{one} is older than {other}"


def test_known_versions_are_equal_as_in_opam() -> None:
    for line in ORDERED:
        assert len({key(version) for version in line}) == 1, line


def test_bytes_that_are_no_text_are_ordered_too() -> None:
    """As opam does it, which looks at bytes; names of files bring them as surrogates."""
    assert sorted(["1é", "1\udcff", "1€", "1+", "1z"], key=key) == ["1z", "1+", "1é", "1€", "1\udcff"]


@given(versions, versions, versions)
def test_it_is_a_total_order(a: str, b: str, c: str) -> None:
    """Sorting by it gives one result, whatever the order before, but for versions that are equal."""
    assert (key(a) < key(b)) + (key(a) == key(b)) + (key(b) < key(a)) == 1
    first, second, third = sorted((a, b, c), key=key)
    assert key(first) <= key(second) <= key(third)
    assert key(first) <= key(third)
    assert [key(v) for v in sorted((c, b, a), key=key)] == [key(first), key(second), key(third)]


@given(st.lists(st.tuples(st.sampled_from("~.+-az"), st.integers(0, 10**20), st.integers(0, 9)), max_size=6))
def test_zeros_before_a_number_mean_nothing(pieces: list[tuple[str, int, int]]) -> None:
    plain = "".join(f"{mark}{number}" for mark, number, _ in pieces)
    padded = "".join(f"{mark}{'0' * zeros}{number}" for mark, number, zeros in pieces)
    assert key(plain) == key(padded)
    assert hash(key(plain)) == hash(key(padded))


@given(versions.filter(lambda version: "-" not in version), versions)
def test_a_tilde_is_older_than_the_end(version: str, rest: str) -> None:
    assert key(f"{version}~{rest.replace('-', '')}") < key(version)


@given(*[st.from_regex(r"[1-9][0-9]{0,30}", fullmatch=True)] * 2)
@example("9" * 8, "1" + "0" * 8)
@example("9" * 9, "1" + "0" * 9)
@example("9" * 17, "1" + "0" * 17)
@example("9" * 5000, "1" + "0" * 5000)  # Python reads no integer of more than 4300 digits
def test_numbers_are_numbers(one: str, other: str) -> None:
    assert (key(f"a{one}.1") < key(f"a{other}.0")) == ((len(one), one) < (len(other), other))
    assert (key(f"a{other}.1") < key(f"a{one}.0")) == ((len(other), other) < (len(one), one))


def debian(one: str, relation: str, other: str) -> bool:
    """What dpkg says."""
    done = subprocess.run(["dpkg", "--compare-versions", one, relation, other], check=False, capture_output=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def ours(one: str, other: str) -> str:
    return "lt" if key(one) < key(other) else "eq" if key(one) == key(other) else "gt"


# Debian's and opam's orders are the same but for three things, and so no version here has a colon, which ends Debian's
# epoch; all start with a digit; and none ends with "-", which dpkg refuses.
debians = st.from_regex(r"(0|1|10)[~.+a-cZ019-]{0,5}[~.+a-cZ019]", fullmatch=True)


@pytest.mark.tool("dpkg")
@settings(max_examples=150 * EXAMPLES)
@given(debians, debians, st.integers(0, 6))
def test_it_is_the_order_of_dpkg(one: str, other: str, shared: int) -> None:
    other = f"{one[:shared]}{other}"  # or they would nearly always differ in their first number
    assert debian(one, ours(one, other), other)


@pytest.fixture(scope="module")
def real() -> list[str]:
    """The versions of the real repository, in order."""
    with tarfile.open(OPAM_FILES) as archive:
        found = {path.split("/")[2].partition(".")[2] for path in archive.getnames() if path.endswith("/opam")}
    return sorted(found, key=lambda version: (key(version), version))


@pytest.mark.tool("dpkg")
@pytest.mark.skipif(not OPAM_FILES.exists(), reason=f"needs {OPAM_FILES}")
def test_neighbours_of_the_real_repository_stand_as_dpkg_has_them(real: list[str]) -> None:
    """All behind `0.`, as some start with a letter; `_`, of which dpkg warns, is ordered by it nevertheless."""
    assert len(real) == 2162
    assert len({key(version) for version in real}) == 2063
    for one, other in [*pairwise(real)][:: 1 if FULL else 20]:
        assert debian(f"0.{one}", ours(one, other), f"0.{other}"), (one, other)
