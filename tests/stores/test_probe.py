"""Which store a folder gets."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stores import probe
from system.errors import InputError, StoreError

ROOT = Path(__file__).parents[2]


def made(url: str) -> None:
    store = probe.open_store(url)
    store.start()
    store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("btrfs:/srv/x", 'a store of kind "btrfs" is not supported yet\nthere are overlay and directory'),
        ("zfs:tank", 'a store of kind "zfs" is not supported yet\nthere are overlay and directory'),
        ("/srv/x", '"/srv/x" names no store\na store is KIND:FOLDER, as in overlay:/srv/stepwood'),
        ("overlay:", '"overlay:" names no store\na store is KIND:FOLDER, as in overlay:/srv/stepwood'),
    ],
)
def test_a_url_that_names_no_store_is_an_input_error(url: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        probe.open_store(url)
    assert str(caught.value) == message


def test_opening_makes_nothing(tmp_path: Path) -> None:
    store = probe.open_store(f"directory:{tmp_path}/new/store")
    assert store.url == f"directory:{tmp_path}/new/store"
    probe.default(tmp_path / "new" / "store")
    probe.why_not_overlay(tmp_path / "new" / "store")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_an_overlay_is_the_default_where_it_works(tmp_path: Path) -> None:
    assert probe.why_not_overlay(tmp_path) is None
    assert probe.default(tmp_path / "store").url == f"overlay:{tmp_path}/store"
    assert list(tmp_path.iterdir()) == []


def test_plain_copies_are_the_default_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "why_not_overlay", lambda folder: "no")
    assert probe.default(tmp_path / "store").url == f"directory:{tmp_path}/store"
    with pytest.raises(StoreError) as caught:
        probe.open_store(f"overlay:{tmp_path}/store")
    assert str(caught.value) == f"there can be no overlay store in {tmp_path}/store: no\nuse directory:{tmp_path}/store"


@pytest.mark.root
@pytest.mark.parametrize(("kind", "other"), [("overlay", "directory"), ("directory", "overlay")])
def test_a_store_keeps_its_kind_and_needs_no_probe(
    kind: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(f"{kind}:{tmp_path}")
    assert (tmp_path / "driver").read_text() == kind
    monkeypatch.setattr(probe, "why_not_overlay", lambda folder: pytest.fail("a probe"))
    assert probe.default(tmp_path).url == f"{kind}:{tmp_path}"
    assert probe.open_store(f"{kind}:{tmp_path}").url == f"{kind}:{tmp_path}"
    with pytest.raises(StoreError) as caught:
        probe.open_store(f"{other}:{tmp_path}")
    assert str(caught.value) == f"{tmp_path} holds a store of kind {kind}, not {other}\nuse {kind}:{tmp_path}"


@pytest.mark.root
def test_the_kernel_refuses_an_upper_on_an_overlay_and_the_reason_says_so(tmp_path: Path) -> None:
    """As in a container, whose own root is an overlay."""
    script = """
import sys
from pathlib import Path
from stores import probe
print(probe.why_not_overlay(Path(sys.argv[1])), probe.default(Path(sys.argv[1])).url, sep="; ")
"""
    (tmp_path / "place").mkdir()
    mounting = """
mount -t tmpfs none "$0"
mkdir "$0/lower" "$0/upper" "$0/work" "$0/merged"
mount -t overlay overlay -o "lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work" "$0/merged"
exec "$@"
"""
    place = str(tmp_path / "place")
    argv = ["unshare", "-m", "sh", "-ec", mounting, place, sys.executable, "-c", script, f"{place}/merged"]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == f"the kernel takes no upper layer on overlay; directory:{place}/merged\n"


@pytest.mark.root
def test_a_probe_is_cheap_and_mounts_nothing_that_stays(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    probe.why_not_overlay(tmp_path)
    start = time.perf_counter()
    for _ in range(10):
        probe.why_not_overlay(tmp_path)
    assert (time.perf_counter() - start) / 10 < 0.02
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_a_place_that_cannot_be_written_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    reason = probe.why_not_overlay(tmp_path / "file")
    assert reason is not None
    assert "cannot be written" in reason


@pytest.mark.root
def test_a_user_without_the_right_to_mount_gets_plain_copies(tmp_path: Path) -> None:
    script = "import sys, pathlib; from stores import probe; print(probe.why_not_overlay(pathlib.Path(sys.argv[1])))"
    argv = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    argv += [sys.executable, "-c", script, str(tmp_path)]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "mounting one is not permitted; it needs root\n"
