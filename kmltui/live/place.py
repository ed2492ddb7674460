# SPDX-License-Identifier: GPL-2.0-or-later
"""A place in a recording: the records around it, for what a store does not keep of every time."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from kmltui.live.checkpoints import LatencyTable
from kmltui.live.events import brief
from kmltui.live.history import History
from kmltui.live.recent import RATE_WINDOW_NS, Recent
from kmltui.live.session import SampleColumns, Session
from kmltui.live.views import MONO
from kmltui.model import Gap, Header, Latency, Log, Measure, Progress, Record, Sample, Status

DISORDER_NS = 2_000_000_000
"""How much earlier than a record before it a record may be: sessions report with different delays."""

_NEAR_NS = 60_000_000_000
"""How far ahead to read on; anything farther becomes a place of its own."""

_APART_NS = 5_000_000_000
"""Records no farther apart are read in one go."""

Span = tuple[int, int]


class Recording(Protocol):
    """Where records are read again."""

    @property
    def duration_ns(self) -> int: ...

    def records(
        self, start_ns: int = 0, end_ns: int | None = None, only: type[Record] | None = None
    ) -> Iterator[Record]:
        """Those from ``start_ns`` to ``end_ns``, exclusive; with ``only``, those of one type and gaps."""
        ...

    def landmarks(self) -> Sequence[Record]:
        """Of all there is now, what happened, and the samples at boundaries; quick."""
        ...


class Place:
    """The records up to one time, from some way before it. It moves forward with the time."""

    def __init__(
        self,
        recording: Recording,
        sessions: Mapping[str, Session],
        t_ns: int,
        window_ns: int,
        *,
        latencies: tuple[dict[str, LatencyTable], int, int] | None = None,
        columns: dict[str, SampleColumns] | None = None,
        seen: Callable[[Record], None] = lambda _: None,
    ) -> None:
        """``window_ns`` is how far back it reads.

        ``latencies``: tables to go on from, with the times between which (the first exclusive) records are missing in
        them. ``columns``: to be filled with the counters on the way, where nothing else has them. ``seen`` is given
        every record.
        """
        self._recording = recording
        self._sessions = sessions
        self._seen = seen
        self.columns = columns
        self.tables: dict[str, LatencyTable] | None = None
        self._begin_ns = max(t_ns - window_ns, 0)
        if latencies is not None:
            self.tables, after_ns, until_ns = latencies
            if after_ns < until_ns:
                for record in recording.records(after_ns + 1, until_ns + 1, Latency):
                    self._merge(record)
        self._merged_ns = t_ns
        self._records = recording.records(self._begin_ns)
        self._waiting: list[Record] = []
        self._read_ns = self._begin_ns - 1
        self._exhausted = False
        self.t_ns = t_ns
        self.gaps: list[Gap] = []
        self.logs: deque[Log] = deque(maxlen=2000)
        self.measures: dict[tuple[str, str], Measure] = {}
        self.consoles: dict[str, deque[str]] = {name: deque(maxlen=50) for name in sessions}
        whole = self._begin_ns == 0
        self.recent = {name: Recent(watched=session.watched, whole=whole) for name, session in sessions.items()}
        if whole or columns is not None:
            self.move(t_ns)
            return
        records = self._until(t_ns)
        earlier = self._earlier(records)
        for name, session in sessions.items():
            self.recent[name] = Recent(watched=session.watched, whole=True)
            for record in earlier[name]:
                self.recent[name].add(record)
        for record in records:
            self._take(record)

    def reaches(self, t_ns: int) -> bool:
        """Return whether moving on to ``t_ns`` costs less than starting again there."""
        near = self.t_ns <= t_ns <= self.t_ns + _NEAR_NS
        return near and not (self._exhausted and t_ns > self._read_ns)

    def move(self, t_ns: int) -> None:
        """Move forward to ``t_ns``."""
        self.t_ns = t_ns
        for record in self._until(t_ns):
            self._take(record)

    def _until(self, t_ns: int) -> list[Record]:
        """The next records up to ``t_ns``, in the order of their times."""
        waiting = self._waiting
        while self._read_ns <= t_ns + DISORDER_NS:
            record = next(self._records, None)
            if record is None:
                self._exhausted = True
                break
            if isinstance(record, Header):
                continue
            if record.t_ns >= self._read_ns:
                self._read_ns = record.t_ns
                waiting.append(record)
            else:
                insort(waiting, record, key=_time)
        count = bisect_right(waiting, t_ns, key=_time)
        taken, self._waiting = waiting[:count], waiting[count:]
        return taken

    def _take(self, record: Record) -> None:
        self._seen(record)
        match record:
            case Latency():
                if record.t_ns > self._merged_ns:
                    self._merge(record)
            case Log():
                record = brief(record)
                self.logs.append(record)
                if record.session in self.consoles and record.source in ("console", "server"):
                    self.consoles[record.session].append(record.text)
            case Gap():
                self.gaps.append(record)
            case Measure():
                self.measures[record.session, record.name] = record
            case _:
                name = getattr(record, "session", "")
                if name in self.recent:
                    self.recent[name].add(record)
                    if self.columns is not None:
                        self.columns[name].add(record)

    def _merge(self, record: Record) -> None:
        if self.tables is not None and isinstance(record, Latency) and record.session in self.tables:
            self.tables[record.session].add(record)

    def _earlier(self, records: list[Record]) -> dict[str, list[Record]]:
        """By session, what rates and counts at this time need of the records before ``records``."""
        spans = {name: self._missing(session, records) for name, session in self._sessions.items()}
        found: dict[str, list[Record]] = {name: [] for name in spans}
        for begin_ns, end_ns in _joined([span for wanted in spans.values() for span in wanted]):
            for record in self._recording.records(begin_ns, end_ns + 1):
                name = getattr(record, "session", "")
                if any(span[0] <= _time(record) <= span[1] for span in spans.get(name, ())):
                    found[name].append(record)
        return found

    def _missing(self, session: Session, records: list[Record]) -> list[Span]:
        """When the records were taken that are needed of one session and are not among ``records``."""
        columns, begin_ns, t_ns = session.columns, self._begin_ns, self.t_ns
        own = [record for record in records if getattr(record, "session", "") == session.spec.name]
        samples = [record for record in own if isinstance(record, Sample)]
        statuses = [record for record in own if isinstance(record, Status)]
        spans: list[Span] = []
        booted = any(a.mono_ns > b.mono_ns for a, b in pairwise(samples))
        if not booted and not (samples and samples[-1].mono_ns - samples[0].mono_ns >= RATE_WINDOW_NS):
            boot = columns.samples.count(columns.offsets.last_time(t_ns) - 1)
            spans += _window(columns.samples, MONO, t_ns, boot)
        if not any(isinstance(record, Progress) for record in own) and not session.watched:
            spans += _window(columns.work, 0, t_ns, columns.work.count(t_ns) - 1)
        if not (statuses and statuses[-1].t_ns - statuses[0].t_ns >= RATE_WINDOW_NS):
            window = _window(columns.statuses, 0, t_ns, 0)
            if window and not session.gone(window[0][0], t_ns):
                spans += window
        for at_ns in session.inside_ns[max((known := bisect_right(session.inside_ns, t_ns)) - 2, 0) : known]:
            if not session.gone(at_ns, t_ns):
                spans.append((at_ns, at_ns))
        return [(low, min(high, begin_ns - 1)) for low, high in spans if low < begin_ns]


def _window(history: History, clock: int, t_ns: int, least: int) -> list[Span]:
    """When the last point up to ``t_ns`` was taken, and the one that lies a rate's window before it by column
    ``clock``, but none before the point ``least``."""
    if not (count := history.count(t_ns)):
        return []
    last = count - 1
    first = history.latest(clock, history.value(last, clock) - RATE_WINDOW_NS, count)
    return [history.span(index) for index in sorted({max(first, least, 0), last})]


def _joined(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low - joined[-1][1] <= _APART_NS:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def _time(record: Record) -> int:
    return 0 if isinstance(record, Header) else record.t_ns
