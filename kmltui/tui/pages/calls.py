# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls by name: how many, at what rate, by trap or direct, and how the two sessions differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.figures.verdict import share_text
from kmltui.live.views import CallView, SessionView
from kmltui.printable import printable
from kmltui.tui.draw import bars, judging, panes
from kmltui.tui.pages.base import Canvas, Cell, Column, Row, TablePage
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, count, cropped, difference, percent, rate, short, shorten, width

_ROOMY = 110
"""From this many columns on, two sessions' counts are shown with all digits."""
_NONE = CallView(-2, 0.0, 0.0, 0, 0)


class CallsPage(TablePage):
    name: ClassVar[str] = "calls"
    title: ClassVar[str] = "System calls"
    columns: tuple[Column, ...] = (Column("call", 18, left=True), Column("calls/s", 12))
    usual = 1
    """All calls of the first session: a second while it works, in all once the run is over, and in a bench."""

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        names = [cropped(printable(session.name), 9) for session in frame.view.pair or frame.view.sessions[:1]]
        kml, totals = bool(frame.view.sessions[0].arm), _totals(frame)
        if len(names) == 1:
            self.columns = _columns_alone(over=totals, kml=kml)
        else:
            narrow, ended = canvas.width < _ROOMY, bool(frame.view.status)
            self.columns = _columns(names[0], names[-1], narrow=narrow, totals=totals, ended=ended)
        return super().head(frame, canvas)

    def total(self, frame: Frame, canvas: Canvas) -> Line:
        shown = frame.view.pair or frame.view.sessions[:1]
        if not any(session.has_calls for session in shown):
            if any(session.counts_later for session in shown):
                why = "" if frame.view.header.kind == "monitor" else ": the workload has not begun"
                return ((f" no system calls have been counted yet{why}", "muted"),)
            return ((" system calls are not counted here: the environment (e) says why", "muted"),)
        a, b = shown[0], shown[-1]
        if len(shown) == 1:
            return (
                (" all calls/s  ", "muted"),
                (rate(_both(a.trap_rate, a.direct_rate)), "text"),
                ("    in all  ", "muted"),
                (count(_both(a.trap, a.direct)), "text"),
            )
        if _totals(frame):
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
                (number(_both(trap_a, direct_a)), "stock"),
                arrow,
                (number(_both(trap_b, direct_b)), "kml"),
            ),
            ((f"    traps{unit}  ", "muted"), (number(trap_a), "trap"), arrow, (number(trap_b), "trap")),
            ((f"    into ring 0{unit}  ", "muted"), (number(into_ring_0), "elevation")),
        ]
        return shorten(parts, canvas.width - width(self.filter_sign()))

    def rows(self, frame: Frame, canvas: Canvas) -> list[Row]:
        pair, over = frame.view.pair, _totals(frame)
        if pair is None:
            return _alone(frame.view.sessions[0], canvas, over=over)
        left, right = ({call.nr: call for call in _calls(session, over=over)} for session in pair)
        most = max((call.rate for side in (left, right) for call in side.values()), default=0.0)
        number = count if canvas.width >= _ROOMY else short
        room = next((cells for _, (column, cells) in self._shown(canvas.width) if not column.width), 0)
        speed = number if over else rate
        same_work = (
            frame.view.status == "done"
            and frame.view.workload.duration_s is None
            and not judging.unequal_work(frame.view)
        )
        result: list[Row] = []
        for nr in left.keys() | right.keys():
            a, b = left.get(nr, _NONE), right.get(nr, _NONE)
            # While they run, rates depend on how far each has come: only the totals of the same work are compared.
            fewer = difference(a.total or None, b.total) if same_work else None
            change = None if fewer is None else -fewer
            share = b.direct / b.total if b.total else 0.0
            name = printable(canvas.call_name(nr))
            half = max((room - 4) // 2, 0)  # two blanks before the bars, one between them, one behind
            tail = (
                *bars.stacked((a.trap_rate, a.direct_rate), most, half, canvas.glyphs, roles=("trap", "direct")),
                (" ", "text"),
                *bars.stacked((b.trap_rate, b.direct_rate), most, half, canvas.glyphs, roles=("trap", "direct")),
            )
            cells: list[Cell] = [
                (name, "text"),
                (speed(a.rate), "stock" if a.rate else "faint"),
                (speed(b.rate), "kml" if b.rate else "faint"),
            ]
            keys: list[float | str] = [name, a.rate, b.rate]
            if frame.view.status:
                cells.append((percent(change).lstrip("+") if change is not None else "", "text"))
                keys.append(change or 0.0)
            cells.append((speed(b.trap_rate), "trap" if b.trap_rate else "faint"))
            cells.append((speed(b.direct_rate), "direct" if b.direct_rate else "faint"))
            keys += [b.trap_rate, b.direct_rate]
            if not over:
                cells += [(number(a.total), "muted"), (number(b.total), "muted")]
                keys += [a.total, b.total]
            cells.append((share_text(share) if b.total else "", "muted"))
            result.append(Row(tuple(cells), (*keys, share, 0.0), tail))
        return result


def _both(trap: float | None, direct: float | None) -> float | None:
    """Their sum; what is not known is not 0."""
    return None if trap is None or direct is None else trap + direct


def _totals(frame: Frame) -> bool:
    """Whether counts are shown in place of rates: those of a run that is over would be of idle sessions, and in a bench
    all but one wait for their turn."""
    return bool(frame.view.status or frame.view.repeats)


def _calls(session: SessionView, *, over: bool) -> Sequence[CallView]:
    return panes.as_totals(session.calls) if over else session.calls


_NEVER = 1 << 16
"""A width that no terminal has."""


def _columns_alone(*, over: bool, kml: bool) -> tuple[Column, ...]:
    """For one session; without KML there are no direct calls to show."""
    totals = Column("in all", 15, name="total")
    return (
        Column("call", 18, left=True),
        *((totals,) if over else (Column("calls/s", 12, name="first"), totals)),
        Column("share", 10),
        Column("direct", 10, least=80 if kml else _NEVER, name="direct share"),
        Column("  of the largest", 0, left=True, least=90, sortable=False),
    )


def _columns(left: str, right: str, *, narrow: bool, totals: bool, ended: bool) -> tuple[Column, ...]:
    """For two sessions side by side: rates while they work, and totals; ``totals``: these alone. ``ended``: they are
    compared, as far as that can be done."""
    unit = "" if totals else "/s"
    if narrow and totals:
        return (
            Column("call", 15, left=True),
            Column(left, 10, name="first"),
            Column(right, 10, name="second"),
            *((Column("fewer", 8),) if ended else ()),
            Column("trap", 9, least=80),
            Column("direct", 10, least=80),
            Column("direct", 9, least=80, name="direct share"),
        )
    if narrow:
        return (
            Column("call", 15, left=True),
            Column(f"{cropped(left, 6)}/s", 9, name="first"),
            Column(f"{cropped(right, 6)}/s", 9, name="second"),
            Column("trap/s", 9, least=80, name="trap"),
            Column("direct/s", 10, least=80, name="direct"),
            Column(f"{cropped(left, 5)} in all", 13, name="first in all"),
            Column(f"{cropped(right, 5)} in all", 13, name="second in all"),
            Column("direct", 9, least=96, name="direct share"),
        )
    return (
        Column("call", 18, left=True),
        Column(f"{left}{unit}", 12, name="first"),
        Column(f"{right}{unit}", 12, name="second"),
        *((Column("fewer", 10),) if ended else ()),
        Column(f"trap{unit}", 11, name="trap"),
        Column(f"direct{unit}", 12, name="direct"),
        *(
            ()
            if totals
            else (
                Column(f"{left} in all", max(15, len(left) + 9), name="first in all"),
                Column(f"{right} in all", max(15, len(right) + 9), name="second in all"),
            )
        ),
        Column("direct", 10, least=110 if totals else 126, name="direct share"),
        Column(" of the largest", 0, left=True, least=110 if totals else 116, sortable=False),
    )


def _alone(session: SessionView, canvas: Canvas, *, over: bool) -> list[Row]:
    calls = _calls(session, over=over)
    most = max((call.rate for call in calls), default=0.0)
    every = sum(call.total for call in calls)
    room = max(canvas.width - 70, 0)
    rows = []
    for call in calls:
        name = printable(canvas.call_name(call.nr))
        share = call.total / every if every else 0.0
        direct = call.direct / call.total if call.total else 0.0
        bar = bars.stacked((call.trap_rate, call.direct_rate), most, room, canvas.glyphs, roles=("trap", "direct"))
        speed: tuple[Cell, ...] = () if over else ((rate(call.rate), "text" if call.rate else "faint"),)
        cells = (
            (name, "text"),
            *speed,
            (count(call.total), "muted"),
            (f"{share * 100:.1f} %", "muted"),
            (share_text(direct), "muted"),
        )
        speeds = () if over else (call.rate,)
        rows.append(Row(cells, (name, *speeds, call.total, share, direct, 0.0), bar))
    return rows
