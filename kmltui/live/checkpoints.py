# SPDX-License-Identifier: GPL-2.0-or-later
"""Merged latency histograms, now and at earlier times.

Histograms cannot be subtracted from one another, so copies of the merged ones are kept to start from: compressed, only
of those that have changed, and no more of them than a memory budget allows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from kmltui.live.latencies import Latencies
from kmltui.live.views import LatencyView
from kmltui.model import Latency

ALL = -1
"""Stands for all statements."""

_PERCENTILES = (50.0, 95.0, 99.0, 99.9)
_MOST_STATEMENTS = 200
_LEAST_NS = 5_000_000_000
_BUDGET_BYTES = 3 << 20


class LatencyTable:
    """The latencies of one session by statement, merged, and their percentiles."""

    __slots__ = ("_merged", "_total", "_views")

    def __init__(self, merged: dict[int, Latencies] | None = None) -> None:
        self._merged = merged if merged is not None else {}
        self._total: Latencies | None = None
        """Of all statements, from when it is first asked for; adding them all up for each frame costs more than the
        rest of reading."""
        self._views: dict[int, LatencyView | None] = {}

    def add(self, record: Latency) -> bool:
        """Merge a record's histogram; returns False if it has none or an unreadable one."""
        if not record.hdr or (record.statement not in self._merged and len(self._merged) >= _MOST_STATEMENTS):
            return False
        try:
            self._merged.setdefault(record.statement, Latencies()).add(record.hdr, self._total)
        except ValueError:
            return False
        self._views.pop(record.statement, None)
        self._views.pop(ALL, None)
        return True

    def copy_of(self, statement: int) -> Latencies:
        """An independent copy of one statement's latencies, compressed."""
        return self._merged[statement].copy()

    def view(self, statement: int) -> LatencyView | None:
        """Percentiles of one statement, or of :data:`ALL`; recomputed only when latencies were added."""
        if statement not in self._views:
            self._views[statement] = _view(self._of_all() if statement == ALL else self._merged[statement])
        return self._views[statement]

    def _of_all(self) -> Latencies:
        if self._total is None:
            self._total = Latencies()
            for part in self._merged.values():
                self._total.merge(part)
        return self._total

    def statements(self) -> tuple[tuple[int, LatencyView], ...]:
        """The percentiles of each statement that has any, by its number."""
        views = ((statement, self.view(statement)) for statement in sorted(self._merged))
        return tuple((statement, view) for statement, view in views if view is not None)


def _view(merged: Latencies) -> LatencyView | None:
    found = merged.percentiles(_PERCENTILES)
    if found is None:
        return None
    return LatencyView(found[0], found[1], found[2], found[3], merged.largest or 0, merged.count)


class Checkpoints:
    """The latency tables of all sessions, now and at earlier times."""

    def __init__(self, sessions: Sequence[str], every_ns: int = _LEAST_NS) -> None:
        self.tables = {name: LatencyTable() for name in sessions}
        """As they are now."""
        self._every_ns = every_ns
        self._times: list[int] = []
        self._copies: dict[tuple[str, int], list[tuple[int, Latencies]]] = {}
        """By session and statement: the index of a checkpoint, and the latencies then, where they had changed."""
        self._changed: set[tuple[str, int]] = set()
        self._lasts: list[int] = []
        """For each checkpoint, the time of the last record before the next one."""
        self._bytes = 0

    def add(self, record: Latency) -> None:
        """Merge a record of one of the sessions."""
        times, t_ns = self._times, record.t_ns
        if not times or t_ns - times[-1] >= self._every_ns:
            self._take(t_ns - 1)
        if not self.tables[record.session].add(record):
            return
        key = (record.session, record.statement)
        self._changed.add(key)
        self._lasts[-1] = max(self._lasts[-1], t_ns)
        if t_ns <= times[-1]:  # late: it belongs to a copy already made
            copies = self._copies.setdefault(key, [])
            if not copies or copies[-1][0] < len(times) - 1:
                copies.append((len(times) - 1, copies[-1][1].copy() if copies else Latencies()))
            copies[-1][1].add(record.hdr)

    def before(self, t_ns: int) -> tuple[dict[str, LatencyTable], int, int]:
        """The tables to start from to reach those at ``t_ns``.

        The records still to be added are between the two returned times, the first exclusive; there are none if the
        times are not in that order.
        """
        index = bisect_right(self._times, t_ns) - 1
        if index < 0:
            return {name: LatencyTable() for name in self.tables}, 0, -1
        merged: dict[str, dict[int, Latencies]] = {name: {} for name in self.tables}
        for (name, statement), copies in self._copies.items():
            at = bisect_right(copies, index, key=lambda copy: copy[0]) - 1
            if at >= 0:
                merged[name][statement] = copies[at][1].copy()
        tables = {name: LatencyTable(latencies) for name, latencies in merged.items()}
        return tables, self._times[index], min(t_ns, self._lasts[index])

    def _take(self, t_ns: int) -> None:
        index = len(self._times)
        self._times.append(t_ns)
        self._lasts.append(-1)
        for name, statement in self._changed:
            copy = self.tables[name].copy_of(statement)
            self._bytes += copy.packed_bytes
            self._copies.setdefault((name, statement), []).append((index, copy))
        self._changed.clear()
        if self._bytes > _BUDGET_BYTES and index % 2 == 0:
            self._thin()

    def _thin(self) -> None:
        """Drop every other one, but not the last, so that they stay evenly spread over a run of any length."""
        kept = range(0, len(self._times), 2)
        self._every_ns *= 2
        self._lasts = [max(self._lasts[index : index + 2]) for index in kept]
        self._times = [self._times[index] for index in kept]
        self._bytes = 0
        for key, copies in self._copies.items():
            # What had changed at a dropped one has changed at the next one.
            newest = {(index + 1) // 2: copy for index, copy in copies}
            self._copies[key] = list(newest.items())
            self._bytes += sum(copy.packed_bytes for copy in newest.values())
