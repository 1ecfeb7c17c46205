"""The helper: a small process that starts every launch, so that the engine never forks.

`client` is the engine's side; `main`, `child`, `mounts`, `syscalls` and `inside` run in the helper and
import nothing but the standard library and `system.launch`, because the helper starts as `python -SI`.
"""
