# SPDX-License-Identifier: GPL-2.0-or-later
"""A session of one recording beside a session of another, as if they had been one run.

Both are shifted in time so that their workloads begin at the same moment. If both are live, the one that is ahead
waits for the other.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from kmltui.model import START, End, Gap, Header, Record, Sample, SessionSpec, TrapSites, WorkloadSpec
from kmltui.recording.errors import RecordingError
from kmltui.recording.reader import Reader
from kmltui.recording.schema import Timed

_MOST = 512
"""Records of one poll: a few milliseconds' work."""


class _Side:
    """One recording, of which one session is shown."""

    def __init__(self, reader: Reader, session: str, name: str) -> None:
        self.reader = reader
        self.session = session
        self.name = name
        self.shift_ns = 0
        self.waiting: deque[Timed] = deque()
        """Read and shifted, not yet passed on."""
        self.begin_ns: int | None = None
        """When its workload began, on its own clock."""
        self.drained = False
        """Everything available so far has been read."""
        self._seek_begin(reader.landmarks())

    def _seek_begin(self, records: Sequence[Record]) -> None:
        for record in records:
            if self.begin_ns is None and isinstance(record, Sample) and record.session == self.session:
                self.begin_ns = record.t_ns if record.mark == START else None

    @property
    def finished(self) -> bool:
        """Nothing more will come of it."""
        return self.drained and not self.waiting and not self.reader.live

    @property
    def placed(self) -> bool:
        """Whether the beginning of its workload is known, or never will be."""
        return self.begin_ns is not None or not self.reader.live

    def wanted(self, record: Record) -> bool:
        if isinstance(record, Header | TrapSites | End):
            return False
        return getattr(record, "session", "") in ("", self.session)

    def moved(self, record: Timed) -> Timed:
        """The record on the common clock, under the session's name here."""
        changes: dict[str, Any] = {"t_ns": record.t_ns + self.shift_ns}
        if getattr(record, "session", ""):
            changes["session"] = self.name
        return replace(record, **changes)

    def read(self) -> None:
        """Read some of what is new."""
        found = self.reader.poll()
        self.drained = not found
        records = [record for record in found if not isinstance(record, Header)]
        self._seek_begin(records)
        self.waiting += [record for record in records if self.wanted(record)]


