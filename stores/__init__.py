"""Snapshot stores: where committed root filesystems and caches live."""
