# SPDX-License-Identifier: GPL-2.0-or-later
"""A widget that is lines of text, and asks the compositor only for those that changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from kmltui.tui.text import ROLES, Line, fit, safe

ROLE_CLASSES = {f"role--{role}" for role in ROLES}
"""Component classes of an app that shows :class:`Lines`. They are the app's because Textual makes a node for each of
them in each widget that has them, and matches all style rules with it: a third of the time until the first frame."""


class Lines(Widget):
    """Shows :data:`~kmltui.tui.text.Line` values as they are: no wrapping, no markup, one style per role."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._strips: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}

    @property
    def lines(self) -> Sequence[Line]:
        """What is shown now."""
        return self._lines

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines; unchanged ones cost nothing."""
        old, self._lines = self._lines, list(lines)
        width = self.size.width
        changed = [
            y
            for y in range(max(len(old), len(self._lines)))
            if y >= len(old) or y >= len(self._lines) or old[y] != self._lines[y]
        ]
        for y in changed:
            self._strips.pop(y, None)
        if changed and width:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def notify_style_update(self) -> None:
        self._strips.clear()
        self._styles.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            spans = self._lines[y] if y < len(self._lines) else ()
            spans = fit(safe(spans), self.size.width)
            strip = Strip([Segment(text, self._style(role)) for text, role in spans], self.size.width)
            self._strips[y] = strip
        return strip

    def _style(self, role: str) -> Style:
        style = self._styles.get(role)
        if style is None:
            component = self.app.get_component_styles(f"role--{role}")
            style = self._styles[role] = self.rich_style + component.partial_rich_style
        return style
