"""Which archives the host's apt settings give for a suite: sources.list(5), both its forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from system.errors import InputError

_LIST, _PARTS = Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>.*)")
_OPTIONS = {"Signed-By": "signed-by", "Trusted": "trusted"}
_COMPANIONS = re.compile(r"(.+?)(?:-updates|-security|/updates)?\Z")


@dataclass(frozen=True, slots=True)
class Archive:
    """One suite of one archive. `options` as sources.list's brackets have them."""

    uri: str
    suite: str
    components: str
    options: str

    @property
    def line(self) -> str:
        options = f"[{self.options}] " if self.options else ""
        return f"deb {options}{self.uri} {self.suite} {self.components}".rstrip()

    @property
    def release(self) -> str:
        """The URL of its InRelease file."""
        return f"{self.uri.rstrip('/')}/dists/{self.suite}/InRelease"


def archives(suite: str, files: list[Path] | None = None) -> list[Archive]:
    """The host's archives of a suite, its updates and its security updates.

    Where the host has another suite, the archive of the first one that is not a companion is asked for this one.
    """
    known = [archive for file in (_files() if files is None else files) for archive in _read(file)]
    used = [archive for archive in known if suite in (archive.suite, _main(archive.suite))]
    if any(archive.suite == suite for archive in used):
        return list(dict.fromkeys(used))
    main = next((archive for archive in known if _main(archive.suite) == archive.suite), None)
    if main is None:
        raise InputError("debootstrap: the host's apt settings name no archive", hint=f"See {_LIST} and {_PARTS}")
    return [replace(main, suite=suite)]


def _main(suite: str) -> str:
    found = _COMPANIONS.match(suite)
    return found[1] if found else suite


def _files() -> list[Path]:
    parts = sorted(_PARTS.glob("*")) if _PARTS.is_dir() else []
    return [file for file in (_LIST, *parts) if file.is_file()]


def _read(file: Path) -> Iterator[Archive]:
    text = file.read_text(encoding="utf-8", errors="replace")
    match file.suffix:
        case ".list":
            for line in text.splitlines():
                if found := _ONE_LINE.match(line.partition("#")[0].strip()):
                    options, components = found["options"] or "", " ".join(found["components"].split())
                    yield Archive(found["uri"], found["suite"], components, options.strip())
        case ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                yield from _stanza(stanza)


def _stanza(text: str) -> Iterator[Archive]:
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[key] = f"{fields.get(key, '')}\n{line.strip()}"
        elif ":" in line:
            key, _, value = line.partition(":")
            key = key.strip().title()
            fields[key] = value.strip()
    if fields.get("Enabled", "yes").lower() == "no" or "deb" not in fields.get("Types", "").split():
        return
    # A key given in the file itself cannot stand in a one-line entry: apt then takes its trusted keys.
    given = ((short, fields.get(key, "").split()) for key, short in _OPTIONS.items())
    options = " ".join(f"{short}={words[0]}" for short, words in given if len(words) == 1)
    for uri in fields.get("Uris", "").split():
        for suite in fields.get("Suites", "").split():
            yield Archive(uri, suite, " ".join(fields.get("Components", "").split()), options)
