# SPDX-License-Identifier: GPL-2.0-or-later
"""The course of a run as lines: rates over time, with the same edges and scale for every session."""

from __future__ import annotations

from msgspec import Struct

from kmltui.live.views import (
    BUSY_AND_IDLE,
    DIRECT,
    MONO,
    QUERIES,
    SYSTEM,
    TRAP,
    USER,
    SessionView,
    Snapshot,
)

POINTS = 120
"""Intervals of a chart."""


class Line(Struct):
    """One line: a value for each interval between the chart's edges, None where there is none."""

    session: str
    name: str
    values: list[float | None]


class Dots(Struct):
    """One value for each of several things, on a scale that holds zero, with the interval of their mean."""

    title: str
    unit: str
    labels: list[str]
    values: list[float]
    interval: tuple[float, float] | None = None


class Bars(Struct):
    """For each of several things a bar a series; None where a series has no value."""

    title: str
    unit: str
    labels: list[str]
    series: dict[str, list[float | None]]


class Chart(Struct):
    """Several lines over the same time."""

    title: str
    unit: str
    edges_s: list[float]
    lines: list[Line]
    phases: list[tuple[float, str]]
    """Where phases begin, in seconds."""


def charts(view: Snapshot, tick_hz: int) -> list[Chart]:
    """CPU use, system calls and queries over the time in which samples were taken."""
    firsts = [point[0] for session in view.sessions if (point := session.samples.first) is not None]
    lasts = [point[0] for session in view.sessions if (point := session.samples.last) is not None]
    if not firsts or max(lasts) <= min(firsts):
        return []
    begin, span = min(firsts), max(lasts) - min(firsts)
    # An interval of fewer than ten ticks would show the ticks' noise.
    points = max(1, min(POINTS, int(span / 1e9 * tick_hz / 10)))
    edges = [begin + span * step / points for step in range(points + 1)]
    seconds = [edge / 1e9 for edge in edges]
    phases = sorted({phase.name: phase.begin_ns / 1e9 for phase in view.sessions[0].phases}.items(), key=lambda p: p[1])
    marked = [(at, name) for name, at in phases]
    made = [
        Chart("CPU time, all CPUs together", "%", seconds, _cpu(view, edges), marked),
        Chart("System calls", "1/s", seconds, _calls(view, edges), marked),
        Chart("Queries", "1/s", seconds, _queries(view, edges), marked),
    ]
    return [chart for chart in made if any(value for line in chart.lines for value in line.values)]


def _cpu(view: Snapshot, edges: list[float]) -> list[Line]:
    lines = []
    for session in view.sessions:
        rates = session.samples.rates(edges, (USER, SYSTEM), BUSY_AND_IDLE)
        for index, name in enumerate(("user", "system")):
            lines.append(Line(session.name, name, [None if rate is None else 100 * rate[index] for rate in rates]))
    return lines


def _calls(view: Snapshot, edges: list[float]) -> list[Line]:
    lines = []
    for session in view.sessions:
        if not session.has_calls:
            continue
        rates = session.samples.rates(edges, (TRAP, DIRECT), MONO)
        for index, name in enumerate(("trap", "direct")):
            values = [None if rate is None else 1e9 * rate[index] for rate in rates]
            if any(values):
                lines.append(Line(session.name, name, values))
    return lines


def _queries(view: Snapshot, edges: list[float]) -> list[Line]:
    return [
        Line(session.name, "queries", _work_rates(session, edges))
        for session in view.sessions
        if session.work.first is not None
    ]


def _work_rates(session: SessionView, edges: list[float]) -> list[float | None]:
    # The client's counter has the run's clock alone.
    rates = session.work.rates(edges, (QUERIES,), 0)
    return [None if rate is None else 1e9 * rate[0] for rate in rates]
