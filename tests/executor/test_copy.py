"""The `copy` op on real roots through a real helper: see system/helper/copying.py for the rules."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.executor.copy import copy
from engine.inputs import Memory, take_manifest
from engine.step import Copy, FromContext, FromStep, Ids
from system import launch
from system.errors import InputError
from system.helper.client import Helper
from system.launch import Folder, Layers, Root

pytestmark = pytest.mark.root

NOT_UTF8 = os.fsdecode(b"caf\xe9")
STAMP = 1_500_000_000
SOURCES = ("context", "step")
TREE = {
    "main.c": "int main;",
    "run.sh*": "#!/bin/sh",
    "src/a.c": "a",
    "src/deep/.git/config": "c",
    "src/deep/b*": "b",
    "src/out@": "/etc/passwd",
    "link@": "src",
    "empty/": "",
}


def make(folder: Path, tree: dict[str, str]) -> Path:
    """`a/b`: a file; `a/`: a folder; `a*`: a file that may be executed; `a@`: a link. All have an old mtime."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        path = folder / name.rstrip("/*@")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif name.endswith("@"):
            path.symlink_to(content)
        else:
            path.write_text(content)
            path.chmod(0o751 if name.endswith("*") else 0o640)
    for where, folders, files in os.walk(folder, topdown=False):
        for name in folders + files:
            os.utime(Path(where, name), (STAMP, STAMP), follow_symlinks=False)
    os.utime(folder, (STAMP, STAMP))
    return folder


def shown(folder: Path) -> dict[str, str]:
    """A tree as `make` takes it."""
    tree: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            tree[name + "@"] = str(path.readlink())
        elif path.is_dir():
            if not any(path.iterdir()):
                tree[name + "/"] = ""
        else:
            tree[name + ("*" if path.stat().st_mode & 0o111 else "")] = path.read_text()
    return tree


class Place:
    """A source, a root to copy to, and where to look at what became of it."""

    def __init__(self, folder: Path, helper: Helper) -> None:
        self.helper = helper
        self.source = folder / "source"
        self.image = folder / "image"
        self.source.mkdir()
        self.image.mkdir()

    def put(
        self,
        frm: str,
        *sources: str,
        dst: str,
        exclude: tuple[str, ...] = (),
        owner: tuple[int, int] = (0, 0),
        root: Root | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """Copy; `meanwhile` happens between the plan and the copy."""
        taken: FromContext | FromStep = FromStep("f" * 64)
        if frm == "context":
            taken = FromContext(take_manifest(self.source, sources, exclude, Memory()))
        meanwhile()
        step = Copy("0" * 64, taken, sources, dst, exclude, Ids(*owner))
        view = Folder(str(self.source), readonly=True) if frm == "step" else None
        output = os.open(os.devnull, os.O_WRONLY)
        try:
            copy(step, root or Folder(str(self.image)), view, launch.Ids(*owner), self.helper, output)
        finally:
            os.close(output)


@pytest.fixture
def place(tmp_path: Path, helper: Helper) -> Place:
    return Place(tmp_path, helper)


# What ends up where.


@pytest.mark.parametrize("frm", SOURCES)
@pytest.mark.parametrize(
    ("sources", "dst", "result"),
    [
        (("main.c",), "/new", {"new": "int main;"}),
        (("main.c",), "/new/", {"new/main.c": "int main;"}),
        (("main.c",), "/a/b/new", {"a/b/new": "int main;"}),
        (("run.sh",), "/bin/", {"bin/run.sh*": "#!/bin/sh"}),
        (("main.c", "src/a.c"), "/d/", {"d/main.c": "int main;", "d/a.c": "a"}),
        (("src/deep",), "/d", {"d/b*": "b", "d/.git/config": "c"}),
        (("src/deep",), "/d/", {"d/deep/b*": "b", "d/deep/.git/config": "c"}),
        (("./src/deep/",), "/d/", {"d/deep/b*": "b", "d/deep/.git/config": "c"}),
        (("link",), "/d/", {"d/link@": "src"}),
        (("link",), "/new", {"new@": "src"}),
        (("src/out",), "/new", {"new@": "/etc/passwd"}),
        (("empty",), "/d/", {"d/empty/": ""}),
        (("empty",), "/", {"empty/": ""}),
        (("main.c",), "/", {"main.c": "int main;"}),
        ((".",), "/", TREE),
        (("",), "/", TREE),
        ((".",), "/d/e", {f"d/e/{name}": content for name, content in TREE.items()}),
        ((".",), "/d/e/", {f"d/e/{name}": content for name, content in TREE.items()}),
        (("empty", "."), "/d/", {f"d/{name}": content for name, content in TREE.items()}),
    ],
)
def test_a_source_becomes_the_destination_or_goes_into_it(
    place: Place, frm: str, sources: tuple[str, ...], dst: str, result: dict[str, str]
) -> None:
    make(place.source, TREE)
    place.put(frm, *sources, dst=dst)
    assert shown(place.image) == dict(sorted(result.items()))


@pytest.mark.parametrize("frm", SOURCES)
def test_names_in_exclude_are_left_out_at_any_depth(place: Place, frm: str) -> None:
    make(place.source, TREE)
    place.put(frm, ".", dst="/", exclude=(".git", "a.c", "link", "run.sh"))
    assert shown(place.image) == {"empty/": "", "main.c": "int main;", "src/deep/b*": "b", "src/out@": "/etc/passwd"}


@pytest.mark.parametrize("frm", SOURCES)
def test_owner_mode_and_time(place: Place, frm: str) -> None:
    make(place.source, TREE)
    place.put(frm, "src", "run.sh", dst="/made/", owner=(1000, 1001))
    seen = {
        path: (state.st_uid, state.st_gid, oct(state.st_mode)[-4:], state.st_mtime == STAMP)
        for path in ("made", "made/run.sh", "made/src", "made/src/a.c", "made/src/deep", "made/src/out")
        for state in [(place.image / path).lstat()]
    }
    assert seen == {
        "made": (0, 0, "0755", False),
        "made/run.sh": (1000, 1001, "0755", True),
        "made/src": (1000, 1001, "0755", True),
        "made/src/a.c": (1000, 1001, "0644", True),
        "made/src/deep": (1000, 1001, "0755", True),
        "made/src/out": (1000, 1001, "0777", True),
    }


@pytest.mark.parametrize("frm", SOURCES)
def test_the_contents_of_the_whole_give_the_destination_its_owner(place: Place, frm: str) -> None:
    make(place.source, {"a": "a"})
    place.put(frm, ".", dst="/home/me/", owner=(1000, 1000))
    state = (place.image / "home/me").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (1000, 1000, 0o755)
    assert (place.image / "home").stat().st_uid == 0


@pytest.mark.parametrize("frm", SOURCES)
def test_no_set_id_bit_and_no_set_gid_folder_has_a_say(place: Place, frm: str) -> None:
    make(place.source, {"program*": "p", "d/f": "f"})
    (place.source / "program").chmod(0o6755)
    make(place.image, {"shared/": ""})
    os.chown(place.image / "shared", 5, 5)
    (place.image / "shared").chmod(0o2775)
    place.put(frm, "program", "d", dst="/shared/new/")
    for path in ("new", "new/program", "new/d"):
        state = (place.image / "shared" / path).stat()
        assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, 0, 0o755)


@pytest.mark.parametrize("frm", SOURCES)
def test_a_big_file_and_an_empty_one(place: Place, frm: str) -> None:
    content = os.urandom(5_000_001)
    (place.source / "big").write_bytes(content)
    (place.source / "nothing").touch()
    place.put(frm, "big", "nothing", dst="/")
    assert (place.image / "big").read_bytes() == content
    assert (place.image / "nothing").read_bytes() == b""


@pytest.mark.parametrize("frm", SOURCES)
def test_names_that_are_not_utf8(place: Place, frm: str) -> None:
    make(place.source, {f"{NOT_UTF8}/f": "x", f"{NOT_UTF8}/l@": NOT_UTF8})
    place.put(frm, NOT_UTF8, dst=f"/{NOT_UTF8}/")
    assert shown(place.image) == {f"{NOT_UTF8}/{NOT_UTF8}/f": "x", f"{NOT_UTF8}/{NOT_UTF8}/l@": NOT_UTF8}


@pytest.mark.parametrize("frm", SOURCES)
def test_a_deep_tree(place: Place, frm: str) -> None:
    deep = "/".join(["d"] * 1200)
    try:
        subprocess.run(["mkdir", "-p", place.source / deep], check=True)
        place.put(frm, "d", dst="/")
        assert (place.image / deep).is_dir()
    finally:  # pytest could not remove it
        subprocess.run(["rm", "-rf", place.source / "d", place.image / "d"], check=True)


# What stands there already.


@pytest.mark.parametrize("frm", SOURCES)
@pytest.mark.parametrize(
    ("standing", "sources", "dst", "result"),
    [
        ({"f": "old"}, ("main.c",), "/f", {"f": "int main;"}),
        ({"f*": "old"}, ("main.c",), "/f", {"f": "int main;"}),
        ({"f@": "g", "g": "kept"}, ("main.c",), "/f", {"f": "int main;", "g": "kept"}),
        ({"f@": "f"}, ("main.c",), "/f", {"f": "int main;"}),
        ({"f": "old"}, ("link",), "/f", {"f@": "src"}),
        ({"f@": "old"}, ("link",), "/f", {"f@": "src"}),
        ({"d/kept": "k"}, ("src/deep",), "/d", {"d/kept": "k", "d/b*": "b", "d/.git/config": "c"}),
        ({"deep": "file"}, ("src/deep",), "/", {"deep/b*": "b", "deep/.git/config": "c"}),
        ({"deep@": "nowhere"}, ("src/deep",), "/", {"deep/b*": "b", "deep/.git/config": "c"}),
        ({"deep@": "deep"}, ("src/deep",), "/", {"deep/b*": "b", "deep/.git/config": "c"}),
        ({"usr/bin/": "", "bin@": "usr/bin"}, ("run.sh",), "/bin/",
         {"bin@": "usr/bin", "usr/bin/run.sh*": "#!/bin/sh"}),
        ({"usr/d/": "", "d@": "/usr/d"}, ("empty", "main.c"), "/d/",
         {"d@": "/usr/d", "usr/d/main.c": "int main;", "usr/d/empty/": ""}),
        ({"usr/d/x": "x", "deep@": "usr/d"}, ("src/deep",), "/",
         {"deep@": "usr/d", "usr/d/x": "x", "usr/d/b*": "b", "usr/d/.git/config": "c"}),
    ],
)  # fmt: skip
def test_what_is_there_gives_way_or_is_filled(
    place: Place, frm: str, standing: dict[str, str], sources: tuple[str, ...], dst: str, result: dict[str, str]
) -> None:
    make(place.source, TREE)
    make(place.image, standing)
    place.put(frm, *sources, dst=dst)
    assert shown(place.image) == dict(sorted(result.items()))


@pytest.mark.parametrize("frm", SOURCES)
def test_an_existing_folder_gets_the_owner_and_mode_of_the_one_copied(place: Place, frm: str) -> None:
    make(place.source, {"d/f": "f"})
    make(place.image, {"d/kept": "k"})
    (place.image / "d").chmod(0o1777)
    place.put(frm, "d", dst="/", owner=(7, 8))
    state = (place.image / "d").stat()
    assert (state.st_uid, state.st_gid, oct(state.st_mode)[-4:], state.st_mtime) == (7, 8, "0755", STAMP)


@pytest.mark.parametrize("frm", SOURCES)
@pytest.mark.parametrize(
    ("standing", "source", "dst", "message"),
    [
        ({"d/": ""}, "main.c", "/d",
         'cannot copy a file to "/d": it is a directory; to copy into it, write (dst "/d/")'),
        ({"main.c/x": ""}, "main.c", "/", 'cannot copy a file to "/main.c": it is a directory'),
        ({"a.c/x": ""}, "src", "/.", 'cannot copy a file to "/./a.c": it is a directory'),
        ({"d/": ""}, "main.c", "/d/.", 'cannot copy a file to "/d/.": it is a directory'),
        ({"f": ""}, "main.c", "/f/g", 'cannot copy to "/f": "f" is not a directory there'),
        ({"f@": "nowhere"}, "main.c", "/f/g", 'cannot copy to "/f": "f" is not a directory there'),
        ({"f@": "f"}, "main.c", "/f/g", 'cannot copy to "/f": "f" is a symlink that leads nowhere'),
    ],
)  # fmt: skip
def test_what_cannot_give_way_is_an_error(
    place: Place, frm: str, standing: dict[str, str], source: str, dst: str, message: str
) -> None:
    make(place.source, TREE)
    make(place.image, standing)
    with pytest.raises(InputError) as caught:
        place.put(frm, source, dst=dst)
    assert caught.value.message.startswith(message)


# Layers.


@pytest.mark.parametrize("frm", SOURCES)
def test_on_layers_only_what_is_copied_gets_into_the_new_one(place: Place, tmp_path: Path, frm: str) -> None:
    make(place.source, TREE)
    make(tmp_path / "lower", {"usr/bin/sh*": "s", "bin@": "usr/bin", "usr/lib/big": "l", "usr/bin/run.sh": "old"})
    (tmp_path / "upper").mkdir()
    (tmp_path / "work").mkdir()
    place.put(frm, "run.sh", "src/deep", dst="/bin/", root=Layers(str(tmp_path), ("lower",), "upper", "work"))
    assert shown(tmp_path / "upper") == {
        "usr/bin/deep/.git/config": "c",
        "usr/bin/deep/b*": "b",
        "usr/bin/run.sh*": "#!/bin/sh",
    }


def test_from_layers(place: Place, tmp_path: Path) -> None:
    make(tmp_path / "one", {"d/a": "1", "d/b": "1"})
    make(tmp_path / "two", {"d/b": "2", "d/c": "2"})
    step = Copy("0" * 64, FromStep("f" * 64), ("d",), "/d", (), Ids())
    output = os.open(os.devnull, os.O_WRONLY)
    copy(step, Folder(str(place.image)), Layers(str(tmp_path), ("one", "two")), launch.Ids(), place.helper, output)
    os.close(output)
    assert shown(place.image) == {"d/a": "1", "d/b": "2", "d/c": "2"}


def test_the_root_gets_no_mount_point(place: Place) -> None:
    make(place.source, {"a": "a"})
    place.put("context", "a", dst="/proc/x/")
    assert shown(place.image) == {"proc/x/a": "a"}


# Hostile trees.


@pytest.mark.parametrize("frm", SOURCES)
@pytest.mark.parametrize("up", ["", "../../../../../../../.."])
def test_a_link_planted_in_the_image_leads_into_the_image(place: Place, tmp_path: Path, frm: str, up: str) -> None:
    outside = make(tmp_path / "outside", {"victim": "untouched", "d/": ""})
    make(place.source, {"d/new": "n", "victim": "v"})
    make(place.image, {"to@": f"{up}{outside}", "victim@": f"{up}{outside}/victim", "d@": f"{up}{outside}/d"})
    with pytest.raises(InputError, match="not a directory there"):
        place.put(frm, "victim", dst="/to/", owner=(9, 9))
    make(place.image, {f"{str(outside)[1:]}/": ""})  # the same path inside the image
    place.put(frm, "victim", dst="/to/", owner=(9, 9))
    place.put(frm, "victim", dst="/victim", owner=(9, 9))
    place.put(frm, "d", dst="/", owner=(9, 9))
    assert shown(outside) == {"d/": "", "victim": "untouched"}
    assert (outside / "d").stat().st_uid == 0
    assert (place.image / str(outside)[1:] / "victim").read_text() == "v"
    assert (place.image / "d/new").read_text() == "n"


@pytest.mark.parametrize("source", ["etc/passwd", "up/etc/passwd", "etc/", "up/etc"])
def test_a_link_in_a_built_step_is_not_followed(place: Place, source: str) -> None:
    make(place.source, {"etc@": "/etc", "up@": "../../../../.."})
    with pytest.raises(InputError, match="is a symlink, not a directory"):
        place.put("step", source, dst="/")
    assert shown(place.image) == {}


def test_dots_in_the_source_are_refused(place: Place) -> None:
    with pytest.raises(InputError, match=r'can\'t use "\.\." in source paths'):
        place.put("step", "../etc", dst="/")


def test_a_source_that_a_built_step_does_not_have_is_named(place: Place) -> None:
    with pytest.raises(InputError, match='source path "usr/bin/tool" not found'):
        place.put("step", "usr/bin/tool", dst="/")


@pytest.mark.timeout(20)
def test_a_pipe_in_a_built_step_is_refused_and_one_in_the_image_replaced(place: Place) -> None:
    os.mkfifo(place.source / "pipe")
    with pytest.raises(InputError, match='"pipe" is not a file, directory or symlink'):
        place.put("step", ".", dst="/")
    make(place.source, {"f": "f"})
    os.mkfifo(place.image / "f")
    place.put("step", "f", dst="/")
    assert shown(place.image) == {"f": "f"}


# A context that changes between the plan and the copy.


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("a.c", lambda p: p.write_text("b")),
        ("a.c", lambda p: p.write_text("a and more")),
        ("a.c", lambda p: p.write_text("")),
        ("a.c", lambda p: p.chmod(0o755)),
        ("a.c", lambda p: p.unlink()),
        ("a.c", lambda p: (p.unlink(), p.mkdir())),
        ("a.c", lambda p: (p.rename(p.with_name("b")), p.symlink_to("b"))),
        ("a.c", lambda p: (p.unlink(), os.mkfifo(p))),
        ("deep/b", lambda p: p.chmod(0o644)),
        ("deep", lambda p: p.rename(p.with_name("other"))),
        ("deep", lambda p: (p.rename(p.with_name("other")), p.symlink_to("other"))),
        ("out", lambda p: (p.unlink(), p.symlink_to("/etc/shadow"))),
        ("out", lambda p: (p.unlink(), p.write_text("/etc/passwd"))),
        ("out", lambda p: p.unlink()),
    ],
)
def test_what_changed_since_the_plan_is_an_error(place: Place, path: str, change: Callable[[Path], object]) -> None:
    make(place.source, TREE)
    with pytest.raises(InputError, match=f'"src/{path}" changed while it was copied; run again'):
        place.put("context", "src", dst="/", meanwhile=lambda: change(place.source / "src" / path))


def test_a_new_file_or_another_time_since_the_plan_does_not_matter(place: Place) -> None:
    make(place.source, TREE)

    def change() -> None:
        (place.source / "src/new").touch()
        os.utime(place.source / "src/a.c", (1, 1))

    place.put("context", "src/a.c", "src", dst="/", meanwhile=change)
    assert not (place.image / "src/new").exists()


def test_a_context_that_is_gone_is_named(place: Place) -> None:
    make(place.source, TREE)
    with pytest.raises(InputError, match="cannot open the context"):
        place.put("context", "src", dst="/", meanwhile=lambda: place.source.rename(place.source.with_name("gone")))


# Time.


@pytest.mark.parametrize("frm", SOURCES)
@pytest.mark.parametrize("kind", ["folder", "layers"])
def test_ten_thousand_files(place: Place, tmp_path: Path, frm: str, kind: str) -> None:
    for number in range(10_000):
        path = place.source / f"{number % 100}/{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(number))
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    root = Layers(str(tmp_path), ("image",), "upper", "work") if kind == "layers" else None
    taken: FromContext | FromStep = FromStep("f" * 64)
    if frm == "context":
        taken = FromContext(take_manifest(place.source, (".",), (), Memory()))
    step = Copy("0" * 64, taken, (".",), "/d/", (), Ids())
    output = os.open(os.devnull, os.O_WRONLY)
    start = time.perf_counter()
    view = Folder(str(place.source)) if frm == "step" else None
    copy(step, root or Folder(str(place.image)), view, launch.Ids(), place.helper, output)
    seconds = time.perf_counter() - start
    os.close(output)
    print(f"10,000 files from a {frm} to {kind}: {seconds:.2f} s")
    into = tmp_path / "upper" if kind == "layers" else place.image
    assert sum(len(files) for _, _, files in os.walk(into)) == 10_000
    assert seconds < 10, "ten times the goal, for a busy machine"
