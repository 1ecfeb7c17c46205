"""What the tests of bases share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.helper.client import Helper
from tests.bases.building import Draft, ImageLayout, make_draft


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run."""
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        for marker in item.iter_markers("tool"):
            if shutil.which(marker.args[0]) is None:
                item.add_marker(pytest.mark.skip(reason=f"needs {marker.args[0]}"))


@pytest.fixture(scope="session")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    with Helper(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture(params=["folder", "layers"])
def draft(request: pytest.FixtureRequest, tmp_path: Path, helper: Helper) -> Draft:
    return make_draft(tmp_path, helper, layers=request.param == "layers")


@pytest.fixture
def layout(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "layout")
