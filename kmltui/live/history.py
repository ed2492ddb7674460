"""Cumulative counters over time, in bounded memory.

A :class:`History` keeps points of cumulative counters. When it is full it drops every other point of its older part,
so the past loses resolution and never a total: a rate between any two instants is still the exact difference of two
counters over the time between them.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from operator import sub

Point = tuple[float, ...]
"""``t_ns`` on the run's clock first, then counters that never fall."""


class Series:
    """Points in order of time, frozen: what a screen may keep while the collection goes on."""

    __slots__ = ("_points", "_times")

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = tuple(points)
        self._times: list[float] | None = None

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)

    @property
    def first(self) -> Point | None:
        return self._points[0] if self._points else None

    @property
    def last(self) -> Point | None:
        return self._points[-1] if self._points else None

    def at(self, t_ns: float) -> Point | None:
        """The counters at ``t_ns``, linear between the points around it; None outside of what was recorded."""
        points = self._points
        if not points or t_ns < points[0][0] or t_ns > points[-1][0]:
            return None
        if self._times is None:
            self._times = [point[0] for point in points]
        after = bisect_left(self._times, t_ns)
        right = points[after]
        if right[0] == t_ns or after == 0:
            return right
        return _between(points[after - 1], right, t_ns)

    def when(self, column: int, value: float) -> float | None:
        """The run's time at which counter ``column`` reached ``value``; None if it has not, or had it before."""
        points = self._points
        after = bisect_left(points, value, key=lambda point: point[column])
        if after >= len(points) or not points:
            return None
        if after == 0:
            return points[0][0] if points[0][column] == value else None
        left, right = points[after - 1], points[after]
        rise = right[column] - left[column]
        return left[0] + (right[0] - left[0]) * ((value - left[column]) / rise) if rise else right[0]

    def rates(self, edges: Sequence[float], columns: Sequence[int], clock: int) -> list[tuple[float, ...] | None]:
        """Differences per nanosecond of the counter ``clock`` in each interval between ``edges`` (run's time).

        An interval that the history covers in part is computed over that part; one it does not cover is None.
        """
        points = self._points
        if not points:
            return [None] * (len(edges) - 1)
        low, high = points[0][0], points[-1][0]
        result: list[tuple[float, ...] | None] = []
        for start, end in pairwise(edges):
            begin, finish = (
                (self.at(max(start, low)), self.at(min(end, high))) if start < high and end > low else (None, None)
            )
            elapsed = finish[clock] - begin[clock] if begin is not None and finish is not None else 0
            if begin is None or finish is None or elapsed <= 0:
                result.append(None)
            else:
                result.append(tuple((finish[column] - begin[column]) / elapsed for column in columns))
        return result

    def since(self, t_ns: float) -> Series:
        """The part from the last point at or before ``t_ns``."""
        start = bisect_right(self._points, t_ns, key=lambda point: point[0])
        return Series(self._points[max(start - 1, 0) :])


class History:
    """Collects points; at most ``limit`` of them at a time. ``append`` costs amortised constant time."""

    __slots__ = ("_limit", "_packed", "_points", "_width")

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._points: list[Point] = []
        self._packed: bytes | None = None
        """The points, ``_width`` numbers each, instead of ``_points``."""
        self._width = 0

    def __len__(self) -> int:
        return len(self._unpacked())

    def append(self, point: Point) -> None:
        """Add a point. One that is not later than the last replaces it (two samples at one instant)."""
        points = self._unpacked()
        if points and point[0] <= points[-1][0]:
            points[-1] = (points[-1][0], *point[1:])
            return
        points.append(point)
        if len(points) > self._limit:
            # The newest quarter keeps its resolution; of the rest every other point goes.
            old = len(points) - self._limit // 4
            self._points = points[:1] + points[1:old:2] + points[old:]

    def freeze(self) -> Series:
        return Series(self._unpacked())

    def copy(self) -> History:
        """An independent history. Of a long one it has the newest points, and every eighth of those before, in a tenth
        of the memory until it is used: copies are kept in numbers, as places to go back to."""
        other = History(self._limit)
        if self._packed is not None:  # a copy that was not used: two may share what is not changed
            other._packed, other._width = self._packed, self._width
            return other
        points = self._points
        old = len(points) - self._limit // 8
        long = len(points) > self._limit // 4
        kept = points[:1] + points[1:old:8] + points[old:] if long else list(points)
        try:
            other._packed, other._width = _pack(kept), len(kept[0]) if kept else 0
        except (TypeError, OverflowError):  # fractions, or more than 63 bits: not from a session of ours
            other._points = kept
        return other

    def _unpacked(self) -> list[Point]:
        if self._packed is not None:
            self._points = _unpack(self._packed, self._width)
            self._packed = None
        return self._points


def _pack(points: Sequence[Point]) -> bytes:
    """Column by column, the differences, compressed: steps are much alike. Raises TypeError, OverflowError."""
    numbers: array[int] = array("q")
    for column in zip(*points, strict=True):
        numbers.extend(map(sub, column, (0, *column[:-1])))  # a fraction raises TypeError
    return zlib.compress(numbers.tobytes(), 1)


def _unpack(packed: bytes, width: int) -> list[Point]:
    numbers: array[int] = array("q", zlib.decompress(packed))
    count = len(numbers) // width if width else 0
    return list(zip(*(accumulate(numbers[i * count : (i + 1) * count]) for i in range(width)), strict=True))


def _between(left: Point, right: Point, t_ns: float) -> Point:
    share = (t_ns - left[0]) / (right[0] - left[0])
    return tuple(a + (b - a) * share for a, b in zip(left, right, strict=True))
