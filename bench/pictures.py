"""The pictures of docs/pictures, made anew from a made batch of 24 jobs, and from a build of as many.

    python bench/pictures.py

Needs root, chromium and a static busybox on PATH, and Debian's archive, of which one base is.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

import pyte.graphics
from playwright.sync_api import Browser, sync_playwright

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from bench.made import batch, workflow  # noqa: E402
from tests.cli.desk import Desk  # noqa: E402
from tests.cli.screen import Screen, screen  # noqa: E402
from tests.system.bed import make_base  # noqa: E402

INTO = PROJECT / "docs/pictures"
JOBS = 24
PLAN, REPORT = ("plan", "made.workflow", "--format=html"), ("report",)


def main() -> None:
    pyte.graphics.TEXT[2] = "+italics"  # it knows nothing faint, and nothing here is in italics
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
        terminal(browser, "live", folder / "desk")
        browser.close()


def terminal(browser: Browser, name: str, folder: Path) -> None:
    """A build in the middle, on a terminal; the same but for one word was built before, so that its times are known."""
    folder.mkdir()
    make_base(Path(shutil.which("busybox") or "busybox"), folder)
    desk = Desk(folder, f"overlay:{folder}/store", folder / "base")
    for wish in ("-O1", "-O2"):
        desk.write("packages.workflow", packages(wish))
        with screen(desk, "build", "packages.workflow", "-j6", columns=104, rows=27) as seen:
            if wish == "-O2":
                seen.until(lambda: "9 of 24" in seen.text and "6 running" in seen.text, 60)
                page = browser.new_page(viewport={"width": 900, "height": 480})
                page.set_content(drawn(seen))
                page.locator("pre").screenshot(path=INTO / f"{name}.png")
                page.close()
            seen.end()


def packages(wish: str) -> str:
    """24 jobs on two shared steps; one fails."""
    return f"(workflow{''.join(_package(number, wish) for number in range(JOBS))})"


def _package(number: int, wish: str) -> str:
    lines = (
        f"for part in 1 2 3 4 5 6 7 8; do echo cc {wish} -c part$part.c -o part$part.o; sleep 0.{2 + number % 3}; done"
    )
    error = "echo 'main.c:12:5: error: expected a semicolon before return'; echo 'make: *** [all] Error 1'; exit 2"
    shared = [
        f"# apt-get install -y build-essential\necho Setting up gcc; sleep 1 # {wish}",
        f"# make -C libraries-{number % 3} install\n{lines}",
    ]
    own = f"# make -C package-{number:02}\n{error if number == 4 else lines}"
    runs = " ".join(f"(run (shell {json.dumps(command)}))" for command in [*shared, own])
    return f"\n(job package-{number:02} ((from bb) (shell /bin/sh -c) {runs}))"


def drawn(seen: Screen) -> str:
    """A screen as a page."""
    colours = {"default": "#ddd", "red": "#f66", "green": "#5c5", "cyan": "#5bc", "brown": "#cb5"}
    lines = []
    for row in seen.cells:
        spans = (
            f'<span style="color:{colours[cell.fg]};font-weight:{700 if cell.bold else 400};'
            f'opacity:{0.6 if cell.italics else 1}">{escape(cell.data)}</span>'
            for cell in row
        )
        lines.append("".join(spans))
    style = "display:inline-block;margin:0;padding:12px;background:#1b1b1b;font:13px/1.25 monospace"
    return f'<body style="margin:0"><pre style="{style}">{chr(10).join(lines)}</pre>'


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