class Beside:
    """Two recordings as the source of one screen."""

    def __init__(self, left: Reader, right: Reader, sessions: tuple[str | None, str | None] = (None, None)) -> None:
        """``sessions``: one of each; None: the only one, or else the left recording's first and the right one's last.

        Raises RecordingError for a session that is not there.
        """
        readers, defaults = (left, right), (0, -1)
        specs = [_session(*each) for each in zip(readers, sessions, defaults, strict=True)]
        names = [spec.name for spec in specs]
        if names[0] == names[1]:
            names = [f"{name}-{side}" for name, side in zip(names, ("left", "right"), strict=True)]
        self._sides = [_Side(reader, spec.name, name) for reader, spec, name in zip(readers, specs, names, strict=True)]
        renamed = [replace(spec, name=name) for spec, name in zip(specs, names, strict=True)]
        self.header = _header(left.header, right.header, renamed)
        self._told_header = False
        self._ended = False
        self._newest_ns = 0
        self._place()

    def _place(self) -> bool:
        """Shift both to a common clock once it is known when their workloads began; returns whether it is."""
        if not all(side.placed for side in self._sides):
            return False
        begin = max(side.begin_ns or 0 for side in self._sides)
        for side in self._sides:
            side.shift_ns = begin - (side.begin_ns or 0)
        return True

    @property
    def ended(self) -> bool:
        """Both runs ended in order."""
        return all(side.reader.ended for side in self._sides)

    @property
    def live(self) -> bool:
        """More may come of one of them."""
        return any(side.reader.live for side in self._sides)

    @property
    def duration_ns(self) -> int:
        """How much can be shown; if both are live, no more than both have reached."""
        if self.live:
            return self._newest_ns
        return max(side.reader.duration_ns + side.shift_ns for side in self._sides)

    def poll(self) -> list[Record]:
        """New records of both, in the order of the common clock; a few at a time.

        Empty if there are none, and while one waits for the other.
        """
        found: list[Record] = []
        if not self._told_header:
            self._told_header = True
            found.append(self.header)
        for side in self._sides:
            side.drained = False
            while not side.placed and not side.drained:
                side.read()
        if not self._place():
            return found
        while len(found) < _MOST and (turn := self._next()) is not None:
            record = turn.moved(turn.waiting.popleft())
            self._newest_ns = max(self._newest_ns, record.t_ns)
            found.append(record)
        if self.ended and not self._ended and all(side.finished for side in self._sides):
            self._ended = True
            found.append(self._end())
        return found

    def _next(self) -> _Side | None:
        """The side whose turn it is; None if that cannot be decided yet."""
        for side in self._sides:
            while not side.waiting and not side.drained:
                side.read()
        ready = [side for side in self._sides if side.waiting]
        if not ready or not all(side.waiting or side.finished for side in self._sides):
            return None
        return min(ready, key=lambda side: side.waiting[0].t_ns + side.shift_ns)

    def records(
        self, start_ns: int = 0, end_ns: int | None = None, only: type[Record] | None = None
    ) -> Iterator[Record]:
        """The records of both with ``start_ns <= t_ns < end_ns`` on the common clock; the header first if from 0."""
        if start_ns <= 0:
            yield self.header
        yield from heapq.merge(
            *(self._part(side, start_ns, end_ns, only) for side in self._sides), key=lambda record: record.t_ns
        )
        end = self._end() if self.ended else None
        if end is not None and (end_ns is None or end.t_ns < end_ns) and only in (None, End):
            yield end

    def _part(self, side: _Side, start_ns: int, end_ns: int | None, only: type[Record] | None) -> Iterator[Timed]:
        until = None if end_ns is None else end_ns - side.shift_ns
        if until is not None and until <= 0:
            return
        for record in side.reader.records(max(start_ns - side.shift_ns, 0), until, only):
            if not isinstance(record, Header) and (side.wanted(record) or isinstance(record, Gap)):
                yield side.moved(record)

    def landmarks(self) -> list[Record]:
        """What happened in both, in the order of the common clock."""
        found: list[Timed] = [
            side.moved(record) for side in self._sides for record in side.reader.landmarks() if side.wanted(record)
        ]
        found.sort(key=lambda record: record.t_ns)
        return [*found, self._end()] if self.ended else [*found]

    def _end(self) -> End:
        ends = [end for side in self._sides if (end := side.reader.end) is not None]
        worst = next((end for end in ends if end.status != "done"), ends[0])
        last = max(side.reader.duration_ns + side.shift_ns for side in self._sides)
        return End(t_ns=last, status=worst.status, reason=worst.reason)


def _session(reader: Reader, name: str | None, default: int) -> SessionSpec:
    specs = reader.header.sessions
    if name is None:
        return specs[default]
    found = next((spec for spec in specs if spec.name == name), None)
    if found is None:
        known = ", ".join(spec.name for spec in specs)
        raise RecordingError(f"{reader.path}: has no session {name!r}; it has: {known}")
    return found


def _difference(left: Header, right: Header) -> str:
    """How the work of two runs differs; empty if it is the same."""
    if "monitor" in (left.kind, right.kind):
        return "what was only watched did work of its own"
    ours, theirs = left.workload, right.workload
    if ours.name != theirs.name:
        return f"{ours.name} and {theirs.name}"
    settings = [{"loops": w.loops, "duration": w.duration_s, **w.options, **w.script} for w in (ours, theirs)]
    differing = [key for key in settings[0] | settings[1] if settings[0].get(key) != settings[1].get(key)]
    return f"{ours.name} with different {', '.join(differing)}" if differing else ""


def _header(left: Header, right: Header, sessions: list[SessionSpec]) -> Header:
    difference = _difference(left, right)
    same = left.workload.name == right.workload.name and not difference
    workload = left.workload if same else WorkloadSpec(name=f"{left.workload.name} | {right.workload.name}")
    return replace(
        left,
        run=f"{left.run} | {right.run}",
        workload=workload,
        sessions=sessions,
        sample_period_ns=max(left.sample_period_ns, right.sample_period_ns),
        title="different workloads" if difference else "",
        different_work=difference,
        kind=left.kind if left.kind == right.kind else "run",
    )
