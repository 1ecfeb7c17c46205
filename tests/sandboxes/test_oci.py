"""The `oci` sandbox's launch, word for word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandboxes.oci import Oci
from sandboxes.sandbox import Command, Sandbox
from system.errors import ToolMissing
from system.launch import Bind, Data, Exec, Folder, Ids, Launch, Layers, Mount, Pseudo, World

ROOT = Layers("/store", ("scaffold", "base"), "drafts/1/upper", "drafts/1/work")
CACHE = Folder("/store/caches/apt/7")
COMMAND = Command(
    argv=("/bin/sh", "-c", "make"),
    env=(("PATH", "/bin"), ("EMPTY", "")),
    cwd="/src",
    user=Ids(1000, 1000, (44,)),
    mounts=(Mount("/var/cache/apt", CACHE), Mount("/run/secrets/key", Data(b"hush", 0o400), readonly=True)),
)


def oci(runtime: str = "runc") -> Oci:
    assert runtime in ("runc", "crun")
    return Oci(runtime, path="/usr/sbin:/usr/bin", machine="x86_64")  # type: ignore[arg-type]


def config(launch: Launch) -> dict[str, object]:
    (content,) = [
        m.source.content for m in launch.mounts if m.target.endswith("/config.json") and isinstance(m.source, Data)
    ]
    found: dict[str, object] = json.loads(content)
    return found


def golden(name: str) -> object:
    return json.loads((Path(__file__).parent / "golden" / name).read_text())


def test_the_launch() -> None:
    launch = oci().launch(COMMAND, ROOT, "/scratch")
    assert launch.process == Exec(
        ("runc", "--root", "/scratch/state", "--rootless=true", "run", "--bundle", "/scratch/bundle", "step"),
        env=(("PATH", "/usr/sbin:/usr/bin"),),
    )
    assert launch.world == World(
        mounts=(
            Mount("/proc", Pseudo("proc"), noexec=True),
            Mount("/sys/fs/cgroup", Pseudo("cgroup2"), readonly=True, noexec=True),
        )
    )
    assert (launch.root, launch.user, launch.views) == (None, Ids(), ())
    tmpfs, file, *rest = launch.mounts
    assert tmpfs == Mount("/scratch", Pseudo("tmpfs", (("mode", "0700"),)))
    assert file.target == "/scratch/bundle/config.json"
    assert file.readonly
    assert rest == [
        Mount("/scratch/bundle/rootfs", ROOT, nosuid=False),
        Mount("/scratch/mounts/0", Data(b"127.0.0.1 localhost builder\n"), readonly=True),
        Mount("/scratch/mounts/1", CACHE),
        Mount("/scratch/mounts/2", Data(b"hush", 0o400), readonly=True),
    ]


def test_config_json() -> None:
    assert config(oci().launch(COMMAND, ROOT, "/scratch")) == golden("config.json")


def test_config_json_for_crun_has_a_hook_that_sets_nodev_again() -> None:
    launch = oci("crun").launch(COMMAND, ROOT, "/scratch")
    assert isinstance(launch.process, Exec)
    assert launch.process.argv[:5] == ("crun", "--root", "/scratch/state", "--cgroup-manager=disabled", "run")
    found = config(launch)
    (hook,) = found.pop("hooks")["createContainer"]  # type: ignore[index]
    assert hook["args"][-1] == "/scratch/bundle/rootfs"
    assert found == golden("config.json")


def test_host_network_adds_resolv_conf_and_no_namespace() -> None:
    launch = oci().launch(Command(("true",), host_network=True), ROOT, "/scratch")
    assert Mount("/scratch/mounts/1", Bind("/etc/resolv.conf"), readonly=True) in launch.mounts
    found = config(launch)
    assert found["linux"]["namespaces"] == [{"type": t} for t in ("pid", "ipc", "uts", "mount")]  # type: ignore[index]
    assert found["mounts"][-1] == {  # type: ignore[index]
        "destination": "/etc/resolv.conf",
        "type": "bind",
        "source": "/scratch/mounts/1",
        "options": ["rbind", "rprivate", "ro", "nosuid", "nodev"],
    }


def test_a_secret_is_in_no_text_of_the_launch() -> None:
    assert "hush" not in repr(oci().launch(COMMAND, ROOT, "/scratch"))


def test_it_is_a_sandbox_by_name() -> None:
    runc: Sandbox = oci()
    assert (runc.name, oci("crun").name) == ("oci-runc", "oci-crun")


@pytest.mark.root
def test_a_missing_runtime_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissing, match="crun is not installed"):
        oci("crun").check()
