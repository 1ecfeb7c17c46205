"""Stores, each with a running helper."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stores.directory import directory
from stores.overlay import overlay
from stores.tree import TreeStore
from system.helper.client import Helper
from tests.stores.workshop import Workshop

DRIVERS: dict[str, Callable[..., TreeStore]] = {
    "overlay": overlay,
    "directory": directory,
}
"""A new store joins the suite with a line here."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run."""
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    with Helper(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture(params=sorted(DRIVERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, tmp_path: Path) -> Iterator[Callable[..., TreeStore]]:
    """Opens stores in one folder, each as another process would."""
    stores: list[TreeStore] = []

    def open(boot: str | None = None) -> TreeStore:
        stores.append(DRIVERS[kind](tmp_path / "store", boot=boot))
        return stores[-1]

    yield open
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., TreeStore]) -> TreeStore:
    """A store whose session has begun."""
    store = opened()
    store.start()
    return store


@pytest.fixture
def shop(store: TreeStore, helper: Helper) -> Workshop:
    """A store with a base in it."""
    shop = Workshop(store, helper)
    shop.base()
    return shop
