"""Where opam files come from: a folder, a tar archive, or a revision of a git repository, as each is at one moment.

What is no regular file, or stands where opam looks for nothing, is passed over; links are never followed. A repository
may be anybody's: what it holds is read, and nothing of it is run.

Errors: `InputError` where what was named is missing, broken or no repository of opam files; `ToolMissing` without git.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import IO, Protocol

from engine.inputs import opened, remembered
from engine.records import FileStamp
from stepwood.bases.compression import Packed
from system import process
from system.errors import InputError

# opamPackage.ml: what names and versions are made of; a name has a letter, and ends at the first dot.
_PACKAGE = r"(?=[\d_+-]*[A-Za-z])([\w+-]+)\.([\w.+~-]+)"
_FILE = re.compile(rf"(packages/(?:([\w+-]+)/(?=\2\.))?{_PACKAGE})/(?:opam|files/([^\0]+))", re.ASCII)
"""An opam file by its path, in either layout, or a file beside it."""
_BLOB = re.compile(rb"100[0-7]{3} blob ([0-9a-f]+)\t(.+)", re.DOTALL)
"""A regular file as `git ls-tree` tells of it."""
_PLACE = re.compile(r"(?:\./)?(?:(?!packages/)([^/]+)/)?(packages(?:/.*)?)", re.DOTALL)
"""A path in a tar archive: the folder at the top that a repository may stand in, and the path in the repository."""

_GIT_ENV = (
    "LC_ALL=C",
    "GIT_CONFIG_NOSYSTEM=1",
    "GIT_NO_REPLACE_OBJECTS=1",  # or a blob might not be what its id says
    # A partial clone fetches what it lacks, by programs that its own config names; older gits know only the second.
    "GIT_NO_LAZY_FETCH=1",
    "GIT_ALLOW_PROTOCOL=none",
)
# Any owner's repository will do, as nothing runs what it names.
_GIT_CONFIG = ("safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null")


@dataclass(frozen=True, slots=True)
class Entry:
    """An opam file of a repository.

    name, version   the package version that it describes, by its folder's name
    path            where it stands in the repository: packages/lwt/lwt.5.7.0/opam
    content         equal where the bytes are: `git:` and git's id of the blob, 40 digits of hex (64 in a SHA-256 git)
    """

    name: str
    version: str
    path: str
    content: str


class Source(Protocol):
    """A repository of opam files, at one moment."""

    def entries(self) -> Sequence[Entry]:
        """Sorted by name, then by version as a text."""
        ...

    def read(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The opam files of these, in their order. `InputError`: one is no longer what `content` says."""
        ...

    def files(self, entry: Entry) -> Mapping[str, bytes]:
        """What the folder `files` beside an opam file holds, by the paths below it: patches and the like."""
        ...


class Memory(Protocol):
    """Remembers files' contents, as `Entry.content` has them."""

    def contents(self, files: Iterable[FileStamp]) -> Mapping[str, str]:
        """The content, by path, of those files that are still what they were."""
        ...

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None: ...


class ProcessMemory:
    """Contents for as long as the process lives."""

    def __init__(self) -> None:
        self._known: dict[FileStamp, str] = {}

    def contents(self, files: Iterable[FileStamp]) -> dict[str, str]:
        return {file.path: content for file in files if (content := self._known.get(file))}

    def save_contents(self, contents: Iterable[tuple[FileStamp, str]]) -> None:
        self._known.update(contents)


def open_source(text: str, memory: Memory) -> Source:
    """The repository that `text` names: a folder, a tar archive or GIT:REV. What is there by the whole text wins, and
    else the longest folder before a colon. `memory` spares a folder's files from being hashed anew."""
    if os.path.isdir(text):
        return _folder(text, memory)
    if os.path.isfile(text):
        return _archive(text)
    folder, colon, revision = text.rpartition(":")
    while colon and not os.path.isdir(folder):
        folder, colon, more = folder.rpartition(":")
        revision = f"{more}:{revision}"
    if not colon:
        raise InputError(f"{text}: no such repository", hint="a repository is a folder, a tar archive or GIT:REV")
    return _revision(text, folder, revision)


