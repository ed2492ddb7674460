"""A chart over time that costs little to keep up to date.

It does not scroll: time runs to the right over a fixed axis, and when it reaches the edge the axis moves on by a
quarter. Between two such moves only the newest column changes, which is what goes over the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import Line

Column = tuple[float, ...] | None
"""The stacked values of one column, lowest series first; None where nothing was recorded."""

# The dots of a braille cell, bottom to top, of its left and its right column (Unicode 15, chapter 21.1).
_LEFT = (0x40, 0x04, 0x02, 0x01)
_RIGHT = (0x80, 0x20, 0x10, 0x08)


@dataclass(frozen=True)
class Window:
    """The part of a run's time that charts show."""

    start_ns: int
    end_ns: int

    def edges(self, columns: int) -> list[float]:
        span = self.end_ns - self.start_ns
        return [self.start_ns + span * i / columns for i in range(columns + 1)]


def window(now_ns: int, length_ns: int) -> Window:
    """The window of ``length_ns`` that holds ``now_ns`` and moves by quarters."""
    quarter = length_ns // 4
    start = max(-(-(now_ns - length_ns) // quarter), 0) * quarter
    return Window(start, start + length_ns)


def nice(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7.5 times a power of ten: where a scale may end."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next((step * power for step in (1, 1.5, 2, 3, 5, 7.5, 10) if step * power >= value * 0.9999), 10 * power)


class Scale:
    """The end of a scale: grows at once, shrinks only when less than a third of it is used, so that it stands still."""

    def __init__(self) -> None:
        self.most = 0.0

    def cover(self, value: float) -> float:
        if value > self.most or value < self.most / 3:
            self.most = nice(value * 1.05)
        return self.most


def highest(*charts: Sequence[Column]) -> float:
    return max((sum(column) for columns in charts for column in columns if column), default=0.0)


def chart(
    columns: Sequence[Column], most: float, cells: int, rows: int, roles: Sequence[str], glyphs: Glyphs
) -> list[Line]:
    """``rows`` lines, ``cells`` wide. With braille there are two columns a cell, otherwise one."""
    steps = rows * (4 if glyphs.braille else len(glyphs.levels) - 1)
    heights = [_heights(column, most, steps) for column in columns]
    draw = _braille if glyphs.braille else _blocks
    return [_runs(draw(heights, row, cells, roles, glyphs)) for row in range(rows - 1, -1, -1)]


def columns_for(cells: int, glyphs: Glyphs) -> int:
    return cells * 2 if glyphs.braille else cells


def _heights(column: Column, most: float, steps: int) -> tuple[int, ...]:
    """Where each series ends, in steps from the bottom; a total above 0 shows at least one."""
    if column is None or most <= 0:
        return ()
    ends: list[int] = []
    total = 0.0
    for value in column:
        total += max(value, 0.0)
        ends.append(min(round(total / most * steps), steps))
    if total > 0 and ends[-1] == 0:
        ends[-1] = 1
    return tuple(ends)


def _braille(
    heights: Sequence[tuple[int, ...]], row: int, cells: int, roles: Sequence[str], glyphs: Glyphs
) -> list[tuple[str, str]]:
    result = []
    base = row * 4
    for cell in range(cells):
        bits = 0
        lit = [0] * len(roles)
        for side, dots in ((0, _LEFT), (1, _RIGHT)):
            position = cell * 2 + side
            ends = heights[position] if position < len(heights) else ()
            below = base
            for series, end in enumerate(ends):
                for step in range(max(below, base), min(end, base + 4)):
                    bits |= dots[step - base]
                    lit[series] += 1
                below = max(below, end)
        if bits:
            result.append((chr(0x2800 + bits), roles[max(range(len(roles)), key=lambda series: lit[series])]))
        else:
            result.append((" ", "text"))
    return result


def _blocks(
    heights: Sequence[tuple[int, ...]], row: int, cells: int, roles: Sequence[str], glyphs: Glyphs
) -> list[tuple[str, str]]:
    levels = glyphs.levels
    full = len(levels) - 1
    base = row * full
    result = []
    for cell in range(cells):
        ends = heights[cell] if cell < len(heights) else ()
        fill = min(max((ends[-1] if ends else 0) - base, 0), full)
        if not fill:
            result.append((" ", "text"))
            continue
        series = next((i for i, end in enumerate(ends) if end > base), len(ends) - 1)
        # The lowest series is told apart without colour: it fills whole cells with another character.
        first = series == 0 and len(ends) > 1 and fill == full
        result.append((glyphs.second if first else levels[fill], roles[series]))
    return result


def _runs(cells: list[tuple[str, str]]) -> Line:
    """Neighbours of one role as one span."""
    result: list[tuple[str, str]] = []
    for text, role in cells:
        if result and (result[-1][1] == role or text == " "):
            result[-1] = (result[-1][0] + text, result[-1][1])
        else:
            result.append((text, role))
    return tuple(result)
