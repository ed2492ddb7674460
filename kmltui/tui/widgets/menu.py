# SPDX-License-Identifier: GPL-2.0-or-later
"""A list to choose from."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widgets import OptionList

_REVERSED = Style(reverse=True)


class Menu(OptionList):
    """Its line under the cursor is reversed while it has the focus: that can be seen in every theme, and without
    colours. Textual's lists leave ``text-style: reverse`` out."""

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        style = next((segment.style for segment in strip), None)
        if not self.has_focus or style is None or style.meta.get("option", -1) != self.highlighted:
            return strip
        return Strip(Segment.apply_style(strip, post_style=_REVERSED), strip.cell_length)
