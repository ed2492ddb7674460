# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls by name: how many, at what rate, by trap or direct, and how the two sessions differ."""

from __future__ import annotations

from typing import ClassVar

from kmltui.figures.verdict import share_text
from kmltui.live.views import CallView, SessionView
from kmltui.printable import printable
from kmltui.tui.draw import bars, judging
from kmltui.tui.pages.base import Canvas, Column, Row, TablePage
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, count, cropped, difference, percent, rate, short, shorten, width

_ROOMY = 110
"""From this many columns on, two sessions' counts are shown with all digits."""
_NONE = CallView(-2, 0.0, 0.0, 0, 0)


class CallsPage(TablePage):
    name: ClassVar[str] = "calls"
    title: ClassVar[str] = "System calls"
    columns: tuple[Column, ...] = (Column("call", 18, left=True), Column("calls/s", 12))
    sort = 1

    def __init__(self) -> None:
        super().__init__()
        self._sorted_by = self.sort
        """The column that is sorted by default, until the user chooses one."""

    def _sort_by_totals(self, frame: Frame) -> None:
        """When the run is over, rates are those of idle sessions: then the totals matter."""
        wanted = 1 if not frame.view.status else 2 if frame.view.pair is None else 6
        if self.sort == self._sorted_by:
            self.sort = self._sorted_by = wanted

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        self._sort_by_totals(frame)
        names = [cropped(printable(session.name), 9) for session in frame.view.pair or frame.view.sessions[:1]]
        self.columns = _columns(names, canvas.width < _ROOMY, kml=bool(frame.view.sessions[0].arm))
        return super().head(frame, canvas)

    def total(self, frame: Frame, canvas: Canvas) -> Line:
        shown = frame.view.pair or frame.view.sessions[:1]
        if not any(session.has_calls for session in shown):
            return ((" system calls are not counted here: the environment (e) says why", "muted"),)
        a, b = shown[0], shown[-1]
        if len(shown) == 1:
            return (
                (" all calls/s  ", "muted"),
                (rate((a.trap_rate or 0) + (a.direct_rate or 0)), "text"),
                ("    in all  ", "muted"),
                (count((a.trap or 0) + (a.direct or 0)), "text"),
            )
        if frame.view.status:
            unit, number = "", short
            figures: tuple[float | None, ...] = (a.trap, a.direct, b.trap, b.direct, b.elevations)
        else:
            unit, number = "/s", rate
            figures = (a.trap_rate, a.direct_rate, b.trap_rate, b.direct_rate, b.elevation_rate)
        trap_a, direct_a, trap_b, direct_b, into_ring_0 = figures
        arrow = (f" {canvas.glyphs.arrow} ", "muted")
        parts: list[Line] = [
            (
                (f" all calls{unit}  ", "muted"),
                (number((trap_a or 0) + (direct_a or 0)), "stock"),
                arrow,
                (number((trap_b or 0) + (direct_b or 0)), "kml"),
            ),
            ((f"    traps{unit}  ", "muted"), (number(trap_a), "trap"), arrow, (number(trap_b), "trap")),
            ((f"    into ring 0{unit}  ", "muted"), (number(into_ring_0), "elevation")),
        ]
        return shorten(parts, canvas.width - width(self.filter_sign()))

    def rows(self, frame: Frame, canvas: Canvas) -> list[Row]:
        pair = frame.view.pair
        if pair is None:
            return _alone(frame.view.sessions[0], canvas)
        left = {call.nr: call for call in pair[0].calls}
        right = {call.nr: call for call in pair[1].calls}
        numbers = left.keys() | right.keys()
        most = max((call.rate for side in (left, right) for call in side.values()), default=0.0)
        number = count if canvas.width >= _ROOMY else short
        same_work = (
            frame.view.status == "done"
            and frame.view.workload.duration_s is None
            and not judging.unequal_work(frame.view)
        )
        result: list[Row] = []
        for nr in numbers:
            a, b = left.get(nr, _NONE), right.get(nr, _NONE)
            # While they run, rates depend on how far each has come: only the totals of the same work are compared.
            fewer = difference(a.total or None, b.total) if same_work else None
            change = None if fewer is None else -fewer
            share = b.direct / b.total if b.total else 0.0
            name = printable(canvas.call_name(nr))
            half = max((canvas.width - 126) // 2, 0)
            tail = (
                *bars.stacked((a.trap_rate, a.direct_rate), most, half, canvas.glyphs, roles=("trap", "direct")),
                (" ", "text"),
                *bars.stacked((b.trap_rate, b.direct_rate), most, half, canvas.glyphs, roles=("trap", "direct")),
            )
            result.append(
                Row(
                    (
                        (name, "text"),
                        (rate(a.rate), "stock" if a.rate else "faint"),
                        (rate(b.rate), "kml" if b.rate else "faint"),
                        (percent(change).lstrip("+") if change is not None else "", "text"),
                        (rate(b.trap_rate), "trap" if b.trap_rate else "faint"),
                        (rate(b.direct_rate), "direct" if b.direct_rate else "faint"),
                        (number(a.total), "muted"),
                        (number(b.total), "muted"),
                        (share_text(share) if b.total else "", "muted"),
                    ),
                    (name, a.rate, b.rate, change or 0.0, b.trap_rate, b.direct_rate, a.total, b.total, share, 0.0),
                    tail,
                )
            )
        return result


_NEVER = 1 << 16
"""A width that no terminal has."""


def _columns(names: list[str], narrow: bool, *, kml: bool) -> tuple[Column, ...]:
    """For two sessions side by side, or for one; without KML there are no direct calls to show."""
    if len(names) == 1:
        return (
            Column("call", 18, left=True),
            Column("calls/s", 12),
            Column("in all", 15),
            Column("share", 10),
            Column("direct", 10, least=80 if kml else _NEVER),
            Column("  of the largest", 0, left=True, least=90, sortable=False),
        )
    left, right = names
    if narrow:
        return (
            Column("call", 15, left=True),
            Column(f"{left}/s"[-9:], 10),
            Column(f"{right}/s"[-9:], 10),
            Column("fewer", 8),
            Column("trap/s", 9, least=80),
            Column("direct/s", 10, least=80),
            Column("all", 8),
            Column("all", 8),
            Column("direct", 9, least=96),
        )
    return (
        Column("call", 18, left=True),
        Column(f"{left}/s", 12),
        Column(f"{right}/s", 12),
        Column("fewer", 10),
        Column("trap/s", 11),
        Column("direct/s", 12),
        Column(f"{left} in all", max(15, len(left) + 9)),
        Column(f"{right} in all", max(15, len(right) + 9)),
        Column("direct", 10, least=125),
        Column(" of the largest", 0, left=True, least=126, sortable=False),
    )


def _alone(session: SessionView, canvas: Canvas) -> list[Row]:
    most = max((call.rate for call in session.calls), default=0.0)
    every = sum(call.total for call in session.calls)
    room = max(canvas.width - 70, 0)
    rows = []
    for call in session.calls:
        name = printable(canvas.call_name(call.nr))
        share = call.total / every if every else 0.0
        direct = call.direct / call.total if call.total else 0.0
        bar = bars.stacked((call.trap_rate, call.direct_rate), most, room, canvas.glyphs, roles=("trap", "direct"))
        cells = (
            (name, "text"),
            (rate(call.rate), "text" if call.rate else "faint"),
            (count(call.total), "muted"),
            (f"{share * 100:.1f} %", "muted"),
            (share_text(direct), "muted"),
        )
        rows.append(Row(cells, (name, call.rate, call.total, share, direct, 0.0), bar))
    return rows
