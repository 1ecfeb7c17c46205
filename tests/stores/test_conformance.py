"""The contract of `stores.store`, held by every store alike, with steps that really run."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stores.overlay
from stores.tree import TreeStore
from stores.work import USES
from system.errors import Interrupted, StoreError
from system.helper.client import Helper
from tests.counts import CHAIN, EXAMPLES
from tests.stores import ops
from tests.stores.conftest import DRIVERS
from tests.stores.workshop import Workshop, write

pytestmark = pytest.mark.root

Open = Callable[..., TreeStore]


# --- drafts and views


def test_a_commit_publishes_a_step_with_its_metadata(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as draft:
        shop.run("echo one > /w/file", draft.root)
        assert "a" not in shop.store.ids()
        draft.commit({"op": "(run)", "kind": "run"})
        assert "a" in shop.store.ids()
    assert shop.cat("a", "/w/file") == "one"
    meta = shop.store.meta("a")
    assert (meta["id"], meta["op"], meta["kind"], meta["inputs"]) == ("a", "(run)", "run", ["base"])
    shop.nothing_left()


def test_a_store_opened_later_sees_what_was_committed(shop: Workshop, opened: Open) -> None:
    shop.step("a", "echo one > /w/file")
    later = opened()
    assert later.ids() == {"base", "a"}
    assert later.meta("a") == shop.store.meta("a")
    assert Workshop(later, shop.helper).cat("a", "/w/file") == "one"
    assert later.check() == []


def test_what_is_not_there_is_a_key_error(store: TreeStore) -> None:
    for ask in (store.meta, store.view, lambda id: store.draft("x", [id]).__enter__()):
        with pytest.raises(KeyError):
            ask("missing")


def test_a_tree_deeper_than_python_can_follow_is_discarded_too(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as draft:
        shop.run("cd /w; i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i + 1)); done", draft.root)
    shop.nothing_left()


def test_a_draft_that_is_not_committed_is_discarded(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as draft:
        shop.run("echo one > /w/file", draft.root)
        draft.scratch.mkdir()  # nothing is there before
    assert shop.store.ids() == {"base"}
    assert not draft.scratch.exists()
    shop.nothing_left()


def test_an_exception_discards_a_draft_and_passes(shop: Workshop) -> None:
    with pytest.raises(ZeroDivisionError), shop.store.draft("a", ["base"]) as draft:
        shop.run("echo one > /w/file", draft.root)
        raise ZeroDivisionError
    assert shop.store.ids() == {"base"}
    shop.nothing_left()


def test_an_exception_after_the_commit_keeps_the_snapshot(shop: Workshop) -> None:
    with pytest.raises(ZeroDivisionError), shop.store.draft("a", ["base"]) as draft:
        draft.commit({})
        raise ZeroDivisionError
    assert "a" in shop.store.ids()


def test_keep_sets_a_failed_tree_aside(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as draft:
        shop.run("echo why > /w/file", draft.root)
        draft.keep()
    assert shop.store.ids() == {"base"}
    (kept,) = (shop.store.folder / "failed").iterdir()
    assert kept.name.startswith("a.")
    assert [path.read_text() for path in kept.rglob("file")] == ["why\n"]
    shop.nothing_left()


def test_keep_means_nothing_once_committed(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as draft:
        draft.commit({})
        draft.keep()
    assert list((shop.store.folder / "failed").iterdir()) == []


def test_a_draft_is_committed_once(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as draft:
        draft.commit({})
        with pytest.raises(AssertionError):
            draft.commit({})


def test_committing_an_id_that_is_there_keeps_the_old(shop: Workshop) -> None:
    shop.step("a", "echo old > /w/file")
    shop.step("a", "echo new > /w/file")
    assert shop.cat("a", "/w/file") == "old"
    shop.nothing_left()


def test_two_processes_may_commit_the_same_id(shop: Workshop, opened: Open) -> None:
    other = Workshop(opened(), shop.helper)
    other.store.start()
    with shop.store.draft("a", ["base"]) as ours, other.store.draft("a", ["base"]) as theirs:
        shop.run("echo same > /w/file", ours.root)
        other.run("echo same > /w/file", theirs.root)
        theirs.commit({})
        ours.commit({})
    for either in (shop, other):
        assert either.cat("a", "/w/file") == "same"
        either.step("b" if either is shop else "c", "cat /w/file", "a")


def test_a_view_is_read_only(shop: Workshop) -> None:
    ended, _ = shop.output("echo more > /w/file", shop.store.view("base"))
    assert ended.status != 0


def test_a_view_never_shows_what_a_later_writer_changes(shop: Workshop) -> None:
    shop.step("a", "echo one > /w/file; echo x > /w/gone")
    seen = shop.tree("a")
    with shop.store.draft("b", ["a"]) as draft:
        shop.run("echo two > /w/file; echo more > /w/new; rm /w/gone; chmod 700 /w", draft.root)
        assert shop.tree("a") == seen
        draft.commit({})
    assert shop.tree("a") == seen


def test_siblings_do_not_see_each_other(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as one, shop.store.draft("b", ["base"]) as two:
        shop.run("echo a > /w/file", one.root)
        shop.run("echo b > /w/file", two.root)
        one.commit({})
        two.commit({})
    assert (shop.cat("a", "/w/file"), shop.cat("b", "/w/file")) == ("a", "b")


def test_a_draft_starts_from_its_first_input(shop: Workshop) -> None:
    shop.step("a", "echo a > /w/a")
    shop.step("b", "echo b > /w/b")
    shop.step("c", "test -e /w/a; test ! -e /w/b", "a", "b")
    assert shop.store.meta("c")["inputs"] == ["a", "b"]


# --- what a step did to the tree


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("rm f", {"d", "d/one", "d/sub", "d/sub/two", "l"}),
        ("rm -r d", {"f", "l"}),
        ("rm -r d; mkdir d", {"f", "l", "d"}),
        ("rm -r d; mkdir d; echo > d/new", {"f", "l", "d", "d/new"}),
        ("rm -r d; echo > d", {"f", "l", "d"}),
        ("rm f; mkdir f; echo > f/in", {"f", "f/in", "l", "d", "d/one", "d/sub", "d/sub/two"}),
        ("rm l; mkdir l", {"f", "l", "d", "d/one", "d/sub", "d/sub/two"}),
        ("rm -r d/sub; ln -s one d/sub", {"f", "l", "d", "d/one", "d/sub"}),
        ("mv d e", {"f", "l", "e", "e/one", "e/sub", "e/sub/two"}),
        ("mv f d/one", {"l", "d", "d/one", "d/sub", "d/sub/two"}),
    ],
)
def test_what_a_step_removed_or_replaced_stays_so(shop: Workshop, script: str, left: set[str]) -> None:
    shop.step("a", "cd /w; mkdir -p d/sub; echo > f; echo > d/one; echo > d/sub/two; ln -s f l")
    shop.step("b", f"cd /w; {script}", "a")
    shop.step("c", "echo > /w/later", "b")
    assert shop.tree("b").keys() == left | {"."}
    assert shop.tree("c").keys() == left | {".", "later"}


@pytest.mark.parametrize("run", [2, 3, 1000], ids=lambda run: f"squash-{run}")
def test_a_folder_made_anew_over_a_removed_one_stays_empty(
    shop: Workshop, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overlayfs does not make a folder opaque that covers a whiteout of another layer; squashed, it must be."""
    monkeypatch.setattr(stores.overlay, "RUN", run)
    for number, script in enumerate(("mkdir /w/d; echo > /w/d/old", "true", "rm -r /w/d", "mkdir /w/d", "echo > /w/x")):
        shop.step(f"{number}", script, f"{number - 1}" if number else "base")
    assert shop.tree("4").keys() == {".", "d", "x"}


