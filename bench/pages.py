"""What pages of a made batch cost: to write, and to look at in Chromium.

    python bench/pages.py

Needs chromium on PATH. The commands run on a workflow of 5,000 jobs with 50,000 distinct steps (`bench/made.py`) of
which nothing is known, and on a batch of them that has run. *Drawn* is when the map is there, counted from the
beginning of the navigation; *search* takes from a key to the end of its event, drawing included, the worst of the
words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from bench.made import batch, workflow  # noqa: E402

WORDS = ("make", "target-7", "package-4321", "part-77.1 ", "nothing like it")
SEARCH = """(words) => {
  const field = document.getElementById("words");
  const begun = performance.now();
  field.value = words;
  field.dispatchEvent(new Event("input"));
  return performance.now() - begun;
}"""
ZOOM = """() => {
  const begun = performance.now();
  stepwood.map.zoomTo(3000);
  return performance.now() - begun;
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        folder = Path(name)
        (folder / "made.workflow").write_text(workflow())
        print("| page | written s | MB | first paint s | drawn s | search ms | zoom ms |")
        print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
        base = ("--base", "debian=debootstrap:bookworm")
        for command in ("plan", "dedup"):
            path = folder / command / "index.html"
            path.parent.mkdir()
            show(browser, command, path, ("made.workflow", "--format=html", "-o", str(path), *base))
        batch(folder / "store")
        show(browser, "report", folder / "report" / "index.html", ("-o", "report"))
        browser.close()


def show(browser: Browser, command: str, path: Path, arguments: Sequence[str]) -> None:
    """Write a page, and look at it."""
    folder = path.parents[1]
    argv = [sys.executable, "-m", "stepwood", command, *arguments, "--store", f"overlay:{folder}/store"]
    begun = time.perf_counter()
    subprocess.run(argv, cwd=folder, env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in path.parent.rglob("*.*")) / 1e6
    print(f"| {command} | {seconds:.1f} | {size:.1f} | {looked_at(browser, path)} |", flush=True)


def looked_at(browser: Browser, path: Path) -> str:
    page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page.goto(f"file://{path}")
    page.locator("#loading").wait_for(state="hidden")
    drawn = page.evaluate("performance.getEntriesByName('drawn')[0].startTime") / 1e3
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1e3
    search = max(page.evaluate(SEARCH, words) for words in WORDS)
    zoom = page.evaluate(
        "begun => (stepwood.map.zoomTo(3000), performance.now() - begun)", page.evaluate("performance.now()")
    )
    page.close()
    return f"{paint:.2f} | {drawn:.2f} | {search:.0f} | {zoom:.0f}"


if __name__ == "__main__":
    main()
