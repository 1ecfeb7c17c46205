"""Step ids: what is in them, what is not, and that they stay the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine import digest
from engine.step import (
    Action,
    Base,
    CacheMount,
    Config,
    Copy,
    Entry,
    FromContext,
    FromStep,
    Ids,
    Manifest,
    Merge,
    Named,
    Run,
    SecretMount,
    Step,
)

A, B = "a" * 64, "b" * 64
CONFIG = Config((("PATH", "/bin"),), Ids(0, 0), "/", "linux/amd64")
BASE = Base("debian:12", "sha256:1", CONFIG, "docker://debian@sha256:1")
RUN = Run(
    A,
    "make",
    ("/bin/sh", "-c"),
    "/src",
    (("A", "1"), ("B", "2")),
    Ids(1000, 1000),
    ("host",),
    (CacheMount("apt", "/var/cache/apt"),),
    (SecretMount("key", "/run/key"),),
)
MANIFEST = Manifest("/home/me", "digest", (Entry("file", "file", False, "00"),), (0,))
COPY = Copy(A, FromContext(MANIFEST), ("file", "other"), "/dst/", (".git", "_build"), Ids(1000, 1000))
FROM_STEP = replace(COPY, source=FromStep(B))
MERGE = Merge((A, B))


@pytest.mark.parametrize(
    ("action", "id"),
    [
        (BASE, "35ae7b1dae61bf6d276ad7ab8282f7d3521e5e977ebfc012065d9a0b140c5d2f"),
        (RUN, "4596501dc46d5612063b6356853fbd7db308300a49db7e824866143e9e3d6ad9"),
        (COPY, "db5b2cdf8111580ea2b2aba4f70960f31d480e403544ae49c50b6332e397b047"),
        (FROM_STEP, "42a5a717113d27b8da0307789bf6363c4a037dfc268c8bb8e5845f80601e0510"),
        (MERGE, "4da1f5a7454c0fb1a35a86ae52dab8f3e4d95aa60cc36a11f1db7d1a6c70c04e"),
    ],
    ids=["base", "run", "copy", "copy-from-build", "merge"],
)
def test_ids_stay_the_same_from_version_to_version(action: Action, id: str) -> None:
    """A change here makes everybody build everything anew: it needs a new `VERSION` and a line in the changelog."""
    assert digest.VERSION == "stepwood-step-1"
    assert digest.step_id(action) == id


CHANGES: list[tuple[str, Action, Action]] = [
    ("digest", BASE, replace(BASE, digest="sha256:2")),
    ("env", BASE, replace(BASE, config=replace(BASE.config, env=(("PATH", "/usr/bin"),)))),
    ("user", BASE, replace(BASE, config=replace(BASE.config, user=Named("root")))),
    ("workdir", BASE, replace(BASE, config=replace(BASE.config, workdir="/src"))),
    ("platform", BASE, replace(BASE, config=replace(BASE.config, platform="linux/arm64"))),
    ("input", RUN, replace(RUN, input=B)),
    ("command", RUN, replace(RUN, command="make ")),
    ("shell", RUN, replace(RUN, shell=("/bin/sh -c",))),
    ("cwd", RUN, replace(RUN, cwd="/src/")),
    ("env", RUN, replace(RUN, env=(("A", "1"), ("B", "3")))),
    ("env", RUN, replace(RUN, env=(("A", "1"),))),
    ("user", RUN, replace(RUN, user=Ids(1000, 0))),
    ("user", RUN, replace(RUN, user=Named("1000:1000"))),
    ("network", RUN, replace(RUN, network=())),
    ("caches", RUN, replace(RUN, caches=())),
    ("caches", RUN, replace(RUN, caches=(CacheMount("apt", "/elsewhere"),))),
    ("secrets", RUN, replace(RUN, secrets=())),
    ("secrets", RUN, replace(RUN, secrets=(SecretMount("other", "/run/key"),))),
    ("secrets", RUN, replace(RUN, secrets=(SecretMount("key", "/run/other"),))),
    ("input", COPY, replace(COPY, input=B)),
    ("files", COPY, replace(COPY, source=FromContext(replace(MANIFEST, digest="other")))),
    ("sources", COPY, replace(COPY, sources=("other", "file"))),
    ("destination", COPY, replace(COPY, destination="/dst")),
    ("exclude", COPY, replace(COPY, exclude=(".git",))),
    ("owner", COPY, replace(COPY, owner=Named("opam"))),
    ("from", FROM_STEP, replace(FROM_STEP, source=FromStep(A))),
    ("inputs", MERGE, Merge((B, A))),
    ("inputs", MERGE, Merge((A, "c" * 64))),
]


@pytest.mark.parametrize(("name", "before", "after"), CHANGES, ids=[f"{type(a).__name__}-{n}" for n, a, _ in CHANGES])
def test_every_field_is_in_the_id_and_the_explanation_names_it(name: str, before: Action, after: Action) -> None:
    assert digest.step_id(before) != digest.step_id(after)
    pairs = zip(digest.fields(before), digest.fields(after), strict=True)
    assert [old[0] for old, new in pairs if old != new] == [name]


def test_all_ids_of_the_table_differ() -> None:
    actions = [BASE, RUN, COPY, FROM_STEP, MERGE, *(after for _, _, after in CHANGES)]
    assert len({digest.step_id(action) for action in actions}) == len(actions)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BASE, replace(BASE, reference="debian:bookworm")),
        (BASE, replace(BASE, source="oci:/srv/images")),
        (RUN, replace(RUN, caches=(CacheMount("another name", "/var/cache/apt"),))),
        (RUN, replace(RUN, caches=(CacheMount("apt", "/var/cache/apt", locked=True),))),
        (COPY, replace(COPY, source=FromContext(replace(MANIFEST, folder="/home/you")))),
        (COPY, replace(COPY, exclude=("_build", ".git", ".git"))),
    ],
    ids=["reference", "source", "cache-name", "cache-sharing", "context-folder", "exclude-order"],
)
def test_what_does_not_change_the_result_is_not_in_the_id(before: Action, after: Action) -> None:
    assert digest.step_id(before) == digest.step_id(after)
    assert digest.fields(before) == digest.fields(after)


def test_the_order_of_caches_and_secrets_does_not_matter() -> None:
    caches = (CacheMount("a", "/1"), CacheMount("b", "/2"))
    secrets = (SecretMount("a", "/3"), SecretMount("b", "/4"))
    one = replace(RUN, caches=caches, secrets=secrets)
    assert digest.step_id(one) == digest.step_id(replace(RUN, caches=caches[::-1], secrets=secrets[::-1]))


def test_secrets_do_not_take_one_anothers_target() -> None:
    one = replace(RUN, secrets=(SecretMount("a", "/1"), SecretMount("b", "/2")))
    other = replace(RUN, secrets=(SecretMount("a", "/2"), SecretMount("b", "/1")))
    assert digest.step_id(one) != digest.step_id(other)


def test_text_that_is_not_utf_8_has_an_id() -> None:
    ids = {digest.step_id(replace(RUN, command=text)) for text in ("\udcff", "\\udcff", "ÿ", "\udcc3\udcbf")}
    assert len(ids) == 4


def test_an_id_is_64_hexadecimal_digits() -> None:
    for action in (BASE, RUN, COPY, FROM_STEP):
        assert len(digest.step_id(action)) == 64
        assert int(digest.step_id(action), 16)


@pytest.mark.parametrize(
    ("action", "kind"), [(BASE, "base"), (RUN, "run"), (COPY, "copy"), (FROM_STEP, "copy"), (MERGE, "merge")]
)
def test_kinds_agree(action: Action, kind: str) -> None:
    assert digest.kind(action) == Step(A, "op", action).kind == kind


@pytest.mark.parametrize(
    ("action", "inputs"),
    [
        (BASE, ()),
        (RUN, (A,)),
        (COPY, (A,)),
        (FROM_STEP, (A, B)),
        (replace(FROM_STEP, source=FromStep(A)), (A,)),
        (MERGE, (A, B)),
    ],
)
def test_inputs_are_the_root_first_and_each_once(action: Action, inputs: tuple[str, ...]) -> None:
    assert Step("x", "op", action).inputs == inputs
