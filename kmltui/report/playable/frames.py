# SPDX-License-Identifier: GPL-2.0-or-later
"""The course of a run as plain data for the page: what the screen would show at evenly spaced instants.

All values are those of :class:`kmltui.live.views.SessionView`, rounded to what the page shows. A figure that a session
cannot provide is ``None`` and is drawn as absent, never as 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from kmltui.counters import syscalls
from kmltui.figures.figures import call_counts
from kmltui.figures.intervals import Intervals
from kmltui.figures.settled import settled
from kmltui.live.store import Store
from kmltui.live.views import QUERIES, SessionView, Snapshot
from kmltui.model import Header, Record, session_clock
from kmltui.printable import printable

INSTANTS = 480
"""The maximal number of instants: two for each pixel of a phone, and a few hundred kilobytes per session."""

_CALLS = 14
_MARKS = 300
_LOG_LINES = 400
_TEXT = 300


def course(records: Iterable[Record], duration_ns: int) -> dict[str, Any]:
    """The data of the page. Raises ValueError if ``records`` do not begin with a header.

    ``t`` is milliseconds since the run began, one entry per instant; the lists of a session have the same length.
    """
    snapshots = list(_snapshots(iter(records), duration_ns))
    last = snapshots[-1]
    named = _busiest(last)
    return {
        "run": printable(last.header.run),
        "workload": printable(last.workload.name),
        "bench": last.header.kind == "bench",
        "t": [round(view.t_ns / 1e6) for view in snapshots],
        "calls": [_call_name(nr) for nr in named],
        "sessions": [_session(snapshots, index, named) for index in range(len(last.sessions))],
        "landmarks": _landmarks(last),
        "log": [
            [round(log.t_ns / 1e6), printable(log.session), log.level, printable(log.text)[:_TEXT]]
            for log in last.logs[-_LOG_LINES:]
        ],
        "measures": [
            {
                "session": printable(measure.session),
                "name": printable(measure.name),
                "unit": printable(measure.unit),
                "values": {printable(key): value for key, value in measure.values.items()},
                "t": round(measure.t_ns / 1e6),
            }
            for measure in last.measures
        ],
        "status": printable(last.status),
        "reason": printable(last.reason)[:_TEXT],
    }


def _snapshots(records: Iterator[Record], duration_ns: int) -> Iterator[Snapshot]:
    header = next(records, None)
    if not isinstance(header, Header):
        raise ValueError("the records of a run begin with its header")
    store, intervals = Store(header, by_cpu=False), Intervals()
    step = max(duration_ns // INSTANTS, header.sample_period_ns, 1)
    due = 0
    for record in records:
        # A record's time comes from the file: one in the far future must not cause a snapshot for every step up to it.
        if not isinstance(record, Header) and due <= record.t_ns <= duration_ns:
            yield _without_agent(store.at(due), intervals)
            due += max(1, (record.t_ns - due) // step) * step
        store.add(record)
        intervals.add(record)
    yield _without_agent(store.at(max(duration_ns, due)), intervals)


def _without_agent(view: Snapshot, intervals: Intervals) -> Snapshot:
    """With the counts that a report made at that instant has. Those of a bench, whose report tells of means, stay."""
    if view.header.kind == "bench":
        return view
    sessions = []
    for spec, session in zip(view.header.sessions, view.sessions, strict=True):
        by_instructions = session_clock(spec, dict(session.facts)) == "instructions"
        counts = [
            call_counts(each.interval, spec.kind, samples_asked_for=by_instructions)
            for each in intervals.of(spec.name)[-1:]
        ]
        sessions.append(settled(session, counts[0] if counts else None))
    return replace(view, sessions=tuple(sessions))


def _busiest(view: Snapshot) -> list[int]:
    totals: Counter[int] = Counter()
    for session in view.sessions:
        for call in session.calls:
            totals[call.nr] += call.total
    return [nr for nr, total in totals.most_common(_CALLS) if total]


def _call_name(nr: int) -> str:
    return "other numbers" if nr == syscalls.OTHER else syscalls.name(nr)


def _session(snapshots: list[Snapshot], index: int, named: list[int]) -> dict[str, Any]:
    views = [snapshot.sessions[index] for snapshot in snapshots]
    # What says how busy a session is at an instant, unless its newest sample is too old to.
    busy = [None if at.stale(view) else view for at, view in zip(snapshots, views, strict=True)]
    last = views[-1]
    cpus = sorted({cpu.cpu for view in views for cpu in view.cpus})
    return {
        "name": printable(last.name),
        "arm": last.arm,
        "kml": bool(last.arm),
        "states": _changes([view.state.state for view in views]),
        "details": _changes([printable(view.state.detail)[:_TEXT] for view in views]),
        "phases": _changes([_phase(view) for view in views]),
        "cpu": {str(cpu): [_share(view, cpu) for view in busy] for cpu in cpus},
        "trap": _integers(view.trap_rate if view else None for view in busy),
        "direct": _integers(view.direct_rate if view else None for view in busy),
        "queries": _integers(view.query_rate for view in views),
        "trapped": _integers(view.trap for view in views),
        "directly": _integers(view.direct for view in views),
        "done": _integers(_queries(view) for view in views),
        "cpu_ms": _integers(view.cpu.total * 1e3 if view.cpu else None for view in views),
        "p50_us": _integers(view.latency.p50_us if view.latency else None for view in views),
        "p99_us": _integers(view.latency.p99_us if view.latency else None for view in views),
        "fraction": [
            round(view.progress.fraction, 4) if view.progress and view.progress.fraction is not None else None
            for view in views
        ],
        "by_call": [_by_call(view, named) for view in views],
        "proofs": [
            [printable(proof.name), printable(proof.subject), printable(proof.value), proof.ok] for proof in last.proofs
        ],
    }


def _queries(view: SessionView) -> float | None:
    """Since the workload began; of a watched server, whose client is not ours, since it was first asked."""
    first, last = view.work.first, view.work.last
    if view.queries is not None or first is None or last is None:
        return view.queries
    return last[QUERIES] - first[QUERIES]


def _phase(view: SessionView) -> str:
    open_phases = [phase.name for phase in view.phases if phase.end_ns is None]
    return printable(open_phases[-1]) if open_phases else ""


def _share(view: SessionView | None, cpu: int) -> list[int] | None:
    """User and system time of one CPU, per mille."""
    for each in view.cpus if view else ():
        if each.cpu == cpu:
            return [round(each.user * 1000), round(each.system * 1000)]
    return None


def _by_call(view: SessionView, named: list[int]) -> list[list[int]]:
    counts = {call.nr: [call.trap, call.direct] for call in view.calls}
    return [counts.get(nr, [0, 0]) for nr in named]


def _integers(values: Iterable[float | None]) -> list[int | None]:
    return [None if value is None else round(value) for value in values]


def _changes(values: list[str]) -> list[list[Any]]:
    """``[index, value]`` wherever the value differs from the one before."""
    return [[i, value] for i, value in enumerate(values) if i == 0 or value != values[i - 1]]


def _landmarks(view: Snapshot) -> list[list[Any]]:
    """Phases of the first session, marks and gaps: ``[ms, kind, text]``, in their order."""
    found = [[round(mark.t_ns / 1e6), "mark", printable(mark.note)[:_TEXT]] for mark in view.marks]
    found += [[round(gap.t_ns / 1e6), "gap", printable(gap.reason)[:_TEXT]] for gap in view.gaps]
    found += [[round(phase.begin_ns / 1e6), "phase", printable(phase.name)] for phase in view.sessions[0].phases]
    return sorted(found)[:_MARKS]
