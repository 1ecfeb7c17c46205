"""What only a store of layers does: layers that are not there, and squashing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import stores.overlay
from sandboxes.namespaces import Namespaces
from sandboxes.sandbox import Command
from stores import squash
from stores.overlay import overlay
from stores.tree import TreeStore
from system.helper.client import Helper
from system.launch import Layers
from tests.stores import ops
from tests.stores.workshop import Workshop

pytestmark = pytest.mark.root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TreeStore]:
    store = overlay(tmp_path / "store")
    store.start()
    yield store
    store.close()


@pytest.fixture
def shop(store: TreeStore, helper: Helper) -> Workshop:
    shop = Workshop(store, helper)
    shop.base()
    return shop


def layers(store: TreeStore, id: str) -> tuple[str, ...]:
    root = store.view(id)
    assert isinstance(root, Layers)
    return root.lowers


def sandboxed(shop: Workshop, id: str, script: str, *inputs: str, host_network: bool = False) -> int:
    """A step in the real sandbox, with all its mounts."""
    with shop.store.draft(id, inputs) as draft:
        command = Command(("/bin/sh", "-c", script), (("PATH", "/bin"),), host_network=host_network)
        launch = Namespaces().launch(command, draft.root, str(draft.scratch))
        status = shop.helper.start(launch).wait().status
        draft.commit({})
    return status


@pytest.mark.parametrize("host_network", [False, True], ids=["alone", "host-network"])
def test_a_step_that_changed_nothing_adds_no_layer(shop: Workshop, host_network: bool) -> None:
    assert sandboxed(shop, "a", "cat /w/nothing; true", "base", host_network=host_network) == 0
    assert layers(shop.store, "a") == layers(shop.store, "base")
    assert shop.store.meta("a")["bytes"] == 0
    assert not (shop.store.folder / "snapshots" / "a" / "layer").exists()
    assert sandboxed(shop, "b", "echo > /w/f", "a", host_network=host_network) == 0
    assert layers(shop.store, "b") == (*layers(shop.store, "base"), "snapshots/b/layer")


def test_a_change_of_the_root_folder_alone_is_a_layer(shop: Workshop) -> None:
    shop.step("a", "chmod 700 /")
    assert layers(shop.store, "a")[-1] == "snapshots/a/layer"


def test_an_empty_base_can_be_seen(shop: Workshop) -> None:
    with shop.store.draft("empty", ()) as draft:
        draft.commit({})
    assert layers(shop.store, "empty") == ("scaffold", "nothing")


def test_layers_stand_bottom_to_top_each_once(shop: Workshop) -> None:
    for number in range(5):
        shop.step(f"{number}", f"echo > /w/{number}", f"{number - 1}" if number else "base")
    expected = ["scaffold", "snapshots/base/layer", *(f"snapshots/{number}/layer" for number in range(5))]
    assert list(layers(shop.store, "4")) == expected


def test_a_squashed_chain_is_short_and_the_same_tree(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[list[ops.Op]] = [
        [ops.Write("a/b/c", "1"), ops.Write("f", "1"), ops.Link("l", "a")],
        [ops.Remove("a/b"), ops.Mode("f", 0o600)],
        [ops.Make("a/b"), ops.Write("a/b/d", "2")],
        [ops.Make("a"), ops.Write("l", "now a file")],
        [ops.Move("f", "a/f"), ops.Write("f/in", "3")],
        [ops.Make("f"), ops.Append("a/f", "more")],
        [ops.Remove("a"), ops.Write("a", "file")],
        [ops.Make("a"), ops.Write("a/last", "4")],
    ]
    for name, run in (("long", 1000), ("short", 2), ("three", 3)):
        monkeypatch.setattr(stores.overlay, "RUN", run)
        last = "base"
        for number, todo in enumerate(steps):
            shop.step(f"{name}{number}", ops.script(todo), last)
            last = f"{name}{number}"
    for number in range(len(steps)):
        assert shop.tree(f"short{number}") == shop.tree(f"long{number}") == shop.tree(f"three{number}")
    assert len(layers(shop.store, "long7")) == 10
    assert len(layers(shop.store, "short7")) < 8


def test_a_chain_longer_than_the_kernel_takes_is_squashed_whole(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers too large to squash in runs are squashed at the limit."""
    monkeypatch.setattr(stores.overlay, "RUN", 4)
    monkeypatch.setattr(stores.overlay, "SMALL", 0)
    monkeypatch.setattr(stores.overlay, "LIMIT", 9)
    last = "base"
    for number in range(20):
        shop.step(f"{number}", f"echo {number} > /w/{number}", last)
        last = f"{number}"
        assert len(layers(shop.store, last)) <= 10
    assert shop.tree(last).keys() == {".", *(str(number) for number in range(20))}


