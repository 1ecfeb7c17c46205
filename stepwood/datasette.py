"""A plugin by which Datasette (docs.datasette.io, 0.65) shows an index with descriptions, queries and logs.

Where both are installed it is found by its entry point, and speaks up for an `index.db` in a store's folder only. The
only file that imports datasette.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasette import hookimpl
from datasette.utils.asgi import AsgiStream, Response
from markupsafe import Markup

from engine.logtext import CHUNK, open_log

INDEX, FORMAT = "index.db", "format"
LOG = re.compile(r"logs/[0-9a-f]{64}\.\w+\.log", re.ASCII)
STEP = re.compile(r"[0-9a-f]{64}", re.ASCII)
TIMES = frozenset(["started", "finished", "first_seen", "taken", "last"])
TABLES: Mapping[str, str] = {
    "steps": "Every step that was ever planned for a build: what it does, and what its id is made of.",
    "edges": "What each step is made from. Position 0 is the root that it starts from.",
    "batches": "Runs of `stepwood build`. One without an outcome runs, or its process died.",
    "jobs": "The jobs of each batch, and the step that each is for.",
    "attempts": "Every try of a step, and why there was none; `log` leads to what it wrote.",
    "pins": "What the name of a base meant when it was last asked for.",
    "files": "Hashes of files that were copied from contexts.",
    "latest_results": "How each step ended the last time it ran to an end.",
    "failed_steps": "Steps that failed the last time they ran.",
    "slowest_steps": "Steps by what they take when they are built.",
    "job_summary": "Jobs with the number of their steps, and the seconds that their batch spent on them.",
    "flaky_steps": "Steps that have failed by themselves, and passed with the same id.",
}
QUERIES: Mapping[str, tuple[str, str]] = {
    "why_a_job_failed": (
        "The steps that failed a job (:job), the last time it ran",
        """
        WITH RECURSIVE mine AS (SELECT id, batch, final FROM jobs WHERE name = :job ORDER BY id DESC LIMIT 1),
            made(step) AS (SELECT final FROM mine
                UNION SELECT edges.input FROM edges JOIN made ON edges.step = made.step)
        SELECT attempts.step, steps.op, attempts.cause, attempts.exit, attempts.message, attempts.seconds, attempts.log
        FROM made JOIN attempts ON attempts.step = made.step JOIN steps ON steps.id = made.step, mine
        WHERE attempts.batch = mine.batch AND attempts.outcome = 'failed' AND attempts.outcome <> 'cached'
        """,
    ),
    "predicted_and_real": (
        "What runs took beside what was predicted of them",
        """
        SELECT id, started, outcome, jobs, built, round(finished - started, 1) AS took, round(p50, 1) AS half_within,
            round(p90, 1) AS nine_of_ten_within
        FROM batches WHERE finished IS NOT NULL ORDER BY started DESC LIMIT 200
        """,
    ),
    "sharing_by_batch": (
        "How much of each batch was there already",
        """
        SELECT id, started, jobs, steps, built, cached, round(100.0 * cached / max(steps, 1), 1) AS percent_cached
        FROM batches ORDER BY started DESC LIMIT 200
        """,
    ),
    "failures_by_cause": (
        "How often steps failed by which cause, and how many still do",
        """
        SELECT attempts.cause, count(*) AS failures, count(DISTINCT attempts.step) AS steps,
            count(DISTINCT failed_steps.step) AS still_failing
        FROM attempts LEFT JOIN failed_steps ON failed_steps.step = attempts.step
        WHERE attempts.outcome = 'failed' AND attempts.outcome <> 'cached' GROUP BY 1 ORDER BY 2 DESC
        """,
    ),
    "where_the_room_goes": (
        "Steps by what they added to the store",
        """
        SELECT attempts.step, steps.op, max(attempts.bytes) AS bytes, count(*) AS builds
        FROM attempts JOIN steps ON steps.id = attempts.step
        WHERE attempts.outcome = 'built' AND attempts.outcome <> 'cached' GROUP BY 1 ORDER BY 3 DESC LIMIT 200
        """,
    ),
}


@hookimpl  # type: ignore[untyped-decorator]
def get_metadata(datasette: Any) -> dict[str, object]:
    tables = {name: {"description": description} for name, description in TABLES.items()}
    tables["batches"]["sort_desc"] = tables["attempts"]["sort_desc"] = "started"
    about = {"title": "Stepwood", "description": "Steps, jobs and batches of a store", "tables": tables}
    return {"databases": {name: about for name in datasette.databases if _store(datasette, name)}}


@hookimpl  # type: ignore[untyped-decorator]
def canned_queries(datasette: Any, database: str) -> dict[str, dict[str, str]]:
    if _store(datasette, database) is None:
        return {}
    return {name: {"title": title, "sql": sql} for name, (title, sql) in QUERIES.items()}


@hookimpl  # type: ignore[untyped-decorator]
def render_cell(value: object, column: str, table: str | None, database: str, datasette: Any) -> object:
    """Logs and steps as links, and times as people read them; None leaves a cell as it is."""
    if value is None or _store(datasette, database) is None:
        return None
    if column in TIMES and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if column == "log" and isinstance(value, str) and LOG.fullmatch(value):
        return Markup('<a href="{}">{}</a>').format(datasette.urls.path(f"/-/stepwood/{database}/{value}"), "log")
    # In a table Datasette itself follows the reference.
    if column == "step" and table not in ("attempts", "edges") and isinstance(value, str) and STEP.fullmatch(value):
        return Markup('<a href="{}">{}</a>').format(datasette.urls.row(database, "steps", value), value[:12])
    return None


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    return [(rf"^/-/stepwood/(?P<database>[^/]+)/(?P<log>{LOG.pattern})$", log)]


async def log(request: Any, datasette: Any) -> Any:
    """A log as a text, whatever a step wrote."""
    database = request.url_vars["database"]
    store = _store(datasette, database)
    await datasette.ensure_permissions(request.actor, [("view-database", database), "view-instance"])
    try:
        opened = None if store is None else open_log(store, request.url_vars["log"])
    except FileNotFoundError:
        opened = None
    if opened is None:
        return Response.text("The log is not there: it was pruned.", status=404)

    async def send(writer: Any) -> None:
        with opened:
            while chunk := opened.read(CHUNK):
                await writer.write(chunk.decode(errors="replace"))

    headers = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
    return AsgiStream(send, headers=headers, content_type="text/plain; charset=utf-8")


def _store(datasette: Any, database: str) -> Path | None:
    """The folder of the store whose index a database is; None for any other."""
    found = datasette.databases.get(database)
    path = Path(found.path) if found is not None and found.path else None
    if path is None or path.name != INDEX or not (path.parent / FORMAT).exists():
        return None
    return path.parent
