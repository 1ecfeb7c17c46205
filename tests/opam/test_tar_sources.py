"""Tar archives of opam files: broken ones, unusual ones and such as would lead astray."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from system.errors import InputError
from tests.opam.repositories import opened, saved, told


def archive(*members: tuple[str, bytes | str], kind: bytes = tarfile.LNKTYPE) -> bytes:
    """Bytes: a file; a text: a link to it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = kind, content
                made.addfile(info)
            else:
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


A, B = "packages/a/a.1/opam", "packages/a/a.2/opam"


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: gzip.compress(whole)[:-20],
        lambda whole: gzip.compress(whole)[:-5] + b"12345",
        lambda whole: zstandard.compress(whole)[:-8],
        lambda whole: lzma.compress(whole)[:-20],
        lambda whole: whole[:1024] + bytes(byte ^ 0x55 for byte in whole[1024:1536]) + whole[1536:],
        lambda whole: whole[:1300],
        lambda whole: whole[:2000],
        lambda whole: b"",
        lambda whole: b"\x1f\x8b" + bytes(100),
        lambda whole: b"opam-version: text",
        lambda whole: os.urandom(20_000),
        lambda whole: archive((A, b"a"), (B, "gone")),
    ],
)
def test_a_broken_tar(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = archive((A, b"a"), (B, os.urandom(600)))
    assert len(opened(saved(tmp_path, whole)).entries()) == 2
    with pytest.raises(InputError, match=r"/repo\.tar is damaged"):
        opened(saved(tmp_path, damage(whole)))


@pytest.mark.parametrize(
    ("members", "holds"),
    [
        ([(A, b"a"), (A, b"b")], {A: "b"}),
        ([(A, b"a"), (B, A)], {A: "a", B: "a"}),
        ([(f"top/{A}", b"a"), (f"top/{B}", f"top/{A}")], {A: "a", B: "a"}),
        ([("other", b"a"), (B, "other")], {B: "a"}),
        ([(f"./{A}", b"a"), (f"top/{B}", b"b")], {A: "a"}),
        ([(f"top/{B}", b"b"), (A, b"a")], {A: "a"}),
        ([(A, b"a"), (f"top/middle/{B}", b"b"), (f"packages/{B}", b"b")], {A: "a"}),
        ([("doc/packages", b"of one file"), (f"top/{A}", b"a")], {A: "a"}),
    ],
)
def test_unusual_tars(tmp_path: Path, members: list[tuple[str, bytes | str]], holds: dict[str, str]) -> None:
    assert told(opened(saved(tmp_path, archive(*members)))) == holds


def test_a_tar_of_two_repositories(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds several repositories: one, two"):
        opened(saved(tmp_path, archive((f"two/{A}", b"a"), (f"one/{B}", b"b"))))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", ".", "a//b", "/x", "a\0b"])
def test_a_file_beside_cannot_lead_astray(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        for path in (A, "packages/a/a.1/files/good", f"packages/a/a.1/files/{name}"):
            info = tarfile.TarInfo(path)
            info.pax_headers = {"path": path}
            made.addfile(info)
    source = opened(saved(tmp_path, buffer.getvalue()))
    assert list(source.files(source.entries()[0])) == ["good"]
