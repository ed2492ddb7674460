"""Two sessions side by side: every figure that can be compared, what was saved, and whether that is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from kmltui.figures import stats
from kmltui.figures.figures import CpuSeconds, Figures, Instructions


class Comparison(Struct):
    """One figure of the baseline and of the session compared with it."""

    unit: str
    baseline: float
    """Of several runs, the mean."""
    compared: float
    saved: float | None
    """The fraction that the compared one needs less (of a rate: has less); negative when it is more."""
    interval: tuple[float, float] | None = None
    """95 % bootstrap interval of ``saved``, from pairs of runs."""
    shown: bool | None = None
    """Whether the interval excludes zero; None where a single run gives none."""
    pairs_needed: int | None = None
    """About how many pairs it takes to show a difference of this size."""
    outliers: list[int] | None = None
    """Pairs whose difference is far from the others'; they are part of every figure."""
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
    """Grows with the work done: between runs of equal time it is compared per query."""

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


def _calls(figures: Figures) -> float | None:
    return None if figures.syscalls is None else figures.syscalls.trap + figures.syscalls.direct


_PARTS: dict[str, Callable[[Figures], CpuSeconds | Instructions | None]] = {
    "cpu_s": lambda figures: figures.cpu_s,
    "server": lambda figures: figures.server,
    "client": lambda figures: figures.client,
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
    Figure("duration_s", "s", lambda figures: figures.duration_s, per_work=False),
    Figure("queries_per_s", "1/s", lambda figures: figures.queries_per_s, per_work=False),
    *(Figure(f"latency.{field}", "us", _latency(field), per_work=False) for field in ("p50_us", "p95_us", "p99_us")),
    Figure("syscalls", "calls", _calls),
)
"""What is compared, in the order of a report."""


def compare(
    baseline: Sequence[Figures], compared: Sequence[Figures], per_query: bool, tick_hz: int = 250
) -> dict[str, Comparison]:
    """Compare two sessions by pairs of runs, ``baseline[i]`` with ``compared[i]``; a single run is one pair.

    With ``per_query``, for workloads bounded by time, what grows with the work is divided by the queries done.
    """
    found = {}
    for figure in FIGURES:
        a = [figure.of(figures, per_query) for figures in baseline]
        b = [figure.of(figures, per_query) for figures in compared]
        pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
        if not pairs:
            continue
        result = stats.compare([x for x, _ in pairs], [y for _, y in pairs])
        interval = result.saved_interval
        found[figure.key] = Comparison(
            unit=f"{figure.unit} a query" if per_query and figure.per_work else figure.unit,
            baseline=result.mean_a,
            compared=result.mean_b,
            saved=result.saved,
            interval=(interval.low, interval.high) if interval else None,
            shown=result.shown if result.difference_interval else None,
            pairs_needed=result.pairs_needed,
            outliers=list(result.outliers) if result.difference_interval else None,
            tick_sampled=figure.tick_sampled,
        )
    _mark_tick_error(found, baseline, compared, tick_hz)
    return found


def _mark_tick_error(
    found: dict[str, Comparison], baseline: Sequence[Figures], compared: Sequence[Figures], tick_hz: int
) -> None:
    """Say of the splits which differences lie within the sampling error of all runs' ticks together."""
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
