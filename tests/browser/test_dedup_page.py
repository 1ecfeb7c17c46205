"""The page of what jobs share, as somebody uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.analysis.report import report
from engine.dag import Dag
from stepwood.report import sharing
from tests.browser.conftest import Open
from tests.browser.pages import choose, details, faults, html, overflows, rows, tab
from tests.cli.desk import Desk
from tests.planning import dag

pytestmark = pytest.mark.tool("chromium")
TEXTS = ("debian common this a b", "debian common that a b", "debian common that c")


@pytest.fixture(scope="module")
def graph() -> Dag:
    return dag(*TEXTS)


@pytest.fixture(scope="module")
def document(graph: Dag) -> dict[str, object]:
    return sharing.document(report(graph, dict.fromkeys(graph.ids, 10.0), {}))


@pytest.fixture(scope="module")
def shared(document: dict[str, object]) -> str:
    return html(document, "What 3 jobs share")


def test_numbers_lead_to_what_they_count(open: Open, shared: str) -> None:
    page = open(shared)
    assert page.title() == "What 3 jobs share"
    totals = ["3 jobs", "14 steps, 9 distinct: 1.56 ×", "sharing saves 5 steps, 50 s", "1 near-miss", "7 orders"]
    assert page.locator("#totals").inner_text().split("\n") == totals
    page.get_by_role("button", name="sharing saves").click()
    assert [row.split(" | ")[:4] for row in rows(page, "steps")] == [
        ["from debian", "3", "10 s", "20 s"], ["common", "3", "10 s", "20 s"], ["that", "2", "10 s", "10 s"],
    ]  # fmt: skip
    page.get_by_role("button", name="3 jobs").first.click()
    assert rows(page, "jobs") == ["a | 5 | 3", "b | 5 | 2", "c | 4 | 1"]


def test_a_near_miss_is_found_where_it_stands(open: Open, shared: str) -> None:
    page = open(shared)
    tab(page, "Near-misses")
    assert rows(page, "misses") == ["a, and the 1 after it | 2 | 20 s | 2 | "]
    assert page.locator("#misses-told").inner_text() == "2 steps whose op another has, after another beginning"
    page.locator("#view-misses .tabulator-row").click()
    assert details(page).startswith("a\n")
    assert "2 steps in common before" in details(page)
    page.get_by_role("button", name="mark all on the map").click()
    assert page.get_by_role("tab", selected=True).inner_text() == "Map"
    assert page.evaluate("stepwood.map.found.size") == 4
    page.get_by_label("Colour").select_option("near-misses")
    assert "its op stands elsewhere too" in page.locator("#map-legend").inner_text()
    choose(page, "common")
    assert "Also at" not in details(page)


def test_the_orders_as_bars(open: Open, shared: str) -> None:
    page = open(shared)
    tab(page, "Orders")
    told = page.locator("#orders").inner_text()
    assert "popular would need 1 step fewer, if ops could change places" in told
    assert "No order needs fewer than 7." in told
    best = page.locator("#orders tr.best").first
    assert best.locator("td").all_inner_texts()[:3] == ["8", "1.75 ×", "5"]
    widths = page.locator("#orders .bar").evaluate_all("bars => bars.map((bar) => bar.offsetWidth)")
    assert max(widths) > min(widths) > 0
    again = open(html(sharing.document(report(dag("debian one"), {}, {}))))
    assert again.locator("#orders").text_content().startswith("None that was found needs fewer")  # type: ignore[union-attr]
    tab(again, "Near-misses")
    assert again.locator("#misses-told").inner_text() == "No near-misses: no op stands in two places."


def test_the_data_can_be_had(open: Open, shared: str, document: dict[str, object]) -> None:
    page = open(shared)
    with page.expect_download() as download:
        page.get_by_role("button", name="Data as JSON").click()
    assert download.value.suggested_filename == "dedup.json"
    assert json.loads(Path(download.value.path()).read_text()) == json.loads(json.dumps(document))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False)])
def test_everybody_can_use_it(open: Open, shared: str, width: int, dark: bool) -> None:
    page = open(shared, width=width, dark=dark)
    choose(page, "a")
    for view in ["Map", "Near-misses", "Orders", "Steps", "Jobs"]:
        tab(page, view)
        assert faults(page) == [], view
        assert not overflows(page), view


@pytest.mark.root
def test_the_command_writes_a_page(open: Open, desk: Desk) -> None:
    desk.write("a.spec", '((from bb) (run (shell "echo 1")))')
    done = desk.run("dedup", "a.spec", "--format=html")
    assert (done.returncode, done.stderr) == (0, "")
    assert open(done.stdout).title() == "What 1 job shares"