def test_modes_owners_and_links_are_kept(shop: Workshop) -> None:
    shop.step("a", "cd /w; echo > f; chown 7:8 f; chmod 4755 f; mkdir d; chmod 1777 d; ln f hard; ln -s /x soft")
    shop.step("b", "echo > /w/d/later", "a")
    said = shop.run("cd /w; stat -c '%n %a %u:%g %h' f hard; stat -c '%n %a %u:%g' d", shop.store.view("b"))
    assert said.decode().splitlines() == ["f 4755 7:8 2", "hard 4755 7:8 2", "d 1777 0:0"]
    assert shop.tree("b")["soft"] == ("link", "/x")


def test_the_root_itself_keeps_its_mode_and_owner(shop: Workshop) -> None:
    assert shop.run("stat -c '%a %u:%g' /", shop.store.view("base")) == b"755 0:0\n"
    shop.step("a", "chmod 711 /; chown 5:6 /")
    shop.step("b", "echo > /w/later", "a")
    for id in ("a", "b"):
        assert shop.run("stat -c '%a %u:%g' /", shop.store.view(id)) == b"711 5:6\n"


def test_the_umask_of_stepwood_changes_no_tree(opened: Open, helper: Helper) -> None:
    before = os.umask(0o077)
    try:
        shop = Workshop(opened(), helper)
        shop.store.start()
        shop.base()
        shop.step("a", "mkdir /w/d; echo > /w/d/f")
        with shop.store.cache("c", 0, 0) as cache:
            assert shop.in_cache(cache, "stat -c %a /c") == "755"
    finally:
        os.umask(before)
    assert shop.tree("a") == {".": ("dir", 0o755), "d": ("dir", 0o755), "d/f": ("file", 0o644, "\n")}
    modes = shop.run("cd /; for d in . proc dev sys etc; do test ! -e $d || stat -c %a $d; done", shop.store.view("a"))
    assert set(modes.decode().split()) == {"755"}


