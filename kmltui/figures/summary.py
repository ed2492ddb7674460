# SPDX-License-Identifier: GPL-2.0-or-later
"""A run in figures: what every report is made from, and, as JSON, what other tools read.

The object's fields are a contract; see docs/recording.md. :mod:`kmltui.figures.summarise` makes it from the records.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from kmltui.figures.calls import TimedCall
from kmltui.figures.charts import Chart
from kmltui.figures.compare import Comparison
from kmltui.figures.figures import Figures
from kmltui.model import ClockKind, RunStatus, SessionKind


class RunFacts(Struct, kw_only=True):
    """The run as a whole."""

    workload: str
    loops: int | None
    started: str | None
    """ISO 8601, UTC."""
    duration_s: float
    """From the run's beginning, guests' start included, to its last record."""
    duration_limit_s: float | None = None
    """For a workload bounded by time: how long it was to run."""
    options: dict[str, str] = field(default_factory=dict)
    script: dict[str, str] = field(default_factory=dict)
    """The shell commands of a workload that the user has declared in a file."""
    name: str = ""
    title: str = ""
    different_work: str = ""
    """Of the sessions of two recordings: how their work differs, so that nothing they took is compared."""
    status: RunStatus | None = None
    """None: the recording has no end. The run is still going on, or it was lost."""
    reason: str = ""
    complete: bool = False
    """Every session has completed the workload."""
    unit: str = ""
    """What the work consists of, e.g. ``request``; empty: nothing that was counted."""
    units: int = 0
    """How many of them each session has done (of a bench, each repetition)."""
    article: bool = False
    """It was the article's benchmark: its figures may stand beside this run's."""
    pairs: int | None = None
    """Of a bench: how many pairs were measured, the warm-up not counted."""
    command: str = ""
    """What repeats the run; empty where nothing was run but watched."""
    kmltui: str = ""
    newer: bool = False
    """Made by a newer kmltui, whose records may say more than this one understands."""
    sample_period_s: float = 0.0
    marks: list[tuple[float, str, str]] = field(default_factory=list)
    """(seconds, note, author)."""
    gaps: list[tuple[float, int, str]] = field(default_factory=list)
    """Where the recording is damaged: (seconds, bytes, reason)."""
    warnings: list[tuple[float, str, str]] = field(default_factory=list)
    """Warnings and errors that were logged, the first of them: (seconds, session and source, text)."""


class TickBias(Struct):
    """A loop whose split is known, measured in the session: the share of system time as it is and as ticks have it."""

    exact: float
    by_ticks: float


class SessionFigures(Figures, kw_only=True):
    """One session: what it is, what it proved, and its figures (of a bench, the means over the pairs)."""

    arm: str = "stock"
    kind: SessionKind = "guest"
    clock: ClockKind = "wall"
    state: str = "waiting"
    detail: str = ""
    complete: bool = False
    """It has done the whole workload."""
    tick_error_s: float | None = None
    """Half the width of the 95 % interval that ticks alone leave to the split of ``cpu_s``, seconds."""
    tick_bias: TickBias | None = None
    """How wrong the kernel's split is in this session, where that was measured."""
    clock_wrong: bool = False
    """The guest's clock went wrong, and with it every time: see ``clock_ratio``."""
    ring: int | None = None
    """The privilege level read inside its processes: 0 if all of them ran in ring 0, else 3."""
    rings: dict[str, int] = field(default_factory=dict)
    proofs: dict[str, dict[str, str]] = field(default_factory=dict)
    """What was checked inside the session: kind of proof, subject, value."""
    failed_proofs: list[str] = field(default_factory=list)
    server_restarts: list[float] = field(default_factory=list)
    """When its server was started again while it was watched, seconds since the run began; of very many the first."""
    direct_share: float | None = None
    """Of its system calls, those that were made directly, without a trap; None where they were not counted, or where
    there is no KML."""
    calls_source: str = ""
    """How its system calls were counted, and whose."""
    io_calls_source: str = ""
    """What ``io_calls`` covers."""
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Figures that the workload itself measured: name, then unit and values; of a bench the means over the pairs."""
    output: list[str] = field(default_factory=list)
    """The first lines that a program printed, where the workload is one that the user chose."""

    @property
    def has_kml(self) -> bool:
        """The module counts its system calls, direct ones among them."""
        return self.kind != "local"


class Fractions(Struct):
    """Fractions saved, of CPU time, in exact mode of instructions: 0.03 is 3 % less, negative is more."""

    total: float | None
    user: float | None
    system: float | None


class Bounds(Struct):
    """95 % intervals of the fractions saved; null where a single run gives none."""

    total: tuple[float, float] | None
    user: tuple[float, float] | None
    system: tuple[float, float] | None


class Range(Struct, frozen=True):
    """From ``low`` to ``high``, both included."""

    low: float
    high: float


class Estimate(Struct, kw_only=True):
    """What the traps that a run did without would cost on a real processor; see :mod:`kmltui.figures.estimate`."""

    trap_ns: Range
    """What a trap costs it: the least and the median of many timed batches."""
    calls_per_query: float | None
    """Calls without a trap; None where nothing counts queries."""
    saved: Range | None
    """Bounds of the fraction of CPU time saved; None where the CPU time on that processor cannot be known."""
    likely: Range | None
    """The same with the likely cost of a direct call."""
    saved_us: Range
    """Bounds of the CPU time saved, microseconds a query (or, where nothing counts queries, in all)."""
    native_us: Range | None
    """The CPU time of a query on that processor, microseconds, or of all the work."""
    assumed: str
    processor: str
    mitigations: str
    counted_ns: float | None = None
    """What a direct call saved in this run by the processor's own counters of cycles; None where there are none."""
    busy: str = ""
    """How much else the machine had to do while a trap was timed; empty where that was little."""


