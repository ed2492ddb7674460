# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares two sessions: every comparable figure, what was saved, and whether a difference is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from msgspec import Struct

from kmltui.figures import stats
from kmltui.figures.figures import CpuSeconds, Figures, Instructions
from kmltui.figures.machines import combine
from kmltui.model import CLIENT, SERVER


class Comparison(Struct):
    """One figure of the baseline and of the session compared with it."""

    unit: str
    baseline: float
    """Of several runs, the mean."""
    compared: float
    saved: float | None
    """The fraction that the compared one needs less (of a rate: has less); negative when it is more. Of several pairs,
    1 less the geometric mean of their ratios."""
    interval: tuple[float, float] | None = None
    """95 % interval of ``saved`` taken by itself, from pairs of runs: Student's t on the log ratios."""
    p: float | None = None
    """p-value of "no difference"; of all but the primary figure, corrected for the number of figures (Holm)."""
    shown: bool | None = None
    """Whether a difference is shown: ``p`` is below 0.05, and no tick's error covers the difference. None where there
    are too few pairs for an interval."""
    primary: bool = False
    """The one figure that the run is judged by, fixed beforehand: see :func:`primary_figure`."""
    pairs_needed: int | None = None
    """For the primary figure: roughly how many pairs it takes to show a difference of this size."""
    outliers: list[int] | None = None
    """For the primary figure: pairs far from the others; they are part of every figure."""
    machines: dict[str, float] | None = None
    """In merged benches: what is saved on each machine. ``interval`` and ``p`` are then over machines."""
    heterogeneity: float | None = None
    """I² (0 to 1): the share of the differences between machines that goes beyond the scatter of their pairs."""
    tick_sampled: bool = False
    """The kernel's ticks split user from system time, and are biased around system calls."""
    within_tick_error: bool = False
    """The difference is smaller than the sampling error of the ticks."""


@dataclass(frozen=True)
class Figure:
    """A figure that can be compared."""

    key: str
    unit: str
    value: Callable[[Figures], float | None]
    tick_sampled: bool = False
    per_work: bool = True
    """Grows with the work done, so that runs of equal time are compared per query."""

    def of(self, figures: Figures, per_query: bool) -> float | None:
        """Its value in a run, ``per_query`` divided by the queries done if it grows with the work."""
        value = self.value(figures)
        if value is None or not (per_query and self.per_work):
            return value
        return value / figures.queries if figures.queries else None


def _cpu(part: Callable[[Figures], CpuSeconds | Instructions | None], field: str) -> Callable[[Figures], float | None]:
    def value(figures: Figures) -> float | None:
        found = part(figures)
        return None if found is None else float(getattr(found, field))

    return value


def _latency(field: str) -> Callable[[Figures], float | None]:
    return lambda figures: None if figures.latency is None else float(getattr(figures.latency, field))


def _hardware(field: str) -> Callable[[Figures], float | None]:
    return lambda figures: None if figures.hardware is None else getattr(figures.hardware, field)


def _calls(figures: Figures) -> float | None:
    return None if figures.syscalls is None else figures.syscalls.trap + figures.syscalls.direct


_PARTS: dict[str, Callable[[Figures], CpuSeconds | Instructions | None]] = {
    "cpu_s": lambda figures: figures.cpu_s,
    SERVER: lambda figures: figures.server,
    CLIENT: lambda figures: figures.client,
}

FIGURES: tuple[Figure, ...] = (
    *(
        Figure(f"{name}.{field}", "s", _cpu(part, field), tick_sampled=field != "total")
        for name, part in _PARTS.items()
        for field in ("total", "user", "system")
    ),
    *(
        Figure(f"instructions.{field}", "instructions", _cpu(lambda figures: figures.instructions, field))
        for field in ("total", "user", "system")
    ),
    Figure("hardware.cycles", "cycles", _hardware("cycles")),
    Figure("hardware.instructions", "instructions", _hardware("instructions")),
    Figure("hardware.tlb_misses", "misses", _hardware("tlb_misses")),
    Figure("duration_s", "s", lambda figures: figures.duration_s, per_work=False),
    Figure("queries_per_s", "1/s", lambda figures: figures.queries_per_s, per_work=False),
    *(Figure(f"latency.{field}", "us", _latency(field), per_work=False) for field in ("p50_us", "p95_us", "p99_us")),
    Figure("syscalls", "calls", _calls),
)
"""The compared figures, in the order of a report."""

_WITH_IDLE_TIME = frozenset({"duration_s", "queries_per_s"})
"""Figures that include the time in which the CPU is idle. It passes as on the host, even where the clock counts
instructions, and a short exact run has much of it, so exact mode does not compare them."""


