"""Real data that lies beside the project: tests that need it are marked, and say what is missing."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = Path(os.environ.get("STEPWOOD_DATA") or Path(__file__).parents[2] / "shared" / "data")
OPAM_FILES = _FOLDER / "opam-repository-97014be.opam-files.tar.xz"
"""Every opam file of a commit of opam's repository."""
SOLUTIONS = _FOLDER / "opam_solutions_5.3.0.json.zst"
"""A reference solution of all its packages."""
