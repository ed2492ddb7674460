# SPDX-License-Identifier: GPL-2.0-or-later
"""What a screen shows of a run at one instant: frozen, complete, and derived only from the records.

Rates are per second of the session's own clock. ``None`` means that the session cannot provide the figure (or not
yet), and is shown as absent. Times are nanoseconds on the run's clock.
"""

from __future__ import annotations

from msgspec import Struct

from kmltui.live.history import Series
from kmltui.model import (
    FINAL_STATES,
    Environment,
    Gap,
    Header,
    Log,
    Mark,
    Measure,
    Progress,
    Proof,
    Repeat,
    ServerThread,
    State,
    StatementCount,
    WorkloadSpec,
)

MONO, USER, SYSTEM, BUSY_AND_IDLE, TRAP, DIRECT, ELEVATIONS, CPU_US, CPU_USER_US, CPU_SYSTEM_US = range(1, 11)
"""Columns of :attr:`SessionView.samples`: cumulative counters, after the run's time."""

CPU_USER, CPU_SYSTEM, CPU_TICKS = 1, 2, 3
"""Columns of :attr:`SessionView.cpu_history`, after the run's time: ticks."""

QUERIES, ROWS = 1, 2
"""Columns of :attr:`SessionView.work`, after the run's time."""


class CpuView(Struct, frozen=True):
    """One CPU's shares of the time, 0 to 1, from the kernel's ticks. ``other`` is waiting and stolen time."""

    cpu: int
    user: float
    system: float
    other: float


class CallView(Struct, frozen=True):
    """One system-call number: calls per second now, and calls since the workload began."""

    nr: int
    trap_rate: float
    direct_rate: float
    trap: int
    direct: int

    @property
    def rate(self) -> float:
        return self.trap_rate + self.direct_rate

    @property
    def total(self) -> int:
        return self.trap + self.direct


class DigestView(Struct, frozen=True):
    """One kind of statement of a watched server."""

    digest: str
    text: str
    schema: str
    calls: int
    """Since the server counts, as all that has no "rate" or "share" in its name."""
    call_rate: float | None
    time_share: float | None
    """How many threads it keeps busy on average, between the last two answers of the server."""
    us_per_call: float | None
    rows_per_call: float | None
    """Rows examined for one call."""
    errors: int


class Seconds(Struct, frozen=True):
    """CPU time. ``total`` is exact; the kernel scales its split into user and system from ticks."""

    total: float
    user: float
    system: float


class LatencyView(Struct, frozen=True):
    """Percentiles of the merged histograms, microseconds."""

    p50_us: int
    p95_us: int
    p99_us: int
    p999_us: int
    max_us: int
    count: int


class PhaseView(Struct, frozen=True):
    name: str
    begin_ns: int
    end_ns: int | None = None


