# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything a screen can ask about a run: its state at any time.

A :class:`Store` is append-only and takes the records of a run in their order. The state at a time is a query:

* what happened (states, phases, marks, boundaries of the measured interval) is a prefix of a list;
* counters are cumulative, so totals are a difference of two samples, and charts a prefix of the columns;
* rates, and everything by CPU or by system call, come from the samples of the seconds before, which are kept of the
  newest state and read from the recording for any other (:mod:`kmltui.live.place`);
* latencies are histograms, which have to be merged from the beginning (:mod:`kmltui.live.checkpoints`).

A time beyond the added records is answered from the recording as well: from its landmarks, which are read quickly, and
the minutes before that time. What depends on all records is absent there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from kmltui.live.checkpoints import Checkpoints
from kmltui.live.events import Events, Latest, brief
from kmltui.live.history import POINTS
from kmltui.live.place import DISORDER_NS, Place, Recording
from kmltui.live.recent import RATE_WINDOW_NS, Recent
from kmltui.live.session import SampleColumns, Session
from kmltui.live.views import Landmark, Snapshot
from kmltui.model import (
    END,
    START,
    End,
    Environment,
    Gap,
    Header,
    Latency,
    Log,
    Mark,
    Measure,
    Phase,
    Proof,
    Record,
    Repeat,
    Sample,
    State,
    TrapSites,
)

_LANDMARKS = 5000
_STRETCH_SAMPLES = 120
_STRETCH_NS = 30_000_000_000
"""How much is read before a time that was not reached yet: the last half minute of the charts, but no more samples than
that of each session. Rates need a few of them."""
_LEAST_STRETCH_NS = 5_000_000_000
_LEAST_STRETCH_SAMPLES = 4