def compare(
    baseline: Sequence[Figures],
    compared: Sequence[Figures],
    per_query: bool,
    tick_hz: int = 250,
    primary: str = "cpu_s.total",
    machines: Sequence[str] = (),
) -> dict[str, Comparison]:
    """Compare two sessions by pairs of runs, ``baseline[i]`` with ``compared[i]``; a single run is one pair.

    With ``per_query``, for workloads bounded by time, figures that grow with the work are divided by the queries done.
    ``machines``: where each pair was measured; with several, interval and p-value are over machines.
    ``shown`` is left to :func:`decide`, which has to know all comparisons of the run.
    """
    found = {}
    for figure in FIGURES:
        if primary == "instructions.total" and figure.key in _WITH_IDLE_TIME:
            continue
        a = [figure.of(figures, per_query) for figures in baseline]
        b = [figure.of(figures, per_query) for figures in compared]
        known = [index for index, values in enumerate(zip(a, b, strict=True)) if None not in values]
        pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
        if not pairs:
            continue
        result = stats.compare([x for x, _ in pairs], [y for _, y in pairs])
        where = [machines[index] for index in known] if machines else []
        if len(set(where)) > 1:
            found[figure.key] = _over_machines(figure, per_query, result, where, primary)
            continue
        interval = result.saved_interval
        found[figure.key] = Comparison(
            unit=f"{figure.unit} a query" if per_query and figure.per_work else figure.unit,
            baseline=result.mean_a,
            compared=result.mean_b,
            saved=result.saved,
            interval=(interval.low, interval.high) if interval else None,
            p=result.p,
            primary=figure.key == primary,
            pairs_needed=result.pairs_needed if figure.key == primary else None,
            outliers=list(result.outliers) if figure.key == primary and result.p is not None else None,
            tick_sampled=figure.tick_sampled,
        )
    _mark_tick_error(found, baseline, compared, tick_hz)
    return found


def _over_machines(
    figure: Figure, per_query: bool, result: stats.Comparison, where: Sequence[str], primary: str
) -> Comparison:
    """Pairs of several machines: each machine's own effect, and the mean over machines."""
    comparison = Comparison(
        unit=f"{figure.unit} a query" if per_query and figure.per_work else figure.unit,
        baseline=result.mean_a,
        compared=result.mean_b,
        saved=result.saved,
        primary=figure.key == primary,
        tick_sampled=figure.tick_sampled,
    )
    if result.saved_interval is None:  # not all values are positive, or hardly any: no ratio to speak of
        return comparison
    groups: dict[str, list[float]] = {}
    for name, value in zip(where, result.values, strict=True):
        groups.setdefault(name, []).append(value)
    over = combine(groups)
    comparison.saved, comparison.p = -math.expm1(over.mean), over.p
    comparison.interval = (-math.expm1(over.interval.high), -math.expm1(over.interval.low))
    comparison.machines = {name: -math.expm1(fmean(values)) for name, values in groups.items()}
    comparison.heterogeneity = over.heterogeneity
    return comparison


def primary_figure(exact: bool) -> str:
    """Key of the figure that a run is judged by, known before it begins: total CPU time; in exact mode, instructions.

    Anyone who looks at twenty figures finds one that differs by chance: the verdict rests on this one.
    """
    return "instructions.total" if exact else "cpu_s.total"


def decide(comparisons: Mapping[str, Mapping[str, Comparison]], compared: str) -> None:
    """Set ``shown`` in all of them, by session and figure: the primary figure of session ``compared`` by itself, all
    others corrected for their number."""
    others = {}
    for session, found in comparisons.items():
        for key, comparison in found.items():
            if comparison.p is None:
                continue
            if session == compared and comparison.primary:
                comparison.shown = comparison.p < stats.ALPHA
            else:
                others[session, key] = comparison
    corrected = stats.holm({place: found.p for place, found in others.items() if found.p is not None})
    for place, comparison in others.items():
        comparison.p = corrected[place]
        comparison.shown = comparison.p < stats.ALPHA and not comparison.within_tick_error


def _mark_tick_error(
    found: dict[str, Comparison], baseline: Sequence[Figures], compared: Sequence[Figures], tick_hz: int
) -> None:
    """Mark the splits whose differences are within the sampling error of all runs' ticks together."""
    for name, part in _PARTS.items():
        splits = []
        for runs in (baseline, compared):
            parts = [cpu for cpu in (part(figures) for figures in runs) if isinstance(cpu, CpuSeconds)]
            # The kernel's scaled split may step back a little; a share of ticks cannot be negative.
            splits.append((max(0.0, sum(cpu.user for cpu in parts)), max(0.0, sum(cpu.system for cpu in parts))))
        if not any(sum(split) for split in splits):
            continue
        within = not stats.tick_difference_shown(splits[0], splits[1], tick_hz)
        for field in ("user", "system"):
            if f"{name}.{field}" in found:
                found[f"{name}.{field}"].within_tick_error = within
