"""A desk for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.desk import Desk
from tests.system.bed import busybox, make_base


@pytest.fixture(scope="session")
def bb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of busybox."""
    folder = tmp_path_factory.mktemp("bb")
    assert request.config.cache is not None
    make_base(busybox(request.config.cache.mkdir("busybox")), folder)
    return folder / "base"


@pytest.fixture
def desk(tmp_path: Path, bb: Path) -> Desk:
    """A folder with a store to be, and a base `bb`."""
    return Desk(tmp_path, f"overlay:{tmp_path}/store", bb)


@pytest.fixture
def texts(tmp_path: Path) -> Desk:
    """A folder for the commands that only read specs."""
    return Desk(tmp_path, None, None)
