# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures formatted for people."""

from __future__ import annotations

from kmltui import printable
from kmltui.model import whole
from kmltui.report.blocks import ABSENT

RATES = frozenset({"queries_per_s"})
"""Figures of which more is better, so that nothing can be saved of them."""


def count(value: float | None) -> str:
    """12,345"""
    return ABSENT if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """1,234.56"""
    return ABSENT if value is None else f"{value:,.2f}"


def rate(value: float | None) -> str:
    """At least three digits: 12,345 or 6.21; from ten million on 12.3 M"""
    if value is None:
        return ABSENT
    if abs(value) >= 1e7:
        return f"{value / 1e6:,.1f} M"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def percent(fraction: float | None, signed: bool = False) -> str:
    """13.7 %, or with a sign +13.7 %"""
    if fraction is None:
        return ABSENT
    value = _tenths(fraction)
    return f"{printable.signed(f'{value:+.1f}' if signed and value else f'{value:.1f}')} %"


def saved(key: str, fraction: float | None) -> str:
    """How much of a figure is saved, in per cent; for a rate, of which more is better, in words: 3.1 % more"""
    if key not in RATES or fraction is None:
        return percent(fraction)
    return f"{abs(_tenths(fraction)):.1f} % {'less' if fraction > 0 else 'more'}"


def saved_interval(key: str, bounds: tuple[float, float] | None) -> str:
    """The bounds of what :func:`saved` shows: 2.5 to 3.7 %"""
    if key not in RATES or bounds is None:
        return interval(bounds)
    more = sorted((-bounds[0], -bounds[1]))
    return f"{_range(more[0], more[1])} % more"


def interval(bounds: tuple[float, float] | None) -> str:
    """2.5 to 3.7 %"""
    return ABSENT if bounds is None else f"{_range(*bounds)} %"


def _range(low: float, high: float) -> str:
    return printable.signed(f"{_tenths(low):.1f} to {_tenths(high):.1f}")


def _tenths(fraction: float) -> float:
    """In per cent, rounded to what is shown; never a negative zero."""
    return round(100 * fraction, 1) + 0.0


def microseconds(value: float | None) -> str:
    """In a suitable unit: 812 µs, 1.9 ms, 2.1 s"""
    if value is None:
        return ABSENT
    if value < 1000:
        return f"{value:.0f} µs"
    return f"{value / 1000:.1f} ms" if value < 1_000_000 else f"{value / 1_000_000:.2f} s"


def unit(name: str) -> str:
    """The unit's sign, for a unit as it is named in JSON."""
    return "µs" if name == "us" else name


def memory(text: str) -> str:
    """A number of bytes as GiB or MiB; any other text unchanged."""
    size = whole(text)
    if size is None:
        return text
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"


def clock(value: float) -> str:
    """A duration: 41.2 s, 12:03 min or 1:02:03 h"""
    if value < 100:
        return f"{value:.1f} s"
    return f"{moment(value)} {'min' if round(value) < 3600 else 'h'}"


def moment(value: float) -> str:
    """A time in the recording, to the second, as --at takes it: 0:41, 12:03 or 1:02:03"""
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def pairs(number: int | None) -> str:
    """1 pair of runs, 10 pairs of runs"""
    return f"{number} pair{'' if number == 1 else 's'} of runs"
