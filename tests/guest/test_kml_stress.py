# SPDX-License-Identifier: GPL-2.0-or-later
"""A short round of stress-ng in ring 0, and a short soak; the long one is ``python -m tests.guest.stress``."""

from __future__ import annotations

import pytest

from .conftest import Guest
from .stress import STRESSORS, calls, command, failed, soak

pytestmark = pytest.mark.by_hand

ROUNDS = 3
SECONDS = 4
SOAK_HOURS = 0.02


@pytest.mark.parametrize("part", range(ROUNDS))
async def test_stressors_pass_in_ring_0(kml: Guest, part: int) -> None:
    await kml.check("echo 0 > /proc/sys/debug/exception-trace", elevated=False)
    group = STRESSORS[part::ROUNDS]
    result = await kml.run(command(group, SECONDS), limit_s=240)
    output = result.stdout + result.stderr
    assert not failed(output) and result.status == 0, output


async def test_their_calls_were_direct(kml: Guest) -> None:
    await kml.check(command(["pipe", "poll", "switch"], 3))
    direct, trap = await calls(kml)
    assert direct > trap


async def test_a_soak_finds_nothing(kernel: str) -> None:
    """Mixed load on four CPUs that come and go: no complaint of the kernel's, no memory lost."""
    assert await soak(kernel, 4, SOAK_HOURS, every=False) == []


def test_there_are_as_many_stressors_as_promised() -> None:
    assert len(set(STRESSORS)) >= 52
