"""The desk of the command line's tests, for what only a whole run shows."""

from __future__ import annotations

from tests.cli.conftest import bb, desk

__all__ = ["bb", "desk"]
