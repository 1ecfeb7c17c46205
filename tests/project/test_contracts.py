"""Who may import whom: the contracts of pyproject.toml hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_import_contracts_hold() -> None:
    script = Path(sys.executable).with_name("lint-imports")
    project = Path(__file__).parents[2]
    done = subprocess.run(
        [script, "--no-cache"], cwd=project, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
