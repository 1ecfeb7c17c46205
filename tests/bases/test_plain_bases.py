"""`dir:` and `tar:` bases, and what a name means."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from engine import inputs
from engine.index import Index
from engine.inputs import Memory
from engine.step import Ids
from stepwood.bases.base import pin, resolve
from stepwood.bases.folder import manifest
from stepwood.bases.registry import normalise
from system.errors import InputError
from tests.bases.building import Draft, Tar

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep


def test_a_name_means_an_override_a_url_or_an_image() -> None:
    assert resolve("debian:12", {"debian:12": "dir:/x"}) == "dir:/x"
    assert resolve("debian:12", {}) == "docker://debian:12"
    assert resolve("localhost:5000/a", {}) == "docker://localhost:5000/a"
    for url in ("dir:/x", "tar:a.tar", "debootstrap:bookworm", "docker://a", "oci:b"):
        assert resolve(url, {}) == url


@pytest.mark.parametrize("url", ["host", "zip:/x", "dir:", "docker://", ""])
def test_an_unknown_url_is_wrong_input_and_says_what_is_known(url: str) -> None:
    with pytest.raises(InputError, match="dir:PATH"):
        pin(url)


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("debian", ("docker.io/library/debian", ":latest")),
        ("debian:12", ("docker.io/library/debian", ":12")),
        ("ocaml/opam:debian-12", ("docker.io/ocaml/opam", ":debian-12")),
        ("index.docker.io/debian", ("docker.io/library/debian", ":latest")),
        ("ghcr.io/a/b:c", ("ghcr.io/a/b", ":c")),
        ("localhost:5000/x", ("localhost:5000/x", ":latest")),
        ("localhost/x:1", ("localhost/x", ":1")),
        ("debian:12@sha256:ab", ("docker.io/library/debian", "@sha256:ab")),
    ],
)
def test_image_names_as_docker_reads_them(name: str, means: tuple[str, str]) -> None:
    assert normalise(name) == means


def make_tree(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o751)
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "bin").symlink_to("usr/bin")
    (folder / "escape").symlink_to("/etc/passwd")
    tool = folder / "usr/bin/tool"
    tool.write_bytes(b"#!tool")
    os.chown(tool, 3, 4)
    tool.chmod(0o4755)
    os.setxattr(tool, "security.capability", CAPABILITY)
    os.setxattr(tool, "user.note", b"kept")
    os.utime(tool, (1_500_000_000, 1_500_000_000))
    os.link(tool, folder / "usr/bin/twin")
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    (folder / "etc").mkdir(mode=0o700)
    (folder / "etc/hosts").write_text("ours")
    (Path(os.fsdecode(os.fsencode(folder) + b"/etc/\xff"))).write_text("not UTF-8")
    return folder


def check_tree(tree: Path) -> None:
    assert stat.S_IMODE(tree.stat().st_mode) == 0o751
    tool = tree / "usr/bin/tool"
    info = tool.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), info.st_mtime) == (3, 4, 0o4755, 1_500_000_000)
    assert os.getxattr(tool, "security.capability") == CAPABILITY
    assert os.getxattr(tool, "user.note") == b"kept"
    assert (tree / "usr/bin/twin").samefile(tool)
    assert os.readlink(tree / "bin") == "usr/bin"
    assert os.readlink(tree / "escape") == "/etc/passwd"
    assert stat.S_ISFIFO((tree / "pipe").stat().st_mode)
    assert (tree / "zero").stat().st_rdev == os.makedev(1, 5)
    assert stat.S_IMODE((tree / "etc").stat().st_mode) == 0o700
    assert (tree / "etc/hosts").read_text() == "ours"
    assert os.listdir(os.fsencode(tree) + b"/etc").count(b"\xff") == 1


@pytest.mark.root
def test_a_folder_is_copied_whole(tmp_path: Path, draft: Draft) -> None:
    tree = make_tree(tmp_path / "tree")
    with socket.socket(socket.AF_UNIX) as left_out:
        left_out.bind(str(tree / "socket"))
    base = pin(f"dir:{tree}")
    assert base.config.user == Ids(0, 0)
    assert base.config.workdir == "/"
    assert dict(base.config.env)["PATH"].startswith("/usr/local/sbin:")
    seen = draft.fetch(base)
    check_tree(seen)
    assert manifest(seen, Memory()) == base.digest.removeprefix("sha256:")


def test_files_of_the_host_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index remembers a file's hash for as long as nothing about the file changes."""
    monkeypatch.setattr(inputs, "GRANULARITY", 0)
    tree = make_tree(tmp_path / "tree")
    (tmp_path / "base.tar").write_text("any bytes")
    read: list[str] = []
    sha256 = inputs._sha256
    monkeypatch.setattr(inputs, "_sha256", lambda path: read.append(path) or sha256(path))
    with Index.open(tmp_path / "index.db") as index:
        for url in (f"dir:{tree}", f"tar:{tmp_path}/base.tar"):
            first = pin(url, index)
            assert read != []
            assert pin(url) == first, "the same without a memory"
            read.clear()
            assert pin(url, index) == first
            assert read == []
        (tree / "etc/hosts").write_text("theirs")
        assert pin(f"dir:{tree}", index) != first
        assert read == [f"{tree}/etc/hosts"]


