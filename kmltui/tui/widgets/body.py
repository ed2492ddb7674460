# SPDX-License-Identifier: GPL-2.0-or-later
"""The area that shows one of the views."""

from __future__ import annotations

from textual import events
from textual.message import Message

from kmltui.tui.pages.base import Canvas, Page
from kmltui.tui.player import Frame
from kmltui.tui.widgets.lines import Lines


class Body(Lines):
    """Draws the current page for the current frame."""

    class Clicked(Message):
        """A click has changed the page's settings."""

    def __init__(self, page: Page, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.page = page
        self._frame: Frame | None = None
        self._canvas: Canvas | None = None

    def show_frame(self, frame: Frame, canvas: Canvas) -> None:
        self._frame, self._canvas = frame, canvas
        self.redraw()

    def redraw(self) -> None:
        """Draw the same frame again: the page or its settings have changed."""
        if self._frame is not None and self._canvas is not None and self.size.width:
            canvas = self._canvas
            canvas.width, canvas.height = self.size.width, self.size.height
            self.show_lines(self.page.draw(self._frame, canvas))

    def on_resize(self) -> None:
        super().on_resize()
        self.redraw()

    def on_mouse_scroll_down(self) -> None:
        self.page.scroll(3)
        self.redraw()

    def on_mouse_scroll_up(self) -> None:
        self.page.scroll(-3)
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        if self.page.click(event.x, event.y):
            self.post_message(self.Clicked())
