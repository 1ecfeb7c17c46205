"""From a document to a page. The only file that imports jinja2, and that knows where assets stand."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent
STYLES = ("vendor/tabulator.min.css", "page.css")
SCRIPTS = (
    "vendor/d3.min.js", "vendor/tabulator.min.js", "data.js", "words.js", "page.js", "canvas.js", "map.js", "tables.js",
    "steps.js",
)  # fmt: skip
"""What all pages have, in this order, before the scripts of their own."""
Kind = Literal["plan", "dedup", "report"]
OWN: Mapping[Kind, tuple[str, ...]] = {
    "plan": ("timeline.js", "plan.js"),
    "dedup": ("dedup.js",),
    "report": ("timeline.js", "logs.js", "report.js"),
}


def page(kind: Kind, title: str, document: Mapping[str, object]) -> str:
    """HTML that holds the document, and all that it takes to show it."""
    around = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return around.get_template(f"{kind}.html").render(
        title=title,
        compared=bool(document.get("comparison")),
        matrix=bool(document.get("results") or document.get("axes")),
        styles=[_asset(name) for name in STYLES],
        scripts=[_asset(name) for name in (*SCRIPTS, *OWN[kind])],
        data=_packed(document),
    )


def _asset(name: str) -> Markup:
    """A text that may stand between tags: our own, or a library's."""
    text = (HERE / "assets" / name).read_text()
    assert "</script" not in text and "</style" not in text, name
    return Markup(text)  # noqa: S704


def _packed(document: Mapping[str, object]) -> str:
    """As `assets/data.js` reads it: a tenth of the JSON, and without a character that HTML knows."""
    # ASCII: a lone surrogate, which stands for a byte of a name that is no UTF-8, is escaped.
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    return base64.b64encode(gzip.compress(text, 6, mtime=0)).decode("ascii")
