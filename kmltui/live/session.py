# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of one session of a run, and its state at any time."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Any

from kmltui.counters.lives import Lives, query_count
from kmltui.live.checkpoints import ALL, LatencyTable
from kmltui.live.events import Events, Latest
from kmltui.live.history import History, Point, Series
from kmltui.live.recent import Recent
from kmltui.live.usage import (
    Usage,
    calls_between,
    counters,
    cpus_between,
    io_rate,
    run_share,
    seconds,
    seconds_of_all,
    shares,
)
from kmltui.live.views import MONO, DigestView, PhaseView, Seconds, SessionView
from kmltui.model import (
    END,
    START,
    Environment,
    Inside,
    Phase,
    Progress,
    Proof,
    Record,
    Repeat,
    Sample,
    SessionSpec,
    State,
    StatementCount,
    Status,
)

_MOST_RUNS = 2000
_MOST_PHASES = 2000
_CONSOLE_LINES = 50


class SampleColumns:
    """The counters of one session over a stretch of the recording that was read without a gap."""

    def __init__(self, *, watched: bool, points: int, by_cpu: bool) -> None:
        self._watched = watched
        self._points = points
        self._by_cpu = by_cpu
        self.samples = History(points)
        self.work = History(points)
        self.statuses = History(points)
        """Only their times."""
        self.cpus: dict[int, History] = {}
        """Of each CPU its ticks in user mode, in the kernel, and all of them, added up over boots."""
        self._cpu_offsets: dict[int, Point] = {}
        self.offsets: Events[Point] = Events()
        """What is added to the counters from some times on: of each boot, when the session began them anew, and of each
        change of its CPUs."""
        self._mono_ns: int | None = None
        self._last: Sample | None = None
        self._lives = Lives()

    def add(self, record: Record) -> bool:
        """Take the next record of the session; True when it is the first sample after a boot."""
        match record:
            case Sample():
                return self._sample(record)
            case Progress():
                self.work.append((record.t_ns, record.queries, record.rows))
            case Status():
                self.statuses.append((record.t_ns,))
                if self._watched:
                    self._count_queries(record)
            case _:
                pass
        return False

    def offset(self, t_ns: int) -> Point:
        return self.offsets.last(t_ns) or ()

    def _sample(self, sample: Sample) -> bool:
        booted = self._mono_ns is not None and sample.mono_ns < self._mono_ns
        if booted:
            self.offsets.add(sample.t_ns, self.samples.last or ())
        elif self._last is not None and self._last.cpus.keys() != sample.cpus.keys():
            self.offsets.add(sample.t_ns, self._after_hotplug(self._last, sample))
        self._last = sample
        self.samples.append(_shifted(counters(sample), self.offset(sample.t_ns)))
        if booted:
            self._cpu_offsets = {cpu: history.last or () for cpu, history in self.cpus.items()}
        for cpu, ticks in sample.cpus.items() if self._by_cpu else ():
            if (history := self.cpus.get(cpu)) is None:
                history = self.cpus[cpu] = History(self._points)
            history.append(_shifted((sample.t_ns, *shares(ticks)), self._cpu_offsets.get(cpu, ())))
        first, self._mono_ns = self._mono_ns is None, sample.mono_ns
        return first or booted

    def _after_hotplug(self, before: Sample, after: Sample) -> Point:
        """The offset of the counters after CPUs have come or gone: what a new one had used before is not counted as use
        just now, and what one that has gone had used is not taken back."""
        both = before.cpus.keys() & after.cpus.keys()
        old, new = (counters(sample, both) for sample in (before, after))
        reached, raw = self.samples.last or old, counters(after)
        return tuple(r + n - o - a for r, n, o, a in zip(reached, new, old, raw, strict=True))

    def _count_queries(self, status: Status) -> None:
        """Without a client of ours that reports progress, the server's counters measure the work."""
        queries = query_count(self._lives.add(status).counters)
        if queries is not None:
            self.work.append((status.t_ns, queries, 0))


def _shifted(point: Point, offset: Point) -> Point:
    return (point[0], *(a + b for a, b in zip(point[1:], offset[1:], strict=True))) if offset else point


@dataclass(frozen=True, slots=True)
class _Boundary:
    """What is kept of a sample at which counting begins or ends."""

    mark: str
    mono_ns: int
    counts_calls: bool
    usage: Usage
    point: Point


