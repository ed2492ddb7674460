# SPDX-License-Identifier: GPL-2.0-or-later
"""A chart over time that costs little to keep up to date.

It does not scroll: time runs to the right over a fixed axis, and when it reaches the edge the axis moves on by a third.
Between two moves only the newest column is drawn, once it is complete, so little is sent to the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from kmltui.live.history import Series
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import Line

Column = tuple[float, ...] | None
"""The stacked values of one column, lowest series first; None if nothing was recorded."""

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
    """The window of ``length_ns`` that holds ``now_ns`` and moves on by thirds."""
    page = length_ns // 3
    start = max(-(-(now_ns - length_ns) // page), 0) * page
    return Window(start, start + length_ns)


def nice(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7.5 times a power of ten, at which a scale may end."""
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


class ChartColumns:
    """The columns of one chart, kept from frame to frame: only those that time has reached since then are computed."""

    def __init__(self) -> None:
        self._key: tuple[int, int, int, float] | None = None
        self._until = 0.0
        self._end = 0
        self._columns: list[Column] = []

    def update(self, series: Series, frame: Window, number: int, rates: Rates, *, per_cell: int = 1) -> list[Column]:
        """``number`` columns over ``frame``; None where ``series`` has nothing."""
        first, last = series.first, series.last
        until = last[0] if last else 0.0
        # A series that begins earlier than before was incomplete: so were the columns made of it.
        key = (frame.start_ns, frame.end_ns, number, first[0] if first else until)
        position = (until - frame.start_ns) * number / (frame.end_ns - frame.start_ns)
        # Only what lies in the past is drawn, in whole cells: a column is sent once and never changes.
        end = min(max(int(position) // per_cell * per_cell, 0), number)
        start = 0
        if key == self._key and until >= self._until and len(self._columns) == number:
            start = self._end
        if start < end or key != self._key or until < self._until:
            fresh: list[Column] = [
                tuple(value * rates.scale for value in column) if column else None
                for column in series.rates(frame.edges(number)[start : end + 1], rates.columns, rates.clock)
            ]
            self._columns = [*self._columns[:start], *fresh, *[None] * (number - end)]
            self._end = end
        self._key, self._until = key, until
        return self._columns


@dataclass(frozen=True)
class Rates:
    """Which counters a chart shows: their difference over that of the column ``clock``, times ``scale``."""

    columns: tuple[int, ...]
    clock: int
    scale: float


def highest(*charts: Sequence[Column]) -> float:
    """The greatest total in any of them."""
    return max((sum(column) for columns in charts for column in columns if column), default=0.0)


def chart(
    columns: Sequence[Column], most: float, size: tuple[int, int], roles: Sequence[str], glyphs: Glyphs
) -> list[Line]:
    """Lines of ``size``: cells wide and rows high. With braille there are two columns per cell, otherwise one."""
    cells, rows = size
    steps = rows * (4 if glyphs.braille else len(glyphs.levels) - 1)
    heights = [_heights(column, most, steps) if column else () for column in columns]
    if glyphs.braille:
        heights += [()] * (cells * 2 - len(heights))
        drawn = [_braille_cell(heights[i], heights[i + 1], rows) for i in range(0, cells * 2, 2)]
    else:
        heights += [()] * (cells - len(heights))
        drawn = [_block_cell(each, rows, glyphs) for each in heights[:cells]]
    return [_runs([cell[row] for cell in drawn], roles) for row in range(rows - 1, -1, -1)]


def columns_for(cells: int, glyphs: Glyphs) -> int:
    return cells * 2 if glyphs.braille else cells


@lru_cache(2048)
def _heights(column: tuple[float, ...], most: float, steps: int) -> tuple[int, ...]:
    """Where each series ends, in steps from the bottom; a total above 0 shows at least one."""
    if most <= 0:
        return ()
    ends: list[int] = []
    total = 0.0
    for value in column:
        total += value if value > 0 else 0.0
        ends.append(min(round(total / most * steps), steps))
    if total > 0 and ends[-1] == 0:
        ends[-1] = 1
    return tuple(ends)


_CellColumn = tuple[tuple[str, int], ...]
"""The characters of one cell's column, bottom to top, each with the series that has most of it (-1: none)."""


@lru_cache(8192)
def _braille_cell(left: tuple[int, ...], right: tuple[int, ...], rows: int) -> _CellColumn:
    result = []
    for base in range(0, rows * 4, 4):
        bits = 0
        lit = [0] * max(len(left), len(right), 1)
        for ends, dots in ((left, _LEFT), (right, _RIGHT)):
            below = 0
            for series, end in enumerate(ends):
                for step in range(max(below, base), min(end, base + 4)):
                    bits |= dots[step - base]
                    lit[series] += 1
                below = max(below, end)
        result.append((chr(0x2800 + bits), lit.index(max(lit))) if bits else (" ", -1))
    return tuple(result)


@lru_cache(4096)
def _block_cell(ends: tuple[int, ...], rows: int, glyphs: Glyphs) -> _CellColumn:
    levels = glyphs.levels
    full = len(levels) - 1
    result = []
    for base in range(0, rows * full, full):
        fill = min(max((ends[-1] if ends else 0) - base, 0), full)
        series = next((i for i, end in enumerate(ends) if end > base + fill / 2), len(ends) - 1) if fill else -1
        # The upper series can be distinguished without colour: it fills whole cells with another character.
        result.append((glyphs.second if series > 0 and fill == full else levels[fill], series))
    return tuple(result)


def _runs(cells: Sequence[tuple[str, int]], roles: Sequence[str]) -> Line:
    """Adjacent cells of one series as one span; blanks belong to whatever is beside them."""
    result: list[tuple[str, str]] = []
    text, current = "", -1
    for character, series in cells:
        if series != current and series >= 0 and current >= 0:
            result.append((text, roles[current]))
            text = ""
        if series >= 0:
            current = series
        text += character
    result.append((text, roles[current] if current >= 0 else "text"))
    return tuple(result)