def test_a_long_chain_ends_as_plain_folders_would(shop: Workshop) -> None:
    """Each step writes a file; every third also removes, replaces or changes an earlier one."""
    chance = random.Random(10)
    model = ops.Model()
    last = "base"
    for number in range(CHAIN):
        todo: list[ops.Op] = [ops.Write(f"{number % 7}/{number}", f"text {number}")]
        if number % 3 == 2:
            path = f"{chance.randrange(7)}/{chance.randrange(number)}"
            changes = [ops.Remove(path), ops.Make(path), ops.Append(path, "more"), ops.Mode(path, 0o600)]
            todo.append(chance.choice(changes))
        if number % 40 == 39:
            todo.append(ops.Make(f"{chance.randrange(7)}"))
        shop.step(f"{number}", ops.script(todo), last)
        model.apply(todo)
        last = f"{number}"
    assert shop.tree(last) == model.tree()
    assert len(shop.store.ids()) == CHAIN + 1


@settings(max_examples=12 * EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.lists(ops.any_op(), min_size=1, max_size=4), min_size=1, max_size=7),
    run=st.sampled_from([2, 3, 99]),
)
def test_any_steps_give_what_plain_folders_would(
    kind: str, helper: Helper, monkeypatch: pytest.MonkeyPatch, steps: list[list[ops.Op]], run: int
) -> None:
    monkeypatch.setattr(stores.overlay, "RUN", run)
    folder = Path(tempfile.mkdtemp(prefix="stepwood-test-"))
    store = DRIVERS[kind](folder / "store")
    try:
        store.start()
        shop = Workshop(store, helper)
        shop.base()
        model, last, trees = ops.Model(), "base", []
        for number, todo in enumerate(steps):
            shop.step(f"{number}", ops.script(todo), last)
            model.apply(todo)
            trees.append(model.tree())
            last = f"{number}"
        for number, tree in enumerate(trees):
            assert shop.tree(f"{number}") == tree
        assert store.check() == []
    finally:
        store.close()
        shutil.rmtree(folder)


# --- deletion


def test_delete_takes_what_was_built_on_a_snapshot_dependents_first(shop: Workshop, opened: Open) -> None:
    for id, inputs in {"a": ["base"], "b": ["a"], "c": ["b"], "other": ["base"], "merge": ["other", "b"]}.items():
        shop.step(id, "true", *inputs)
    shop.store.close()  # a build holds the store against deletion
    store = opened()
    gone = store.delete(["a"])
    assert sorted(gone) == ["a", "b", "c", "merge"]
    assert gone.index("c") < gone.index("b") < gone.index("a")
    assert gone.index("merge") < gone.index("b")
    assert store.ids() == {"base", "other"}
    assert store.check() == []


def test_delete_of_what_is_not_there_deletes_nothing(shop: Workshop, opened: Open) -> None:
    shop.step("a", "true")
    shop.store.close()
    store = opened()
    with pytest.raises(KeyError):
        store.delete(["a", "missing"])
    assert store.ids() == {"base", "a"}


def test_a_deleted_step_can_be_built_again(shop: Workshop, opened: Open) -> None:
    shop.step("a", "echo one > /w/file")
    shop.store.close()
    opened().delete(["a"])
    shop.store.start()
    shop.step("a", "echo two > /w/file")
    assert shop.cat("a", "/w/file") == "two"


def test_a_build_holds_its_store_against_deletion(shop: Workshop, opened: Open) -> None:
    with pytest.raises(StoreError, match="in use by a build"):
        opened().delete(["base"])
    assert shop.store.ids() == {"base"}