def content_of(data: bytes, algorithm: str = "sha1") -> str:
    """`Entry.content` of these bytes: git's id of them as a blob."""
    hashed = hashlib.new(algorithm, b"blob %d\0" % len(data), usedforsecurity=False)
    hashed.update(data)
    return f"git:{hashed.hexdigest()}"


def _is(data: bytes, content: str) -> bool:
    return content_of(data, "sha1" if len(content) == len("git:") + 40 else "sha256") == content


@dataclass(frozen=True, slots=True)
class _Listed:
    """A repository whose files are all known by their paths."""

    listed: tuple[Entry, ...]
    beside: Mapping[str, Sequence[str]]
    """What stands below `files`, by the folder that this stands in."""
    fetch: Callable[[Sequence[str]], Iterator[bytes]]
    """The files at these paths, in their order."""

    def entries(self) -> Sequence[Entry]:
        return self.listed

    def read(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        return self.fetch([entry.path for entry in entries])

    def files(self, entry: Entry) -> Mapping[str, bytes]:
        folder = os.path.dirname(entry.path)
        names = sorted(self.beside.get(folder, ()))
        return dict(zip(names, self.fetch([f"{folder}/files/{name}" for name in names]), strict=True))


def _sorted_out(where: str, found: Iterable[tuple[str, str]]) -> tuple[tuple[Entry, ...], dict[str, list[str]]]:
    """The entries among these paths and contents; and the paths below `files`, by the folder that this stands in."""
    entries: list[Entry] = []
    beside: defaultdict[str, list[str]] = defaultdict(list)
    for path, content in found:
        if (match := _FILE.fullmatch(path)) is None:
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


def _no_packages(where: str, hint: str = "opam files stand at packages/NAME/NAME.VERSION/opam in it") -> InputError:
    return InputError(f'{where}: no repository of opam files, as it has no folder "packages"', hint=hint)


# A folder.


@dataclass(frozen=True, slots=True)
class _Folder:
    root: str
    listed: tuple[Entry, ...]

    def entries(self) -> Sequence[Entry]:
        return self.listed

    def read(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        for entry in entries:
            path = f"{self.root}/{entry.path}"
            with _explained():
                data = _bytes(path)
            if not _is(data, entry.content):
                raise InputError(f"{path} changed while the repository was read", hint="try again")
            yield data

    def files(self, entry: Entry) -> Mapping[str, bytes]:
        beside = f"{self.root}/{os.path.dirname(entry.path)}"
        with _explained():
            paths = sorted(_walk(f"{beside}/files")) if "files" in _folders(beside) else []
            return {path.removeprefix(f"{beside}/files/"): _bytes(path) for path in paths}


def _folder(text: str, memory: Memory) -> Source:
    root = os.path.abspath(text)
    now = time.time_ns()  # before any stat, so that what is written from here on counts as young
    with _explained():
        if "packages" not in _folders(root):
            bare = all(os.path.exists(f"{root}/{name}") for name in ("HEAD", "objects"))
            raise _no_packages(text, f"to read git's revisions: {text}:HEAD") if bare else _no_packages(text)
        stamps = {path: FileStamp.of(f"{root}/{path}", status) for path, status in _opam_files(root)}
        contents = _contents(list(stamps.values()), memory, now)
    listed, _ = _sorted_out(text, ((path, contents[stamp.path]) for path, stamp in stamps.items()))
    return _Folder(root, listed)


def _opam_files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Path and status of whatever may be an opam file."""
    for name in _folders(f"{root}/packages"):
        inside = [name] if "." in name else [f"{name}/{version}" for version in _folders(f"{root}/packages/{name}")]
        for folder in inside:
            path = f"packages/{folder}/opam"
            if status := _regular(f"{root}/{path}"):
                yield path, status


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


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error


# A revision of a git repository.


@dataclass(frozen=True, slots=True)
class _Blobs:
    where: str
    repository: str
    contents: Mapping[str, str]
    """The content of each file, by its path."""

    def read(self, paths: Sequence[str]) -> Iterator[bytes]:
        """The files at these paths, by one process."""
        if not paths:
            return
        with tempfile.TemporaryFile() as wanted:
            wanted.writelines(self.contents[path].removeprefix("git:").encode() + b"\n" for path in paths)
            wanted.seek(0)
            reader, writer = os.pipe()
            with open(reader, "rb", buffering=1 << 20) as output:
                try:
                    argv = _git_argv(self.repository, "cat-file", "--batch", "--buffer")
                    started = process.start(argv, stdin=wanted.fileno(), stdout=writer)
                finally:
                    os.close(writer)
                try:
                    for path in paths:
                        yield self._next(output, path)
                finally:
                    output.close()  # or a git that nobody listens to any more would not end
                    started.wait()

    def _next(self, output: IO[bytes], path: str) -> bytes:
        """The next of the files that git sends. Its bytes are compared with its id, as git does not do so."""
        head = output.readline().split()
        data = output.read(int(head[2]) + 1)[:-1] if len(head) == 3 else b""
        if not _is(data, self.contents[path]):
            hint = f"`git -C {self.repository} fsck` tells more; a partial clone lacks what it has not fetched"
            raise InputError(f"{self.where}: git does not have {path} whole", hint=hint)
        return data


def changed(repository: str, old: str, new: str) -> set[tuple[str, str]]:
    """The package versions, as name and version, of which a git repository has something else in two revisions: their
    opam files, or what is beside them."""
    trees = [_tree(f"{repository}:{revision}", repository, revision) for revision in (old, new)]
    argv = _git_argv(repository, "diff-tree", "-r", "-z", "--name-only", *trees, "--", "packages/")
    paths = map(os.fsdecode, _told(f"{repository}:{old}..{new}", process.run(argv)).split(b"\0"))
    return {(match[3], match[4]) for path in paths if (match := _FILE.fullmatch(path))}


def _tree(text: str, repository: str, revision: str) -> str:
    """The id of a revision's tree."""
    what = f"{revision}^{{tree}}" if ":" not in revision else revision
    found = process.run(_git_argv(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", what))
    if found.status == 1:
        raise InputError(f'{text}: git knows no revision "{revision}" in {repository}')
    return _told(text, found).decode().strip()


def _revision(text: str, repository: str, revision: str) -> Source:
    tree = _tree(text, repository, revision)
    lines = _told(text, process.run(_git_argv(repository, "ls-tree", "-r", "-z", tree, "packages/"))).split(b"\0")
    if lines == [b""]:
        raise _no_packages(text)
    files = [match.groups() for line in lines if (match := _BLOB.fullmatch(line))]
    contents = {os.fsdecode(path): f"git:{id.decode()}" for id, path in files}
    return _Listed(*_sorted_out(text, contents.items()), _Blobs(text, repository, contents).read)


def _git_argv(repository: str, *arguments: str) -> list[str]:
    """A run of git that starts no other program, whatever the repository's own config says."""
    git = process.find("git")
    config = [word for setting in _GIT_CONFIG for word in ("-c", setting)]
    return [process.find("env"), "-i", *_GIT_ENV, git, "-C", repository, *config, *arguments]


def _told(text: str, result: process.Result) -> bytes:
    """What git printed; `InputError` with its words where it failed."""
    if result.status != 0:
        said = result.stderr.decode(errors="replace").strip() or f"git ended with status {result.status}"
        raise InputError(f"{text}: {said.splitlines()[0].removeprefix('fatal: ')}")
    return result.stdout


# A tar archive.


def _archive(text: str) -> Source:
    with _explained(), open(text, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        with Packed(Path(text), text, f"sha256:{digest}").opened() as read:
            repositories = _repositories(io.BytesIO(read(-1)))
    except (tarfile.TarError, EOFError, LookupError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{text} is damaged, or no tar archive: {error}") from error
    if not repositories:
        raise _no_packages(text)
    if len(repositories) > 1 and "" not in repositories:
        raise InputError(f"{text} holds several repositories: {', '.join(sorted(repositories))}")
    held = repositories.get("", next(iter(repositories.values())))
    found = _sorted_out(text, ((path, content_of(data)) for path, data in held.items()))
    return _Listed(*found, lambda paths: (held[path] for path in paths))


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