@dataclass(frozen=True, slots=True)
class _Intervals:
    """Where the workload is after some boundaries: before its interval, in it, or after it."""

    t_ns: int = 0
    mono_ns: int = 0
    counts_calls: bool = False
    base: Usage | None = None
    """Use at the beginning of the interval that is open; None when none is."""
    closed: Usage = field(default_factory=Usage)
    """Use in the intervals that have ended."""
    started: bool = False
    ended: bool = False
    begin: Point | None = None
    pair: int | None = None
    """Of a bench: which pair the repetition belongs to that is under way; 0 is the warm-up."""
    runs: int = 0
    """How many repetitions are complete."""


class Session:
    """One session of a run."""

    def __init__(self, spec: SessionSpec, *, watched: bool, points: int, by_cpu: bool) -> None:
        self.spec = spec
        self.watched = watched
        self.columns = SampleColumns(watched=watched, points=points, by_cpu=by_cpu)
        self.console: Events[str] = Events(kept=1000)
        self._states: Events[State] = Events()
        self._facts: Latest[str, Environment] = Latest()
        self.inside_ns: array[int] = array("q")
        """When a watched server told of its own work."""
        self._counted: Events[StatementCount] = Events(kept=1000)
        self._proofs: Latest[tuple[str, str], Proof] = Latest()
        self._phases: Events[Phase] = Events()
        self._boundaries: Events[_Boundary | Repeat] = Events(kept=None)
        self._intervals: list[_Intervals] = []
        """After each of the boundaries, as far as it was asked for."""
        self._runs: list[tuple[int, Seconds]] = []
        self._phase_views: tuple[tuple[int, int], tuple[PhaseView, ...]] = ((0, 0), ())

    def add(self, record: Record) -> None:
        """Take the next record in full."""
        if isinstance(record, Inside):
            self.inside_ns.append(record.t_ns)
        if isinstance(record, StatementCount):
            self._counted.add(record.t_ns, record)
        if self.columns.add(record) and isinstance(record, Sample) and not _is_boundary(record):
            self._bound(record)

    def note(self, record: Record) -> None:
        """Take something that happened, whenever it becomes known."""
        match record:
            case State():
                self._states.add(record.t_ns, record)
            case Environment():
                self._facts.add(record.t_ns, "", record)
            case Proof():
                self._proofs.add(record.t_ns, (record.name, record.subject), record)
            case Phase():
                self._phases.add(record.t_ns, record)
            case Repeat():
                self._insert(record.t_ns, record)
            case Sample() if _is_boundary(record):
                self._bound(record)
            case _:
                pass

    def _bound(self, sample: Sample) -> None:
        """Take a sample at which counting begins or ends."""
        usage, counts = Usage(sample), sample.kml is not None
        self._insert(sample.t_ns, _Boundary(sample.mark, sample.mono_ns, counts, usage, counters(sample)))

    def _insert(self, t_ns: int, boundary: _Boundary | Repeat) -> None:
        place = self._boundaries.add(t_ns, boundary)
        del self._intervals[place:]
        del self._runs[self._intervals[-1].runs if self._intervals else 0 :]

    def _at(self, t_ns: int) -> _Intervals:
        count = self._boundaries.count(t_ns)
        while (known := len(self._intervals)) < count:
            before = self._intervals[-1] if known else _Intervals()
            self._intervals.append(self._after(before, self._boundaries[known]))
        return self._intervals[count - 1] if count else _Intervals()

    def _after(self, before: _Intervals, boundary: _Boundary | Repeat) -> _Intervals:
        if isinstance(boundary, Repeat):
            return changed(before, pair=boundary.pair if boundary.event == "begin" else None)
        base, closed, started, ended = before.base, before.closed, before.started, before.ended
        if boundary.mono_ns < before.mono_ns:  # booted again: its counters start anew
            base = None
        if base is None and not ended:
            base = boundary.usage
        if boundary.mark == START:
            base, started, ended = boundary.usage, True, False
        elif boundary.mark == END and base is not None:
            used = boundary.usage.minus(base)
            closed = closed.plus(used) if started else closed
            if before.pair and used.groups:
                self._runs.append((before.pair, seconds_of_all(used)))
            base, ended = None, True
        begin = boundary.point if boundary.mark == START or before.begin is None else before.begin
        return _Intervals(
            int(boundary.point[0]),
            boundary.mono_ns,
            boundary.counts_calls,
            base,
            closed,
            started,
            ended,
            begin,
            before.pair,
            len(self._runs),
        )

    def gone(self, after_ns: int, until_ns: int) -> bool:
        """Whether a watched server went away between two times."""
        states = self._states.until(until_ns)[self._states.count(after_ns) :]
        return self.watched and any(state.state == "running" and state.detail for state in states)

    def view(
        self,
        t_ns: int,
        recent: Recent,
        latencies: LatencyTable | None,
        console: Sequence[str] | None = None,
        ahead: SampleColumns | None = None,
    ) -> SessionView:
        """The session at ``t_ns``, of which ``recent`` are the newest records.

        ``ahead``: the time lies ahead of what was read in full, and these are the columns of the stretch before it.
        What cannot be told without all of the records is absent then.
        """
        at = self._at(t_ns)
        columns = ahead or self.columns
        last, first = recent.samples.last, recent.samples.first
        elapsed = (last.mono_ns - first.mono_ns) / 1e9 if last and first else 0.0
        usage = self._usage(at, last) if not ahead or not self._booted(at, t_ns, ahead) else None
        counts_calls = last.kml is not None if last else at.counts_calls
        known = usage is not None and (at.started or self.watched)
        usage = usage or Usage()
        calls, rates = calls_between(first, last, elapsed, usage if known else Usage())
        # The first sample may be of before the calls were counted, and then it tells nothing of their rate.
        rated = bool(last and last.kml and first and first.kml and elapsed)
        if not rated and (ahead or elapsed) and not at.ended:
            calls = ()  # a call's rate has no other way of being absent
        totals = known and counts_calls
        progress = recent.progress
        state, since_ns = self._state(t_ns)
        # Ahead, queries would be counted over restarts; and the work that is over is looked at from its first query.
        series = Series() if ahead and (at.ended or self.watched) else columns.work.series(t_ns)
        complete = not ahead or not at.ended or progress is not None
        return SessionView(
            name=self.spec.name,
            arm=self.spec.arm if self.spec.kind != "local" else "",
            state=state,
            since_ns=since_ns,
            cpus=cpus_between(first, last),
            has_calls=counts_calls,
            calls=calls,
            trap_rate=rates[0] if rated else None,
            direct_rate=rates[1] if rated else None,
            elevation_rate=rates[2] if rated else None,
            trap=sum(usage.trap.values()) if totals else None,
            direct=sum(usage.direct.values()) if totals else None,
            programs=usage.programs if totals and any(usage.programs) else None,
            elevations=usage.elevations if totals else None,
            demotions=tuple(sorted(usage.demotions.items(), key=lambda item: -item[1])) if known else (),
            rewinds=usage.rewinds if totals else None,
            attached=last.kml.attached if last and last.kml else None,
            query_rate=None if at.ended else _query_rate(recent),
            queries=progress.queries if progress else None,
            rows=progress.rows if progress else None,
            latency=latencies.view(ALL) if latencies else None,
            statements=latencies.statements() if latencies else (),
            counted=() if ahead else self._counted.until(t_ns),
            cpu=seconds_of_all(usage) if known and complete and usage.groups else None,
            groups=tuple((name, seconds(used)) for name, used in sorted(usage.groups.items(), reverse=True))
            if known
            else (),
            agent_share=(
                (last.agent.cpu_ns - first.agent.cpu_ns) / (elapsed * 1e9)
                if last and first and last.agent and first.agent and elapsed
                else None
            ),
            runs=tuple(self._runs[max(at.runs - _MOST_RUNS, 0) : at.runs]),
            started=at.started,
            begin=self._begin(at, known or not at.started, ahead),
            progress=progress,
            phases=self._phases_at(t_ns),
            facts=tuple(environment.facts.items()) if (environment := self._environment(t_ns)) else (),
            proofs=self._proofs.until(t_ns),
            console=tuple(self.console.until(t_ns, _CONSOLE_LINES) if console is None else console[-_CONSOLE_LINES:]),
            samples=columns.samples.series(t_ns),
            work=series,
            cpu_history=tuple(
                (cpu, series) for cpu, history in sorted(columns.cpus.items()) if (series := history.series(t_ns)).last
            ),
            last_sample_ns=last.t_ns if last else None,
            io_rate=io_rate(first, last, elapsed),
            run_share=run_share(first, last),
            server=tuple(recent.statuses.last.counters.items()) if recent.statuses.last else (),
            row_rate=None if at.ended else _status_rate(recent, "Rows_sent"),
            **(_inside(recent) if self.watched else {}),
        )

    def _usage(self, at: _Intervals, last: Sample | None) -> Usage | None:
        """Use in the workload's intervals; None if it is not known."""
        if at.ended:
            return at.closed
        if last is None or at.base is None:
            return None
        return at.closed.plus(Usage(last).minus(at.base))

    def _booted(self, at: _Intervals, t_ns: int, ahead: SampleColumns) -> bool:
        """Whether, ahead of what was read, the session has begun its counters anew since its last boundary."""
        if at.ended:
            return False
        if any(state.state == "booting" for state in self._states.until(t_ns)[self._states.count(at.t_ns) :]):
            return True
        first = ahead.samples.series().first
        return ahead.offsets.last_time(t_ns) > at.t_ns or bool(
            first and first[0] > at.t_ns and first[MONO] < at.mono_ns
        )

    def _begin(self, at: _Intervals, known: bool, ahead: SampleColumns | None) -> Point | None:
        if at.begin is None or not known:
            return None
        return at.begin if ahead else _shifted(at.begin, self.columns.offset(int(at.begin[0])))

    def _state(self, t_ns: int) -> tuple[State, int]:
        """The state, and since when the session has been in it."""
        index = self._states.count(t_ns) - 1
        if index < 0:
            return State(t_ns=0, session=self.spec.name, state="waiting"), 0
        state = self._states[index]
        while index > 0 and self._states[index - 1].state == state.state:
            index -= 1
        return state, self._states[index].t_ns

    def _environment(self, t_ns: int) -> Environment | None:
        found = self._facts.until(t_ns)
        return found[0] if found else None

    def _phases_at(self, t_ns: int) -> tuple[PhaseView, ...]:
        key = (len(self._phases), self._phases.count(t_ns))
        if self._phase_views[0] != key:
            self._phase_views = (key, _phases(self._phases.until(t_ns)))
        return self._phase_views[1]


