"""A helper on a bed, for the tests of `system`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from system.helper.client import Helper
from tests.system.bed import Bed, busybox, make_base


@pytest.fixture(scope="module")
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    assert request.config.cache is not None
    program = busybox(request.config.cache.mkdir("busybox"))
    folder = tmp_path_factory.mktemp("bed")
    make_base(program, folder)
    (folder / "stage").mkdir()
    with Helper(folder / "stage") as helper:
        yield Bed(folder, helper)
