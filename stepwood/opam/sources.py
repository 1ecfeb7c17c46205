"""Where opam files come from: a folder, a tar archive, or a revision of a git repository, as each is at one moment.

Links are never followed. Errors: `InputError` where what was named is missing, broken or no repository of opam files;
`ToolMissing` without git.
"""

from __future__ import annotations

import os
import stat
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from engine.inputs import opened, remembered
from engine.records import FileStamp
from stepwood.opam.entries import Entry, Source, content_of, explained, is_whole, no_packages, sorted_out
from stepwood.opam.git import open_revision
from stepwood.opam.memory import Memory
from stepwood.opam.tar import open_archive
from system.errors import InputError


def open_source(text: str, memory: Memory) -> Source:
    """The repository that `text` names: a folder, a tar archive or GIT:REV. What is there by the whole text wins, and
    else the longest folder before a colon. `memory` spares a folder's files from being hashed anew."""
    if os.path.isdir(text):
        return _Folder(text, memory)
    if os.path.isfile(text):
        return open_archive(text)
    folder, colon, revision = text.rpartition(":")
    while colon and not os.path.isdir(folder):
        folder, colon, more = folder.rpartition(":")
        revision = f"{more}:{revision}"
    if not colon:
        raise InputError(f"{text}: no such repository", hint="a repository is a folder, a tar archive or GIT:REV")
    return open_revision(text, folder, revision)


class _Folder:
    """Looks into the folders of packages when they are asked for, and lists each once."""

    def __init__(self, text: str, memory: Memory) -> None:
        self._text, self._root, self._memory = text, os.path.abspath(text), memory
        self._folders: defaultdict[str, list[str]] = defaultdict(list)
        """By name, the folders in `packages` that may have versions, or be one."""
        self._listed: dict[str, tuple[Entry, ...]] = {}
        with explained():
            if "packages" not in _folders(self._root):
                bare = all(os.path.exists(f"{self._root}/{name}") for name in ("HEAD", "objects"))
                raise no_packages(text, f"to read git's revisions: {text}:HEAD") if bare else no_packages(text)
            for folder in _folders(f"{self._root}/packages"):
                self._folders[folder.partition(".")[0]].append(folder)

    def names(self) -> Collection[str]:
        return self._folders.keys()

    def entries(self, names: Collection[str] | None = None) -> Sequence[Entry]:
        wanted = sorted(self._folders if names is None else self._folders.keys() & set(names))
        self._list([name for name in wanted if name not in self._listed])
        return tuple(entry for name in wanted for entry in self._listed[name])

    def _list(self, names: Sequence[str]) -> None:
        now = time.time_ns()  # before any stat, so that what is written from here on counts as young
        with explained():
            files = [file for name in names for file in self._opam_files(name)]
            stamps = {path: FileStamp.of(f"{self._root}/{path}", status) for path, status in files}
            contents = _contents(list(stamps.values()), self._memory, now)
        found, _ = sorted_out(self._text, ((path, contents[stamp.path]) for path, stamp in stamps.items()))
        for name in names:
            self._listed[name] = ()
        for name, entries in groupby(found, key=lambda entry: entry.name):
            self._listed[name] = tuple(entries)

    def _opam_files(self, name: str) -> Iterator[tuple[str, os.stat_result]]:
        """Path and status of whatever may be an opam file."""
        for folder in self._folders[name]:
            versions = _folders(f"{self._root}/packages/{folder}") if "." not in folder else []
            for place in [folder] if "." in folder else [f"{folder}/{version}" for version in versions]:
                path = f"packages/{place}/opam"
                if status := _regular(f"{self._root}/{path}"):
                    yield path, status

    def read(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        for entry in entries:
            path = f"{self._root}/{entry.path}"
            with explained():
                data = _bytes(path)
            if not is_whole(data, entry.content):
                raise InputError(f"{path} changed while the repository was read", hint="try again")
            yield data

    def files(self, entry: Entry) -> Mapping[str, bytes]:
        beside = f"{self._root}/{os.path.dirname(entry.path)}"
        with explained():
            paths = sorted(_walk(f"{beside}/files")) if "files" in _folders(beside) else []
            return {path.removeprefix(f"{beside}/files/"): _bytes(path) for path in paths}


def _contents(stamps: Sequence[FileStamp], memory: Memory, now: int) -> dict[str, str]:
    """The content of each file, by its path."""
    read = lambda path: content_of(_bytes(path))  # noqa: E731
    return remembered(stamps, memory.contents, read, memory.save_contents, now)


def _folders(path: str) -> list[str]:
    """The names of the folders in a folder."""
    with os.scandir(path) as inside:
        return [item.name for item in inside if item.is_dir(follow_symlinks=False)]


def _walk(top: str) -> Iterator[str]:
    """The paths of the files below a folder."""
    folders = [top]
    while folders:
        with os.scandir(folders.pop()) as inside:
            for item in inside:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                elif item.is_file(follow_symlinks=False):
                    yield item.path


def _regular(path: str) -> os.stat_result | None:
    """The status of a regular file; None of all else."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _bytes(path: str) -> bytes:
    with opened(path) as file:
        return file.read()
