"""Draft roots of both kinds, tar archives and image layouts made by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from engine.step import Base
from stepwood.bases import base as bases
from stepwood.bases.image import machine
from system.helper.client import Helper
from system.launch import Folder, Layers, Root


@dataclass
class Draft:
    """A draft root, how to fill it, and where what was written can be seen (a layer shows no lower ones)."""

    root: Root
    seen: Path
    scratch: Path
    helper: Helper

    def fetch(self, base: Base) -> Path:
        """Fill the root and check that nothing is mounted on the host."""
        before = Path("/proc/self/mounts").read_text()
        output = os.open(os.devnull, os.O_WRONLY)
        try:
            bases.fetch(base, self.root, self.scratch, self.helper, output)
        finally:
            os.close(output)
            assert Path("/proc/self/mounts").read_text() == before
        if (place := self.scratch / "root").exists():
            assert not list(place.iterdir())
        return self.seen


def make_draft(folder: Path, helper: Helper, *, layers: bool = False) -> Draft:
    for name in ("scratch", "root", "work", "scaffold/etc", "scaffold/dev", "scaffold/proc"):
        (folder / "draft" / name).mkdir(parents=True)
    (folder / "draft/scaffold/etc/hosts").touch()
    top = folder / "draft"
    root = Layers(str(top), ("scaffold",), "root", "work") if layers else Folder(str(top / "root"))
    return Draft(root, top / "root", top / "scratch", helper)


@dataclass
class Tar:
    """A tar archive under construction."""

    buffer: io.BytesIO = field(default_factory=io.BytesIO)

    def __post_init__(self) -> None:
        self.archive = tarfile.TarFile(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, content: bytes | None = None, **fields: object) -> Tar:
        """A file with `content`, a folder without; `fields` as in TarInfo."""
        info = tarfile.TarInfo(name)
        info.type = tarfile.REGTYPE if content is not None else tarfile.DIRTYPE
        info.mode = 0o644 if content is not None else 0o755
        info.mtime = 1_600_000_000
        info.size = len(content or b"")
        for key, value in fields.items():
            setattr(info, key, value)
        self.archive.addfile(info, io.BytesIO(content or b""))
        return self

    def link(self, name: str, target: str, *, hard: bool = False) -> Tar:
        return self.add(name, b"", type=tarfile.LNKTYPE if hard else tarfile.SYMTYPE, linkname=target)

    def bytes(self) -> bytes:
        self.archive.close()
        return self.buffer.getvalue()


class ImageLayout:
    """An OCI image layout in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.manifests: list[dict[str, object]] = []

    def blob(self, content: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def image(self, *layers: bytes, architecture: str = "", **config: object) -> dict[str, object]:
        architecture = architecture or machine()[0]
        ids = [
            "sha256:" + hashlib.sha256(gzip.decompress(x) if x[:2] == b"\x1f\x8b" else x).hexdigest() for x in layers
        ]
        document = {
            "os": "linux",
            "architecture": architecture,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.blob(json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [
                self.blob(x, "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if x[:2] == b"\x1f\x8b" else ""))
                for x in layers
            ],
        }
        found = self.blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        return found | {"platform": {"os": "linux", "architecture": architecture}}

    def tag(self, manifest: dict[str, object], name: str) -> None:
        self.manifests.append(manifest | {"annotations": {"org.opencontainers.image.ref.name": name}})
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))

    def index(self, *manifests: dict[str, object]) -> dict[str, object]:
        media_type = "application/vnd.oci.image.index.v1+json"
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        return self.blob(json.dumps(document).encode(), media_type)
