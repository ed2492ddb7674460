# SPDX-License-Identifier: GPL-2.0-or-later
"""A widget that is lines of text, and paints only those that changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from kmltui.tui.text import ROLES, Line, fit, safe
from kmltui.tui.textual_private import paint, sgr_of

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
        self._sgrs: dict[str, str] = {}

    @property
    def lines(self) -> Sequence[Line]:
        """What is shown now."""
        return self._lines

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines; unchanged ones cost nothing."""
        old, self._lines = self._lines, list(lines)
        changed = [y for y, (was, now) in enumerate(zip_longest(old, self._lines)) if was != now]
        if not changed:
            return
        for y in changed:
            self._strips.pop(y, None)
        width = self.size.width
        if not width:
            return

        def cells(y: int) -> Line:
            return tuple((text, self._sgr(role)) for text, role in self._fitted(y, width))

        # Textual's way takes two fifths of what a frame costs.
        if not paint(self, changed, cells):
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def notify_style_update(self) -> None:
        self._strips.clear()
        self._styles.clear()
        self._sgrs.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            width = self.size.width
            spans = [Segment(text, self._style(role)) for text, role in self._fitted(y, width)]
            strip = self._strips[y] = Strip(spans, width)
        return strip

    def _fitted(self, y: int, width: int) -> Line:
        return fit(safe(self._lines[y] if y < len(self._lines) else ()), width)

    def _sgr(self, role: str) -> str:
        sgr = self._sgrs.get(role)
        if sgr is None:
            sgr = self._sgrs[role] = sgr_of(self, self._style(role))
        return sgr

    def _style(self, role: str) -> Style:
        style = self._styles.get(role)
        if style is None:
            component = self.app.get_component_styles(f"role--{role}")
            style = self._styles[role] = self.rich_style + component.partial_rich_style
        return style
