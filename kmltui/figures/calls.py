# SPDX-License-Identifier: GPL-2.0-or-later
"""Single system calls that a workload times by itself: by trap on the baseline, by direct call under KML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from kmltui.figures import stats
from kmltui.model import ClockKind, Measure

Measures = Mapping[str, Measure]
"""By name, those of one session in one repetition."""


class TimedCall(Struct):
    """One call: what a trap takes on the baseline and what a direct call takes under KML, means over the pairs."""

    name: str
    unit: str
    trap: float
    direct: float
    ratio: float
    """``trap`` to ``direct``, the geometric mean over the pairs: 2 means that the direct call takes half."""
    interval: tuple[float, float] | None = None
    """95 % interval of ``ratio``; None with fewer than three pairs."""

    @property
    def slower(self) -> bool:
        """Whether the direct call took longer, beyond what the interval leaves to chance where there is one."""
        return self.ratio < 1 and (self.interval is None or self.interval[1] < 1)


def ratio(baseline: Mapping[str, float], compared: Mapping[str, float]) -> float | None:
    """How many times as long the baseline's trap takes as the compared session's direct call; None without both."""
    trap, direct = baseline.get("trap"), compared.get("direct")
    return trap / direct if trap and direct and trap > 0 and direct > 0 else None


def timed_calls(baseline: Sequence[Measures], compared: Sequence[Measures], clock: ClockKind | None) -> list[TimedCall]:
    """The calls that both sessions timed in every pair; ``baseline[i]`` and ``compared[i]`` are one pair."""
    found = []
    for name in baseline[0] if baseline else ():
        pairs = []
        for a, b in zip(baseline, compared, strict=True):
            if name in a and name in b and ratio(a[name].values, b[name].values) is not None:
                pairs.append((a[name].values["trap"], b[name].values["direct"]))
        if len(pairs) != len(baseline):
            continue
        traps, directs = [trap for trap, _ in pairs], [direct for _, direct in pairs]
        middle, bounds = stats.ratio_interval(traps, directs)
        found.append(
            TimedCall(
                name=name,
                unit=true_unit(baseline[0][name].unit, clock),
                trap=sum(traps) / len(traps),
                direct=sum(directs) / len(directs),
                ratio=middle,
                interval=(bounds.low, bounds.high) if bounds else None,
            )
        )
    return found


def true_unit(unit: str, clock: ClockKind | None) -> str:
    """What a time is in, really: a nanosecond of the clock that counts instructions is one instruction."""
    return "instructions" if unit == "ns" and clock == "instructions" else unit