def _is_boundary(sample: Sample) -> bool:
    return sample.mark in (START, END)


def _phases(events: Sequence[Phase]) -> tuple[PhaseView, ...]:
    views: list[PhaseView] = []
    for event in events:
        if event.event == "begin":
            views.append(PhaseView(event.name, event.t_ns))
            continue
        for index in range(len(views) - 1, -1, -1):
            phase = views[index]
            if phase.name == event.name and phase.end_ns is None:
                views[index] = PhaseView(phase.name, phase.begin_ns, event.t_ns)
                break
    return tuple(views[-_MOST_PHASES:])


def _inside(recent: Recent) -> dict[str, Any]:
    """What a watched server said of its own work."""
    rates = {
        name: rate
        for name in (recent.statuses.last.counters if recent.statuses.last else ())
        if (rate := _status_rate(recent, name)) is not None
    }
    found: dict[str, Any] = {"server_rates": tuple(rates.items())}
    if not recent.insides:
        return found
    before, last = recent.insides[0], recent.insides[-1]
    elapsed_s = (last.t_ns - before.t_ns) / 1e9
    known = {(digest.digest, digest.schema): digest for digest in before.digests}
    views = []
    for digest in last.digests:
        earlier = known.get((digest.digest, digest.schema))
        grown = earlier is not None and elapsed_s > 0 and digest.calls >= earlier.calls
        views.append(
            DigestView(
                digest=digest.digest,
                text=digest.text,
                schema=digest.schema,
                calls=digest.calls,
                call_rate=(digest.calls - earlier.calls) / elapsed_s if earlier and grown else None,
                time_share=(digest.time_us - earlier.time_us) / 1e6 / elapsed_s if earlier and grown else None,
                us_per_call=digest.time_us / digest.calls if digest.calls else None,
                rows_per_call=digest.rows_examined / digest.calls if digest.calls else None,
                errors=digest.errors,
            )
        )
    return found | {"digests": tuple(views), "threads": tuple(last.threads), "replica_lag_s": last.replica_lag_s}


def _query_rate(recent: Recent) -> float | None:
    """Queries per second: the server's count without the sampler's own."""
    rate = _status_rate(recent, "Queries")
    return _status_rate(recent, "Questions") if rate is None else rate


def _status_rate(recent: Recent, name: str) -> float | None:
    """How fast one of the server's counters grows, without the sampler's own share."""
    first, last = recent.statuses.first, recent.statuses.last
    if first is None or last is None:
        return None
    if name not in first.counters or name not in last.counters or last.t_ns <= first.t_ns:
        return None
    own = last.own.get(name, 0) - first.own.get(name, 0)
    return max(last.counters[name] - first.counters[name] - own, 0) / ((last.t_ns - first.t_ns) / 1e9)
