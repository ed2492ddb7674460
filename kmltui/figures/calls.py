# SPDX-License-Identifier: GPL-2.0-or-later
"""Single system calls that a workload times itself: by trap on the baseline, by direct call under KML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from kmltui.figures import stats
from kmltui.model import ClockKind, Measure

Measures = Mapping[str, Measure]
"""By name, those of one session in one repetition."""


INLINE = "inline "
"""Prefix of the values of an inline call; others went through the C library."""


class TimedCall(Struct):
    """One call: the time of a trap on the baseline and of a direct call under KML, means over the pairs."""

    name: str
    unit: str
    trap: float
    direct: float
    ratio: float
    """``trap`` to ``direct``, the geometric mean over the pairs: 2 means that the direct call takes half."""
    interval: tuple[float, float] | None = None
    """95 % interval of ``ratio``; None with fewer than three pairs."""
    inline: TimedCall | None = None
    """The same call made inline; the other figures are of calls through the C library."""

    @property
    def slower(self) -> bool:
        """Whether the direct call took longer; if there is an interval, by more than chance."""
        return self.ratio < 1 and (self.interval is None or self.interval[1] < 1)


def ratio_text(value: float) -> str:
    """A ratio as text: with two decimals if one would hide on which side of 1 it is."""
    return f"{value:.2f}" if value < 1.1 else f"{value:.1f}"


def timed_calls(baseline: Sequence[Measures], compared: Sequence[Measures], clock: ClockKind | None) -> list[TimedCall]:
    """The calls that both sessions timed in every pair; ``baseline[i]`` and ``compared[i]`` are one pair."""
    found = []
    for name in baseline[0] if baseline else ():
        call = _timed(name, "", baseline, compared, clock)
        if call is not None:
            call.inline = _timed(name, INLINE, baseline, compared, clock)
            found.append(call)
    return found


def _timed(
    name: str, kind: str, baseline: Sequence[Measures], compared: Sequence[Measures], clock: ClockKind | None
) -> TimedCall | None:
    pairs = []
    for a, b in zip(baseline, compared, strict=True):
        trap = a[name].values.get(f"{kind}trap", 0.0) if name in a else 0.0
        direct = b[name].values.get(f"{kind}direct", 0.0) if name in b else 0.0
        if trap <= 0 or direct <= 0:
            return None
        pairs.append((trap, direct))
    traps, directs = [trap for trap, _ in pairs], [direct for _, direct in pairs]
    middle, bounds = stats.ratio_interval(traps, directs)
    return TimedCall(
        name=name,
        unit=true_unit(baseline[0][name].unit, clock),
        trap=sum(traps) / len(traps),
        direct=sum(directs) / len(directs),
        ratio=middle,
        interval=(bounds.low, bounds.high) if bounds else None,
    )


def true_unit(unit: str, clock: ClockKind | None) -> str:
    """The real unit of a time: with the instruction clock, a nanosecond is one instruction."""
    return "instructions" if unit == "ns" and clock == "instructions" else unit
