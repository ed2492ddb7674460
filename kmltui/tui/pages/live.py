# SPDX-License-Identifier: GPL-2.0-or-later
"""Both sessions side by side: the main view of the program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.figures.card import CardLine
from kmltui.live.views import Snapshot
from kmltui.printable import printable
from kmltui.tui.draw import endcard, judging, measures, panes, verdict
from kmltui.tui.layout import Layout, plan
from kmltui.tui.pages.base import Canvas, Page
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, clock, cropped, fit

SINGLE_CALLS = "single calls"
"""In place of a chart: what single calls took, if they were timed."""
WINDOWS_S = (30, 60, 120, 180, 300, 900, 3600)


class LivePage(Page):
    name: ClassVar[str] = "live"
    title: ClassVar[str] = "Live"

    def __init__(self) -> None:
        self.chart = ""
        """The chart that was chosen; empty: the most informative one."""
        self.window_s: int | None = None
        """Time span of the charts; None: whatever suits the width."""
        self.card: Sequence[CardLine] = ()
        """The outcome of the run, once that is known; shown at its end."""
        self._has_single_calls = False
        self._charts: tuple[str, ...] = tuple(panes.CHARTS)
        self._shown_s = 60
        self._state = panes.PaneState()

    def draw(self, frame: Frame, canvas: Canvas) -> list[Line]:
        view = frame.view
        cpus = max([spec.vcpus for spec in view.header.sessions] + [len(each.cpus) for each in view.sessions])
        self._has_single_calls = bool(measures.names(view, over=True))
        single_calls = self.chart == SINGLE_CALLS and self._has_single_calls
        self._charts = _charts(view, cpus)
        chart = self.chart if self.chart in self._charts else self._charts[0]
        over = bool(self.card and view.status)
        layout = plan(
            canvas.width,
            canvas.height,
            cpus,
            self._charts,
            chart,
            panes=min(len(view.sessions), 2),
            table=endcard.rows(self.card, canvas.width, canvas.height * 2 // 5) if over else 4,
            queries=not (judging.without_queries(view) or _only_this_machine(view)),
        )
        # A run's first minute fills the charts; after that they show as much as the width has cells for, since a
        # column that is complete every two seconds costs half of one that is complete every second.
        widest = 60 if layout.pane < 50 else 120 if layout.pane < 75 else 180
        self._shown_s = self.window_s or (60 if view.t_ns <= 60_000_000_000 else widest)
        window_ns = self._shown_s * 1_000_000_000
        if frame.paused:
            self._state.renew()
        lines = panes.draw(view, layout, canvas.glyphs, self._state, canvas.call_name, window_ns, single_calls)
        if over:
            lines += endcard.draw(self.card, canvas.width, layout.table, canvas.glyphs)
        else:
            lines += verdict.draw(view, layout, canvas.glyphs, canvas.viewer_share)
        lines += _log(frame, layout, canvas)
        if layout.dropped and len(lines) < canvas.height:
            lines.append(((f" left out here: {', '.join(layout.dropped)}", "faint"),))
        lines += [()] * (canvas.height - len(lines))
        return [fit(each, canvas.width) for each in lines[: canvas.height]]

    def next_chart(self) -> None:
        names = [*self._charts, *([SINGLE_CALLS] if self._has_single_calls else [])]
        at = names.index(self.chart) if self.chart in names else 0
        self.chart = names[(at + 1) % len(names)]

    def zoom(self, step: int) -> None:
        """Show a longer (1) or shorter (-1) time in the charts."""
        at = min(range(len(WINDOWS_S)), key=lambda index: abs(WINDOWS_S[index] - self._shown_s)) + step
        self.window_s = WINDOWS_S[min(max(at, 0), len(WINDOWS_S) - 1)]


def _only_this_machine(view: Snapshot) -> bool:
    """Nothing but this machine is watched: there is no server."""
    return view.header.kind == "monitor" and not any(
        session.server or session.state.detail for session in view.sessions
    )


def _charts(view: Snapshot, cpus: int) -> tuple[str, ...]:
    """The charts that can be drawn, the most informative first: with a single busy CPU, its chart is a solid block on
    both sides."""
    names = list(panes.CHARTS)
    watched = view.header.kind == "monitor"
    by_instructions = judging.clock(view) == "instructions"  # queries per second of the host would say nothing
    if by_instructions or judging.without_queries(view) or _only_this_machine(view):
        names.remove("queries")
    if watched and not any(session.has_calls for session in view.sessions):
        names.remove("calls")
    if cpus == 1 and "calls" in names:
        names.insert(0, names.pop(names.index("calls")))
    return tuple(names)


def _log(frame: Frame, layout: Layout, canvas: Canvas) -> list[Line]:
    """The last lines of the log, if there is room for them."""
    if not layout.log:
        return []
    glyphs = canvas.glyphs
    title = " log "
    lines: list[Line] = [
        ((glyphs.rule, "rule"), (title, "text"), (glyphs.rule * (canvas.width - len(title) - 1), "rule"))
    ]
    for log in frame.view.logs[-(layout.log - 1) :]:
        role = {"warning": "warn", "error": "bad"}.get(log.level, "muted")
        lines.append(
            (
                (f" {clock(log.t_ns):>7} ", "faint"),
                (f"{cropped(printable(log.session or 'runner'), 7):<8}", "faint"),
                (f"{log.source:<8}", "faint"),
                (printable(log.text), role),
            )
        )
    return lines + [()] * (layout.log - len(lines))
