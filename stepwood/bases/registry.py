"""`docker://REF`: an image in a registry, brought by skopeo."""

from __future__ import annotations

import hashlib
import os
import re

from engine.inputs import Hashes
from engine.step import Base
from stepwood.bases import image
from stepwood.bases.provider import Draft
from system import process
from system.errors import InputError, RegistryError, StepwoodError
from system.launch import Exec

_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?\Z")
# skopeo ends with status 1 for all that goes wrong; only its words tell an absent image from an absent registry.
_MISSING = re.compile(
    r"manifest unknown|name unknown|not found|status(?:code)?:? 404|repository name not known"
    r"|requested access to the resource is denied|unauthorized|invalid (?:reference format|checksum)|must be lowercase",
    re.IGNORECASE,
)
_TIMEOUT = "5m"


class Registry:
    """Pinned by the digest of the platform's manifest; the source is `docker://REPOSITORY@DIGEST`.

    A registry on loopback is spoken to in plain HTTP. Credentials are skopeo's own (containers-auth.json).
    """

    def pin(self, reference: str, rest: str, hashes: Hashes) -> Base:
        repository, version = normalise(rest)
        content = _inspect(repository, version, reference)
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        manifest = image.document(content, reference)
        if image.is_index(manifest):
            digest = image.choose(manifest, reference)
        else:
            image.read_manifest(content, digest, reference)
        blob = _inspect(repository, f"@{digest}", reference, "--config")
        config = image.config(image.document(blob, reference))
        return Base(reference, digest, config, f"docker://{repository}@{digest}")

    def fetch(self, base: Base, rest: str, draft: Draft) -> None:
        repository = rest.rpartition("@")[0]
        # Not `oci:`, which would have to rewrite Docker's own manifests and so change their digest.
        folder, work, said = draft.scratch / "image", draft.scratch / "tmp", draft.scratch / "skopeo.log"
        work.mkdir()
        verify = ("--src-tls-verify=false",) if _on_loopback(repository) else ()
        options = (f"--command-timeout={_TIMEOUT}", f"--tmpdir={work}", "copy", "--preserve-digests", *verify)
        copy = (process.find("skopeo"), *options, f"docker://{rest}", f"dir:{folder}")
        with said.open("w+b") as log:
            env = tuple(sorted(os.environ.items()))
            status = draft.run(Exec(copy, env), stderr=log.fileno())
            log.seek(0)
            text = log.read()
        os.write(draft.output, text)
        if status != 0:
            raise _trouble(base.reference, text)
        manifest = image.read_manifest((folder / "manifest.json").read_bytes(), base.digest, base.reference)
        image.apply(manifest, lambda digest: folder / digest.partition(":")[2], base.reference, draft)


def normalise(name: str) -> tuple[str, str]:
    """A repository with its registry, and `:TAG` or `@DIGEST`: `debian:12` is docker.io/library/debian, `:12`."""
    name, at, digest = name.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    path = head + slash + last
    registry, slash, rest = path.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, rest = "docker.io", path
    if registry == "index.docker.io":
        registry = "docker.io"
    if registry == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    return f"{registry}/{rest}", f"@{digest}" if at else f":{tag or 'latest'}"


def _on_loopback(repository: str) -> bool:
    return _LOOPBACK.match(repository.partition("/")[0]) is not None


def _inspect(repository: str, version: str, reference: str, *options: str) -> bytes:
    verify = ["--tls-verify=false"] if _on_loopback(repository) else []
    done = process.run(
        [
            "skopeo",
            f"--command-timeout={_TIMEOUT}",
            "inspect",
            "--raw",
            *options,
            *verify,
            f"docker://{repository}{version}",
        ]
    )
    if done.status != 0:
        raise _trouble(reference, done.stderr)
    return done.stdout


def _trouble(reference: str, said: bytes) -> StepwoodError:
    lines = said.decode(errors="replace").strip().splitlines() or ["skopeo gave no reason"]
    found = re.search(r'msg="(.*)"', lines[-1])
    why = (found[1] if found else lines[-1]).replace('\\"', '"')
    return (InputError if _MISSING.search(why) else RegistryError)(f"{reference}: {why}")
