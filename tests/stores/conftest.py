"""Stores, each with a running helper."""

from __future__ import annotations

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
