# SPDX-License-Identifier: GPL-2.0-or-later
"""A few rounds of benchmarks/kills.py: SIGKILL at a random moment loses nothing and leaves nothing."""

import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parent.parent.parent / "benchmarks/kills.py"


@pytest.mark.slow
def test_a_killed_runner_or_viewer_loses_nothing_and_leaves_nothing() -> None:
    total = runpy.run_path(str(BENCHMARK))["kills"](5, 0.0, 3, None)
    assert total["kills of a runner"] and total["kills of a viewer"]
    expected = {"kills of a runner", "kills of a viewer", "bytes of last records"}
    assert {name for name, count in total.items() if count} <= expected
