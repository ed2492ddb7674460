# SPDX-License-Identifier: GPL-2.0-or-later
"""Cumulative counters over time, as columns.

A :class:`History` is append-only. When it is full it drops every other point of its older part, so the past loses
resolution and never a total: a rate between any two instants is still the exact difference of two counters over the
time between them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

Point = tuple[float, ...]
"""``t_ns`` on the run's clock first, then counters that never fall."""

POINTS = 36 << 10
"""How many points a history holds, 8 bytes per number: of a day at 1 Hz, the oldest part has one every four seconds."""

_LONGEST_SPAN_NS = 60_000_000_000


class Series:
    """The points of a history up to some time. A view: it shares the columns and costs nothing to make or keep."""

    __slots__ = ("_columns", "_count")

    def __init__(self, columns: Sequence[array[float]] = (), count: int = 0) -> None:
        self._columns = columns
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Point]:
        return (self._point(index) for index in range(self._count))

    @property
    def first(self) -> Point | None:
        return self._point(0) if self._count else None

    @property
    def last(self) -> Point | None:
        return self._point(self._count - 1) if self._count else None

    @property
    def last_but_one(self) -> Point | None:
        return self._point(self._count - 2) if self._count > 1 else None

    def at(self, t_ns: float) -> Point | None:
        """The counters at ``t_ns``, linear between the points around it; None outside of what was recorded."""
        if not self._count or t_ns < self._columns[0][0] or t_ns > self._columns[0][self._count - 1]:
            return None
        return self._values(t_ns, range(len(self._columns)))

    def when(self, column: int, value: float) -> float | None:
        """The run's time at which counter ``column`` reached ``value``; None if it has not, or had it before."""
        if not self._count:
            return None
        times, counter = self._columns[0], self._columns[column]
        after = bisect_left(counter, value, 0, self._count)
        if after >= self._count:
            return None
        if after == 0:
            return times[0] if counter[0] == value else None
        rise = counter[after] - counter[after - 1]
        if not rise:
            return times[after]
        return times[after - 1] + (times[after] - times[after - 1]) * ((value - counter[after - 1]) / rise)

    def around(self, column: int, value: float) -> tuple[Point, Point] | None:
        """The points between which counter ``column`` reached ``value``; None if it has not, or had it before."""
        if not self._count:
            return None
        counter = self._columns[column]
        after = bisect_left(counter, value, 0, self._count)
        if after >= self._count or (after == 0 and counter[0] != value):
            return None
        return self._point(after if counter[after] == value else after - 1), self._point(after)

    def rates(self, edges: Sequence[float], columns: Sequence[int], clock: int) -> list[tuple[float, ...] | None]:
        """Differences per nanosecond of the counter ``clock`` in each interval between ``edges`` (run's time).

        An interval that the history covers in part is computed over that part; one it does not cover is None.
        """
        if not self._count:
            return [None] * (len(edges) - 1)
        low, high = self._columns[0][0], self._columns[0][self._count - 1]
        wanted = (clock, *columns)
        result: list[tuple[float, ...] | None] = []
        for start, end in pairwise(edges):
            if start >= high or end <= low:
                result.append(None)
                continue
            begin, finish = self._values(max(start, low), wanted), self._values(min(end, high), wanted)
            elapsed = finish[0] - begin[0]
            rates = ((b - a) / elapsed for a, b in zip(begin[1:], finish[1:], strict=True)) if elapsed > 0 else None
            result.append(tuple(rates) if rates is not None else None)
        return result

    def _point(self, index: int) -> Point:
        return tuple(column[index] for column in self._columns)

    def _values(self, t_ns: float, columns: Sequence[int]) -> Point:
        """Some of the counters at a time that was recorded."""
        times = self._columns[0]
        after = bisect_left(times, t_ns, 0, self._count)
        if times[after] == t_ns or after == 0:
            return tuple(self._columns[column][after] for column in columns)
        before = after - 1
        share = (t_ns - times[before]) / (times[after] - times[before])
        return tuple(
            left + (self._columns[column][after] - left) * share
            for column, left in ((column, self._columns[column][before]) for column in columns)
        )


class History:
    """Collects points; at most ``limit`` of them at a time. ``append`` costs amortised constant time."""

    __slots__ = ("_columns", "_limit", "_thinned")

    def __init__(self, limit: int = POINTS) -> None:
        self._limit = limit
        self._columns: tuple[array[float], ...] = ()
        self._thinned = False

    def __len__(self) -> int:
        return len(self._columns[0]) if self._columns else 0

    def append(self, point: Point) -> None:
        """Add a point. It replaces the last one unless it is later (two samples at one instant)."""
        if not self._columns:
            self._columns = tuple(array("d") for _ in point)
        times = self._columns[0]
        if times and point[0] <= times[-1]:
            for column, value in zip(self._columns[1:], point[1:], strict=True):
                column[-1] = value
            return
        for column, value in zip(self._columns, point, strict=True):
            column.append(value)
        if (size := len(times)) > self._limit:
            # The newest quarter keeps its resolution. Series that were given out keep the columns as they were.
            old = size - self._limit // 4
            self._thinned = True
            self._columns = tuple(column[:1] + column[1:old:2] + column[old:] for column in self._columns)

    @property
    def last(self) -> Point | None:
        return self.series().last

    def series(self, t_ns: float | None = None) -> Series:
        """All points there are now, or those up to ``t_ns``."""
        return Series(self._columns, len(self) if t_ns is None else self.count(t_ns))

    def count(self, t_ns: float) -> int:
        """How many points there are up to ``t_ns``."""
        return bisect_right(self._columns[0], t_ns) if self._columns else 0

    def value(self, index: int, column: int = 0) -> float:
        """One number of a point: its time, or the counter ``column``."""
        return self._columns[column][index]

    def span(self, index: int) -> tuple[int, int]:
        """The times of a point and of the last one that may have been dropped after it."""
        times = self._columns[0]
        after = times[index + 1] - 1 if self._thinned and index + 1 < len(times) else times[index]
        return int(times[index]), int(min(after, times[index] + _LONGEST_SPAN_NS))

    def latest(self, column: int, value: float, before: int) -> int:
        """Of the first ``before`` points, the last at which counter ``column`` was at most ``value``; -1 if none."""
        return bisect_right(self._columns[column], value, 0, before) - 1 if self._columns else -1
