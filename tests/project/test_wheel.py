"""The wheel holds every module of the listed packages, the grammar, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ENDINGS = ("py.typed", "*.py", "*.lark", "*.spec", "*.toml", "*.html", "*.js", "*.css", "*.LICENSE", "vendor/*.md")
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PACKAGES: list[str] = SETTINGS["tool"]["setuptools"]["packages"]
TOP = ("grammar", "system", "engine", "stores", "sandboxes", "stepwood")


def sources() -> set[str]:
    """What of the project's folders belongs into a wheel."""
    found = {path for top in TOP for ending in ENDINGS for path in (PROJECT / top).rglob(ending)}
    return {str(path.relative_to(PROJECT)) for path in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that no build folder is left, and none of before is taken along."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "project"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, copy)
    for top in TOP:
        shutil.copytree(PROJECT / top, copy / top, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, copy],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_every_package_is_listed() -> None:
    there = {name.rpartition("/")[0].replace("/", ".") for name in sources() if name.endswith(".py")}
    assert set(PACKAGES) == there
    assert {"system.helper", "stepwood.bases", "stepwood.commands"} <= there
    assert all((PROJECT / name.replace(".", "/") / "__init__.py").exists() for name in PACKAGES)


def test_the_files_of_the_wheel(wheel: zipfile.ZipFile) -> None:
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == sources()
    assert {"grammar/spec.lark", "engine/executor/causes.toml", "stepwood/report/assets/vendor/d3.LICENSE"} <= files


def test_the_metadata_of_the_wheel(wheel: zipfile.ZipFile) -> None:
    information = {name.rpartition("/")[2] for name in wheel.namelist() if ".dist-info/" in name}
    assert {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"} <= information
    entry = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "stepwood = stepwood.cli:main" in wheel.read(entry).decode()
