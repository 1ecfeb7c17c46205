"""What the tests of stores share: steps that really run, and a way to see what a root holds."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stores.store import Cache, Draft, Store
from system.helper.client import Helper
from system.launch import Exec, Exit, Folder, Launch, Layers, Mount, Root, World

APPLETS = ("sh", "cat", "rm", "mkdir", "chmod", "chown", "ln", "mv", "tar", "touch", "true", "stat", "ls", "test", "dd")

BARE = World(mounts=())
"""No /proc: a read-only root may have no place for it."""

Tree = dict[str, tuple[object, ...]]
"""By path: ("dir", mode), ("file", mode, content) or ("link", target)."""


def busybox() -> Path:
    """A busybox that needs no libraries: the machine's, or Debian's, fetched once."""
    if os.path.exists("/bin/busybox"):
        return Path("/bin/busybox")
    kept = Path(tempfile.gettempdir()) / f"stepwood-tests-{os.getuid()}"
    if not (kept / "bin" / "busybox").exists():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["apt-get", "-q", "download", "busybox-static"], cwd=folder, check=True, capture_output=True)
            (package,) = Path(folder).glob("*.deb")
            subprocess.run(["dpkg", "-x", str(package), folder + "/x"], check=True)
            kept.mkdir(exist_ok=True)
            shutil.copytree(folder + "/x", kept, symlinks=True, dirs_exist_ok=True)
    return kept / "bin" / "busybox"


def written(root: Root) -> Path:
    """The folder of the host that what is written to a root goes to."""
    match root:
        case Folder(path=path):
            return Path(path)
        case Layers(folder=folder, upper=upper):
            assert upper is not None, "a read-only root"
            return Path(folder, upper)


@dataclass(frozen=True)
class Workshop:
    """A store and a helper that runs steps on its roots."""

    store: Store
    helper: Helper

    def base(self, id: str = "base") -> None:
        """A snapshot with a shell and an empty folder /w."""
        with self.store.draft(id, ()) as draft:
            root = written(draft.root)
            (root / "bin").mkdir(mode=0o755)
            os.chmod(root / "bin", 0o755)
            shutil.copy(busybox(), root / "bin" / "busybox")
            for applet in APPLETS:
                (root / "bin" / applet).symlink_to("busybox")
            (root / "w").mkdir()
            os.chmod(root / "w", 0o755)
            draft.commit({})

    def output(self, script: str, root: Root, mounts: Sequence[Mount] = ()) -> tuple[Exit, bytes]:
        """Run a shell script in a root."""
        launch = Launch(Exec(("/bin/sh", "-ec", script), (("PATH", "/bin"),)), BARE, root=root, mounts=tuple(mounts))
        read, write = os.pipe()
        started = self.helper.start(launch, None, write, write)
        os.close(write)
        with open(read, "rb") as pipe:
            said = pipe.read()
        return started.wait(), said

    def run(self, script: str, root: Root, mounts: Sequence[Mount] = ()) -> bytes:
        """Run a shell script that must succeed."""
        ended, said = self.output(script, root, mounts)
        assert ended.status == 0, said.decode()
        return said

    def step(self, id: str, script: str, *inputs: str) -> None:
        """Commit what a script makes of the inputs (of the base, where none is named)."""
        with self.store.draft(id, inputs or ("base",)) as draft:
            self.run(script, draft.root)
            draft.commit({})

    def cat(self, id: str, path: str) -> str:
        return self.run(f"cat {path}", self.store.view(id)).decode().strip()

    def tree(self, id: str) -> Tree:
        """What a snapshot holds below /w."""
        return self.look(self.store.view(id))

    def look(self, root: Root) -> Tree:
        found: Tree = {}
        with tarfile.open(fileobj=io.BytesIO(self.run("tar -c -f - w", root))) as archive:
            for member in archive:
                path = member.name.rstrip("/").removeprefix("w").lstrip("/") or "."
                if member.isdir():
                    found[path] = ("dir", member.mode)
                elif member.issym():
                    found[path] = ("link", member.linkname)
                elif member.islnk():
                    found[path] = found[member.linkname.removeprefix("w/")]
                else:
                    content = archive.extractfile(member)
                    assert content is not None
                    found[path] = ("file", member.mode, content.read().decode())
        return found

    def use(self, name: str, script: str, *, uid: int = 0, gid: int = 0, locked: bool = False) -> str:
        """Run a script with a cache on /c, on the base."""
        with self.store.cache(name, uid, gid, locked=locked) as cache:
            return self.in_cache(cache, script)

    def in_cache(self, cache: Cache, script: str) -> str:
        with self.store.draft("in-cache", ("base",)) as draft:
            return self.run(script, draft.root, [Mount("/c", cache.root)]).decode().strip()

    def nothing_left(self) -> None:
        """No draft lies about: only the session's own folder is in `work`, and of a draft at most what the next
        one will begin with."""
        for session in (self.store.folder / "work").iterdir():
            for entry in session.iterdir():
                if entry.name not in ("lock", "stage"):
                    left = {str(path.relative_to(entry)) for path in entry.rglob("*")}
                    empty = {"work", "snapshot", "snapshot/meta.json", "snapshot/layer", "snapshot/root"}
                    assert {path for path in left if not path.startswith("work/work")} <= empty, session


def write(draft: Draft, name: str, text: str = "") -> None:
    """Write a file of a draft from the host, where no step needs to run."""
    path = written(draft.root) / name
    path.write_text(text)
