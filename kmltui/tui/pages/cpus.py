# SPDX-License-Identifier: GPL-2.0-or-later
"""One row a CPU, both sessions beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.live.views import CpuView
from kmltui.printable import printable
from kmltui.tui.draw import bars
from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame
from kmltui.tui.text import ABSENT, Line, Span, fit, line


class CpusPage(ScrolledPage):
    name: ClassVar[str] = "cpus"
    title: ClassVar[str] = "CPUs"

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        shown = frame.view.pair or frame.view.sessions[:1]
        pane = (canvas.width - 9) // len(shown)
        names = [printable(session.name).upper() for session in shown]
        glyphs = canvas.glyphs
        legend = f"{glyphs.full} user  {glyphs.second} system  {glyphs.track} idle"
        note: Span = ("  sampled at the tick", "faint")
        key: Span = (f"  {legend}", "muted")
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
        pane = (canvas.width - 9) // len(shown)
        lines: list[Line] = []
        for cpu in sorted(set().union(*sides)):
            spans: list[Span] = [(f" cpu{cpu:<3}", "muted")]
            for side in sides:
                spans += _bar(side.get(cpu), pane, canvas)
                spans.append(("  ", "text"))
            lines.append(tuple(spans))
        if lines:
            lines.append(())
            spans = [(" mean  ", "strong")]
            for side in sides:
                number = max(len(side), 1)
                mean = CpuView(
                    -1,
                    sum(cpu.user for cpu in side.values()) / number,
                    sum(cpu.system for cpu in side.values()) / number,
                    0.0,
                )
                spans += _bar(mean if side else None, pane, canvas)
                spans.append(("  ", "text"))
            lines.append(tuple(spans))
        return lines or [line((" no sample of the CPUs yet", "muted"))]


def _bar(cpu: CpuView | None, cells: int, canvas: Canvas) -> Line:
    if cpu is None:
        return fit(line((ABSENT, "faint")), cells)
    figures: Line = (
        (" us ", "muted"),
        (f"{cpu.user * 100:3.0f}", "user"),
        (" sy ", "muted"),
        (f"{cpu.system * 100:3.0f}", "system"),
    )
    return (*bars.shares(cpu.user, cpu.system, max(cells - 14, 0), canvas.glyphs), *figures)
