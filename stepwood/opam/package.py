"""A package version as its opam file describes it, and the variables that decide what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from grammar.opam.ast import Field, File, Ident, Option, Section, Value
from stepwood.opam.filters import Constant, Variables, holds
from stepwood.opam.formulas import Atom, Formula, atoms, reduced

Sections = tuple[tuple[str, Mapping[str, Value]], ...]
"""Sections of one kind: label and fields."""


LAST_RESORT = frozenset(["avoid-version", "deprecated"])
"""Flags of versions that are taken only where nothing else will do."""


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package. `fields` are the values of its file, the last of a name; `sections` those in braces;
    `folder` is its source where that is pinned to one, and then what its file says of a source does not count."""

    name: str
    version: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    sections: Mapping[str, Sections] = field(default_factory=dict)
    folder: str = ""

    @classmethod
    def of(cls, name: str, version: str, file: File, folder: str = "") -> Package:
        fields = {item.name: item.value for item in file.items if isinstance(item, Field)}
        sections: dict[str, Sections] = {}
        for item in file.items:
            if isinstance(item, Section) and not (folder and item.kind == "url"):
                inner = {one.name: one.value for one in item.items if isinstance(one, Field)}
                sections[item.kind] = (*sections.get(item.kind, ()), (item.label, MappingProxyType(inner)))
        return cls(name, version, MappingProxyType(fields), MappingProxyType(sections), folder)

    def __str__(self) -> str:
        return f"{self.name}.{self.version}"

    def variables(self, around: Variables) -> Variables:
        """What its conditions may ask for: itself, and what is known around it."""
        own: dict[str, Constant] = {"name": self.name, "version": self.version}
        if self.folder:
            own["dev"] = True
        return {**around, **own}

    def depends(self, around: Variables) -> Formula:
        """What must be there with it. `around` has the platform, and which of `build`, `post`, `with-test` … count."""
        return reduced(self.fields.get("depends", ()), self.variables(around))

    def dependencies(self, around: Variables) -> list[Atom]:
        """All that it names there, however combined."""
        return atoms(self.fields.get("depends", ()), self.variables(around))

    def optional(self, around: Variables) -> list[Atom]:
        """What it is built after where that is there anyway."""
        return atoms(self.fields.get("depopts", ()), self.variables(around))

    def conflicts(self, around: Variables) -> list[Atom]:
        """What must not be there with it."""
        return atoms(self.fields.get("conflicts", ()), self.variables(around))

    def classes(self) -> tuple[str, ...]:
        """Its conflict classes: no two packages of one class are there together."""
        return tuple(str(name) for name in listed(self.fields.get("conflict-class", ())))

    def available(self, around: Variables) -> bool:
        """Whether it can be had on a platform; not where something that decides it is not known."""
        condition = self.fields.get("available", True)
        if isinstance(condition, tuple):  # a list of conditions, of which each must hold
            return all(holds(one, self.variables(around)) for one in condition)
        return holds(condition, self.variables(around))

    def depexts(self, around: Variables) -> frozenset[str]:
        """The system packages that it needs on a platform."""
        found: set[str] = set()
        for one in listed(self.fields.get("depexts", ())):
            names, conditions = (one.value, one.conditions) if isinstance(one, Option) else (one, ())
            if all(holds(condition, self.variables(around)) for condition in conditions):
                found |= {name for name in listed(names) if isinstance(name, str)}
        return frozenset(found)

    def accepts_failures(self) -> frozenset[str]:
        """The platforms, as `debian-12`, on which its maintainers know that it does not build."""
        return frozenset(name for name in listed(self.fields.get("x-ci-accept-failures", ())) if isinstance(name, str))

    def flags(self) -> frozenset[str]:
        """`avoid-version`, `deprecated`, `compiler`, `conf`, `plugin`, … as its file has them."""
        return frozenset(one.name for one in listed(self.fields.get("flags", ())) if isinstance(one, Ident))

    def avoided(self) -> bool:
        """Whether it is taken only where nothing else will do."""
        return not self.flags().isdisjoint(LAST_RESORT)


def listed(value: Value) -> tuple[Value, ...]:
    """The members of a list; what is none is alone."""
    return value if isinstance(value, tuple) else (value,)
