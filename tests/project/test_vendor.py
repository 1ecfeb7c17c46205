"""The libraries of others in our pages are what they are said to be, with their licences."""

from __future__ import annotations

import hashlib
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "stepwood/report/assets/vendor"


def test_what_is_there_is_what_is_listed() -> None:
    rows = [line.strip("| ").split(" | ") for line in (VENDOR / "README.md").read_text().splitlines()[7:]]
    assert {file for file, _, _ in rows} == {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    for file, library, digest in rows:
        assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == digest, (file, library)
        assert (VENDOR / f"{file.partition('.')[0]}.LICENSE").stat().st_size


def test_no_page_would_ask_for_a_source_map() -> None:
    assert not [path for path in VENDOR.iterdir() if "sourceMapping" + "URL" in path.read_text()]
