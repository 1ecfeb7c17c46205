"""What the tests of bases share."""

from __future__ import annotations

from pathlib import Path

import pytest

from system.helper.client import Helper
from tests.bases.building import Draft, ImageLayout, make_draft


@pytest.fixture(params=["folder", "layers"])
def draft(request: pytest.FixtureRequest, tmp_path: Path, helper: Helper) -> Draft:
    return make_draft(tmp_path, helper, layers=request.param == "layers")


@pytest.fixture
def layout(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "layout")
