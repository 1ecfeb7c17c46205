"""The bases that `(from …)` may name: `resolve` a name to a URL, `pin` the URL, `fetch` what was pinned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.inputs import Hashes, Memory
from engine.step import Base
from stepwood.bases.archive import Archive
from stepwood.bases.debootstrap import Debootstrap
from stepwood.bases.folder import DirectoryTree
from stepwood.bases.image import Layout
from stepwood.bases.provider import Draft, Provider
from stepwood.bases.registry import Registry
from system.errors import InputError
from system.helper.client import Helper
from system.launch import Root

_PROVIDERS: dict[str, Provider] = {
    "dir:": DirectoryTree(),
    "tar:": Archive(),
    "debootstrap:": Debootstrap(),
    "docker://": Registry(),
    "oci:": Layout(),
}
_HOST = "host"


def resolve(name: str, overrides: Mapping[str, str]) -> str:
    """The URL that `(from NAME)` means: an override, a URL as it stands, or else an image of that name."""
    if name in overrides:
        return overrides[name]
    if name == _HOST or any(name.startswith(scheme) for scheme in _PROVIDERS):
        return name
    return f"docker://{name}"


def pin(url: str, hashes: Hashes | None = None) -> Base:
    """What a URL is right now; `hashes` remembers the files of the host. See `Provider` for the errors."""
    provider, rest = _provider(url)
    return provider.pin(url, rest, Memory() if hashes is None else hashes)


def fetch(base: Base, root: Root, scratch: Path, helper: Helper, output: int) -> None:
    """Fill the empty `root` with what `base` pinned.

    `scratch` is an empty folder for work; tools write to `output`. Nothing is mounted on the host.
    When this raises, the root is good for nothing. See `Provider` for the errors.
    """
    provider, rest = _provider(base.source)
    provider.fetch(base, rest, Draft(root, scratch, helper, output))


def _provider(url: str) -> tuple[Provider, str]:
    for scheme, provider in _PROVIDERS.items():
        if url.startswith(scheme) and url != scheme:
            return provider, url.removeprefix(scheme)
    raise InputError(
        f'base "{url}" is not supported',
        hint="A base is dir:PATH, tar:FILE, debootstrap:SUITE[?include=a,b], docker://REF or oci:DIR[:TAG]",
    )
