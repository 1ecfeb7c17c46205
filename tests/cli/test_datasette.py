"""The index in Datasette: descriptions, queries that run, and links from a step to its log."""

from __future__ import annotations

import asyncio
import re
import shutil
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from stepwood.datasette import LOG, QUERIES, TABLES
from tests.cli.desk import Desk

pytestmark = pytest.mark.root


@pytest.fixture
def store(desk: Desk) -> Path:
    desk.write("a.spec", "((from bb) (shell /bin/sh -c) (run (shell \"echo '<b>one</b>'; printf '\\\\377'; exit 3\")))")
    assert desk.run("build", "a.spec").returncode == 1
    return desk.place


def get(path: Path, *addresses: str) -> list[Any]:
    async def asked() -> list[Any]:
        # Threads of its own would outlive the test, and keep others from forking.
        served = Datasette([str(path)], settings={"num_sql_threads": 0})
        await served.invoke_startup()
        return [await served.client.get(address) for address in addresses]

    return asyncio.run(asked())


def test_it_is_found_by_itself() -> None:
    (found,) = entry_points(group="datasette", name="stepwood")
    assert found.value == "stepwood.datasette"


def test_every_table_and_view_has_a_description(store: Path) -> None:
    tables, meta = get(store / "index.db", "/index.json", "/-/metadata.json")
    named = {one["name"] for one in tables.json()["tables"]} | {one["name"] for one in tables.json()["views"]}
    assert {name for name in named if not name.startswith(("_", "sqlite_"))} == set(TABLES)
    (about,) = meta.json()["databases"].values()
    assert about["title"] == "Stepwood"


def test_every_query_runs(store: Path) -> None:
    pages = get(store / "index.db", *(f"/index/{name}?job=a" for name in QUERIES), "/index")
    for name, page in zip(QUERIES, pages[:-1], strict=True):
        assert page.status_code == 200, (name, page.text)
        assert "<tbody>" in page.text, "it has rows"
        assert name in pages[-1].text


def test_a_step_leads_to_its_log(store: Path) -> None:
    (page,) = get(store / "index.db", "/index/why_a_job_failed?job=a")
    (link,) = re.findall(r'href="(/-/stepwood/index/logs/[^"]+)"', page.text)
    assert re.search(r'href="/index/steps/[0-9a-f]{64}"', page.text)
    (log,) = get(store / "index.db", link)
    assert log.text == "<b>one</b>\n\ufffd"
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    for path in (store / "logs").iterdir():
        path.unlink()
    assert get(store / "index.db", link)[0].status_code == 404


@pytest.mark.parametrize(
    "path", ["index.db", "logs/../index.db", "logs/x.0.log", f"logs/{'0' * 64}.0.log/../../index.db"]
)
def test_nothing_but_logs_is_given_out(path: str) -> None:
    assert LOG.fullmatch(path) is None
    assert LOG.fullmatch(f"logs/{'0' * 64}.0000.log")


def test_another_database_is_left_alone(store: Path, tmp_path: Path) -> None:
    shutil.copy(store / "index.db", tmp_path / "index.db")
    meta, queries = get(tmp_path / "index.db", "/-/metadata.json", "/index.json")
    assert meta.json() == {"databases": {}}
    assert queries.json()["queries"] == []
