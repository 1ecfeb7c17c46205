"""Sandboxes: pure functions from one command on one root to a launch."""
