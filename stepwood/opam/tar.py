"""Repositories in tar archives, packed or not."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from pathlib import Path
from typing import IO

from stepwood.bases.compression import Packed
from stepwood.opam.entries import Listed, Source, content_of, explained, no_packages, sorted_out
from system.errors import InputError

_PLACE = re.compile(r"(?:\./)?(?:(?!packages/)([^/]+)/)?(packages(?:/.*)?)", re.DOTALL)
"""A path in a tar archive: the folder at the top that a repository may stand in, and the path in the repository."""


def open_archive(text: str) -> Source:
    """The repository that an archive holds, at its top or in a folder there."""
    with explained(), open(text, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        with Packed(Path(text), text, f"sha256:{digest}").opened() as read:
            repositories = _repositories(io.BytesIO(read(-1)))
    except (tarfile.TarError, EOFError, LookupError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{text} is damaged, or no tar archive: {error}") from error
    if not repositories:
        raise no_packages(text)
    if len(repositories) > 1 and "" not in repositories:
        raise InputError(f"{text} holds several repositories: {', '.join(sorted(repositories))}")
    held = repositories.get("", next(iter(repositories.values())))
    found = sorted_out(text, ((path, content_of(data)) for path, data in held.items()))
    return Listed(*found, lambda paths: (held[path] for path in paths))


def _repositories(tar: IO[bytes]) -> dict[str, dict[str, bytes]]:
    """By the folder that a repository stands in ("": none), its files below `packages`, by their paths from there."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=tar, mode="r:", encoding="utf-8", errors="surrogateescape", tarinfo=_Member) as archive:
        for member in archive:
            place = _PLACE.fullmatch(member.name)
            if place and (member.isdir() or place[2] != "packages"):
                held = found.setdefault(place[1] or "", {})
                # A hard link is one more name of a file that came before.
                if (member.isreg() or member.islnk()) and (content := archive.extractfile(member)):
                    held[place[2]] = content.read()
    return found


class _Member(tarfile.TarInfo):
    """A member whose damaged header is an error; tarfile alone takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from error
