"""`debootstrap:` bases, and the archives that the host's apt settings give for a suite."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stepwood.bases.apt import archives
from stepwood.bases.base import pin
from system.errors import InputError
from system.helper.client import Helper
from tests.bases.building import make_draft

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://one.example/debian
  http://two.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/x.gpg

Types: deb
URIs: http://one.example/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Enabled: no
Types: deb
URIs: http://off.example/
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://no.example/ bookworm main
deb [arch=amd64 trusted=yes] http://list.example/debian bookworm main  contrib # so
deb-src http://no.example/ bookworm main
deb http://list.example/debian trixie main
"""


def host_suite() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def test_both_forms_of_apt_sources_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.sources").write_text(DEB822)
    (tmp_path / "b.list").write_text(ONE_LINE)
    files = sorted(tmp_path.iterdir())
    signed = "[signed-by=/usr/share/keyrings/x.gpg]"
    assert [archive.line for archive in archives("bookworm", files)] == [
        f"deb {signed} http://one.example/debian bookworm main contrib",
        f"deb {signed} http://one.example/debian bookworm-updates main contrib",
        f"deb {signed} http://two.example/debian bookworm main contrib",
        f"deb {signed} http://two.example/debian bookworm-updates main contrib",
        "deb http://one.example/security bookworm-security main",
        "deb [arch=amd64 trusted=yes] http://list.example/debian bookworm main contrib",
    ]
    assert [archive.line for archive in archives("trixie", files)] == ["deb http://list.example/debian trixie main"]
    assert archives("sid", files)[0].release == "http://one.example/debian/dists/sid/InRelease"
    with pytest.raises(InputError, match="name no archive"):
        archives("sid", [])


@pytest.mark.parametrize("url", ["debootstrap:bookworm?mirror=x", "debootstrap:Book worm", "debootstrap:x?include=--a"])
def test_what_debootstrap_cannot_mean_is_wrong_input(url: str) -> None:
    with pytest.raises(InputError, match="debootstrap:"):
        pin(url)


@pytest.mark.root
@pytest.mark.debian
@pytest.mark.tool("mmdebstrap")
def test_a_debian_is_made_into_a_layer(tmp_path: Path, helper: Helper) -> None:
    url = f"debootstrap:{host_suite()}"
    base = pin(url)
    assert base.digest == pin(f"{url}?include=").digest
    other = pin(f"{url}?include=make,gcc")
    assert other.digest == pin(f"{url}?include=gcc&include=make").digest != base.digest
    draft = make_draft(tmp_path, helper, layers=True)
    with pytest.raises(InputError, match="archive changed since it was pinned"):
        draft.fetch(replace(base, digest="sha256:" + "0" * 64))
    tree = draft.fetch(base)
    assert (tree / "usr/bin/dpkg").exists()
    assert os.readlink(tree / "bin") == "usr/bin"
    assert base.config.platform.startswith("linux/")
    with pytest.raises(InputError, match=r"no such suite: .*/dists/nosuchsuite/InRelease"):
        pin("debootstrap:nosuchsuite")


@pytest.mark.root
@pytest.mark.debian
@pytest.mark.tool("mmdebstrap")
def test_a_killed_debootstrap_leaves_nothing_on_the_host_point_9(tmp_path: Path) -> None:
    """The engine is killed; mmdebstrap, its mounts and its work folder must not outlive it."""
    for name in ("stage", "scratch", "root"):
        (tmp_path / name).mkdir()
    before = Path("/proc/self/mounts").read_text()
    program = (
        "import sys; from pathlib import Path; from system.helper.client import Helper\n"
        "from system.launch import Folder; from stepwood.bases.base import fetch, pin\n"
        "top = Path(sys.argv[1])\n"
        "with Helper(top / 'stage') as helper:\n"
        "    fetch(pin(sys.argv[2]), Folder(str(top / 'root')), top / 'scratch', helper, 2)\n"
    )
    with tempfile.TemporaryFile() as log:
        engine = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), f"debootstrap:{host_suite()}"], stderr=log, cwd=Path.cwd()
        )
        try:
            deadline = time.monotonic() + 60
            while not (tmp_path / "root/usr/bin/dpkg").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            engine.send_signal(signal.SIGKILL)
            engine.wait()
    marker = os.fsencode(tmp_path)
    deadline = time.monotonic() + 10
    while left := [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if marker in _read(entry)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    assert (tmp_path / "root/usr/bin/dpkg").exists()
    assert Path("/proc/self/mounts").read_text() == before


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
