"""Container images: choose a platform, read a config, apply layers. And `oci:DIR[:TAG]`, an OCI image layout.

Formats: OCI image-spec (image-layout.md, manifest.md, config.md) and Docker's manifest, version 2, schema 2.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.inputs import Hashes
from engine.step import Base, Config, Ids, Named, User
from stepwood.bases.compression import Packed
from stepwood.bases.provider import PLAIN, Draft
from system.errors import InputError

Document = Mapping[str, Any]
"""A JSON object of an image, as the registry or the layout has it."""

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "i686": ("386", ""),
}
_REF_NAME = "org.opencontainers.image.ref.name"
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def document(content: bytes, name: str) -> Document:
    """A JSON object, or `InputError`."""
    try:
        found = json.loads(content)
    except ValueError as error:
        raise InputError(f"{name}: not an image: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{name}: not an image: a JSON object was expected")
    return found


def is_index(manifest: Document) -> bool:
    return isinstance(manifest.get("manifests"), list)


def choose(index: Document, name: str) -> str:
    """The digest of this machine's platform in an index, or of its only image."""
    entries = [entry for entry in index["manifests"] if isinstance(entry, dict) and "digest" in entry]
    architecture, variant = machine()

    def fits(entry: Document) -> int:
        platform = entry.get("platform") or {}
        if platform.get("os") != "linux" or platform.get("architecture") != architecture:
            return 0
        return 2 if platform.get("variant", variant) == variant else 1

    best = max(entries, key=fits, default=None)
    if best is not None and (fits(best) or (len(entries) == 1 and not best.get("platform"))):
        return str(best["digest"])
    has = ", ".join(sorted({_platform(entry.get("platform") or {}) for entry in entries})) or "nothing"
    raise InputError(f"{name} has no image for linux/{architecture}", hint=f"It has {has}")


def machine() -> tuple[str, str]:
    """This machine's architecture and variant, in the words of images."""
    name = os.uname().machine
    return _ARCHITECTURES.get(name, (name, ""))


def _platform(platform: Document) -> str:
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    return "/".join(str(part) for part in parts if part)


def config(image: Document) -> Config:
    """What an image's config blob says of env, user, folder and platform."""
    inner = image.get("config") or {}
    pairs = [str(line).partition("=") for line in inner.get("Env") or []]
    env = {key: value for key, _, value in pairs if key} or dict(PLAIN.env)
    return Config(
        env=tuple(sorted(env.items())),
        user=user(str(inner.get("User") or "")),
        workdir=os.path.join("/", str(inner.get("WorkingDir") or "")),
        platform=_platform(image),
    )


def user(text: str) -> User:
    """Numbers where both are given, root where none is; else what the root's own files will say."""
    if not text:
        return Ids()
    uid, _, gid = text.partition(":")
    if uid.isdecimal() and gid.isdecimal():
        return Ids(int(uid), int(gid))
    return Named(text)


def apply(manifest: Document, blob: Callable[[str], Path], name: str, draft: Draft) -> None:
    """Unpack an image's layers in their order. `blob` gives the file of a digest, which is verified as it is read."""
    digests = [str(layer.get("digest")) for layer in manifest["layers"]]
    layers = [Packed(blob(_checked(digest, name)), f"{name}: layer {digest}", digest) for digest in digests]
    draft.unpack(layers, whiteouts=True)


def read_manifest(content: bytes, digest: str, name: str) -> Document:
    """The manifest with this digest; `InputError` where it is another or not an image's."""
    if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{name}: the manifest is not the one that was pinned", hint="`--pull always` pins it anew")
    manifest = document(content, name)
    if manifest.get("mediaType", _MANIFESTS[0]) not in _MANIFESTS or not isinstance(manifest.get("layers"), list):
        raise InputError(f"{name}: not a container image that Stepwood reads: {manifest.get('mediaType')}")
    return manifest


def _checked(digest: str, name: str) -> str:
    """The digest, which will be part of a path."""
    kind, _, number = digest.partition(":")
    if kind != "sha256" or len(number) != 64 or not set(number) <= set("0123456789abcdef"):
        raise InputError(f"{name}: {digest} is not a SHA-256 digest")
    return digest


class Layout:
    """`oci:DIR[:TAG]`, pinned by the digest of the platform's manifest; the source is `oci:DIR@DIGEST`."""

    def pin(self, reference: str, rest: str, hashes: Hashes) -> Base:
        folder, tag = _folder(rest)
        index = document(_read(folder / "index.json", reference), reference)
        entries = index.get("manifests") or []
        if tag:
            entries = [entry for entry in entries if (entry.get("annotations") or {}).get(_REF_NAME) == tag]
            if not entries:
                raise InputError(f'{reference}: the layout has no image "{tag}"', hint=_tags(index))
        elif len(entries) > 1 and any((entry.get("annotations") or {}).get(_REF_NAME) for entry in entries):
            raise InputError(f"{reference}: the layout has several images", hint=_tags(index))
        digest = choose({"manifests": entries}, reference) if len(entries) != 1 else str(entries[0].get("digest"))
        found = document(_verified(folder, digest, reference), reference)
        if is_index(found):
            digest = choose(found, reference)
        manifest = read_manifest(_verified(folder, digest, reference), digest, reference)
        blob = _verified(folder, str((manifest.get("config") or {}).get("digest")), reference)
        return Base(reference, digest, config(document(blob, reference)), f"oci:{folder}@{digest}")

    def fetch(self, base: Base, rest: str, draft: Draft) -> None:
        folder = Path(rest.rpartition("@")[0])
        manifest = read_manifest(_verified(folder, base.digest, base.reference), base.digest, base.reference)
        apply(manifest, lambda digest: _blob(folder, digest, base.reference), base.reference, draft)


def _folder(rest: str) -> tuple[Path, str]:
    """A layout's folder and tag. A folder's own name may hold colons."""
    if (Path(rest) / "index.json").exists():
        return Path(rest).resolve(), ""
    folder, colon, tag = rest.rpartition(":")
    return Path(folder if colon else rest).resolve(), tag if colon else ""


def _tags(index: Document) -> str:
    names = [(entry.get("annotations") or {}).get(_REF_NAME) for entry in index.get("manifests") or []]
    return "It has " + (", ".join(sorted(str(name) for name in names if name)) or "no tags")


def _blob(folder: Path, digest: str, name: str) -> Path:
    return folder / "blobs" / "sha256" / _checked(digest, name).removeprefix("sha256:")


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {path.name}: {error.strerror}") from error


def _verified(folder: Path, digest: str, name: str) -> bytes:
    content = _read(_blob(folder, digest, name), name)
    if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{name}: blob {digest} does not have that digest")
    return content
