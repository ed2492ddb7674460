# SPDX-License-Identifier: GPL-2.0-or-later
"""What the report would call a difference, decided from what the screen shows."""

from __future__ import annotations

from collections.abc import Sequence

from kmltui.figures.environment import tick_hz
from kmltui.figures.judging import (
    LEAST_RUN_SHARE,
    any_emulated,
    common_clock,
    is_difference,
    is_kml,
    judges_times,
    own_ways,
)
from kmltui.figures.stats import tick_difference_shown
from kmltui.live.views import EqualWork, LatencyView, Seconds, SessionView, Snapshot
from kmltui.model import ClockKind, WorkloadSpec
from kmltui.tui.text import difference


def _facts(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    return {session.name: dict(session.facts) for session in snapshot.sessions}


def times(snapshot: Snapshot) -> bool:
    """Whether the sessions' times may be compared."""
    return not snapshot.header.different_work and judges_times(snapshot.header.sessions, _facts(snapshot))


def by_cpu_time(snapshot: Snapshot) -> bool:
    """Whether a bench is judged by its total CPU time: not if instructions are counted, nor if it is judged per
    query."""
    exact = any(spec.exact for spec in snapshot.header.sessions)
    return times(snapshot) and not exact and snapshot.workload.duration_s is None


def clock(snapshot: Snapshot) -> ClockKind | None:
    """What a second is in all sessions; None if it is not the same in all of them."""
    return common_clock(snapshot.header.sessions, _facts(snapshot))


def emulated(snapshot: Snapshot) -> bool:
    """Whether a session runs under software emulation."""
    return any_emulated(_facts(snapshot).values())


def disturbed(snapshot: Snapshot) -> bool:
    """Whether the host is now so busy otherwise that times by the wall clock will get no verdict."""
    shares = [session.run_share for session in snapshot.sessions if session.run_share is not None]
    return clock(snapshot) == "wall" and bool(shares) and min(shares) < LEAST_RUN_SHARE


def unequal_work(snapshot: Snapshot) -> bool:
    """Whether nothing that the sessions used can be compared: they are two recordings' and did different work, or each
    times calls in its own ways."""
    if snapshot.header.different_work:
        return True
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for measure in snapshot.measures:
        measured.setdefault(measure.session, {})[measure.name] = measure.values
    return own_ways(measured.values(), all(session.queries is not None for session in snapshot.sessions))


def without_queries(snapshot: Snapshot) -> bool:
    """Whether the workload is one whose client makes no queries: there is nothing to show about them."""
    workload = snapshot.workload
    if any(session.queries for session in snapshot.sessions) or snapshot.header.kind == "monitor":
        return False
    only_times = bool(workload.phases) and set(workload.phases) <= set(workload.timing_phases)
    return bool(workload.unit or workload.keeps_output or only_times)


def counted_phases(workload: WorkloadSpec) -> list[str]:
    """The phases that a run's figures are of: those after the last in which calls are only timed, or, if that comes at
    the end, all others."""
    phases = workload.phases
    last = max((at for at, phase in enumerate(phases) if phase in workload.timing_phases), default=-1)
    return phases[last + 1 :] or [phase for phase in phases if phase not in workload.timing_phases]


def warming_up(snapshot: Snapshot) -> bool:
    """Whether a session has not reached the work that counts yet: it times single calls first, or warms up."""
    before = set(snapshot.workload.timing_phases)
    if not before or before >= set(snapshot.workload.phases):
        return False
    return any(session.progress is not None and session.progress.phase in before for session in snapshot.sessions)


def not_kml(snapshot: Snapshot) -> SessionView | None:
    """The session that was meant to be KML's but made hardly any direct calls, if there is one."""
    timed = {measure.session for measure in snapshot.measures if "direct" in measure.values}
    for session in snapshot.sessions:
        trap, direct = session.programs or (session.trap or 0, session.direct or 0)
        if trap + direct < _TELLING_CALLS:
            continue
        if not is_kml(session.arm, trap, direct, times_both=session.name in timed):
            return session
    return None


_TELLING_CALLS = 1000
"""For a session that is running: what its programs do before the actual work does not make a share yet."""


def splits_differ(snapshot: Snapshot, left: Sequence[Seconds], right: Sequence[Seconds]) -> bool:
    """Whether user and system time of two sessions, over all these runs, differ by more than the error of the kernel's
    ticks, from which they are estimated. A share of a few ticks is a matter of chance."""
    splits = [
        (max(0.0, sum(each.user for each in side)), max(0.0, sum(each.system for each in side)))
        for side in (left, right)
    ]
    return tick_difference_shown(splits[0], splits[1], tick_hz(_facts(snapshot)))


def work_role(snapshot: Snapshot, work: EqualWork | None) -> str:
    """The colour of what was saved in the whole work: only if the report calls it a difference."""
    if work is None or not work.final or not times(snapshot):
        return "muted" if work is None or not work.final else "text"
    saved = work.saved("total")
    if not is_difference(saved, None, clock(snapshot)):
        return "text"
    return "good" if (saved or 0.0) > 0 else "bad"


_LEAST_QUERIES = {"p50_us": 10, "p95_us": 20, "p99_us": 100}
"""Of fewer queries in one session a percentile is not compared: it would be that of a single query."""


def latency_saved(before: LatencyView | None, after: LatencyView | None) -> tuple[float | None, ...]:
    """The fractions saved of p50, p95 and p99; None of each that cannot be compared."""
    if before is None or after is None:
        return (None,) * len(_LEAST_QUERIES)
    queries = min(before.count, after.count)
    changes = {name: difference(getattr(before, name), getattr(after, name)) for name in _LEAST_QUERIES}
    return tuple(
        -change if change is not None and queries >= least else None
        for change, least in zip(changes.values(), _LEAST_QUERIES.values(), strict=True)
    )
