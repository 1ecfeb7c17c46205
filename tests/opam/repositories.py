"""Repositories of opam files, made for tests, of every kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stepwood.opam.entries import Source
from stepwood.opam.memory import ProcessMemory
from stepwood.opam.sources import open_source

TWO = {"packages/a/a.1/opam": "1", "packages/a/a.2/opam": "2"}
"""A small repository."""


def make(folder: Path, *trees: dict[str, str]) -> Path:
    """`a/b`: a file; `a@`: a link."""
    folder.mkdir(parents=True, exist_ok=True)
    for tree in trees:
        for name, content in tree.items():
            path = folder / name.rstrip("@")
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("@"):
                path.symlink_to(content)
            else:
                path.write_bytes(content.encode())
    return folder


def paths(files: Mapping[str, str]) -> dict[str, str]:
    """Opam files, by `name.version`, where they stand in a repository."""
    return {f"packages/{id.partition('.')[0]}/{id}/opam": text for id, text in files.items()}


def repository(folder: Path, files: Mapping[str, str]) -> str:
    """A folder with these opam files, by `name.version`."""
    return str(make(folder, paths(files)))


def git(folder: Path, *arguments: str) -> str:
    """Run git as a user would who has no settings of their own."""
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    name = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false")
    done = subprocess.run(["git", "-C", folder, *name, *arguments], env=env, check=True, capture_output=True)
    return done.stdout.decode().strip()


def commit(folder: Path, *options: str) -> Path:
    """Make a folder a repository, or another commit of it, with all that it holds."""
    git(folder, "init", "-q", *options)
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "--message", "x")
    return folder


def tar(folder: Path, *options: str, top: str = ".") -> bytes:
    return subprocess.run(["tar", "-c", "-C", folder, *options, top], check=True, capture_output=True).stdout


def saved(folder: Path, content: bytes) -> str:
    (folder / "repo.tar").write_bytes(content)
    return str(folder / "repo.tar")


def bare(folder: Path) -> str:
    git(folder.parent, "clone", "-q", "--bare", str(commit(folder)), "bare.git")
    return f"{folder.parent}/bare.git:HEAD"


def opened(text: str) -> Source:
    return open_source(text, ProcessMemory())


def told(source: Source) -> dict[str, str]:
    """What a source's opam files hold, by their paths."""
    entries = source.entries()
    return {entry.path: data.decode() for entry, data in zip(entries, source.read(entries), strict=True)}