@pytest.mark.root
@pytest.mark.parametrize("change", ["content", "mode", "owner", "name", "target", "xattr", "gone"])
def test_a_folder_that_changed_is_not_what_was_pinned(tmp_path: Path, draft: Draft, change: str) -> None:
    tree = make_tree(tmp_path / "tree")
    base = pin(f"dir:{tree}")
    assert pin(f"dir:{tree}") == base
    match change:
        case "content":
            (tree / "etc/hosts").write_text("Ours")
        case "mode":
            (tree / "etc/hosts").chmod(0o600)
        case "owner":
            os.chown(tree / "etc/hosts", 7, 7)
        case "name":
            (tree / "pipe").rename(tree / "pope")
        case "target":
            (tree / "bin").unlink()
            (tree / "bin").symlink_to("usr/bon")
        case "xattr":
            os.setxattr(tree / "usr/bin/tool", "user.note", b"other")
        case "gone":
            tree.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no such folder" if change == "gone" else "changed since"):
        draft.fetch(base)


@pytest.mark.parametrize("url", ["dir:/no/such/folder", "dir:/etc/passwd", "tar:/no/such.tar", "oci:/no/such"])
def test_a_base_that_is_missing_is_wrong_input(url: str) -> None:
    with pytest.raises(InputError, match=url):
        pin(url)


COMPRESSIONS = {
    "none": lambda data: data,
    "gzip": gzip.compress,
    "two gzips": lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstandard.compress,
    "two zstds": lambda data: zstandard.compress(data[:5000]) + zstandard.compress(data[5000:]),
}


def tar_of(tree: Path) -> bytes:
    tar = Tar()

    def with_xattrs(info: tarfile.TarInfo) -> tarfile.TarInfo:
        if info.isreg() and info.name.endswith("tool"):
            info.pax_headers = {
                "SCHILY.xattr.security.capability": CAPABILITY.decode(),
                "SCHILY.xattr.user.note": "kept",
                "SCHILY.xattr.security.selinux": "not kept",
            }
        return info

    tar.archive.add(tree, "./", filter=with_xattrs)
    return tar.bytes()


@pytest.mark.root
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_tar_is_unpacked_whatever_its_compression(tmp_path: Path, draft: Draft, compression: str) -> None:
    file = tmp_path / "base.bin"
    file.write_bytes(COMPRESSIONS[compression](tar_of(make_tree(tmp_path / "tree"))))
    base = pin(f"tar:{file}")
    assert base.source == f"tar:{file}"
    check_tree(draft.fetch(base))


