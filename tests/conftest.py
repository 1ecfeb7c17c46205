"""What all tests share: a test that needs what this machine lacks says so, by its markers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

from system.helper.client import Helper
from tests.counts import EXAMPLES

settings.register_profile("counts", max_examples=100 * EXAMPLES, deadline=None)  # a busy machine is no failure
settings.load_profile("counts")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason. In CI nothing may be skipped: see `make test`."""
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
