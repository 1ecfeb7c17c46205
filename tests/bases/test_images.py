"""`oci:` and `docker://` bases: layers, whiteouts, platforms, a registry on loopback."""

from __future__ import annotations

import gzip
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from engine.step import Ids, Named
from stepwood.bases.base import pin
from system.errors import InputError, RegistryError
from system.helper.client import Helper
from tests.bases.building import Draft, ImageLayout, Tar, make_draft
from tests.bases.test_debootstrap import host_suite
from tests.bases.test_plain_bases import CAPABILITY, HARMLESS, hostile


def below(folder: Path) -> list[str]:
    """Every path in a tree that is not a whiteout of the draft's scaffold."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not stat.S_ISCHR(path.lstat().st_mode))


def fetched(layout: ImageLayout, draft: Draft, *layers: Tar) -> Path:
    layout.tag(layout.image(*(layer.bytes() for layer in layers)), "t")
    return draft.fetch(pin(f"oci:{layout.folder}:t"))


@pytest.mark.root
def test_whiteouts_and_opaque_folders_hide_what_lower_layers_brought(layout: ImageLayout, draft: Draft) -> None:
    lower = Tar().add("a", b"1").add("d").add("d/x", b"x").add("d/y", b"y").add("gone").add("gone/z", b"z")
    lower.add("o").add("o/1", b"").add("o/sub").add("o/sub/2", b"")
    upper = Tar().add(".wh.a", b"").add("d/.wh.x", b"").add(".wh.gone", b"").add("o/new", b"n").add("o/sub")
    upper.add("o/sub/3", b"").add("o/.wh..wh..opq", b"")
    upper.add(".wh..wh.aufs", b"").add(".wh.never", b"").add("no/.wh.never", b"")
    seen = fetched(layout, draft, lower, upper)
    assert below(seen) == ["d", "d/y", "o", "o/new", "o/sub", "o/sub/3"]


@pytest.mark.root
def test_a_whiteout_does_not_hide_what_its_own_layer_brought(layout: ImageLayout, draft: Draft) -> None:
    seen = fetched(
        layout,
        draft,
        Tar().add("d").add("d/old", b"").add("f", b"old"),
        Tar().add("d").add("d/new", b"").add(".wh.d", b"").add("f", b"new").add(".wh.f", b""),
    )
    assert below(seen) == ["d", "d/new", "f"]
    assert (seen / "f").read_text() == "new"


@pytest.mark.root
def test_upper_layers_replace_and_follow_links(layout: ImageLayout, draft: Draft) -> None:
    lower = Tar().add("usr").add("usr/bin").add("usr/bin/sh", b"sh").link("bin", "usr/bin").link("var/run", "/run")
    lower.add("folder").add("folder/in", b"").add("file", b"").link("other", "file")
    upper = Tar().add("bin").add("bin/tool", b"tool").add("var/run/pid", b"1").add("folder", b"now a file")
    upper.add("file").add("file/in", b"").add("other", b"no link")
    seen = fetched(layout, draft, lower, upper)
    assert os.readlink(seen / "bin") == "usr/bin"
    assert (seen / "usr/bin/sh").read_text() == "sh"
    assert (seen / "usr/bin/tool").read_text() == "tool"
    assert (seen / "run/pid").read_text() == "1"
    assert (seen / "folder").read_text() == "now a file"
    assert (seen / "file/in").exists()
    assert (seen / "other").read_text() == "no link"
    assert not (seen / "other").is_symlink()


@pytest.mark.root
def test_owner_mode_time_and_capability_are_kept_in_every_compression(layout: ImageLayout, draft: Draft) -> None:
    headers = {"SCHILY.xattr.security.capability": CAPABILITY.decode()}
    ping = {"mode": 0o4755, "uid": 70_000, "gid": 5, "pax_headers": headers, "mtime": 1_500_000_000}
    layers = (
        gzip.compress(Tar().add("one").add("one/ping", b"1", **ping).bytes()),
        zstandard.compress(Tar().add("two", b"2", mode=0o600).link("three", "one/ping", hard=True).bytes()),
        Tar().add("one", mode=0o1777, mtime=1_400_000_000).bytes(),
    )
    layout.tag(layout.image(*layers), "t")
    seen = draft.fetch(pin(f"oci:{layout.folder}"))
    info = (seen / "one/ping").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), info.st_mtime) == (70_000, 5, 0o4755, 1_500_000_000)
    assert os.getxattr(seen / "one/ping", "security.capability") == CAPABILITY
    assert (seen / "three").samefile(seen / "one/ping")
    assert stat.S_IMODE((seen / "two").stat().st_mode) == 0o600
    assert stat.S_IMODE((seen / "one").stat().st_mode) == 0o1777
    assert (seen / "one").stat().st_mtime == 1_400_000_000


LAYERS = {
    "whiteout of the parent": Tar().add("a/.wh...", b""),
    "whiteout of itself": Tar().add("a/.wh..", b""),
    "whiteout of nothing": Tar().add("a/.wh.", b""),
}


@pytest.mark.root
@pytest.mark.parametrize("case", [*hostile(Path("/x/y")), *LAYERS])
def test_a_hostile_layer_touches_nothing_outside_its_root(
    tmp_path: Path, layout: ImageLayout, draft: Draft, case: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("good")
    before = (victim.stat().st_mode, victim.stat().st_mtime_ns, victim.stat().st_nlink)
    layer = (hostile(victim) | LAYERS)[case]
    if case in HARMLESS:
        fetched(layout, draft, layer)
    else:
        with pytest.raises(InputError, match="layer sha256:"):
            fetched(layout, draft, layer)
    assert victim.read_text() == "good"
    assert (victim.stat().st_mode, victim.stat().st_mtime_ns, victim.stat().st_nlink) == before


@pytest.mark.root
def test_a_whiteout_through_a_planted_link_stays_inside(tmp_path: Path, layout: ImageLayout, draft: Draft) -> None:
    victim = tmp_path / "outside" / "victim"
    victim.parent.mkdir()
    victim.write_text("good")
    planted = Tar().link("a", str(victim.parent))
    fetched(layout, draft, planted, Tar().add("a/.wh.victim", b"").add("a/.wh..wh..opq", b""))
    assert victim.read_text() == "good"


@pytest.mark.root
def test_a_blob_that_is_not_its_digest_is_refused(layout: ImageLayout, draft: Draft) -> None:
    layout.tag(layout.image(Tar().add("a", b"1").bytes()), "t")
    base = pin(f"oci:{layout.folder}:t")
    manifest = json.loads((layout.folder / "blobs/sha256" / base.digest[7:]).read_bytes())
    layer = layout.folder / "blobs/sha256" / manifest["layers"][0]["digest"][7:]
    layer.write_bytes(Tar().add("a", b"2").bytes())
    with pytest.raises(InputError, match="changed since"):
        draft.fetch(base)


def test_the_config_of_an_image_is_the_context_of_its_first_op(layout: ImageLayout) -> None:
    config = {"Env": ["PATH=/bin", "A=b=c", "E="], "User": "opam", "WorkingDir": "/home/opam"}
    layout.tag(layout.image(b"", **config), "named")
    layout.tag(layout.image(b"", User="1000:1001"), "numbers")
    layout.tag(layout.image(b"", User="1000"), "number")
    layout.tag(layout.image(b""), "plain")
    named = pin(f"oci:{layout.folder}:named").config
    assert named.env == (("A", "b=c"), ("E", ""), ("PATH", "/bin"))
    assert named.user == Named("opam")
    assert named.workdir == "/home/opam"
    assert named.platform.startswith("linux/")
    assert pin(f"oci:{layout.folder}:numbers").config.user == Ids(1000, 1001)
    assert pin(f"oci:{layout.folder}:number").config.user == Named("1000")
    plain = pin(f"oci:{layout.folder}:plain").config
    assert (plain.user, plain.workdir, dict(plain.env)["PATH"][:10]) == (Ids(0, 0), "/", "/usr/local")
    with pytest.raises(InputError, match='no image "absent"') as caught:
        pin(f"oci:{layout.folder}:absent")
    assert "named, number, numbers, plain" in str(caught.value)
    with pytest.raises(InputError, match="has several images"):
        pin(f"oci:{layout.folder}")


def test_an_index_is_pinned_to_this_machines_platform(layout: ImageLayout) -> None:
    ours, other = layout.image(b""), layout.image(b"", architecture="sparc")
    layout.tag(layout.index(other, ours), "many")
    layout.tag(layout.index(other), "none")
    assert pin(f"oci:{layout.folder}:many").digest == ours["digest"]
    with pytest.raises(InputError, match="has no image for linux/"):
        pin(f"oci:{layout.folder}:none")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Debian docker-registry on loopback."""
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def push(layout: ImageLayout, tag: str, to: str, *options: str) -> None:
    argv = ["skopeo", "copy", "-q", "--dest-tls-verify=false", *options, f"oci:{layout.folder}:{tag}", f"docker://{to}"]
    subprocess.run(argv, check=True)


