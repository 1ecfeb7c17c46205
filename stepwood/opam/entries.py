"""Opam files of a repository: which there are, whatever holds them.

What is no regular file, or stands where opam looks for nothing, is passed over. A repository may be anybody's: what it
holds is read, and nothing of it is run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple, Protocol

from system.errors import InputError

# opamPackage.ml: what names and versions are made of; a name has a letter, and ends at the first dot.
_PACKAGE = r"(?=[\d_+-]*[A-Za-z])([\w+-]+)\.([\w.+~-]+)"
FILE = re.compile(rf"(packages/(?:([\w+-]+)/(?=\2\.))?{_PACKAGE})/(?:opam|files/([^\0]+))", re.ASCII)
"""An opam file by its path, in either layout, or a file beside it."""


class Entry(NamedTuple):
    """An opam file of a repository. A tuple, as a repository has twenty thousand.

    name, version   the package version that it describes, by its folder's name
    path            where it stands in the repository: packages/lwt/lwt.5.7.0/opam
    content         equal where the bytes are: `git:` and git's id of the blob, 40 digits of hex (64 in a SHA-256 git)
    folder          of a pin, what it is built from; "" where the opam file says that
    """

    name: str
    version: str
    path: str
    content: str
    folder: str = ""


class Source(Protocol):
    """A repository of opam files, at one moment."""

    def names(self) -> Collection[str]:
        """The names of all packages that it may have."""
        ...

    def entries(self, names: Collection[str] | None = None) -> Sequence[Entry]:
        """Those of packages with one of these names, or all: sorted by name, then by version as a text."""
        ...

    def read(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The opam files of these, in their order. `InputError`: one is no longer what `content` says."""
        ...

    def files(self, entry: Entry) -> Mapping[str, bytes]:
        """What the folder `files` beside an opam file holds, by the paths below it: patches and the like."""
        ...


def is_package(name: str, version: str) -> bool:
    """Whether opam could call a package and a version so."""
    return re.fullmatch(_PACKAGE, f"{name}.{version}", re.ASCII) is not None


def content_of(data: bytes, algorithm: str = "sha1") -> str:
    """`Entry.content` of these bytes: git's id of them as a blob."""
    hashed = hashlib.new(algorithm, b"blob %d\0" % len(data), usedforsecurity=False)
    hashed.update(data)
    return f"git:{hashed.hexdigest()}"


def is_whole(data: bytes, content: str) -> bool:
    return content_of(data, "sha1" if len(content) == len("git:") + 40 else "sha256") == content


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository whose files are all known by their paths."""

    listed: tuple[Entry, ...]
    beside: Mapping[str, Sequence[str]]
    """What stands below `files`, by the folder that this stands in."""
    fetch: Callable[[Sequence[str]], Iterator[bytes]]
    """The files at these paths, in their order."""

    def names(self) -> Collection[str]:
        return {entry.name for entry in self.listed}

    def entries(self, names: Collection[str] | None = None) -> Sequence[Entry]:
        if names is None:
            return self.listed
        return tuple(entry for entry in self.listed if entry.name in names)

    def read(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        return self.fetch([entry.path for entry in entries])

    def files(self, entry: Entry) -> Mapping[str, bytes]:
        folder = os.path.dirname(entry.path)
        names = sorted(self.beside.get(folder, ()))
        return dict(zip(names, self.fetch([f"{folder}/files/{name}" for name in names]), strict=True))


def sorted_out(where: str, found: Iterable[tuple[str, str]]) -> tuple[tuple[Entry, ...], dict[str, list[str]]]:
    """The entries among these paths and contents; and the paths below `files`, by the folder that this stands in."""
    entries: list[Entry] = []
    beside: defaultdict[str, list[str]] = defaultdict(list)
    for path, content in found:
        if (match := FILE.fullmatch(path)) is None:
            continue
        folder, _, name, version, other = match.groups()
        if other is None:
            entries.append(Entry(name, version, path, content))
        elif not {"", ".", ".."} & set(other.split("/")):  # they will be written somewhere, and must stay there
            beside[folder].append(other)
    entries.sort(key=attrgetter("name", "version"))
    for one, other in pairwise(entries):
        if one.version == other.version and one.name == other.name:
            raise InputError(f"{where}: {one.name}.{one.version} stands twice, at {one.path} and {other.path}")
    return tuple(entries), beside


def no_packages(where: str, hint: str = "opam files stand at packages/NAME/NAME.VERSION/opam in it") -> InputError:
    return InputError(f'{where}: no repository of opam files, as it has no folder "packages"', hint=hint)


@contextmanager
def explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error