def test_usage_names_every_part(shop: Workshop) -> None:
    shop.step("a", "dd if=/bin/busybox of=/w/big bs=100000 count=1")
    shop.use("apt", "echo > /c/f")
    with shop.store.draft("bad", ["base"]) as draft:
        draft.keep()
    usage = {(part.kind, part.name.partition(".")[0]): part.bytes for part in shop.store.usage()}
    assert usage[("snapshot", "a")] >= 100000
    assert {("snapshot", "base"), ("cache", "apt"), ("failed", "bad")} <= usage.keys()


def test_check_names_what_is_missing(shop: Workshop, opened: Open) -> None:
    shop.step("a", "echo > /w/file")
    shop.step("b", "echo > /w/other", "a")
    for part in ("layer", "root"):
        shutil.rmtree(shop.store.folder / "snapshots" / "a" / part, ignore_errors=True)
    assert any(line.startswith("a: ") for line in opened().check())
    shutil.rmtree(shop.store.folder / "snapshots" / "a")
    assert "b: its input a is not there" in opened().check()
    for damaged in ("", "{", "{}", "[]", '{"store": 1}'):
        (shop.store.folder / "snapshots" / "b" / "meta.json").write_text(damaged)
        lines = [line for line in opened().check() if line.startswith("b: ")]
        assert lines, damaged


# --- caches


def test_a_cache_starts_empty_and_belongs_to_the_step_user(shop: Workshop) -> None:
    assert shop.use("apt", "ls -A /c; stat -c '%u:%g %a' /c", uid=7, gid=8) == "7:8 755"
    assert shop.use("apt", "stat -c '%u:%g' /c", uid=1, gid=1) == "7:8"


def test_what_a_step_leaves_in_a_cache_is_there_for_the_next(shop: Workshop) -> None:
    shop.use("apt", "echo one > /c/file; mkdir /c/d; echo > /c/d/in")
    assert shop.use("apt", "cat /c/file; echo two > /c/file; rm -r /c/d") == "one"
    assert shop.use("apt", "cat /c/file; ls -A /c") == "two\nfile"
    assert shop.use("other", "ls -A /c") == ""
    shop.nothing_left()


def test_a_cache_keeps_the_mode_of_its_folder(shop: Workshop) -> None:
    shop.use("apt", "chmod 1777 /c")
    assert shop.use("apt", "stat -c %a /c; chmod 700 /c") == "1777"
    assert shop.use("apt", "stat -c %a /c") == "700"


def test_a_cache_is_saved_when_its_step_fails(shop: Workshop) -> None:
    with pytest.raises(ZeroDivisionError), shop.store.cache("apt", 0, 0) as cache:
        shop.in_cache(cache, "echo one > /c/file")
        raise ZeroDivisionError
    assert shop.use("apt", "cat /c/file") == "one"


def test_an_error_of_a_step_is_not_taken_for_one_of_its_cache(shop: Workshop) -> None:
    with pytest.raises(FileNotFoundError), shop.store.cache("apt", 0, 0):
        raise FileNotFoundError


def test_users_of_a_cache_have_private_copies_and_the_first_to_end_wins(shop: Workshop) -> None:
    shop.use("apt", "echo old > /c/file")
    with shop.store.cache("apt", 0, 0) as slow:
        shop.in_cache(slow, "echo slow > /c/file; echo > /c/slow")
        with shop.store.cache("apt", 0, 0) as quick:
            assert shop.in_cache(quick, "cat /c/file; echo quick > /c/file") == "old"
    assert shop.use("apt", "cat /c/file; ls -A /c") == "quick\nfile"


def test_users_of_a_locked_cache_go_one_after_the_other(shop: Workshop, opened: Open) -> None:
    other = opened()
    other.start()
    order: list[str] = []

    def second() -> None:
        with other.cache("apt", 0, 0, locked=threading.Event()) as cache:
            order.append(Workshop(other, shop.helper).in_cache(cache, "cat /c/file"))

    thread = threading.Thread(target=second)
    with shop.store.cache("apt", 0, 0, locked=threading.Event()) as cache:
        thread.start()
        time.sleep(0.1)
        order.append("first")
        shop.in_cache(cache, "echo saved > /c/file")
    thread.join(20)
    assert order == ["first", "saved"]


def test_the_wait_for_a_locked_cache_can_be_given_up(shop: Workshop, opened: Open) -> None:
    other = opened()
    other.start()
    stopping = threading.Event()
    timer = threading.Timer(0.1, stopping.set)
    with shop.store.cache("apt", 0, 0, locked=threading.Event()):
        timer.start()
        with pytest.raises(Interrupted), other.cache("apt", 0, 0, locked=stopping):
            pass
    timer.join()
    with other.cache("apt", 0, 0, locked=threading.Event()):
        pass


