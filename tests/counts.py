"""How often tests repeat what is random or long: a little in `make test`, in full in `make test-all`."""

from __future__ import annotations

import os

FULL = bool(os.environ.get("STEPWOOD_LONG"))

KILLS = 100 if FULL else 10
"""Kills of the engine at random moments."""
CHAIN = 1200 if FULL else 120
"""Steps in a long chain."""
MUTANTS = 20_000 if FULL else 2_000
"""Damaged specs."""
EXAMPLES = 10 if FULL else 1
"""How many times more examples Hypothesis tries of each property."""
