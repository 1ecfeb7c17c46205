"""Repositories as git has them: a revision is read without a checkout, and what two have different is told."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from stepwood.opam.entries import FILE, Listed, Source, is_whole, no_packages, sorted_out
from system import process
from system.errors import InputError

_BLOB = re.compile(rb"100[0-7]{3} blob ([0-9a-f]+)\t(.+)", re.DOTALL)
"""A regular file as `git ls-tree` tells of it."""

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
        if not is_whole(data, self.contents[path]):
            hint = f"`git -C {self.repository} fsck` tells more; a partial clone lacks what it has not fetched"
            raise InputError(f"{self.where}: git does not have {path} whole", hint=hint)
        return data


def changed(repository: str, old: str, new: str) -> set[tuple[str, str]]:
    """The package versions, as name and version, of which a git repository has something else in two revisions: their
    opam files, or what is beside them."""
    trees = [_tree(f"{repository}:{revision}", repository, revision) for revision in (old, new)]
    argv = _git_argv(repository, "diff-tree", "-r", "-z", "--name-only", *trees, "--", "packages/")
    paths = map(os.fsdecode, _told(f"{repository}:{old}..{new}", process.run(argv)).split(b"\0"))
    return {(match[3], match[4]) for path in paths if (match := FILE.fullmatch(path))}


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its id, and the first line of what it says."""

    id: str
    subject: str


def commits(repository: str, old: str, new: str) -> list[Commit]:
    """The commits after one revision up to another that changed packages, the oldest first; of merges the one side."""
    for revision in (old, new):
        _tree(f"{repository}:{revision}", repository, revision)
    span = ("--reverse", "--first-parent", "--format=%H %s", "--end-of-options", f"{old}..{new}", "--", "packages/")
    lines = _told(f"{repository}:{old}..{new}", process.run(_git_argv(repository, "log", *span))).splitlines()
    return [Commit(*line.decode(errors="replace").split(" ", 1)) for line in lines]


def _tree(text: str, repository: str, revision: str) -> str:
    """The id of a revision's tree."""
    what = f"{revision}^{{tree}}" if ":" not in revision else revision
    found = process.run(_git_argv(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", what))
    if found.status == 1:
        raise InputError(f'{text}: git knows no revision "{revision}" in {repository}')
    return _told(text, found).decode().strip()


def open_revision(text: str, repository: str, revision: str) -> Source:
    """The repository that a revision has. `text` names it in errors."""
    tree = _tree(text, repository, revision)
    lines = _told(text, process.run(_git_argv(repository, "ls-tree", "-r", "-z", tree, "packages/"))).split(b"\0")
    if lines == [b""]:
        raise no_packages(text)
    files = [match.groups() for line in lines if (match := _BLOB.fullmatch(line))]
    contents = {os.fsdecode(path): f"git:{id.decode()}" for id, path in files}
    return Listed(*sorted_out(text, contents.items()), _Blobs(text, repository, contents).read)


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
