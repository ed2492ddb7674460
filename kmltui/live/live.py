"""A fold over the records of a run that always knows what a screen has to show.

Pure and bounded: :meth:`LiveState.add` takes records in their order and costs the same for the millionth as for the
first; :meth:`LiveState.snapshot` freezes what is known now. A state can be copied, so that going back in a recording
means to start again from a copy made earlier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from kmltui.live.history import History, Series
from kmltui.live.latencies import Latencies
from kmltui.live.usage import Usage, calls_between, cpus_between, point_of, seconds, together
from kmltui.live.views import LatencyView, PhaseView, Seconds, SessionView, Snapshot
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
    Progress,
    Proof,
    Record,
    Repeat,
    Sample,
    SessionSpec,
    State,
    Status,
    TrapSites,
)

RATE_WINDOW_NS = 2_000_000_000
"""Rates are over the last two seconds: a tick is 10 ms, and a shorter window would show the ticks' noise."""

_PERCENTILES = (50.0, 95.0, 99.0, 99.9)


class LiveState:
    """The state of a run after the records added so far."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.t_ns = 0
        self.partial = False
        """Records were left out; see :meth:`leave_out`."""
        watched = header.kind == "monitor"
        self._sessions = {spec.name: _Session(spec, watched) for spec in header.sessions}
        self._marks: deque[Mark] = deque(maxlen=1000)
        self._gaps: deque[Gap] = deque(maxlen=1000)
        self._logs: deque[Log] = deque(maxlen=2000)
        self._repeats: deque[Repeat] = deque(maxlen=2000)
        self._measures: dict[tuple[str, str], Measure] = {}
        self._end: End | None = None

    def add(self, record: Record) -> None:
        """Take the next record. One of a session that the header does not name is left out."""
        if isinstance(record, Header | TrapSites):
            return
        self.t_ns = max(self.t_ns, record.t_ns)
        match record:
            case Mark():
                self._marks.append(record)
            case Gap():
                self._gaps.append(record)
            case End():
                self._end = record
            case Log():
                self._logs.append(record)
                if (session := self._sessions.get(record.session)) and record.source in ("console", "server"):
                    session.console.append(record.text)
            case Repeat():
                self._repeats.append(record)
                if session := self._sessions.get(record.session):
                    session.pair = record.pair if record.event == "begin" else None
            case Measure():
                if len(self._measures) < 1000:
                    self._measures[record.session, record.name] = record
            case _:
                if session := self._sessions.get(record.session):
                    session.add(record)

    def extend(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    def leave_out(self) -> None:
        """The next record is not the one after the last: of those between, what counts from the beginning is not known.

        All landmarks before the gap, and each session's first sample, have to have been added: with them the cumulative
        counters still tell totals. Latencies and older history are absent from then on.
        """
        self.partial = True
        for session in self._sessions.values():
            session.leave_out()

    def snapshot(self, t_ns: int | None = None) -> Snapshot:
        """Freeze it; ``t_ns`` is the instant to show, by default that of the last record."""
        return Snapshot(
            header=self.header,
            t_ns=self.t_ns if t_ns is None else t_ns,
            sessions=tuple(session.view() for session in self._sessions.values()),
            marks=tuple(self._marks),
            gaps=tuple(self._gaps),
            logs=tuple(self._logs),
            measures=tuple(self._measures.values()),
            repeats=tuple(self._repeats),
            status=self._end.status if self._end else "",
            reason=self._end.reason if self._end else "",
        )

    def copy(self) -> LiveState:
        """An independent state that has seen the same records."""
        other = LiveState(self.header)
        other.t_ns = self.t_ns
        other.partial = self.partial
        other._sessions = {name: session.copy() for name, session in self._sessions.items()}
        other._marks = self._marks.copy()
        other._gaps = self._gaps.copy()
        other._logs = self._logs.copy()
        other._repeats = self._repeats.copy()
        other._measures = dict(self._measures)
        other._end = self._end
        return other


class _Session:
    """What is known of one session."""

    def __init__(self, spec: SessionSpec, watched: bool = False) -> None:
        self.spec = spec
        self.watched = watched
        self.state = State(t_ns=0, session=spec.name, state="waiting")
        self.since_ns = 0
        self.pair: int | None = None
        """Of a bench: which pair the repetition belongs to that is under way; 0 is the warm-up."""
        self.runs: deque[tuple[int, Seconds]] = deque(maxlen=2000)
        self.recent: deque[Sample] = deque(maxlen=64)
        self.samples = History()
        self.work = History()
        self.base: Usage | None = None
        """Use at the beginning of the interval that is open; None when none is."""
        self.closed = Usage()
        """Use in the intervals that have ended."""
        self.started = False
        self.begin: tuple[float, ...] | None = None
        self.ended = False
        self.progress: Progress | None = None
        self.statuses: deque[Status] = deque(maxlen=64)
        self.restarts = 0
        """What a watched server's count of queries has lost by being started again."""
        self.counted = 0
        self.phases: deque[PhaseView] = deque(maxlen=2000)
        self.facts: dict[str, str] = {}
        self.proofs: dict[tuple[str, str], Proof] = {}
        self.console: deque[str] = deque(maxlen=50)
        self.latencies: dict[int, Latencies] = {}
        self._latency_views: dict[int, LatencyView] = {}
        self._offset: tuple[float, ...] = ()
        """Added to the history's counters, which start again from 0 when the session is booted again."""
        self._before: Sample | None = None
        """The last sample before records were left out."""
        self.partial = False

    def leave_out(self) -> None:
        self._before = self.recent[-1] if self.recent else None
        self.partial = True
        self.recent.clear()
        self.statuses.clear()
        self.samples, self.work = History(), History()
        self.progress = None
        self.latencies, self._latency_views = {}, {}

    def _of_part(self, view: SessionView) -> SessionView:
        """Without the figures that rest on records that were left out."""
        view = replace(view, latency=None, statements=())
        if view.trap_rate is None:
            view = replace(view, calls=())  # a call's rate has no other way of being absent
        if not self.recent and self._before is not None:
            view = replace(view, has_calls=self._before.kml is not None)
        if not self.started and self._before is None:
            view = replace(view, begin=None)
        if self.ended or self.watched:
            # The work is looked at as a whole then, from its first query, or queries are counted over restarts.
            view = replace(view, work=Series(()))
        if self.ended and self.progress is None:
            view = replace(view, cpu=None)  # it would be that of no queries
        booted = self._before and self.recent and self.recent[0].mono_ns < self._before.mono_ns
        known = self.recent and not booted and (self.started or self._before)
        if known or self.ended or not (self.started or not self.header_has_interval):
            return view
        unknown = dict.fromkeys(("begin", "cpu", "trap", "direct", "elevations", "rewinds"))
        return replace(view, **unknown, groups=(), demotions=(), calls=())

    def add(self, record: Environment | Sample | Status | Progress | Phase | Latency | State | Proof) -> None:
        match record:
            case Sample():
                self._sample(record)
            case Status():
                self._status(record)
            case Progress():
                self.progress = record
                self.work.append((record.t_ns, record.queries, record.rows))
            case Latency():
                self._latency(record)
            case Phase():
                self._phase(record)
            case State():
                if record.state != self.state.state:
                    self.since_ns = record.t_ns
                if self.watched and record.detail:
                    self.statuses.clear()  # the server is gone, and its last figures are no longer true
                self.state = record
            case Environment():
                self.facts = record.facts
            case Proof():
                if len(self.proofs) < 1000:
                    self.proofs[record.name, record.subject] = record

    def _sample(self, sample: Sample) -> None:
        recent = self.recent
        if recent and sample.mono_ns < recent[-1].mono_ns:  # booted again: its counters and its clock start anew
            self._offset = self.samples.freeze().last or ()
            recent.clear()
            self.base = None
        if self.base is None and not self.ended:
            self.base = Usage(sample)
        if sample.mark == START:
            self.base = Usage(sample)
            self.started, self.ended = True, False
        elif sample.mark == END and self.base is not None:
            used = Usage(sample).minus(self.base)
            self.closed = self.closed.plus(used) if self.started else self.closed
            if self.pair and used.groups:
                self.runs.append((self.pair, together(used)))
            self.base = None
            self.ended = True
        recent.append(sample)
        while len(recent) > 2 and sample.mono_ns - recent[1].mono_ns >= RATE_WINDOW_NS:
            recent.popleft()
        point = point_of(sample)
        if offset := self._offset:
            point = (point[0], *(a + b for a, b in zip(point[1:], offset[1:], strict=True)))
        self.samples.append(point)
        if sample.mark == START or self.begin is None:
            self.begin = point

    def _status(self, status: Status) -> None:
        if self.statuses and _restarted(self.statuses[-1].counters, status.counters):
            self.statuses.clear()
        if self.watched:
            self._count_queries(status)
        self.statuses.append(status)
        while len(self.statuses) > 2 and status.t_ns - self.statuses[1].t_ns >= RATE_WINDOW_NS:
            self.statuses.popleft()

    def _count_queries(self, status: Status) -> None:
        """Where no client of ours tells its progress, the server's counters are the work."""
        if "Queries" not in status.counters:
            return
        queries = status.counters["Queries"] - status.own.get("Queries", 0)
        if queries + self.restarts < self.counted:
            self.restarts = self.counted - queries
        self.counted = queries + self.restarts
        self.work.append((status.t_ns, self.counted, 0))

    def _latency(self, record: Latency) -> None:
        if not record.hdr or (record.statement not in self.latencies and len(self.latencies) >= 200):
            return
        try:
            self.latencies.setdefault(record.statement, Latencies()).add(record.hdr)
        except ValueError:
            return
        self._latency_views.pop(record.statement, None)
        self._latency_views.pop(-1, None)

    def _phase(self, record: Phase) -> None:
        if record.event == "begin":
            self.phases.append(PhaseView(record.name, record.t_ns))
            return
        for index in range(len(self.phases) - 1, -1, -1):
            phase = self.phases[index]
            if phase.name == record.name and phase.end_ns is None:
                self.phases[index] = PhaseView(phase.name, phase.begin_ns, record.t_ns)
                return

    def view(self) -> SessionView:
        last = self.recent[-1] if self.recent else None
        first = self.recent[0] if len(self.recent) > 1 else None
        if self.partial and first and last and last.mono_ns - first.mono_ns < RATE_WINDOW_NS:
            first = None  # the one that rates are counted from was left out
        elapsed = (last.mono_ns - first.mono_ns) / 1e9 if last and first else 0.0
        usage = self.closed
        if last and self.base is not None and not self.ended:
            usage = usage.plus(Usage(last).minus(self.base))
        has_calls = bool(last and last.kml)
        totals = self.started or not self.header_has_interval
        groups = tuple((name, seconds(value)) for name, value in sorted(usage.groups.items(), reverse=True))
        calls, rates = calls_between(first, last, elapsed, usage if totals else Usage())
        view = SessionView(
            name=self.spec.name,
            arm=self.spec.arm if self.spec.kind != "local" else "",
            state=self.state,
            since_ns=self.since_ns,
            cpus=cpus_between(first, last),
            has_calls=has_calls,
            calls=calls,
            trap_rate=rates[0] if has_calls and elapsed else None,
            direct_rate=rates[1] if has_calls and elapsed else None,
            elevation_rate=rates[2] if has_calls and elapsed else None,
            trap=sum(usage.trap.values()) if has_calls and totals else None,
            direct=sum(usage.direct.values()) if has_calls and totals else None,
            elevations=usage.elevations if has_calls and totals else None,
            demotions=tuple(sorted(usage.demotions.items(), key=lambda item: -item[1])) if totals else (),
            rewinds=usage.rewinds if has_calls and totals else None,
            attached=last.kml.attached if last and last.kml else None,
            query_rate=self._query_rate(),
            queries=self.progress.queries if self.progress else None,
            rows=self.progress.rows if self.progress else None,
            latency=self._latency_view(-1),
            statements=tuple(
                (statement, view) for statement in sorted(self.latencies) if (view := self._latency_view(statement))
            ),
            cpu=together(usage) if totals and usage.groups else None,
            groups=groups if totals else (),
            agent_share=(
                (last.agent.cpu_ns - first.agent.cpu_ns) / (elapsed * 1e9)
                if last and first and last.agent and first.agent and elapsed
                else None
            ),
            runs=tuple(self.runs),
            started=self.started,
            begin=self.begin,
            progress=self.progress,
            phases=tuple(self.phases),
            facts=tuple(self.facts.items()),
            proofs=tuple(self.proofs.values()),
            console=tuple(self.console),
            samples=self.samples.freeze(),
            work=self.work.freeze(),
            last_sample_ns=last.t_ns if last else None,
            io_rate=_io_rate(first, last, elapsed),
            server=tuple(self.statuses[-1].counters.items()) if self.statuses else (),
            row_rate=self._status_rate("Rows_sent"),
        )
        return self._of_part(view) if self.partial else view

    @property
    def header_has_interval(self) -> bool:
        """Whether the session marks a measured interval; one that is merely watched counts from its first sample."""
        return not self.watched

    def _query_rate(self) -> float | None:
        """Queries per second: the server's count without the sampler's own."""
        rate = self._status_rate("Queries")
        return self._status_rate("Questions") if rate is None else rate

    def _status_rate(self, name: str) -> float | None:
        """How fast one of the server's counters grows, without the sampler's own share."""
        if self.ended or len(self.statuses) < 2:
            return None
        first, last = self.statuses[0], self.statuses[-1]
        if self.partial and last.t_ns - first.t_ns < RATE_WINDOW_NS:
            return None  # as for the samples
        if name not in first.counters or name not in last.counters or last.t_ns <= first.t_ns:
            return None
        own = last.own.get(name, 0) - first.own.get(name, 0)
        done = last.counters[name] - first.counters[name] - own
        return max(done, 0) / ((last.t_ns - first.t_ns) / 1e9)

    def _latency_view(self, statement: int) -> LatencyView | None:
        """Percentiles of one statement, of all of them for -1; worked out again only when latencies were added."""
        if view := self._latency_views.get(statement):
            return view
        merged = self.latencies.get(statement)
        if statement == -1:
            merged = Latencies()
            for latencies in self.latencies.values():
                merged.merge(latencies)
        found = merged.percentiles(_PERCENTILES) if merged else None
        if merged is None or found is None:
            return None
        view = LatencyView(found[0], found[1], found[2], found[3], merged.largest or 0, merged.count)
        self._latency_views[statement] = view
        return view

    def copy(self) -> _Session:
        other = _Session(self.spec, self.watched)
        other.__dict__.update(self.__dict__)  # records, usages and views are immutable; containers are copied below
        other.recent = self.recent.copy()
        other.samples = self.samples.copy()
        other.work = self.work.copy()
        other.statuses = self.statuses.copy()
        other.phases = self.phases.copy()
        other.runs = self.runs.copy()
        other.proofs = dict(self.proofs)
        other.console = self.console.copy()
        other.latencies = {statement: latencies.copy() for statement, latencies in self.latencies.items()}
        other._latency_views = dict(self._latency_views)
        return other


def _restarted(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Whether a server was started again in between. (Its numbers of connections also fall otherwise.)"""
    return any(after.get(name, 0) < before.get(name, 0) for name in ("Uptime", "Questions", "Queries"))


def _io_rate(first: Sample | None, last: Sample | None, elapsed: float) -> float | None:
    if first is None or last is None or last.io_calls is None or last.kml is not None or not elapsed:
        return None
    before = first.io_calls or {}
    return sum(calls - before.get(group, calls) for group, calls in last.io_calls.items()) / elapsed
