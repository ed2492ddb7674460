# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers in texts that come from elsewhere."""

from __future__ import annotations

import pytest

from kmltui.figures.environment import tick_hz
from kmltui.model import whole
from kmltui.report.numbers import memory

NO_NUMBERS = ["", "-1", "+1", " 1", "1.0", "1e3", "²", "٣", "1_000", str(1 << 63), "9" * 400, "9" * 5000]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_of_63_bits_is_none(text: str) -> None:
    assert whole(text) is None
    assert memory(text) == text
    assert tick_hz({"kml": {"tick_hz": text}}) == tick_hz({})


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), (str((1 << 63) - 1), (1 << 63) - 1)])
def test_numbers(text: str, number: int) -> None:
    assert whole(text) == number
