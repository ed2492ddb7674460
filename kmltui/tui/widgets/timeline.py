# SPDX-License-Identifier: GPL-2.0-or-later
"""The timeline: clicking or dragging goes to that moment."""

from __future__ import annotations

from textual import events
from textual.message import Message

from kmltui.tui.draw import timeline
from kmltui.tui.draw.chart import ChartColumns
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.player import Frame
from kmltui.tui.widgets.lines import Lines


class Timeline(Lines):
    """The whole run; posts :class:`Scrubbed` while the mouse drags over it."""

    class Scrubbed(Message):
        """The user points at ``t_ns``."""

        def __init__(self, t_ns: int) -> None:
            super().__init__()
            self.t_ns = t_ns

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._axis_ns = 0
        self._dragging = False
        self._kept: dict[str, ChartColumns] = {}

    def show_frame(self, frame: Frame, glyphs: Glyphs) -> None:
        self._axis_ns = timeline.axis_ns(frame)
        self.show_lines(timeline.draw(frame, self.size.width, max(self.size.height, 1), glyphs, self._kept))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragging = True
        self.capture_mouse()
        self._scrub(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragging:
            self._scrub(event.x)

    def on_mouse_up(self) -> None:
        self._dragging = False
        self.release_mouse()

    def _scrub(self, x: int) -> None:
        self.post_message(self.Scrubbed(timeline.time_at(x, self.size.width, self._axis_ns)))