class SessionView(Struct, frozen=True, kw_only=True):
    """One session at one instant."""

    name: str
    arm: str
    """Empty for this machine itself, which has none."""
    state: State
    since_ns: int = 0
    """When the session entered that state; the record may be a later one that only reports progress."""
    cpus: tuple[CpuView, ...] = ()
    has_calls: bool = False
    """The session counts system calls (its kernel module answers)."""
    calls: tuple[CallView, ...] = ()
    """By rate, then by count, descending."""
    trap_rate: float | None = None
    direct_rate: float | None = None
    elevation_rate: float | None = None
    trap: int | None = None
    direct: int | None = None
    programs: tuple[int, int] | None = None
    """Of these the calls of what was executed, by trap and direct, where they are counted by program."""
    elevations: int | None = None
    demotions: tuple[tuple[int, int], ...] = ()
    """By exception or interrupt vector, most first, since the workload began."""
    rewinds: int | None = None
    attached: int | None = None
    query_rate: float | None = None
    queries: int | None = None
    rows: int | None = None
    latency: LatencyView | None = None
    statements: tuple[tuple[int, LatencyView], ...] = ()
    """By the number of the statement; its latencies since the workload began."""
    counted: tuple[StatementCount, ...] = ()
    """Statements that have come to their end, with their system calls, as far as all of that was read."""
    cpu: Seconds | None = None
    """Server and client together, since the workload began."""
    groups: tuple[tuple[str, Seconds], ...] = ()
    agent_share: float | None = None
    """What the agent currently costs its guest, as a share of one CPU."""
    runs: tuple[tuple[int, Seconds], ...] = ()
    """Of a bench: the number of the pair and the CPU time of each completed repetition, without the warm-up."""
    started: bool = False
    """The workload's measured interval has begun."""
    begin: tuple[float, ...] | None = None
    """The counters of :attr:`samples` at its beginning; of a part of a recording that need not be among them."""
    progress: Progress | None = None
    phases: tuple[PhaseView, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    proofs: tuple[Proof, ...] = ()
    console: tuple[str, ...] = ()
    """The last lines of its console and server log."""
    samples: Series
    work: Series
    cpu_history: tuple[tuple[int, Series], ...] = ()
    """Of each CPU its number and its course: :data:`CPU_USER`, :data:`CPU_SYSTEM` and :data:`CPU_TICKS`, cumulative."""
    last_sample_ns: int | None = None
    io_rate: float | None = None
    """Read and write calls a second, where all that is known of the system calls is that."""
    run_share: float | None = None
    """Share of the time its runnable vCPUs are currently allowed to run by the host."""
    server: tuple[tuple[str, int], ...] = ()
    """The server's own counters as they were last."""
    row_rate: float | None = None
    """Rows that the server sends a second."""
    digests: tuple[DigestView, ...] = ()
    """Of a watched server: its kinds of statements, those that take most time first."""
    threads: tuple[ServerThread, ...] = ()
    """Of a watched server: what is at work in it."""
    replica_lag_s: int | None = None
    server_rates: tuple[tuple[str, float], ...] = ()
    """How fast the server's own counters grow, per second, without the sampler's share."""

    @property
    def over(self) -> bool:
        """It has come to its end, whichever way: its rates of just now are those of nothing."""
        return self.state.state in FINAL_STATES

    @property
    def counts_later(self) -> bool:
        """Its system calls are not counted yet, and nothing is known that speaks against it."""
        if self.over or self.has_calls:
            return False
        if self.arm:  # the agent of a guest that is up tells of the counters, if there are any
            return self.last_sample_ns is None
        # Of this machine the facts say how they are counted, once its server, if one is watched, has been found.
        return not self.server and "calls" not in dict(self.facts)

    @property
    def mean_query_rate(self) -> float | None:
        """Queries per second from the first report of their number to the last."""
        first, last = self.work.first, self.work.last
        if first is None or last is None or last[0] <= first[0]:
            return None
        return (last[QUERIES] - first[QUERIES]) / (last[0] - first[0]) * 1e9

    @property
    def lacking(self) -> str:
        """What it is waiting for, e.g. its server. Of a session that is over, the detail of its state tells why."""
        return "" if self.state.state in FINAL_STATES else self.state.detail


class Landmark(Struct, frozen=True, order=True):
    """Something to jump to."""

    t_ns: int
    kind: str
    """``phase``, ``mark`` or ``gap``."""
    text: str = ""


class Snapshot(Struct, frozen=True, kw_only=True):
    """A run at one instant."""

    header: Header
    t_ns: int
    sessions: tuple[SessionView, ...]
    marks: tuple[Mark, ...] = ()
    gaps: tuple[Gap, ...] = ()
    logs: tuple[Log, ...] = ()
    measures: tuple[Measure, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    status: str = ""
    """Empty while the run goes on; then ``done``, ``failed`` or ``stopped``."""
    reason: str = ""
    abandoned: bool = False
    """Nothing more will come although the run had not ended, so what is left of its work will never be done."""

    @property
    def workload(self) -> WorkloadSpec:
        return self.header.workload

    @property
    def pair(self) -> tuple[SessionView, SessionView] | None:
        """The two sessions that are compared: the first one and the last one."""
        return (self.sessions[0], self.sessions[-1]) if len(self.sessions) > 1 else None

    @property
    def starting(self) -> bool:
        """Whether all sessions are still being made ready, which takes long and says little."""
        return not self.status and all(session.state.state in _STARTING for session in self.sessions)

    def stale(self, session: SessionView) -> bool:
        """Whether the session's newest sample is too old to say how busy it is now."""
        newest = session.last_sample_ns
        return newest is not None and self.t_ns - newest > max(self.header.sample_period_ns * 8, 5_000_000_000)


_STARTING = {"waiting", "image", "booting", "loading", "ready"}


MOST_UNCERTAIN = 0.02
"""In the middle of a run, what is saved is shown only if samples and reports are close enough for two points."""


class EqualWork(Struct, frozen=True):
    """CPU time of two sessions for the same number of queries: the only fair comparison while they run."""

    queries: int
    left: Seconds
    right: Seconds
    final: bool
    """Both have completed the workload; the figures are those of its whole interval."""
    uncertain: float = 0.0
    """By how much the fraction saved may be off: in the middle of a run CPU time is known at samples, and queries when
    the client reports them, and what lies between is interpolated. A busy host also delays reports, which is not part
    of it."""

    def saved(self, field: str) -> float | None:
        """The fraction of ``total``, ``user`` or ``system`` that the right one saves; negative when it takes more.
        None if it may be off by more than :data:`MOST_UNCERTAIN`."""
        if self.uncertain > MOST_UNCERTAIN:
            return None
        left = float(getattr(self.left, field))
        return (left - float(getattr(self.right, field))) / left if left else None


def equal_work(left: SessionView, right: SessionView) -> EqualWork | None:
    """Compare the CPU time of two sessions at the number of queries that the slower one has reached."""
    if left.state.state == right.state.state == "done" and left.cpu and right.cpu:
        return EqualWork(min(left.queries or 0, right.queries or 0), left.cpu, right.cpu, True)
    queries = min(_sampled_queries(left), _sampled_queries(right))
    if not queries:
        return None
    a, b = _seconds_at(left, queries), _seconds_at(right, queries)
    if a is None or b is None or not (a[0].total and b[0].total):
        return None
    return EqualWork(int(queries), a[0], b[0], False, a[1] / a[0].total + b[1] / b[0].total)


def _sampled_queries(session: SessionView) -> float:
    """How many queries the session had made when it was sampled last, as far as the client has reported."""
    work, sample = session.work.last, session.samples.last
    reached = session.work.at(min(work[0], sample[0])) if work is not None and sample is not None else None
    return reached[QUERIES] if reached is not None else 0.0


def _seconds_at(session: SessionView, queries: float) -> tuple[Seconds, float] | None:
    """CPU time from the beginning of the workload to its ``queries``-th query, and by how many seconds the total may be
    off."""
    reached, reports, begin = session.work.when(QUERIES, queries), session.work.around(QUERIES, queries), session.begin
    if reached is None or reports is None or begin is None:
        return None
    end = session.samples.at(reached)
    if end is None or end[CPU_US] <= begin[CPU_US]:
        return None
    before, after = (session.samples.around(0, report[0]) for report in reports)
    last = session.samples.last
    low = before[0] if before is not None else begin
    high = after[1] if after is not None else last
    off_us = (high[CPU_US] - low[CPU_US]) / 2 if high is not None else 0.0
    seconds = Seconds(*((end[column] - begin[column]) / 1e6 for column in (CPU_US, CPU_USER_US, CPU_SYSTEM_US)))
    return seconds, off_us / 1e6


__all__ = [
    "CallView",
    "CpuView",
    "Environment",
    "EqualWork",
    "Landmark",
    "LatencyView",
    "PhaseView",
    "Seconds",
    "SessionView",
    "Snapshot",
    "equal_work",
]
