"""A browser that opens pages from disk: Debian's Chromium, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.cli.conftest import bb, desk  # noqa: F401  # the command makes pages too

Open = Callable[..., Page]
LOCAL = ("file:", "blob:", "data:")


@pytest.fixture(scope="module")  # it would be busy with nothing while other tests run
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        # As root Chromium has no sandbox of its own; the pages are ours.
        yield started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


@pytest.fixture
def open(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens HTML, or a file, at a size, and waits until it is drawn. Whatever a page does in a test, it must say
    nothing on the console and ask no network."""
    told: list[str] = []
    contexts = []

    def opened(page: str | Path, *, width: int = 1280, height: int = 800, dark: bool = False, at: str = "") -> Page:
        if isinstance(page, str):
            path = tmp_path / "page.html"
            path.write_text(page, errors="surrogateescape")
        else:
            path = page
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        new = context.new_page()
        new.set_default_timeout(20_000)
        new.on("console", lambda message: told.append(message.text))
        new.on("pageerror", lambda error: told.append(str(error)))
        new.on("dialog", lambda dialog: told.append(f"a dialog: {dialog.message}"))
        new.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "blob:", "data:")) else told.append(asked.url),
        )
        new.goto(f"file://{path}{at}")
        new.locator("#loading").wait_for(state="hidden")
        return new

    yield opened
    for context in contexts:
        context.close()
    assert told == []
