"""System calls by name: how many, how fast, by trap or directly, and how the two sessions differ."""

from __future__ import annotations

from typing import ClassVar

from kmltui.analysis.printable import printable
from kmltui.analysis.views import CallView
from kmltui.tui.draw import bars
from kmltui.tui.pages.base import Canvas, Column, Row, TablePage
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, count, difference, percent, rate

_NONE = CallView(-2, 0.0, 0.0, 0, 0)


class CallsPage(TablePage):
    name: ClassVar[str] = "calls"
    title: ClassVar[str] = "System calls"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("call", 18, left=True),
        Column("stock/s", 12),
        Column("kml/s", 12),
        Column("diff", 10),
        Column("trap/s", 11, least=80),
        Column("direct/s", 12, least=80),
        Column("stock in all", 15, least=110),
        Column("kml in all", 15, least=110),
        Column("direct", 10, least=125),
        Column("", 0, least=126, sortable=False),
    )
    sort = 1

    def total(self, frame: Frame, canvas: Canvas) -> Line:
        pair = frame.view.pair
        if pair is None or not any(session.has_calls for session in pair):
            return (("system calls are not counted in these sessions", "muted"),)
        a, b = pair
        return (
            (" all calls/s  ", "muted"),
            (rate((a.trap_rate or 0) + (a.direct_rate or 0)), "stock"),
            (f" {canvas.glyphs.arrow} ", "muted"),
            (rate((b.trap_rate or 0) + (b.direct_rate or 0)), "kml"),
            ("    traps/s  ", "muted"),
            (rate(a.trap_rate), "trap"),
            (f" {canvas.glyphs.arrow} ", "muted"),
            (rate(b.trap_rate), "trap"),
            ("    elevations/s  ", "muted"),
            (rate(b.elevation_rate), "elevation"),
        )

    def rows(self, frame: Frame, canvas: Canvas) -> list[Row]:
        pair = frame.view.pair
        if pair is None:
            return []
        left = {call.nr: call for call in pair[0].calls}
        right = {call.nr: call for call in pair[1].calls}
        numbers = left.keys() | right.keys()
        most = max((call.rate for side in (left, right) for call in side.values()), default=0.0)
        result: list[Row] = []
        for nr in numbers:
            a, b = left.get(nr, _NONE), right.get(nr, _NONE)
            change = difference(a.rate or None, b.rate)
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
                        (percent(change), "text") if change is not None else ("", "text"),
                        (rate(b.trap_rate), "trap" if b.trap_rate else "faint"),
                        (rate(b.direct_rate), "direct" if b.direct_rate else "faint"),
                        (count(a.total), "muted"),
                        (count(b.total), "muted"),
                        (f"{share * 100:.1f} %" if b.total else "", "muted"),
                    ),
                    (name, a.rate, b.rate, change or 0.0, b.trap_rate, b.direct_rate, a.total, b.total, share, 0.0),
                    tail,
                )
            )
        return result
