"""One row a CPU, both sessions beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.analysis.views import CpuView
from kmltui.tui.draw import bars
from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame
from kmltui.tui.text import ABSENT, Line, Span, fit, line


class CpusPage(ScrolledPage):
    name: ClassVar[str] = "cpus"
    title: ClassVar[str] = "CPUs"

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        pane = (canvas.width - 9) // 2
        names = [session.name.upper() for session in frame.view.pair or ()] or [ABSENT, ABSENT]
        glyphs = canvas.glyphs
        legend = f"{glyphs.full} user  {glyphs.second} system  {glyphs.track} idle"
        title: Line = (
            ("       ", "text"),
            *fit(((names[0], "stock"), ("  sampled at the tick", "faint")), pane),
            ("  ", "text"),
            *fit(((names[1], "kml"), (f"  {legend}", "muted")), pane),
        )
        return [title, line((glyphs.rule * canvas.width, "faint"))]

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        pair = frame.view.pair
        if pair is None:
            return []
        sides = [{cpu.cpu: cpu for cpu in session.cpus} for session in pair]
        pane = (canvas.width - 9) // 2
        lines: list[Line] = []
        for cpu in sorted(sides[0].keys() | sides[1].keys()):
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
