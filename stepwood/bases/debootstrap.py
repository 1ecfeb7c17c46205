"""`debootstrap:SUITE[?include=a,b]`: a minimal Debian by mmdebstrap, from the archives in the host's apt settings."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.inputs import Hashes
from engine.step import Base, Config
from stepwood.bases.apt import Archive, archives
from stepwood.bases.provider import PLAIN, SEARCH_PATH, Draft
from system import process
from system.errors import InputError, RegistryError
from system.launch import Exec

_NAME = re.compile(r"[a-z0-9][a-z0-9+.~/-]*\Z")
_HASHES = "inrelease"
# Without it apt would bring usrmerge, and with it perl, into every base.
_MERGED = Path("/usr/share/mmdebstrap/hooks/maybe-merged-usr")
# mmdebstrap's hook gets the new root as $1; its lists are removed only after it.
_HOOK = 'sha256sum "$1"/var/lib/apt/lists/*_InRelease >{file}'


@dataclass(frozen=True, slots=True)
class _Request:
    suite: str
    include: tuple[str, ...]


class Debootstrap:
    """Pinned by suite, options, architecture and the hash of every InRelease file that apt would read.

    A fetch hashes the InRelease files before, so that an archive that is gone or moved on is noticed soon, and those
    that mmdebstrap did read, so that it is noticed for sure.
    Device nodes are not made: a sandbox brings its own.
    """

    def pin(self, reference: str, rest: str, hashes: Hashes) -> Base:
        request = _parse(reference, rest)
        used = archives(request.suite)
        architecture = process.run(["dpkg", "--print-architecture"]).stdout.decode().strip()
        found = _hashes(used, reference)
        config = Config(env=PLAIN.env, platform=f"linux/{architecture}")
        query = f"?include={','.join(request.include)}" if request.include else ""
        return Base(reference, _digest(request, architecture, found), config, f"debootstrap:{request.suite}{query}")

    def fetch(self, base: Base, rest: str, draft: Draft) -> None:
        request = _parse(base.reference, rest)
        used = archives(request.suite)
        architecture = base.config.platform.removeprefix("linux/")
        _check(base, _digest(request, architecture, _hashes(used, base.reference)))
        sources, hashes, work = draft.scratch / "sources.list", draft.scratch / _HASHES, draft.scratch / "tmp"
        work.mkdir()
        sources.write_text("".join(f"{archive.line}\n" for archive in used))
        place, mount = draft.mounted()
        status = draft.run(
            Exec(
                (
                    process.find("mmdebstrap"),
                    "--mode=root",
                    "--variant=minbase",
                    "--format=directory",
                    "--skip=check/empty,output/mknod,output/dev",
                    *([f"--hook-dir={_MERGED}"] if _MERGED.is_dir() else []),
                    f"--customize-hook={_HOOK.format(file=hashes)}",
                    *([f"--include={','.join(request.include)}"] if request.include else []),
                    request.suite,
                    str(place),
                    str(sources),
                ),
                (
                    *((key, value) for key, value in sorted(os.environ.items()) if key.lower().endswith("_proxy")),
                    ("LC_ALL", "C.UTF-8"),
                    ("PATH", SEARCH_PATH),
                    ("TMPDIR", str(work)),
                ),
            ),
            mounts=(mount,),
        )
        if status != 0:
            raise draft.broken(f"{base.reference}: mmdebstrap ended with status {status}; its output says why")
        read = sorted(line.split()[0] for line in hashes.read_text().splitlines())
        _check(base, _digest(request, architecture, read))


def _parse(reference: str, rest: str) -> _Request:
    suite, _, query = rest.partition("?")
    include: list[str] = []
    for option in query.split("&") if query else []:
        key, _, value = option.partition("=")
        if key != "include":
            raise InputError(f'{reference}: unknown option "{key}"', hint="debootstrap: knows include=a,b")
        include += [name for name in value.split(",") if name]
    for name in (suite, *include):
        if not _NAME.match(name):
            raise InputError(f'{reference}: "{name}" is not a name of Debian')
    return _Request(suite, tuple(sorted(set(include))))


def _digest(request: _Request, architecture: str, hashes: list[str]) -> str:
    text = "\n".join(("debootstrap 1", request.suite, ",".join(request.include), architecture, *hashes))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _check(base: Base, digest: str) -> None:
    if digest != base.digest:
        raise InputError(
            f"{base.reference}: the archive changed since it was pinned", hint="`--pull always` pins it anew"
        )


def _hashes(used: Sequence[Archive], reference: str) -> list[str]:
    """The hashes of the archives' InRelease files, fetched by apt with its proxies, credentials and methods."""
    helper = Path("/usr/lib/apt/apt-helper")
    with tempfile.TemporaryDirectory(prefix="stepwood-") as folder:
        files = {archive.release: Path(folder) / f"{number}-InRelease" for number, archive in enumerate(used)}
        # A hash that is empty asks for none; with it there may be several files, and a server is connected to once.
        wanted = [word for release, file in files.items() for word in (release, str(file), "")]
        options = ("-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=0")
        done = process.run([str(helper), *options, "download-file", *wanted])
        if done.status != 0 or not all(file.exists() for file in files.values()):
            said = done.stderr.decode(errors="replace").splitlines()
            failed = f"apt-helper ended with status {done.status}"
            why = next((line.removeprefix("E: ") for line in said if "Failed to fetch" in line), failed)
            if "404  Not Found" in why:
                missing = next((release for release in files if release in why.split()), why)
                raise InputError(f"{reference}: the archive has no such suite: {missing}")
            raise RegistryError(f"{reference}: {why}")
        return sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files.values())