def test_many_versions_of_a_cache_hold_what_the_last_should(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.overlay, "RUN", 4)
    for number in range(13):
        shop.use("apt", f"echo {number} > /c/{number}; rm -rf /c/{number - 2} /c/d; mkdir /c/d; echo > /c/d/{number}")
    assert shop.use("apt", "cd /c; ls -A . d").split() == [".:", "11", "12", "d", "d:", "12"]
    (folder,) = (shop.store.folder / "caches").iterdir()
    assert sum(entry.is_dir() for entry in folder.iterdir()) <= 5


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "%", "ä", "x" * 80])
def test_a_cache_may_have_any_name(shop: Workshop, name: str) -> None:
    shop.use("apt", "echo other > /c/file")
    shop.use(name, "echo mine > /c/file")
    assert shop.use(name, "cat /c/file") == "mine"
    shop.store.close()
    shop.store.delete_cache(name)
    shop.store.start()
    assert shop.use(name, "ls -A /c") == ""
    assert shop.use("apt", "cat /c/file") == "other"


# --- beginning


def test_a_store_that_is_not_made_yet_is_empty_and_asking_makes_nothing(opened: Open) -> None:
    store = opened()
    assert store.ids() == set()
    assert store.check() == []
    assert list(store.usage()) == []
    assert not store.folder.exists()


def test_asking_for_metadata_costs_the_same_in_a_store_of_any_size(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report asks for each snapshot's; listing them all each time would make that quadratic."""
    store = opened()
    store.start()
    for number in range(20):
        with store.draft(str(number), ()) as draft:
            draft.commit({})
    store.close()
    reader, listed = opened(), []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))
    for id in sorted(reader.ids()):
        reader.meta(id)
    assert len(listed) <= 2


def test_another_format_is_refused(store: TreeStore, opened: Open) -> None:
    (store.folder / "format").write_text("99")
    for ask in (opened().start, opened().ids):
        with pytest.raises(StoreError, match="has format 99; this Stepwood reads 2"):
            ask()


def test_a_store_cannot_be_opened_as_another_kind(store: TreeStore, kind: str) -> None:
    for other in DRIVERS.keys() - {kind}:
        with pytest.raises(StoreError, match=f"holds a store of kind {kind}, not {other}"):
            DRIVERS[other](store.folder).start()


def test_a_store_in_the_place_of_a_file_is_a_store_error(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere/store")):
        with pytest.raises(StoreError):
            DRIVERS[kind](place).start()


def test_a_session_comes_before_a_draft(opened: Open) -> None:
    with pytest.raises(AssertionError), opened().draft("a", ()):
        pass


def test_what_is_prepared_ahead_changes_no_tree(shop: Workshop) -> None:
    """More steps than a home of drafts serves, with a call ahead of some: each tree is what its own step left."""
    below = "base"
    for number in range(2 * USES + 3):
        with shop.store.draft(str(number), [below]) as draft:
            if number % 3:
                shop.store.prepare()
            shop.run(f"echo {number} > w/{number}; chmod {700 + number % 8} w/{number}", draft.root)
            draft.commit({})
        below = str(number)
    tree = shop.tree(below)
    for number in range(2 * USES + 3):
        assert tree[str(number)] == ("file", 0o700 + number % 8, f"{number}\n")
    shop.nothing_left()


def test_preparing_ahead_is_bounded(shop: Workshop) -> None:
    for _ in range(50):
        shop.store.prepare()
    (session,) = (shop.store.folder / "work").iterdir()
    assert len([entry for entry in session.iterdir() if entry.name.isdigit()]) <= 2


def test_what_goes_wrong_ahead_is_left_to_the_draft_that_needs_it(shop: Workshop) -> None:
    with shop.store.draft("a", ["base"]) as draft:
        (session,) = (shop.store.folder / "work").iterdir()
        session.rename(session.with_name("gone"))
        shop.store.prepare()
        session.with_name("gone").rename(session)
        draft.commit({})
    assert "a" in shop.store.ids()


def test_two_drafts_of_the_same_process_do_not_meet(shop: Workshop) -> None:
    def build(number: int) -> None:
        for step in range(5):
            with shop.store.draft(f"{number}.{step}", ["base"]) as draft:
                write(draft, "file", f"{number}.{step}")
                draft.commit({})

    threads = [threading.Thread(target=build, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(shop.store.ids()) == 41
    for id in ("0.0", "7.4", "3.2"):
        assert shop.cat(id, "/file") == id
