"""Pages of plans to look at, and what to ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from engine import render
from engine.dag import Dag
from engine.estimate import Estimates
from engine.explain import causes
from engine.prospect import Prospect
from engine.step import StepId
from stepwood.report import plans
from stepwood.report.page import page


def plan(
    dag: Dag, *, cached: Sequence[StepId] = (), failed: Sequence[StepId] = (), seconds: float | None = None
) -> dict[str, Any]:
    """The document of a plan in which each step to run is expected to take so long."""
    known = Estimates(
        dict.fromkeys(dag.ids, seconds or 1.0), {}, {}, frozenset(), frozenset() if seconds else frozenset(dag.ids)
    )
    prospect = Prospect(dag, set(cached), set(failed), known)
    states = prospect.states()
    machines: dict[int, int | None] = {2: None, 4: None}
    shown = render.Plan(prospect, states, prospect.forecast(states, machines))
    schedules = {workers: prospect.schedule(states, workers) for workers in machines}
    return plans.document(shown, causes(prospect, states, None), schedules)


def html(document: dict[str, Any], title: str = "Plan") -> str:
    return page(document["kind"], title, document)


def tab(opened: Page, name: str) -> None:
    opened.get_by_role("tab", name=name, exact=True).click()


def choose(opened: Page, words: str) -> None:
    """Search, and choose the first that is found."""
    opened.get_by_label("Search").fill(words)
    opened.get_by_label("Search").press("Enter")


def details(opened: Page) -> str:
    return opened.locator("#details").inner_text().removeprefix("×\n")


def rows(opened: Page, view: str) -> list[str]:
    """The rows of a table that are in view."""
    opened.locator(f"#{view}-table[aria-busy=false]").wait_for()
    found = opened.locator(f"#view-{view} .tabulator-row").all()
    return [" | ".join(row.locator(".tabulator-cell").all_inner_texts()) for row in found]


def faults(opened: Page) -> list[str]:
    """What axe finds that is serious."""
    found = Axe().run(opened).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in serious for node in one["nodes"]]


def overflows(opened: Page) -> bool:
    """Whether one would have to scroll sideways."""
    return bool(opened.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