@pytest.mark.root
def test_a_tar_in_gnu_format_with_long_names_and_a_sparse_file(tmp_path: Path, draft: Draft) -> None:
    tree = tmp_path / "tree"
    (tree / ("long" * 40)).mkdir(parents=True)
    with (tree / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.system(f"tar --format=gnu --sparse -C {tree} -czf {tmp_path}/a.tar .")
    seen = draft.fetch(pin(f"tar:{tmp_path}/a.tar"))
    assert (seen / ("long" * 40)).is_dir()
    assert (seen / "sparse").read_bytes() == bytes(1 << 20) + b"end"


@pytest.mark.root
@pytest.mark.parametrize("damage", ["cut", "not gzip", "header", "empty", "garbage"])
def test_a_damaged_tar_is_wrong_input(tmp_path: Path, draft: Draft, damage: str) -> None:
    whole = tar_of(make_tree(tmp_path / "tree"))
    packed = gzip.compress(whole)
    content = {
        "cut": packed[:-20],
        "not gzip": b"\x1f\x8b" + bytes(100),
        "header": whole[:1600] + b"xxxx" + whole[1604:2000] + b"yyyyyyyyyyyyyyyyyyyyy" + whole[2021:],
        "empty": b"",
        "garbage": os.urandom(20_000),
    }[damage]
    if damage == "header":
        tar = Tar().add("a", b"1").add("b", b"2").bytes()
        content = tar[:1024] + bytes(b ^ 0x55 for b in tar[1024:1536]) + tar[1536:]
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tar"):
        draft.fetch(pin(f"tar:{tmp_path}/a.tar"))


@pytest.mark.root
def test_a_tar_that_changed_is_not_what_was_pinned(tmp_path: Path, draft: Draft) -> None:
    file = tmp_path / "a.tar"
    file.write_bytes(Tar().add("a", b"1").bytes())
    base = pin(f"tar:{file}")
    file.write_bytes(Tar().add("a", b"2").bytes())
    with pytest.raises(InputError, match="changed since it was pinned"):
        draft.fetch(base)


def hostile(victim: Path) -> dict[str, Tar]:
    """Archives that would write to `victim` on the host."""
    name = str(victim)
    up = "../" * 20
    return {
        "dots": Tar().add(f"{up}{name}", b"bad"),
        "dots inside": Tar().add("a/").add(f"a/{up}{name}", b"bad"),
        "absolute link, then through it": Tar().link("a", str(victim.parent)).add(f"a/{victim.name}", b"bad"),
        "dotted link, then through it": Tar().link("a", up + str(victim.parent)).add(f"a/{victim.name}", b"bad"),
        "link, then over it": Tar().link("a", name).add("a", b"bad"),
        "hard link to outside": Tar().link("a", name, hard=True).add("a", b"bad"),
        "hard link by dots": Tar().link("a", up + name, hard=True),
        "hard link through a link": Tar().link("l", str(victim.parent)).link("a", f"l/{victim.name}", hard=True),
        "absolute": Tar().add(name, b"bad"),
        "root is a link": Tar().link(".", "/etc"),
        "overlay xattr": Tar().add("a", b"", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}),
        "loop": Tar().link("a", "b").link("b", "a").add("a/x", b"bad"),
        "below a file": Tar().add("a", b"").add("a/b", b"bad"),
        "nul": Tar().add("a", b"", pax_headers={"path": "x\0y"}),
        "whiteout device": Tar().add("a", b"", type=tarfile.CHRTYPE, devmajor=0, devminor=0),
    }


HARMLESS = {"absolute", "absolute link, then through it", "dotted link, then through it", "link, then over it"}


@pytest.mark.root
@pytest.mark.parametrize("case", hostile(Path("/x/y")))
def test_a_hostile_tar_touches_nothing_outside_its_root(tmp_path: Path, draft: Draft, case: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("good")
    before = (victim.stat().st_mode, victim.stat().st_mtime_ns, victim.stat().st_nlink)
    (tmp_path / "a.tar").write_bytes(hostile(victim)[case].bytes())
    base = pin(f"tar:{tmp_path}/a.tar")
    if case in HARMLESS:
        draft.fetch(base)
    else:
        with pytest.raises(InputError):
            draft.fetch(base)
    assert victim.read_text() == "good"
    assert (victim.stat().st_mode, victim.stat().st_mtime_ns, victim.stat().st_nlink) == before
