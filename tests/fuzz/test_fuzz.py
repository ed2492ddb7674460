# SPDX-License-Identifier: GPL-2.0-or-later
"""What once failed does not fail again, and a minute's worth of inputs that nobody has tried."""

from pathlib import Path

import pytest
from fuzz import CORPUS, bounded, fuzz, seeds
from targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_in_order_are_understood(name: str) -> None:
    for data in seeds()[name]:
        TARGETS[name](data)


@pytest.mark.parametrize(
    "path", sorted(path for path in CORPUS.iterdir() if path.name != "README"), ids=lambda p: p.name
)
def test_what_once_failed(path: Path) -> None:
    with bounded(20):
        TARGETS[path.name.rpartition("-")[0]](path.read_bytes())


def test_some_new_inputs_find_nothing() -> None:
    tried, failed = fuzz(60, seed=2, limit=60)
    assert not failed and tried.total() > 20


@pytest.mark.slow
def test_a_seeded_minute_finds_nothing() -> None:
    tried, failed = fuzz(60, seed=1)
    assert not failed and tried.total() > 100
