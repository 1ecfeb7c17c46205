"""What an opam file says of its package."""

from __future__ import annotations

import pytest

from stepwood.opam.formulas import All, Atom
from tests.opam.packages import LINUX, package, universe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("available: true", True),
        ("available: false", False),
        ('available: os = "linux"', True),
        ('available: os = "win32"', False),
        ('available: arch = "x86_64" & os != "win32"', True),
        ("available: unheard-of", False),
        ("available: !unheard-of", False),
        ("available: ?unheard-of | build", True),
        ('available: [os = "linux" arch = "x86_64"]', True),
        ('available: [os = "linux" arch = "arm64"]', False),
        ('available: [os = "linux" unheard-of]', False),
        ("available: []", True),
        ('available: version < "5.10"', True),
        ('available: name != "lwt"', False),
    ],
)
def test_available(text: str, expected: bool) -> None:
    assert package("lwt.5.9", text).available(LINUX) is expected


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("", ()),
        ("conflict-class: []", ()),
        ('conflict-class: "a"', ("a",)),
        ('conflict-class: ["a" "ocaml-core-compiler"]', ("a", "ocaml-core-compiler")),
    ],
)
def test_classes(text: str, classes: tuple[str, ...]) -> None:
    assert package("lwt.1", text).classes() == classes


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", set()),
        ("flags: []", set()),
        ("flags: avoid-version", {"avoid-version"}),
        ("flags: [conf deprecated]", {"conf", "deprecated"}),
        ('tags: "flags:conf"', set()),
    ],
)
def test_flags(text: str, flags: set[str]) -> None:
    assert package("lwt.1", text).flags() == flags


def test_a_package_is_itself_whatever_is_around() -> None:
    """An opam file's own `name` and `version` say nothing: those of its folder do."""
    one = package("lwt.5", 'name: "x" version: "9" depends: ["a" {= version} "b" {name = "lwt"}]')
    assert str(one) == "lwt.5"
    assert one.depends({"name": "y", "version": "7"}) == All((Atom("a", ((("=", "5"),),)), Atom("b")))


def test_the_last_of_a_field_counts_and_every_section() -> None:
    one = package(
        "lwt.1", 'depends: "a" url { src: "x" } depends: "b" extra-source "p" { src: "y" } extra-source "q" {}'
    )
    assert one.depends(LINUX) == Atom("b")
    assert one.sections == {"url": (("", {"src": "x"}),), "extra-source": (("p", {"src": "y"}), ("q", {}))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ('depends: ["a" "b" {>= "2"}]', {"a", "b"}),
        ('depends: ["a" {post} "b" {build}]', {"b"}),
        ('depends: ["a" {!post} "b"]', {"a", "b"}),
        ('depends: ["a" {with-test} "b" {unheard-of}]', set()),
        ('depends: "a" | "b"', {"a", "b"}),
        ('depends: "a" | "absent"', {"a"}),
        ('depends: "a" {< "1"} | "b"', {"b"}),
        ('depopts: ["a" "absent"]', {"a"}),
        ('depopts: ["a" {>= "2"} "b" {>= "2"}]', {"b"}),
        ('depopts: "a" & "absent"', {"a"}),
        ('depopts: ["a" {post}]', set()),
        ('depends: "a" {post} depopts: "a"', {"a"}),
        ('depends: ["lwt" "a"]', {"a"}),
        ('conflicts: "a" conflict-class: "b"', set()),
    ],
)
def test_built_after(text: str, expected: set[str]) -> None:
    known = universe({"lwt.1": text, "a.1": "", "b.2": ""})
    there = {"a": "1", "b": "2", "lwt": "1"}
    found = [name for name, versions in known.built_after(("lwt", "1")) if there.get(name) in versions]
    assert found == sorted(expected)
