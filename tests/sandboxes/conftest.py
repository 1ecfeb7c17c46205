"""Every sandbox, and a bed to launch them on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxes.namespaces import Namespaces
from sandboxes.oci import Oci
from sandboxes.sandbox import Sandbox
from system.helper.client import Helper
from tests.system.bed import Bed, busybox, make_base

SANDBOXES = [
    pytest.param(Namespaces(), id="namespaces"),
    pytest.param(Oci("runc"), id="oci-runc", marks=pytest.mark.tool("runc")),
    pytest.param(Oci("crun"), id="oci-crun", marks=pytest.mark.tool("crun")),
]
"""A new sandbox joins the suite with a line here."""


@pytest.fixture(params=SANDBOXES)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    found: Sandbox = request.param
    return found


@pytest.fixture(scope="session")
def sandbox_bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    assert request.config.cache is not None
    program = busybox(request.config.cache.mkdir("busybox"))
    folder = tmp_path_factory.mktemp("sandbox-bed")
    make_base(program, folder)
    (folder / "stage").mkdir()
    with Helper(folder / "stage") as helper:
        yield Bed(folder, helper)
