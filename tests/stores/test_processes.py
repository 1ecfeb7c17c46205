"""Stores among processes: kills, claims, other boots, full and unwritable disks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from stores import tree
from stores.tree import TreeStore
from system.errors import StoreBusy
from system.helper.client import Helper
from tests.stores.workshop import Workshop

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
Open = Callable[..., TreeStore]


def python(script: str, *arguments: object, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Another process, which finds Stepwood and the tests."""
    prelude = "import os, signal, sys\nfrom pathlib import Path\nfrom tests.stores.conftest import DRIVERS\n"
    argv = [*before, sys.executable, "-c", prelude + script, *map(str, arguments)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


@contextmanager
def other(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has come as far as printing `ready`, killed in the end."""
    process = python(script + "\nprint('ready', flush=True)\nsys.stdin.read()\n", *arguments)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        kill(process)
        process.stdout.close()
        process.stdin.close()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(10)


START = "store = DRIVERS[sys.argv[1]](Path(sys.argv[2])); store.start(); "
DRAFTING = f"""
from tests.stores.workshop import write
{START}
draft = store.draft("a", ["base"])
write(draft.__enter__(), "file", "half")
cache = store.cache("apt", 0, 0)
cache.__enter__()
"""


def drafts(folder: Path) -> list[Path]:
    """The folders of drafts and cache copies; one with nothing but a work folder only waits for the next draft."""
    homes = [path for session in (folder / "work").iterdir() for path in session.iterdir() if path.name.isdigit()]
    return [home for home in homes if {entry.name for entry in home.iterdir()} != {"work"}]


def test_nothing_of_a_killed_draft_is_seen_and_the_next_start_sweeps_it(
    shop: Workshop, opened: Open, kind: str
) -> None:
    folder = shop.store.folder
    shop.store.close()
    with other(DRAFTING, kind, folder) as process:
        kill(process)
        store = opened()
        assert store.ids() == {"base"}
        assert store.check() == []
        assert len(drafts(folder)) == 2
        store.start()
        assert drafts(folder) == []
        with store.draft("a", ["base"]) as draft:
            draft.commit({})


def test_a_living_process_keeps_its_work(shop: Workshop, opened: Open, kind: str) -> None:
    folder = shop.store.folder
    with other(DRAFTING, kind, folder):
        opened().start()
        assert len(drafts(folder)) == 2
        with pytest.raises(StoreBusy):
            opened().delete(["base"])
    opened().start()
    assert drafts(folder) == []


def test_a_kill_at_any_moment_leaves_whole_snapshots_only(opened: Open, kind: str, helper: Helper) -> None:
    """A process commits as fast as it can, and is killed; whatever is visible is complete."""
    shop = Workshop(opened(), helper)
    shop.store.start()
    shop.base()
    script = """
from tests.stores.workshop import write
store = DRIVERS[sys.argv[1]](Path(sys.argv[2]))
store.start()
print("ready", flush=True)
last = "base"
for number in range(1000):
    id = f"{sys.argv[3]}.{number}"
    with store.draft(id, [last]) as draft:
        for part in range(5):
            write(draft, f"{id}.{part}", id)
        draft.commit({"whole": True})
    last = id
"""
    for attempt in range(6):
        process = python(script, kind, shop.store.folder, attempt)
        assert process.stdout is not None
        assert process.stdin is not None
        with process.stdout, process.stdin:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.02 + 0.013 * attempt)
            kill(process)
        store = opened()
        store.start()
        assert store.check() == []
        mine = [id for id in store.ids() if id.startswith(f"{attempt}.")]
        for id in mine:
            assert store.meta(id)["whole"] is True
        last = max(mine, key=lambda id: int(id.partition(".")[2]), default="base")
        names = shop.run("ls /", store.view(last)).decode().split()
        assert len([name for name in names if name.startswith(f"{attempt}.")]) == 5 * len(mine)
        store.close()


def test_a_claim_is_exclusive_and_free_again_after_it(opened: Open) -> None:
    one, two = opened(), opened()
    one.start()
    two.start()
    claim = one.claim("a")
    assert claim is not None
    with claim:
        assert two.claim("a") is None
        assert one.claim("a") is None
        another = two.claim("b")
        assert another is not None
        with another:
            pass
    again = two.claim("a")
    assert again is not None
    with again:
        assert one.claim("a") is None
    assert (one.folder / "claims").stat().st_size == 0


def test_a_killed_process_loses_its_claim(store: TreeStore, kind: str) -> None:
    script = START + "claim = store.claim('a'); claim.__enter__()"
    with other(script, kind, store.folder) as process:
        assert store.claim("a") is None
        kill(process)
        claim = store.claim("a")
        assert claim is not None
        with claim:
            pass


def test_no_two_ever_have_one_claim(opened: Open) -> None:
    opened().start()
    inside: list[int] = []
    most: list[int] = []

    def work(store: TreeStore) -> None:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            claim = store.claim("a")
            if claim is not None:
                with claim:
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0)
                    inside.pop()

    threads = [threading.Thread(target=work, args=(opened(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert set(most) == {1}


def test_many_processes_may_open_a_store_at_once(kind: str, tmp_path: Path) -> None:
    script = START + "print('open', flush=True); sys.stdin.read()"
    processes = [python(script, kind, tmp_path / "store") for _ in range(5)]
    said = [process.communicate(timeout=30)[0] for process in processes]
    assert said == ["open\n"] * 5


def test_who_deletes_holds_back_who_builds_for_a_while(
    store: TreeStore, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    with store._alone():
        monkeypatch.setattr(tree, "PATIENCE", 0.05)
        with pytest.raises(StoreBusy):
            opened().start()
    opened().start()


# --- other boots


@pytest.fixture
def chain(opened: Open, helper: Helper) -> list[str]:
    """A store of boot 1, where a sync covered `base`, `a` and cache `old`, but not `b`, `c` on it, nor cache `new`."""
    shop = Workshop(opened("boot 1"), helper)
    shop.store.start()
    shop.base()
    shop.step("a", "echo a > /w/a")
    shop.use("old", "echo old > /c/f")
    shop.store.sync()
    shop.step("b", "echo b > /w/b", "a")
    shop.step("c", "echo c > /w/c", "b")
    shop.use("new", "echo new > /c/f")
    assert shop.store.ids() == {"base", "a", "b", "c"}
    shop.store.close()
    return ["base", "a"]


def test_in_the_same_boot_all_is_there(chain: list[str], opened: Open) -> None:
    store = opened("boot 1")
    store.start()
    assert store.ids() == {"base", "a", "b", "c"}


def test_in_another_boot_only_what_a_sync_covered_is_there(chain: list[str], opened: Open, helper: Helper) -> None:
    store = opened("boot 2")
    assert store.ids() == set(chain), "before start() as well"
    for lost in ("b", "c"):
        with pytest.raises(KeyError):
            store.meta(lost)
        with pytest.raises(KeyError):
            store.view(lost)
    assert store.meta("a")["id"] == "a"
    store.start()
    assert store.ids() == set(chain)
    assert {entry.name for entry in (store.folder / "snapshots").iterdir()} == set(chain)
    shop = Workshop(store, helper)
    assert shop.use("old", "cat /c/f") == "old"
    assert shop.use("new", "ls -A /c") == ""
    shop.step("b", "echo again > /w/b", "a")
    assert shop.cat("b", "/w/b") == "again"


def test_a_sync_that_ends_late_takes_nothing_back(
    chain: list[str], opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that began before another and ends after it."""
    store = opened("boot 1")
    store.start()
    synced = store.folder / "synced.json"
    store.sync()
    newest = json.loads(synced.read_text())["boot 1"]
    monkeypatch.setattr("system.disk.now_ns", lambda: newest - 5)
    store.sync()
    assert json.loads(synced.read_text())["boot 1"] == newest


def test_what_is_built_on_something_lost_is_lost(chain: list[str], opened: Open) -> None:
    """A later sync covers `d`, but its input `b` goes with another boot all the same."""
    store = opened("boot 1")
    store.start()
    with store.draft("d", ["b"]) as draft:
        draft.commit({})
    store.close()
    meta = store.folder / "snapshots" / "d" / "meta.json"
    found = json.loads(meta.read_text())
    found["store"]["at"] = 0
    meta.write_text(json.dumps(found))
    later = opened("boot 2")
    assert later.ids() == set(chain)


def test_a_covered_snapshot_stays_so_boot_after_boot(chain: list[str], opened: Open) -> None:
    for number in range(2, 5):
        store = opened(f"boot {number}")
        store.start()
        with store.draft(f"new {number}", ["a"]) as draft:
            draft.commit({})
        store.close()
    assert opened("boot 9").ids() == set(chain)


@pytest.mark.parametrize("left", ["", "{", "[]", "{}", '{"store": 1}', "\0\0\0"])
def test_a_snapshot_whose_metadata_was_lost_is_lost_in_another_boot(chain: list[str], opened: Open, left: str) -> None:
    store = opened("boot 1")
    (store.folder / "snapshots" / "a" / "meta.json").write_text(left)
    later = opened("boot 2")
    later.start()
    assert later.ids() == {"base"}


# --- disks


FULL = """
import json
from system.errors import StepwoodError
from system.helper.client import Helper
from tests.stores.workshop import Workshop, write
folder = Path(sys.argv[2])
store = DRIVERS[sys.argv[1]](folder / "store")
said = []
with Helper(Path(sys.argv[3]), store.start().locks) as helper:
    shop = Workshop(store, helper)
    shop.base()
    shop.use("apt", "echo kept > /c/f")
    def attempt(work):
        try:
            work()
        except StepwoodError as error:
            said.append(type(error).__name__)
        else:
            said.append("done")
    def fill(draft):
        with open(folder / "store" / "filler", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)): pass
            except OSError: pass
    def commit():
        with store.draft("a", ["base"]) as draft:
            write(draft, "file", "text")
            fill(draft)
            draft.commit({"long": "x" * 100000})
    def begin():
        fill(None)
        for number in range(10000):
            with store.draft("b", ["base"]) as draft:
                write(draft, f"file", "text" * 1000)
                draft.commit({})
    attempt(commit)
    os.unlink(folder / "store" / "filler")
    said.append(sorted(store.ids()))
    shop.nothing_left()
    said.append(store.check())
    shop.step("c", "echo fine > /w/f")
    said.append(shop.cat("c", "/w/f"))
    said.append(shop.use("apt", "cat /c/f"))
store.close()
print(json.dumps(said))
"""


def test_a_full_disk_is_out_of_space_and_leaves_nothing_half_written(kind: str, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "stage").mkdir()
    mounting = ["unshare", "-m", "sh", "-ec", 'mount -t tmpfs -o size=9m none "$0"; exec "$@"', str(tmp_path / "disk")]
    process = python(FULL, kind, tmp_path / "disk", tmp_path / "stage", before=mounting)
    said, _ = process.communicate(timeout=60)
    assert json.loads(said) == ["OutOfSpace", ["base"], [], "fine", "kept"]


def test_a_disk_that_cannot_be_written_is_a_store_error(kind: str, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    script = """
from system.errors import StoreError
try:
    DRIVERS[sys.argv[1]](Path(sys.argv[2]) / "store").start()
except StoreError as error:
    print(error)
"""
    mounting = ["unshare", "-m", "sh", "-ec", 'mount -t tmpfs -o ro none "$0"; exec "$@"', str(tmp_path / "disk")]
    process = python(script, kind, tmp_path / "disk", before=mounting)
    said, _ = process.communicate(timeout=60)
    assert "Read-only file system" in said
    assert "the store needs to be writable" in said
