"""The page of a plan, as somebody uses it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.dag import Dag
from engine.plan import Plan
from tests.browser.conftest import Open
from tests.browser.pages import choose, details, faults, html, overflows, plan, rows, tab
from tests.cli.desk import Desk
from tests.planning import dag

pytestmark = pytest.mark.tool("chromium")
TEXTS = (
    "debian common trunk one left",
    "debian common trunk one right",
    "debian common trunk two",
    """((build tool ((from alpine) (run (shell compile))))
        (from debian) (run (shell common)) (copy (from (build tool)) (src /t) (dst /t)))""",
)


def named(graph: Dag, op: str) -> str:
    return next(id for id in graph.ids if op in graph[id].op)


@pytest.fixture
def graph() -> Dag:
    return dag(*TEXTS)


@pytest.fixture
def some(graph: Dag) -> str:
    """Half of it is there, one step is known to fail."""
    cached = [named(graph, "(from debian)"), named(graph, "common")]
    return html(plan(graph, cached=cached, failed=[named(graph, "two")], seconds=10.0), "Plan of 4 jobs")


def test_a_plan_of_one_step(open: Open) -> None:
    page = open(html(plan(dag("debian")), "Plan of a"))
    assert page.title() == "Plan of a"
    assert page.locator("#totals").inner_text().split("\n") == [
        "1 job",
        "1 step, 1 distinct",
        "1 to run",
        "1 base to fetch",
    ]
    page.locator("#map-canvas").click(position={"x": 100, "y": 10})
    assert "base was never built before" in details(page)


def test_a_step_tells_its_command_its_state_and_who_needs_it(open: Open, some: str, graph: Dag) -> None:
    page = open(some)
    choose(page, "trunk")
    told = details(page)
    assert "to run" in told
    assert "run was never built before" in told
    assert named(graph, "trunk") in told.replace("\n", "")
    assert "3 jobs" in told
    assert told.endswith("trunk"), "the command as the shell gets it"
    page.locator("#details a").filter(has_text="common").click()
    assert "✓ cached" in details(page)
    assert "its result is there already" in details(page)
    choose(page, "two")
    assert "known to fail" in details(page)
    choose(page, "left")
    assert "an input of it runs" in details(page)
    page.get_by_role("button", name="Close").click()
    assert details(page).startswith("Choose a step")
    assert "step=" not in page.evaluate("location.hash")


def test_search_counts_and_marks_what_it_finds(open: Open, some: str, graph: Dag) -> None:
    page = open(some)
    page.get_by_label("Search").fill("T")
    assert page.locator("#found").inner_text() == "5 steps, 0 jobs", "whatever the case"
    page.get_by_label("Search").fill(named(graph, "right")[:9])
    assert page.locator("#found").inner_text() == "1 step, 0 jobs"
    page.get_by_label("Search").fill("b")
    page.locator("#found").get_by_role("button", name="1 job").click()
    assert rows(page, "jobs") == ["b | 5 | 3 | 30 s"]
    page.get_by_label("Search").fill("nothing like it")
    page.get_by_label("Search").press("Enter")
    assert page.locator("#found").inner_text() == "0 steps, 0 jobs"


def test_numbers_lead_to_what_they_count(open: Open, some: str) -> None:
    page = open(some)
    page.get_by_role("button", name="2 cached").click()
    assert page.get_by_role("tab", selected=True).inner_text() == "Steps"
    assert [row.split(" | ")[0] for row in rows(page, "steps")] == ["from debian", "common"]
    page.get_by_role("button", name="1 known to fail").click()
    assert [row.split(" | ")[:2] for row in rows(page, "steps")] == [["two", "known to fail"]]
    page.get_by_role("button", name="4 jobs").click()
    assert len(rows(page, "jobs")) == 4
    choose(page, "trunk")
    page.locator("#details").get_by_role("button", name="3 jobs").click()
    assert [row.split(" | ")[0] for row in rows(page, "jobs")] == ["a", "b", "c"]
    page.locator("#view-jobs .tabulator-row").last.click()
    assert details(page).startswith("two"), "a job leads to its last step"


def test_the_map_zooms_and_folds(open: Open) -> None:
    page = open(html(plan(dag("debian " + " ".join(f"long{n}" for n in range(60)), "debian short"))))
    assert page.get_by_label("Fold chains").is_checked()
    assert page.evaluate("stepwood.map.layout.rows") == 4, "base, first, those between, last"
    choose(page, "long30")
    assert page.evaluate("stepwood.map.layout.rows") == 61, "what is chosen is not hidden"
    canvas = page.locator("#map-canvas")
    width = page.evaluate("stepwood.map.width")
    assert page.evaluate("stepwood.map.view.k") == 1
    page.locator("#map").evaluate("(map) => (map.scrollTop = 0)")
    canvas.dblclick(position={"x": width - 10, "y": 33})
    assert page.evaluate("stepwood.map.view.k") > 1.5
    assert details(page).startswith("short")
    page.get_by_role("button", name="Whole map").click()
    assert page.evaluate("stepwood.map.view.k") == 1
    page.locator("#map").hover(position={"x": 10, "y": 100})
    page.keyboard.down("Control")
    page.mouse.wheel(0, -500)
    page.keyboard.up("Control")
    assert page.evaluate("stepwood.map.view.k") > 1


def test_the_map_goes_by_keys(open: Open, some: str) -> None:
    page = open(some)
    page.locator("#map").focus()
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert details(page).startswith("two")
    page.keyboard.press("Enter")
    assert page.evaluate("stepwood.map.view.k") > 2
    page.keyboard.press("Escape")
    assert page.evaluate("stepwood.map.view.k") == 1
    page.keyboard.press("ArrowUp")
    assert details(page).startswith("trunk")
    page.locator("[role=tab][aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", selected=True).inner_text() == "Timeline"


@pytest.mark.parametrize("by", ["jobs", "steps", "seconds"])
@pytest.mark.parametrize("colour", ["state", "jobs", "seconds"])
def test_widths_and_colours(open: Open, some: str, by: str, colour: str) -> None:
    page = open(some)
    page.get_by_label("Width").select_option(by)
    page.get_by_label("Colour").select_option(colour)
    layout = "stepwood.map.layout"
    assert page.evaluate(f"{layout}.left.every((left, step) => left < {layout}.right[step])"), "each has some width"
    within = (
        "inputs.length === 0 || (l.left[inputs[0]] - l.left[step] < 1e-9 && l.right[step] - l.right[inputs[0]] < 1e-9)"
    )
    assert page.evaluate(f"(l => stepwood.data.inputs.every((inputs, step) => {within}))({layout})")
    keys = page.locator("#map-legend").inner_text()
    assert ("known to fail" in keys) == (colour == "state")
    assert "critical path" in keys


def test_the_timeline(open: Open, some: str) -> None:
    page = open(some)
    tab(page, "Timeline")
    assert page.locator("#timeline-told").inner_text().startswith("predicted: 40 s")
    page.get_by_label("Workers").select_option("4")
    assert page.locator("#timeline-told").inner_text().startswith("predicted: 30 s")
    page.locator("#timeline-canvas").click(position={"x": 5, "y": 30})
    assert details(page).startswith(("trunk", "from alpine"))
    page.locator("#timeline").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert details(page).startswith(("trunk", "from alpine"))
    page.get_by_role("button", name="critical path: 30 s").click()
    assert len(rows(page, "steps")) == 3


def test_without_history_and_with_nothing_to_run(open: Open, graph: Dag) -> None:
    page = open(html(plan(graph)))
    tab(page, "Timeline")
    assert page.locator("#timeline-told").inner_text().startswith("nothing is known")
    page = open(html(plan(graph, cached=graph.ids)))
    tab(page, "Timeline")
    assert page.locator("#timeline-told").inner_text() == "Nothing is to run."
    tab(page, "Why")
    assert page.locator("#causes").inner_text() == "Nothing would run."


def test_why_anything_would_run(open: Open, some: str) -> None:
    page = open(some)
    tab(page, "Why")
    assert page.locator("#causes h2").all_inner_texts() == [
        "run was never built before: 4 steps would run",
        "base was never built before: 3 steps would run",
    ]
    page.locator("#causes a").filter(has_text="trunk").click()
    assert details(page).startswith("trunk")


def test_an_address_leads_back(open: Open, some: str, graph: Dag) -> None:
    page = open(some)
    tab(page, "Steps")
    choose(page, "right")
    address = page.evaluate("location.hash")
    again = open(some, at=address)
    assert again.get_by_role("tab", selected=True).inner_text() == "Steps"
    assert details(again).startswith("right")
    assert open(some, at="#tab=nothing&step=nothing").get_by_role("tab", selected=True).inner_text() == "Map"


def test_the_data_can_be_had(open: Open, graph: Dag) -> None:
    document = plan(graph, seconds=1.0)
    page = open(html(document))
    with page.expect_download() as download:
        page.get_by_role("button", name="Data as JSON").click()
    assert download.value.suggested_filename == "plan.json"
    assert json.loads(Path(download.value.path()).read_text()) == json.loads(json.dumps(document))


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", "\"'`&lt;", "a\x1b[31mred\x07",
        "\u202eright", "\udcff", "", " ", "{{ 1 }}",
    ],
)  # fmt: skip
def test_names_and_commands_may_hold_anything(open: Open, name: str) -> None:
    graph = dag("debian one", "debian two")
    one, two = graph.plans
    steps = {step.id: step for step in graph}
    steps[two.final] = replace(steps[two.final], op=f"(run (shell {json.dumps(name)}))")
    named = Dag.of([one, Plan(name, two.steps, two.final)], steps)
    page = open(html(plan(named, seconds=1.0), f"Plan of {name}"))
    for view in ("Jobs", "Steps", "Map"):
        tab(page, view)
    page.evaluate(f"stepwood.choose({named.numbers[two.final]})")
    assert page.locator("#details li").last.text_content() == name
    assert page.evaluate("stepwood.data.job[1].charCodeAt(0) || null") == (ord(name[0]) if name else None)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False)])
def test_everybody_can_use_it(open: Open, some: str, width: int, dark: bool) -> None:
    """By axe, in light and dark, and at the width of a phone, where nothing must be looked for sideways."""
    page = open(some, width=width, dark=dark)
    choose(page, "trunk")
    for view in ["Map", "Timeline", "Steps", "Jobs", "Why"]:
        tab(page, view)
        assert faults(page) == [], view
        assert not overflows(page), view


@pytest.mark.root
def test_the_command_writes_a_page(open: Open, desk: Desk) -> None:
    path = desk.folder / "plan.html"
    desk.write("a.spec", '((from bb) (run (shell "echo 1")))')
    done = desk.run("plan", "a.spec", "--format=html", "-o", "plan.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page = open(path)
    assert page.title() == "Plan of a"
    choose(page, "echo")
    assert "an input of it runs" in details(page)
