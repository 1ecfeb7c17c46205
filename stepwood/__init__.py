"""Stepwood, the application: the command line and the wiring of concrete stores, sandboxes and bases."""
