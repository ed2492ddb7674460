# SPDX-License-Identifier: GPL-2.0-or-later
"""One row per CPU, both sessions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.live.views import CPU_SYSTEM, CPU_TICKS, CPU_USER, CpuView
from kmltui.printable import printable
from kmltui.tui.draw import bars
from kmltui.tui.draw.chart import ChartColumns, Rates, chart, columns_for, window
from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame
from kmltui.tui.text import ABSENT, Line, Span, clock, fit, line

_WINDOW_NS = 60_000_000_000
_FIGURES = 14
"""Cells of the figures beside a bar."""
_RATES = Rates((CPU_USER, CPU_SYSTEM), CPU_TICKS, 100.0)


class CpusPage(ScrolledPage):
    name: ClassVar[str] = "cpus"
    title: ClassVar[str] = "CPUs"

    def __init__(self) -> None:
        super().__init__()
        self._columns: dict[tuple[int, int], ChartColumns] = {}

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        shown = frame.view.pair or frame.view.sessions[:1]
        pane = (canvas.width - 9) // len(shown)
        names = [printable(session.name).upper() for session in shown]
        glyphs = canvas.glyphs
        legend = f"{glyphs.full} user  {glyphs.second} system  {glyphs.track} idle"
        time = window(frame.view.t_ns, _WINDOW_NS)
        span = f"  {clock(time.start_ns)}–{clock(time.end_ns)}"
        long = f"{span}, sampled at the tick"
        note: Span = (long if len(names[0]) + len(long) <= pane else span, "faint")
        fits = len(names) == 1 or len(names[-1]) + len(legend) + 2 <= pane
        key: Span = (f"  {legend}" if fits else f"  {glyphs.full} us  {glyphs.second} sy", "muted")
        rule = line((glyphs.rule * canvas.width, "rule"))
        if len(names) == 1:
            return [(("       ", "text"), (names[0], "stock"), note, key), rule]
        title: Line = (
            ("       ", "text"),
            *fit(((names[0], "stock"), note), pane),
            ("  ", "text"),
            *fit(((names[1], "kml"), key), pane),
        )
        return [title, rule]

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        shown = frame.view.pair or frame.view.sessions[:1]
        sides = [{cpu.cpu: cpu for cpu in session.cpus} for session in shown]
        stale = [frame.view.stale(session) for session in shown]
        pane = (canvas.width - 9) // len(shown)
        cpus = sorted(set().union(*sides))
        # A bar and the mean for each CPU; the rest of the width is for its history.
        mean = 2 if len(cpus) > 1 else 0
        rows = (canvas.height - 2 - mean) // max(len(cpus), 1) - 1
        charts = [self._charts(frame, index, (pane, rows), canvas) for index in range(len(shown))] if rows >= 1 else []
        lines: list[Line] = []
        for cpu in cpus:
            spans: list[Span] = [(f" cpu{cpu:<3}", "muted")]
            for side, old in zip(sides, stale, strict=True):
                spans += _bar(None if old else side.get(cpu), pane, canvas)
                spans.append(("  ", "text"))
            lines.append(tuple(spans))
            for row in range(rows if charts else 0):
                spans = [("       ", "text")]
                for course in charts:
                    spans += fit(course[cpu][row] if cpu in course else (), pane)
                    spans.append(("  ", "text"))
                lines.append(tuple(spans))
        if len(cpus) > 1:
            lines.append(())
            spans = [(" mean  ", "strong")]
            for side, old in zip(sides, stale, strict=True):
                number = max(len(side), 1)
                average = CpuView(
                    -1,
                    sum(cpu.user for cpu in side.values()) / number,
                    sum(cpu.system for cpu in side.values()) / number,
                    0.0,
                )
                spans += _bar(average if side and not old else None, pane, canvas)
                spans.append(("  ", "text"))
            lines.append(tuple(spans))
        return lines or [line((" no sample of the CPUs yet", "muted"))]

    def _charts(self, frame: Frame, index: int, size: tuple[int, int], canvas: Canvas) -> dict[int, list[Line]]:
        """The history of every CPU of one session, by the CPU's number."""
        shown = frame.view.pair or frame.view.sessions[:1]
        cells, rows = size
        cells -= _FIGURES
        number = columns_for(cells, canvas.glyphs)
        time = window(frame.view.t_ns, _WINDOW_NS)
        found = {}
        for cpu, series in shown[index].cpu_history:
            kept = self._columns.setdefault((index, cpu), ChartColumns())
            columns = kept.update(series, time, number, _RATES, per_cell=max(number // max(cells, 1), 1))
            found[cpu] = chart(columns, 100.0, (cells, rows), ("user", "system"), canvas.glyphs)
        return found


def _bar(cpu: CpuView | None, cells: int, canvas: Canvas) -> Line:
    if cpu is None:
        return fit(line((ABSENT, "faint")), cells)
    figures: Line = (
        (" us ", "muted"),
        (f"{cpu.user * 100:3.0f}", "user"),
        (" sy ", "muted"),
        (f"{cpu.system * 100:3.0f}", "system"),
    )
    return (*bars.shares(cpu.user, cpu.system, max(cells - _FIGURES, 0), canvas.glyphs), *figures)