def test_squashing_copies_no_content(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.overlay, "RUN", 3)
    shop.step("a", "dd if=/bin/busybox of=/w/big bs=200000 count=1")
    shop.step("b", "echo > /w/b", "a")
    shop.step("c", "echo > /w/c", "b")
    shop.step("d", "echo > /w/d", "c")
    (flat,) = shop.store.folder.glob("snapshots/*/flat1/w/big")
    assert flat.samefile(shop.store.folder / "snapshots/a/layer/w/big")


def test_join_says_that_a_folder_hides_what_a_file_or_whiteout_below_it_hid(tmp_path: Path) -> None:
    for folder in ("1", "2", "below/gone", "below/file"):
        (tmp_path / folder).mkdir(parents=True)
    os.mknod(tmp_path / "1" / "gone", 0o020000, 0)
    (tmp_path / "1" / "file").touch()
    (tmp_path / "1" / "kept").mkdir()
    for name in ("gone", "file", "kept", "new"):
        (tmp_path / "2" / name).mkdir(mode=0o700)
    squash.join([tmp_path / "1", tmp_path / "2"], tmp_path / "flat", [tmp_path / "below"])
    opaque = {entry.name for entry in (tmp_path / "flat").iterdir() if "trusted.overlay.opaque" in os.listxattr(entry)}
    assert opaque == {"gone", "file"}
    assert (tmp_path / "flat" / "kept").stat().st_mode & 0o777 == 0o700


def test_join_keeps_the_whiteouts_that_hide_something(tmp_path: Path) -> None:
    """Overlayfs lists a folder that one layer alone has as it is; a whiteout there would be a name without a file."""
    for folder in ("below/both", "below/hidden", "above/hidden", "1/both", "1/new", "1/hidden"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "below" / "both" / "old").touch()
    (tmp_path / "below" / "hidden" / "old").touch()
    os.setxattr(tmp_path / "above" / "hidden", "trusted.overlay.opaque", b"y")
    for folder in ("both", "new", "hidden"):
        for name in ("old", "never"):
            os.mknod(tmp_path / "1" / folder / name, 0o020000, 0)
    (tmp_path / "1" / "new" / "file").touch()
    squash.join([tmp_path / "1"], tmp_path / "flat", [tmp_path / "below", tmp_path / "above"])
    left = {str(path.relative_to(tmp_path / "flat")) for path in (tmp_path / "flat").rglob("*") if not path.is_dir()}
    assert left == {"both/old", "new/file"}


def test_join_keeps_attributes_as_the_newest_layer_has_them(tmp_path: Path) -> None:
    for layer, name in (("1", "user.old"), ("2", "user.new")):
        (tmp_path / layer / "d").mkdir(parents=True)
        os.setxattr(tmp_path / layer / "d", name, b"x")
    os.setxattr(tmp_path / "1" / "d", "trusted.overlay.opaque", b"y")
    squash.join([tmp_path / "1", tmp_path / "2"], tmp_path / "flat", [])
    assert sorted(os.listxattr(tmp_path / "flat" / "d")) == ["trusted.overlay.opaque", "user.new"]


def test_a_cache_that_nobody_changed_keeps_its_version(shop: Workshop) -> None:
    shop.use("apt", "echo > /c/f")
    current = next(shop.store.folder.glob("caches/*/current.json"))
    before = current.read_text()
    shop.use("apt", "cat /c/f")
    assert current.read_text() == before
    shop.use("apt", "echo more > /c/f")
    assert current.read_text() != before


def test_squashed_runs_are_squashed_again(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the length of a chain grows with the logarithm of its steps."""
    monkeypatch.setattr(stores.overlay, "RUN", 3)
    last = "base"
    for number in range(27):
        shop.step(f"s{number}", f"echo {number} > /w/f{number}", last)
        last = f"s{number}"
    layers = shop.store.meta(last)["store"]["layers"]
    assert max(layer["level"] for layer in layers) >= 2
    assert len(layers) <= 8
    for number in (0, 13, 26):
        assert shop.cat(last, f"/w/f{number}") == str(number)
    assert not list(shop.store.folder.glob(f"snapshots/{last}/flat1"))
