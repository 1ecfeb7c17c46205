"""What a package solver is: a root in, a set of package versions out, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stepwood.opam.universe import Id


@dataclass(frozen=True, slots=True)
class Solution:
    """All package versions that are there together, the root among them, sorted."""

    packages: tuple[Id, ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """There is none; each reason is a line that a person who knows opam understands."""

    reasons: Sequence[str]


class Solver(Protocol):
    """Solves for one universe and compiler. The same question has the same answer, whatever was asked before.

    A solution has one version of each name, all that its members need, nothing that one of them excludes, no two
    members of a conflict class, the compiler and `besides`; with `tests` also what the tests of the root need. It
    prefers newer versions (or older ones: see who makes it), and takes what is to be avoided only where no exchange of
    one version would do.
    """

    def solve(self, root: Id, tests: bool = False, besides: Sequence[Id] = ()) -> Solution | Unsatisfiable: ...
