# SPDX-License-Identifier: GPL-2.0-or-later
"""The end card on the screen: the outcome of the run, in place of the table of CPU seconds."""

from __future__ import annotations

from collections.abc import Sequence

from kmltui.figures.card import CardLine
from kmltui.printable import printable
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import Line, fit

_ROLES = {"good": "good", "bad": "bad", "warning": "warn", "plain": "text"}


def draw(lines: Sequence[CardLine], cells: int, rows: int, glyphs: Glyphs) -> list[Line]:
    """A rule and ``rows`` rows, each ``cells`` wide; lines that do not fit are dropped from the end."""
    title = " What this run came to "
    result: list[Line] = [
        ((glyphs.rule, "rule"), (title, "strong"), (glyphs.rule * max(cells - len(title) - 1, 0), "rule"))
    ]
    label = max((len(line.label) for line in lines), default=0) + 2
    for line in lines[:rows]:
        more = f"   {printable(line.more)}" if line.more else ""
        result.append(
            (
                (f" {printable(line.label):<{label}}", "muted"),
                (printable(line.text), _ROLES[line.tone]),
                (more, "faint"),
            )
        )
    result += [()] * (rows + 1 - len(result))
    return [fit(line, cells) for line in result]