class Store:
    """A run, as far as its records were added. Not thread-safe."""

    def __init__(self, header: Header, recording: Recording | None = None, *, by_cpu: bool = True) -> None:
        """Without a ``recording`` it only knows the newest state; without ``by_cpu`` it keeps no history of each CPU,
        which is most of the work where there are many."""
        self.header = header
        self.t_ns = 0
        """Time of the newest record that was added."""
        self.version = 0
        """Grows with everything that may change an answer."""
        self._recording = recording
        self._by_cpu = by_cpu
        self.watched = header.kind == "monitor"
        """A server is watched that others use."""
        self._points = max(2 * POINTS // max(len(header.sessions), 1), 4096)
        self._sessions = {
            spec.name: Session(spec, watched=self.watched, points=self._points, by_cpu=by_cpu)
            for spec in header.sessions
        }
        self._first = next(iter(self._sessions.values()), None)
        self._recent = {name: Recent(watched=self.watched, whole=True) for name in self._sessions}
        self._checkpoints = Checkpoints(list(self._sessions))
        self._marks: Events[Mark] = Events()
        self._gaps: Events[Gap] = Events()
        self._logs: Events[Log] = Events()
        self._repeats: Events[Repeat] = Events()
        self._measures: Latest[tuple[str, str], Measure] = Latest()
        self._end: End | None = None
        self._landmarks: Events[Landmark] = Events(kept=_LANDMARKS)
        self._noted: Counter[Hashable] = Counter()
        """Events in what was read, as long as looking ahead may report them again."""
        self._foreseen: Counter[Hashable] = Counter()
        """Events that became known before their turn among the records."""
        self._foreseen_ns: int | None = None
        """Up to where that was looked for."""
        self._place: Place | None = None

    @property
    def landmarks(self) -> tuple[Landmark, ...]:
        """All known places to jump to."""
        return self._landmarks.until(1 << 63)

    def add(self, record: Record) -> None:
        """Take the next record. One of a session that the header does not name is left out."""
        if isinstance(record, Header | TrapSites):
            return
        self.t_ns = max(self.t_ns, record.t_ns)
        self.version += 1
        if _happening(record):
            key = _key(record)
            if self._foreseen[key]:
                self._foreseen[key] -= 1
            else:
                self._note(record)
                if self._foreseen_ns is None:
                    self._noted[key] += 1
        session = self._sessions.get(getattr(record, "session", ""))
        match record:
            case Gap():
                self._gaps.add(record.t_ns, record)
                self._landmarks.add(record.t_ns, Landmark(record.t_ns, "gap", record.reason))
            case Log():
                record = brief(record)
                self._logs.add(record.t_ns, record)
                if session and record.source in ("console", "server"):
                    session.console.add(record.t_ns, record.text)
            case Measure():
                self._measures.add(record.t_ns, (record.session, record.name), record)
            case Latency() if session:
                self._checkpoints.add(record)
            case _ if session:
                self._recent[session.spec.name].add(record)
                session.add(record)
            case _:
                pass

    def extend(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    def at(self, t_ns: int | None = None) -> Snapshot:
        """The state at ``t_ns``, by default the newest. Raises what reading the recording raises."""
        if t_ns is None or self._recording is None or (t_ns >= self.t_ns and not self.is_ahead(t_ns)):
            return self._newest(self.t_ns if t_ns is None else t_ns)
        place = self._place
        ahead = self.is_ahead(t_ns)
        if place is None or (place.columns is not None) is not ahead or not place.reaches(t_ns):
            place = self._place = self._ahead(self._recording, t_ns) if ahead else self._back(self._recording, t_ns)
        else:
            place.move(t_ns)
        views = tuple(
            session.view(
                t_ns,
                place.recent[name],
                place.tables[name] if place.tables is not None else None,
                tuple(place.consoles[name]) if ahead else None,
                place.columns[name] if place.columns is not None else None,
            )
            for name, session in self._sessions.items()
        )
        forgotten = ahead or t_ns <= self._logs.forgotten_ns
        status, reason = self._ending(t_ns)
        return Snapshot(
            header=self.header,
            t_ns=t_ns,
            sessions=views,
            marks=self._marks.until(t_ns, 1000),
            gaps=tuple(place.gaps) if ahead else self._gaps.until(t_ns, 1000),
            logs=tuple(place.logs) if forgotten else self._logs.until(t_ns, 2000),
            measures=tuple(place.measures.values()) if ahead else self._measures.until(t_ns),
            repeats=self._repeats.until(t_ns, 2000),
            status=status,
            reason=reason,
        )

    def _newest(self, t_ns: int) -> Snapshot:
        tables = self._checkpoints.tables
        status, reason = self._ending(t_ns)
        return Snapshot(
            header=self.header,
            t_ns=t_ns,
            sessions=tuple(
                session.view(t_ns, self._recent[name], tables[name]) for name, session in self._sessions.items()
            ),
            marks=self._marks.until(t_ns, 1000),
            gaps=self._gaps.until(t_ns, 1000),
            logs=self._logs.until(t_ns, 2000),
            measures=self._measures.until(t_ns),
            repeats=self._repeats.until(t_ns, 2000),
            status=status,
            reason=reason,
        )

    def _ending(self, t_ns: int) -> tuple[str, str]:
        """The run's status and its reason; empty while it goes on."""
        end = self._end
        return (end.status, end.reason) if end is not None and end.t_ns <= t_ns else ("", "")

    def is_ahead(self, t_ns: int) -> bool:
        """Whether records up to ``t_ns`` exist that were not added yet."""
        if self._recording is None or self._recording.duration_ns <= self.t_ns:
            return False
        return t_ns > self.t_ns - DISORDER_NS

    def _back(self, recording: Recording, t_ns: int) -> Place:
        window_ns = RATE_WINDOW_NS + 2 * self.header.sample_period_ns
        return Place(recording, self._sessions, t_ns, window_ns, latencies=self._checkpoints.before(t_ns))

    def _ahead(self, recording: Recording, t_ns: int) -> Place:
        if self._foreseen_ns is None:
            self._look_ahead(recording)
        columns = {
            name: SampleColumns(watched=self.watched, points=self._points, by_cpu=self._by_cpu)
            for name in self._sessions
        }
        period_ns = self.header.sample_period_ns
        least_ns = max(_LEAST_STRETCH_NS, _LEAST_STRETCH_SAMPLES * period_ns)
        stretch_ns = max(min(_STRETCH_SAMPLES * period_ns, _STRETCH_NS), least_ns)
        return Place(recording, self._sessions, t_ns, stretch_ns, columns=columns, seen=self._notice)

    def _look_ahead(self, recording: Recording) -> None:
        """Note everything that happens in the part that was not read yet."""
        self._foreseen_ns = recording.duration_ns
        for record in recording.landmarks():
            key = _key(record)
            if self._noted[key]:
                self._noted[key] -= 1
            else:
                self._foresee(record)
        self._noted.clear()

    def _notice(self, record: Record) -> None:
        """Note what has happened since :meth:`_look_ahead`, if it will be read later only."""
        if self._foreseen_ns is None or isinstance(record, Header) or not _happening(record):
            return
        if record.t_ns > max(self._foreseen_ns, self.t_ns) and not self._foreseen[_key(record)]:
            self._foresee(record)

    def _foresee(self, record: Record) -> None:
        self._foreseen[_key(record)] += 1
        self._note(record)

    def _note(self, record: Record) -> None:
        """Take something that happened, whenever it becomes known."""
        self.version += 1
        match record:
            case Mark():
                record = brief(record)
                self._marks.add(record.t_ns, record)
                self._landmarks.add(record.t_ns, Landmark(record.t_ns, "mark", record.note))
            case End():
                self._end = record
            case _ if session := self._sessions.get(getattr(record, "session", "")):
                session.note(record)
                if isinstance(record, Repeat):
                    self._repeats.add(record.t_ns, record)
                elif isinstance(record, Phase) and record.event == "begin" and session is self._first:
                    self._landmarks.add(record.t_ns, Landmark(record.t_ns, "phase", record.name))
            case _:
                pass


def _happening(record: Record) -> bool:
    """Return whether the record is a landmark: something happened, as opposed to going on."""
    if isinstance(record, Sample):
        return record.mark in (START, END)
    return isinstance(record, Environment | Phase | Mark | Repeat | State | Proof | End)


def _key(record: Record) -> Hashable:
    """What distinguishes an event from all others."""
    names = ("t_ns", "session", "name", "event", "state", "mark", "subject", "pair", "note")
    return (type(record), *(getattr(record, name, None) for name in names))
