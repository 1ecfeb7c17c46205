"""The pictures of docs/pictures, made anew from a made batch of 24 jobs.

    python bench/pictures.py

Needs chromium on PATH, and Debian's archive, of which the base is one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from bench.made import batch, workflow  # noqa: E402

INTO = PROJECT / "docs/pictures"
JOBS = 24
PLAN, REPORT = ("plan", "made.workflow", "--format=html"), ("report",)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as started:
        folder = Path(name)
        (folder / "made.workflow").write_text(workflow(JOBS))
        batch(folder / "store", JOBS, workers=8, failures=1 / 200)
        store = ("--store", f"overlay:{folder}/store")
        base = ("--base", "debian=debootstrap:bookworm", "-j", "4")
        for arguments in ((*PLAN, *base, "-o", "plan.html"), (*REPORT, "-o", "report")):
            subprocess.run(
                [sys.executable, "-m", "stepwood", *arguments, *store], cwd=folder, env={"PYTHONPATH": str(PROJECT)},
                check=True,
            )  # fmt: skip
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        failed = "stepwood.data.outcome.indexOf('failed')"
        picture(browser, "plan-map", folder / "plan.html", "#", "stepwood.choose(stepwood.data.path[7])")
        picture(
            browser, "plan-timeline", folder / "plan.html", "#tab=timeline", "stepwood.choose(stepwood.data.path[9])"
        )
        picture(browser, "report-failures", folder / "report/index.html", "#tab=failures", f"stepwood.choose({failed})")
        picture(
            browser, "report-phone", folder / "report/index.html", "#tab=jobs", f"stepwood.choose({failed})",
            size=(390, 844), dark=True,
        )  # fmt: skip
        browser.close()


def picture(
    browser: Browser,
    name: str,
    page: Path,
    at: str,
    act: str,
    *,
    size: tuple[int, int] = (1280, 720),
    dark: bool = False,
) -> None:
    opened = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        timezone_id="UTC",
    )
    opened.goto(f"file://{page}{at}")
    opened.locator("#loading").wait_for(state="hidden")
    opened.evaluate(act)
    INTO.mkdir(exist_ok=True)
    opened.screenshot(path=INTO / f"{name}.png")
    opened.close()


if __name__ == "__main__":
    main()