class NamedCost(Struct, frozen=True):
    """What one system call costs a watched server."""

    nr: int
    name: str
    per_s: float
    per_query: float | None
    cores: float
    """At most: what making all of them directly would save."""
    fewer_cores: float | None
    """At most: what making it once a query would save, by trap as now; None where it is made no oftener."""


class ServerCost(Struct, frozen=True):
    """What all of a watched server's system calls cost it; see :mod:`kmltui.figures.servercost`."""

    per_s: float
    per_query: float | None
    trap_ns: Range
    cores: Range
    """Bounds of what making all calls directly would save."""
    share: Range | None
    """The same as a fraction of the server's CPU time; None where that is not known."""
    names: list[NamedCost]
    """Those that cost most first."""

    def part(self, cores: float) -> float | None:
        """So many cores as a fraction of the server's CPU time; None where that is not known."""
        return None if self.share is None or not self.cores.high else cores / self.cores.high * self.share.high


class Checksums(Struct):
    """Whether the sessions' results were the same."""

    compared: int
    equal: bool
    differing: list[str]


class Summary(Struct, kw_only=True):
    """Everything that a report says of a run."""

    run: RunFacts
    environment: dict[str, Any]
    sessions: dict[str, SessionFigures]
    saved: Fractions | None = None
    """``compared`` against ``baseline``: CPU seconds, server and client together; in exact mode instructions, counted
    for the whole guest."""
    baseline: str | None = None
    compared: str | None = None
    client: str | None = None
    """How Wisconsin's client reads: ``article`` or ``buffered``; None for other workloads."""
    per_query: bool = False
    """The run was bounded by time, or its sessions time calls each in their own ways: what grows with the work is
    compared per query, and where no queries were counted not at all."""
    primary: str = "cpu_s.total"
    """The figure that the verdict rests on, fixed before the run."""
    comparisons: dict[str, dict[str, Comparison]] = field(default_factory=dict)
    """By session: every figure against the baseline's."""
    timed_calls: list[TimedCall] = field(default_factory=list)
    """Single calls that the workload timed: by trap on the baseline, directly under ``compared``."""
    pairs: list[dict[str, Any]] | None = None
    """Of a bench: every raw run, ``{"pair": n, "sessions": {name: figures}}``."""
    intervals: Bounds | None = None
    exact: bool = False
    """Instructions were counted: the verdict rests on them."""
    clock: ClockKind | None = None
    """What a second is in every session; None: not the same in all of them."""
    emulated: bool = False
    """A session ran under software emulation: a ratio of times is not the hardware's."""
    estimate: Estimate | None = None
    """What was saved would be on the recording machine's processor; None where that cannot be known."""
    server_cost: ServerCost | None = None
    """Of a watched server: what its system calls cost it; None where they were not counted, or no trap was timed."""
    checksums: Checksums | None = None
    verdict: str = ""
    charts: list[Chart] = field(default_factory=list)

    @property
    def has_kml(self) -> bool:
        """Some session could make direct calls: without one there is a single way into the kernel to be told of."""
        return any(session.has_kml for session in self.sessions.values())

    @property
    def lasted_s(self) -> float | None:
        """How long work that is bounded by time lasted: as long as planned, or until it was stopped. None of others."""
        measured = [each.duration_s for each in self.sessions.values() if each.duration_s is not None]
        if self.run.duration_limit_s is None or self.run.status == "done" or not measured:
            return self.run.duration_limit_s
        return min(max(measured), self.run.duration_limit_s)