needs_registry = [pytest.mark.tool("skopeo"), pytest.mark.tool("docker-registry"), pytest.mark.root]


class TestRegistry:
    pytestmark = needs_registry

    @pytest.mark.parametrize("form", ["oci", "v2s2"])
    def test_an_image_is_pinned_and_fetched_by_digest_point_9(
        self, layout: ImageLayout, draft: Draft, registry: str, form: str
    ) -> None:
        first = gzip.compress(Tar().add("usr/bin").link("bin", "usr/bin").add("old", b"").bytes())
        second = gzip.compress(Tar().add("bin").add("bin/x", b"x").add(".wh.old", b"").bytes())
        image = layout.image(first, second, Env=["PATH=/bin", "X=y"], User="1000:1000", WorkingDir="/w")
        layout.tag(image, "t")
        name = f"{registry}/{form}-{draft.root.__class__.__name__.lower()}:1"
        push(layout, "t", name, f"--format={form}")
        base = pin(f"docker://{name}")
        assert base.reference == f"docker://{name}"
        assert base.source == f"docker://{name.removesuffix(':1')}@{base.digest}"
        if form == "oci":
            assert base.digest == image["digest"]
        assert base.config.env == (("PATH", "/bin"), ("X", "y"))
        assert (base.config.user, base.config.workdir) == (Ids(1000, 1000), "/w")
        # A tag that moves on does not matter: the digest is what is fetched.
        layout.tag(layout.image(gzip.compress(Tar().add("wrong", b"").bytes())), "u")
        push(layout, "u", name)
        assert pin(f"docker://{name}").digest != base.digest
        assert below(draft.fetch(base)) == ["bin", "usr", "usr/bin", "usr/bin/x"]
        assert pin(base.source).digest == base.digest

    def test_the_platform_is_chosen_from_an_index_point_9(self, layout: ImageLayout, registry: str) -> None:
        ours = layout.image(gzip.compress(Tar().add("ours", b"").bytes()))
        other = layout.image(gzip.compress(Tar().add("other", b"").bytes()), architecture="sparc")
        layout.tag(layout.index(other, ours), "many")
        push(layout, "many", f"{registry}/many:1", "--all")
        assert pin(f"docker://{registry}/many:1").digest == ours["digest"]

    @pytest.mark.parametrize("name", ["absent:1", "here:absent", "here@sha256:" + "0" * 64, "UPPER:1"])
    def test_an_image_that_is_not_there_is_wrong_input_point_9(
        self, layout: ImageLayout, registry: str, name: str
    ) -> None:
        layout.tag(layout.image(gzip.compress(Tar().bytes())), "t")
        push(layout, "t", f"{registry}/here:1")
        with pytest.raises(InputError, match=f"docker://{registry}/{name}"):
            pin(f"docker://{registry}/{name}")

    def test_a_registry_that_is_down_is_a_transient_failure_point_9(
        self, layout: ImageLayout, tmp_path: Path, helper: Helper, registry: str
    ) -> None:
        layout.tag(layout.image(gzip.compress(Tar().bytes())), "t")
        push(layout, "t", f"{registry}/down:1")
        base = pin(f"docker://{registry}/down:1")
        dead = f"127.0.0.1:{free_port()}"
        with pytest.raises(RegistryError, match=f"docker://{dead}/a:1") as caught:
            pin(f"docker://{dead}/a:1")
        assert caught.value.transient
        moved = type(base)(base.reference, base.digest, base.config, base.source.replace(registry, dead))
        with pytest.raises(RegistryError, match="down:1"):
            make_draft(tmp_path, helper).fetch(moved)

    @pytest.mark.debian
    @pytest.mark.tool("mmdebstrap")
    def test_steps_run_on_a_debian_that_came_by_way_of_a_registry(
        self, layout: ImageLayout, tmp_path: Path, helper: Helper, registry: str
    ) -> None:
        """The whole way: made here by debootstrap, put into a registry by skopeo, named as people name images."""
        made = make_draft(tmp_path, helper, layers=True).fetch(pin(f"debootstrap:{host_suite()}"))
        packed = subprocess.run(["tar", "-C", made, "-cz", "."], capture_output=True, check=True).stdout
        layout.tag(layout.image(packed, Env=["PATH=/usr/bin:/bin", "FROM=registry"], WorkingDir="/srv"), "t")
        push(layout, "t", f"{registry}/debian:12")
        script = "pwd; echo $FROM; dpkg --print-architecture"
        (tmp_path / "a.spec").write_text(f'((from debian:12) (run (shell "{script}")))')
        options = ["--store", f"overlay:{tmp_path}/store", "--base", f"debian:12=docker://{registry}/debian:12"]
        argv = [sys.executable, "-m", "stepwood", "build", tmp_path / "a.spec", *options]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-3:] == ["/srv", "registry", architecture.stdout.strip()]
