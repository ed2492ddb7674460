# SPDX-License-Identifier: GPL-2.0-or-later
"""Bars: shares of a whole, and values on a common scale."""

from __future__ import annotations

from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import Line, Span, within


def shares(
    first: float, second: float, cells: int, glyphs: Glyphs, roles: tuple[str, str] = ("user", "system")
) -> Line:
    """Two shares (0 to 1) of one whole, one after the other; the rest is the empty track.

    Each boundary is rounded from the sum up to it, so that both bars together are never longer than their sum.
    """
    a = round(max(min(first, 1.0), 0.0) * cells)
    b = round(max(min(first + second, 1.0), 0.0) * cells) - a
    return spans((glyphs.full * a, roles[0]), (glyphs.second * b, roles[1]), (glyphs.track * (cells - a - b), "idle"))


def stacked(
    values: tuple[float, float], most: float, cells: int, glyphs: Glyphs, *, roles: tuple[str, str], fine: bool = True
) -> Line:
    """Two values on a scale that ends at ``most``; a tick if they are too small for the smallest step.

    ``fine``: in steps of half a cell. A bar that changes with every frame is cheaper in whole cells.
    """
    if most <= 0 or cells <= 0:
        return ((" " * max(cells, 0), "text"),)
    step = 1 if fine else 2
    # Of a damaged recording, counters may run backwards.
    share = max(min(sum(values) / most, 1.0), 0.0)
    total = round(share * cells * 2 / step) * step
    if share > 0 and not total:
        return spans((glyphs.sliver, roles[1] if values[1] else roles[0]), (" " * (cells - 1), "text"))
    whole = total // 2
    first = max(min(round(values[0] / most * cells), whole), 0) if values[1] else whole
    tail = (glyphs.half or glyphs.full) if total % 2 else ""
    return spans(
        (glyphs.full * first, roles[0]),
        (glyphs.second * (whole - first), roles[1]),
        (tail, roles[1] if values[1] else roles[0]),
        (" " * (cells - whole - len(tail)), "text"),
    )


def progress(fraction: float | None, cells: int, glyphs: Glyphs, role: str = "title") -> Line:
    """How much is done; an unknown fraction is an empty track."""
    done = round(within(fraction or 0.0) * cells)
    return spans((glyphs.full * done, role), (glyphs.track * (cells - done), "idle"))


def spans(*parts: Span) -> Line:
    return tuple(part for part in parts if part[0])
