"""The report of a batch, as somebody uses it who wants to know what broke."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Open
from tests.browser.pages import choose, details, faults, overflows, rows, tab
from tests.cli.desk import Desk, until

pytestmark = [pytest.mark.tool("chromium"), pytest.mark.root]

FAIL = "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); done; echo 'main.c:3: error: no semicolon'; exit 3"
WORKFLOW = f"""(workflow
 (build base ((from bb) (shell /bin/sh -c) (run (shell "echo trunk"))))
 (job good-%{{n}} (matrix (n 1 2)) ((from (build base)) (run (shell "echo compiling %{{n}}")) (run (shell "echo end"))))
 (job bad-%{{n}} (matrix (n 1 2))
  ((from (build base))
   (copy (src what) (dst /what))
   (run (shell "test -e /fixed || {{ {FAIL}; }}"))
   (run (shell "echo %{{n}}")))))
"""


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, bb: Path) -> Desk:
    """Two batches: in the first a job is broken, in the second two others are, and that one is fixed."""
    folder = tmp_path_factory.mktemp("nights")
    desk = Desk(folder, f"overlay:{folder}/store", bb)
    desk.write("what", "1")
    text = WORKFLOW.replace(FAIL, "true")
    first = text.replace('(run (shell "echo compiling %{n}"))', '(run (shell "test %{n} = 1 || exit 7"))')
    desk.write("w.workflow", first)
    assert desk.run("build", "w.workflow", "-j", "2").returncode == 1
    desk.write("w.workflow", WORKFLOW)
    assert desk.run("build", "w.workflow", "-j", "2").returncode == 1
    done = desk.ok("report", "-o", "out")
    assert done.stderr == "out/index.html\n"
    return desk


def test_from_the_matrix_of_jobs_to_the_line_that_tells(open: Open, nights: Desk) -> None:
    page = open(nights.folder / "out/index.html")
    assert page.title().startswith("Batch 2")
    told = rows(page, "jobs")
    assert [row.split(" | ")[:2] for row in told] == [
        ["bad-1", "failed"], ["bad-2", "failed"], ["good-1", "built"], ["good-2", "built"],
    ]  # fmt: skip
    assert told[0].split(" | ")[2].startswith("exit 3: test -e /fixed")
    page.locator("#view-jobs .tabulator-row").first.click()
    assert "✗ failed" in details(page)
    assert "exit 3" in details(page)
    tab(page, "Failures")
    assert "it failed 2 jobs" in page.locator("#failures").inner_text()
    page.locator("#failures .line", has_text="no semicolon").locator("a").click()
    page.get_by_role("tab", name="Logs", selected=True).wait_for()
    marked = page.locator("#log .line.marked")
    marked.wait_for()
    assert marked.inner_text().split() == ["41", "main.c:3:", "error:", "no", "semicolon"]
    assert page.locator("#log .line").count() == 41
    again = open(nights.folder / "out/index.html", at=page.evaluate("location.hash"))
    assert "41" in again.locator("#log .line.marked").inner_text(), "an address leads to the line"


def test_words_are_found_in_all_logs(open: Open, nights: Desk) -> None:
    page = open(nights.folder / "out/index.html")
    tab(page, "Logs")
    page.get_by_label("Find in all logs").fill("LINE 3")
    page.get_by_label("Find in all logs").press("Enter")
    page.locator("#log-told", has_text="lines in").wait_for()
    assert page.locator("#log-told").inner_text() == "11 lines in 1 log"
    assert page.locator("#log-found .line").first.inner_text().split() == ["4", "line", "3"]
    page.get_by_label("Find in all logs").fill("nothing like it")
    page.get_by_label("Find in all logs").press("Enter")
    page.locator("#log-told", has_text="0 lines in 0 logs").wait_for()
    choose(page, "trunk")
    assert "cached" in details(page)
    page.locator("#log .line", has_text="trunk").wait_for()
    assert "as it was built, in an earlier batch" in page.locator("#log h2").inner_text()


def test_numbers_lead_to_what_they_count(open: Open, nights: Desk) -> None:
    page = open(nights.folder / "out/index.html")
    page.get_by_role("button", name="2 jobs failed").click()
    assert len(rows(page, "jobs")) == 2
    page.get_by_role("button", name="2 steps skipped").click()
    assert [row.split(" | ")[:2] for row in rows(page, "steps")] == [["echo 1", "skipped"], ["echo 2", "skipped"]]
    page.locator("#view-steps .tabulator-row").first.click()
    assert "Because of" in details(page)
    page.locator("#details a").first.click()
    assert "✗ failed" in details(page)


def test_what_changed_since_the_batch_before(open: Open, nights: Desk) -> None:
    page = open(nights.folder / "out/index.html")
    tab(page, "Changes")
    told = page.locator("#changes").inner_text()
    assert "2 newly failing" in told
    assert "bad-1: built → failed" in told
    assert "1 fixed" in told
    assert "good-2: failed → built" in told
    page.locator("#changes").get_by_role("button", name="bad-2").click()
    assert "✗ failed" in details(page)


def test_the_run_as_it_was(open: Open, nights: Desk) -> None:
    page = open(nights.folder / "out/index.html")
    tab(page, "Timeline")
    assert "of work on up to" in page.locator("#timeline-told").inner_text()
    data = page.evaluate("stepwood.data")
    outcome = dict(zip(data["id"], data["outcome"], strict=True))
    assert sorted(set(outcome.values())) == ["built", "cached", "failed", "skipped"]
    ran = {data["id"][step] for step in data["timeline"]["step"]}
    assert ran == {id for id, one in outcome.items() if one in ("built", "failed")}
    assert set(data["path"]) <= set(data["timeline"]["step"])
    for start, end in zip(data["timeline"]["start"], data["timeline"]["end"], strict=True):
        assert 0 <= start <= end <= data["batch"]["wall"] + 0.1


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False)])
def test_everybody_can_use_it(open: Open, nights: Desk, width: int, dark: bool) -> None:
    page = open(nights.folder / "out/index.html", width=width, dark=dark)
    choose(page, "semicolon")
    for view in ["Jobs", "Failures", "Map", "Timeline", "Steps", "Logs", "Changes"]:
        tab(page, view)
        if view == "Logs":
            page.locator("#log .line").first.wait_for()
        assert faults(page) == [], view
        assert not overflows(page), view


def test_jobs_by_the_axes_of_their_matrix(open: Open, desk: Desk) -> None:
    desk.write(
        "w.workflow",
        """(workflow
 (job %{what}-%{level}-1 (matrix (what one two three) (level 1 2) (exclude (what three) (level 2))) (labels (team core))
  ((from bb) (shell /bin/sh -c) (run (shell "test %{what}%{level} != two2 || exit 7"))))
 (job lone ((from bb))))""",
    )
    assert desk.run("build", "w.workflow").returncode == 1
    desk.ok("report", "-o", "out")
    page = open(desk.folder / "out/index.html")
    tab(page, "Matrix")
    assert rows(page, "matrix") == [
        "one-…-1 | built | built | ",
        "two-…-1 | built | ✗ failed | exit 7",
        "three-…-1 | built |  | ",
    ]
    assert page.locator("#matrix-told").inner_text() == "3 rows of 5 jobs; 1 job without it"
    assert page.locator("#matrix-axis option").all_inner_texts() == ["level", "what"], "one value is no axis"
    page.locator("#view-matrix .tabulator-row", has_text="two").click()
    assert "✗ failed" in details(page)
    page.get_by_label("Only rows with").fill("FAILED exit")
    page.locator("#view-matrix .tabulator-row", has_text="one").wait_for(state="detached")
    assert rows(page, "matrix") == ["two-…-1 | built | ✗ failed | exit 7"]
    page.get_by_label("Columns").select_option("what")
    page.locator("#view-matrix .tabulator-row", has_text="…-2-1").wait_for()
    page.locator("#view-matrix .tabulator-row", has_text="…-1-1").wait_for(state="detached")
    page.get_by_label("Only rows with").fill("")
    page.locator("#view-matrix .tabulator-row", has_text="…-1-1").wait_for()
    page.locator("#view-matrix .tabulator-row", has_text="…-2-1").wait_for()
    assert rows(page, "matrix") == ["…-1-1 | built | built | built | ", "…-2-1 | built | ✗ failed |  | exit 7"]
    assert faults(page) == []


def test_packages_by_compilers(open: Open, nights: Desk) -> None:
    """After `opam build`, whose results stand in the store."""
    batch, _ = json.loads(nights.ok("history", "--json").stdout)["batches"]
    known = open(nights.folder / "out/index.html").evaluate("stepwood.data")
    failed = known["id"][known["outcome"].index("failed")]
    plain = {"why": "", "root": [], "step": None, "log": None, "accepted": False, "seconds": 0.0}
    cells = [
        {**plain, "package": "fmt.1", "compiler": "5.3.0", "result": "bad", "why": "it cannot be installed",
         "step": failed},
        {**plain, "package": "fmt.1", "compiler": "4.14.2", "result": "good"},
        {**plain, "package": "<b>.1", "compiler": "5.3.0", "result": "not available", "why": "no solution"},
    ]  # fmt: skip
    (nights.place / "opam").mkdir()
    (nights.place / f"opam/{batch['id']}.json").write_text(json.dumps({"cells": cells}))
    nights.ok("report", "-o", "packages")
    page = open(nights.folder / "packages/index.html")
    tab(page, "Matrix")
    assert rows(page, "matrix") == [
        "fmt.1 | bad | good | it cannot be installed", "<b>.1 | not available |  | no solution",
    ]  # fmt: skip
    assert page.locator("#matrix-told").inner_text() == "1 bad, 1 good, 1 not available"
    page.locator("#view-matrix .tabulator-row").first.click()
    assert "✗ failed" in details(page)
    assert faults(page) == []


def test_two_batches_that_are_named(open: Open, nights: Desk) -> None:
    second, first = (one["id"] for one in json.loads(nights.ok("history", "--json").stdout)["batches"])
    nights.ok("report", first, second, "-o", "back")
    page = open(nights.folder / "back/index.html")
    tab(page, "Changes")
    assert "2 fixed" in page.locator("#changes").inner_text()
    nights.ok("report", first, "-o", "alone")
    assert not open(nights.folder / "alone/index.html").get_by_role("tab", name="Changes").is_visible()


def test_a_report_is_written_over_a_report_and_over_nothing_else(nights: Desk) -> None:
    nights.ok("report", "-o", "again")
    (nights.folder / "again/logs/99.js").write_text("old")
    nights.ok("report", "-o", "again")
    assert not (nights.folder / "again/logs/99.js").exists()
    nights.write("mine/thesis.txt", "x")
    done = nights.run("report", "-o", "mine")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "mine has other files in it")
    assert [path.name for path in (nights.folder / "mine").iterdir()] == ["thesis.txt"]
    assert nights.run("report", "nothing", "-o", "x").returncode == 2
    assert nights.run("report", "1", "2", "3", "-o", "x").returncode == 2
    assert nights.run("report").returncode == 2


ODD = r"""(workflow
 (job "<b>%{n}</b>" (matrix (n "&" "`"))
  ((from bb) (shell /bin/sh -c)
   (run (shell "printf '\\033[31mred\\033[0m </script><script>alert(1)</script> \\377\\000\\007 %{n}\\n'"))
   (run (shell "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo the end"))
   (run (shell true)))))"""


@pytest.fixture
def odd(desk: Desk) -> Desk:
    desk.write("odd.workflow", ODD)
    desk.ok("build", "odd.workflow", "-q")
    return desk


def log_of(page: Any, words: str) -> list[str]:
    choose(page, words)
    tab(page, "Logs")
    page.locator("#log h2", has_text=words).wait_for()
    return [line.strip() for line in page.locator("#log code").all_text_contents()]


def test_logs_may_hold_anything(open: Open, odd: Desk) -> None:
    odd.ok("report", "-o", "out")
    assert sum(path.stat().st_size for path in (odd.folder / "out").rglob("*.*")) < 2e6
    page = open(odd.folder / "out/index.html")
    assert rows(page, "jobs")[0].startswith("<b>&</b> | built")
    (line,) = log_of(page, "printf")
    assert line.startswith("red </script><script>alert(1)</script> \ufffd")
    *before, end = log_of(page, "head -c")
    assert end == "the end"
    assert "bytes are left out here" in before[1]
    assert len(before[0]) < 200_000
    assert log_of(page, "true") == []


def test_logs_that_are_gone(open: Open, odd: Desk) -> None:
    shutil.rmtree(odd.place / "logs")
    (odd.place / "logs").mkdir()
    odd.ok("report", "-o", "out")
    page = open(odd.folder / "out/index.html")
    choose(page, "printf")
    tab(page, "Logs")
    page.locator("#log", has_text="its log was pruned").wait_for()


def test_a_batch_that_was_interrupted(open: Open, desk: Desk) -> None:
    shell = "((from bb) (shell /bin/sh -c)"
    desk.write("a.spec", f'{shell} (run (shell "echo first")) (run (shell "echo > /x; sleep 60")))')
    desk.write("b.spec", f'{shell} (run (shell "echo other")))')
    with desk.started("build", "a.spec", "b.spec", "-j", "2") as engine:
        assert engine.stdout is not None
        until(lambda: "other" in engine.stdout.readline())  # type: ignore[union-attr]
        until(lambda: len(list((desk.place / "snapshots").iterdir())) == 3)
        engine.send_signal(signal.SIGKILL)
        engine.wait()
    desk.ok("report", "-o", "out")
    page = open(desk.folder / "out/index.html")
    assert page.get_by_role("button", name="interrupted").is_visible()
    told = dict(zip(page.evaluate("stepwood.data.op"), page.evaluate("stepwood.data.outcome"), strict=True))
    assert told['(run (shell "echo > /x; sleep 60"))'] == "unfinished"
    assert "came to no end" in page.locator("#timeline-told").text_content()  # type: ignore[operator]
