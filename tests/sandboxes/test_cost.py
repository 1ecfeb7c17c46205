"""What a sandbox may cost; the figures themselves are in bench/."""

from __future__ import annotations

import statistics
import time

import pytest

from sandboxes.namespaces import Namespaces
from sandboxes.sandbox import Command
from system.launch import Exec, Launch
from tests.system.bed import PATH, Bed

pytestmark = pytest.mark.root

ARGV = ("/bin/sh", "-c", ":")


def test_the_whole_set_costs_little_more_than_a_bare_launch_point_11(sandbox_bed: Bed) -> None:
    def seconds(launch: Launch) -> float:
        began = time.monotonic()
        assert sandbox_bed.run(launch).status == 0
        return time.monotonic() - began

    bare, full = [], []
    for _ in range(15):  # by turns, so that a busy machine slows both
        bare.append(seconds(Launch(Exec(ARGV, PATH), root=sandbox_bed.root())))
        full.append(seconds(Namespaces().launch(Command(ARGV, PATH), sandbox_bed.root(), "")))
    assert statistics.median(full) < 4 * statistics.median(bare)
