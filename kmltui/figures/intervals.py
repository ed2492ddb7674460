# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding the measured intervals of a run in its records, in one pass and bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from kmltui.counters.lives import Lives
from kmltui.figures.figures import CpuGap, Interval
from kmltui.live.latencies import Latencies
from kmltui.model import (
    END,
    START,
    Inside,
    Latency,
    Measure,
    Phase,
    Progress,
    Record,
    Repeat,
    Sample,
    Status,
    marked_phase,
)

_MOST_STATEMENTS = 1000
_MOST_BOUNDARIES = 10_000
_MOST_MEASURES = 1000


@dataclass
class Repetition:
    """One measured interval and, in a bench, which one: ``pair`` 0 is the warm-up."""

    interval: Interval
    pair: int | None = None
    order: int = 0
    machine: str = ""


@dataclass
class _Session:
    repetitions: list[Repetition] = field(default_factory=list)
    open: Interval | None = None
    pair: int | None = None
    order: int = 0
    machine: str = ""
    status: Status | None = None
    lives: Lives = field(default_factory=Lives)


class Intervals:
    """Collects the intervals of every session."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}

    def add(self, record: Record) -> None:
        """Take the next record of the stream."""
        match record:
            case Sample():
                self._sample(self._session(record.session), record)
            case Progress() | Phase() | Measure() | Inside():
                if interval := self._session(record.session).open:
                    _note(interval, record)
            case Status():
                self._status(self._session(record.session), record)
            case Latency():
                self._latency(self._session(record.session), record)
            case Repeat():
                session = self._session(record.session)
                session.pair = record.pair if record.event == "begin" else None
                session.order = record.order
                session.machine = record.machine
            case _:
                pass

    def of(self, name: str) -> list[Repetition]:
        """The intervals of a session in order; the last one may be incomplete."""
        session = self._sessions.get(name)
        if session is None:
            return []
        cut_off = [Repetition(session.open, session.pair, session.order, session.machine)] if session.open else []
        return [*session.repetitions, *cut_off]

    def restarts(self, name: str) -> list[int]:
        """When the session's server was started again, nanoseconds since the run began."""
        session = self._sessions.get(name)
        return list(session.lives.restarts) if session else []

    def _session(self, name: str) -> _Session:
        return self._sessions.setdefault(name, _Session())

    def _sample(self, session: _Session, sample: Sample) -> None:
        if sample.mark == START:
            session.open = Interval(sample, sample, status_before=session.status, samples=0, marked=0)
            _note_counted(session.open, sample)
            _note_host(session.open, sample)
            return
        interval = session.open
        if interval is None:
            return
        if sample.mono_ns < interval.end.mono_ns:
            # Booted again without an end: counters began anew, and what was open cannot be completed.
            session.open = None
            return
        _note_hotplug(interval, sample)
        _note_counted(interval, sample)
        interval.end = sample
        interval.samples += 1
        interval.marked += bool(sample.mark)
        _note_host(interval, sample)
        if marked_phase(sample.mark) is not None and len(interval.boundaries) < _MOST_BOUNDARIES:
            interval.boundaries.append(sample)
        if sample.mark == END:
            interval.complete = True
            session.repetitions.append(Repetition(interval, session.pair, session.order, session.machine))
            session.open = None

    def _status(self, session: _Session, status: Status) -> None:
        status = session.lives.add(status)
        session.status = status
        if session.open is not None:
            if session.open.status_before is None:
                session.open.status_before = status
            session.open.status_after = status
        elif session.repetitions:
            last = session.repetitions[-1].interval
            # The first one after the end still belongs to the interval: it was requested right then.
            if last.status_after is None or last.status_after.t_ns < last.end.t_ns:
                last.status_after = status

    def _latency(self, session: _Session, record: Latency) -> None:
        interval = session.open
        if interval is None or not record.hdr:
            return
        known = interval.latencies.get(record.statement)
        if known is None:
            if len(interval.latencies) >= _MOST_STATEMENTS:
                return
            known = interval.latencies[record.statement] = Latencies()
        try:
            known.add(record.hdr)
        except ValueError:
            return  # not a histogram: recorded by some other program


def _note(interval: Interval, record: Progress | Phase | Measure | Inside) -> None:
    """Something that was told in the interval."""
    match record:
        case Progress():
            interval.progress = record
            if len(interval.queries_before) < _MOST_BOUNDARIES:
                interval.queries_before.setdefault(record.phase, record.queries)
        case Phase():
            if record.instructions and len(interval.instructions) < _MOST_BOUNDARIES:
                interval.instructions.append(record)
        case Measure():
            if len(interval.measures) < _MOST_MEASURES:
                interval.measures[record.name] = record
        case Inside():
            interval.inside_before = interval.inside_before or record
            interval.inside_after = record


def _note_hotplug(interval: Interval, sample: Sample) -> None:
    """Which CPUs have come and gone since the sample before."""
    if sample.cpus.keys() == interval.end.cpus.keys():
        return
    for cpu in sample.cpus.keys() - interval.end.cpus.keys():
        if cpu in interval.went:
            interval.offline[cpu] = interval.offline.get(cpu, CpuGap()).plus(cpu, interval.went[cpu], sample)
        else:
            interval.came[cpu] = sample
    for cpu in interval.end.cpus.keys() - sample.cpus.keys():
        interval.went[cpu] = interval.end


def _note_counted(interval: Interval, sample: Sample) -> None:
    """Where system calls were first counted."""
    if interval.first_counted is None and sample.kml is not None:
        interval.first_counted = sample


def _note_host(interval: Interval, sample: Sample) -> None:
    """The extremes of what the host was like during the interval."""
    if (seen := sample.contention) is None:
        return
    interval.load = max(interval.load, seen.load)
    if seen.khz is not None:
        interval.khz = min(seen.khz, interval.khz or seen.khz)
