"""Settings: options of the command line over those of `stepwood.toml`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from system.errors import InputError, did_you_mean

FILE = "stepwood.toml"
STDIN = "-"
"""The FILE of a command line that is standard input."""
KEYS = ("store", "sandbox", "context", "base", "pull")
PULL = ("missing", "always", "never")


@dataclass(frozen=True, slots=True)
class Settings:
    """What every command that works with a store needs. None: the default of whoever reads it."""

    store: str | None = None
    sandbox: str = "namespaces"
    context: Path | None = None
    bases: Mapping[str, str] = field(default_factory=dict)
    pull: str = "missing"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says about workflows: values of parameters, and which jobs are asked for (all: none)."""

    values: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()


EVERYTHING = Choice()


def load(path: Path | None) -> dict[str, object]:
    """The settings of a file; of `stepwood.toml` in the working directory, if there is one, where none is named."""
    if path is None:
        path = Path(FILE)
        if not path.exists():
            return {}
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    for key in found:
        if key not in KEYS:
            raise InputError(f'{path}: unknown setting "{key}"', hint=did_you_mean(key, KEYS))
    bases = found.get("base", {})
    if not isinstance(bases, dict) or not all(isinstance(url, str) for url in bases.values()):
        raise InputError(f"{path}: [base] must give a URL for each name")
    for key in ("store", "sandbox", "context", "pull"):
        if not isinstance(found.get(key, ""), str):
            raise InputError(f"{path}: {key} must be a string")
    return found


def settings(file: Path | None, options: Mapping[str, object]) -> Settings:
    """The settings in force. `options` holds what the command line gave, None or empty where it gave nothing."""
    found = load(file) | {key: value for key, value in options.items() if value not in (None, (), {}) and key != "base"}
    pull = str(found.get("pull", "missing"))
    if pull not in PULL:
        raise InputError(f'pull is "{pull}", but must be one of {", ".join(PULL)}')
    bases = found.get("base", {})
    assert isinstance(bases, dict)
    named = dict(bases)
    pairs = options.get("base", ())
    assert isinstance(pairs, tuple)
    for pair in pairs:
        name, equals, url = str(pair).partition("=")
        if not equals or not name or not url:
            raise InputError(f'--base takes NAME=URL, not "{pair}"')
        named[name] = url
    context = found.get("context")
    return Settings(
        store=str(found["store"]) if "store" in found else None,
        sandbox=str(found.get("sandbox", "namespaces")),
        context=Path(str(context)) if context else None,
        bases=named,
        pull=pull,
    )


def state_folder() -> Path:
    """Where the default store is: `stepwood/store` in the user's state folder (XDG base directories)."""
    return _own_folder("XDG_STATE_HOME", ".local/state") / "store"


def cache_folder() -> Path:
    """Where what can be found anew is remembered: `stepwood` in the user's cache folder."""
    return _own_folder("XDG_CACHE_HOME", ".cache")


def _own_folder(variable: str, default: str) -> Path:
    set = os.environ.get(variable)
    return (Path(set) if set else Path.home() / default) / "stepwood"
