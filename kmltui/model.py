# SPDX-License-Identifier: GPL-2.0-or-later
"""The vocabulary of kmltui as typed records.

Everything that a run produces is one of the records below, in one stream: the runner appends them to a recording, and
the viewer, the report and the export read them back. These parts exchange nothing else.

Rules that hold for every record:

* Counters are cumulative since an arbitrary start (boot, server start); readers compute rates and differences.
* ``t_ns`` is the runner's monotonic clock, nanoseconds since the run began; ``mono_ns`` is the session's own
  ``CLOCK_MONOTONIC``. Rates of a session's counters are taken over *its* clock.
* ``None`` means "this session cannot provide it" and is shown as absent, never as 0.
* Text that comes from a guest is data: it is stored as it came and made printable only where it is shown.

This module imports no other module of kmltui.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

FORMAT_VERSION = 1
"""Version of the record vocabulary. Readers skip records of unknown type and ignore unknown fields."""

SessionState = Literal[
    "waiting",
    "image",
    "booting",
    "loading",
    "ready",
    "running",
    "done",
    "failed",
    "panicked",
    "server-died",
    "hung",
    "stopped",
]
"""The stages of a session's life. The last six, after ``running``, are final."""

FINAL_STATES: frozenset[str] = frozenset({"done", "failed", "panicked", "server-died", "hung", "stopped"})

SessionKind = Literal["guest", "local", "local-kml"]
"""A virtual machine; this machine itself; this machine with the KML module, which alone of the latter has two ways into
the kernel."""

Arm = Literal["stock", "stock+libc", "stock+idt", "kml"]
"""How much of KML is active: only counting; the rewritten libc, still trapping; the redirected IDT; all of it."""

RunStatus = Literal["done", "failed", "stopped"]

RunKind = Literal["run", "bench", "monitor"]
"""A workload in all sessions at once; a workload repeated, one session at a time; or no workload, only watching."""

START, END = "start", "end"
"""The marks of the samples between which a session is measured."""

_PHASE = "phase:"


def phase_mark(name: str) -> str:
    """The mark of the sample that is taken when the phase ``name`` begins."""
    return _PHASE + name


def marked_phase(mark: str) -> str | None:
    """The name of the phase whose beginning ``mark`` marks; None for any other mark."""
    return mark.removeprefix(_PHASE) if mark.startswith(_PHASE) else None


def whole(text: str) -> int | None:
    """The number in a text that is one of 0 to 2⁶³ - 1 and no more; None for any other.

    ``str.isdigit`` accepts digits of other scripts, and what is longer is no counter and may be too large for a float.
    """
    if text.isascii() and text.isdigit() and len(text) <= 19 and (number := int(text)) < 1 << 63:
        return number
    return None


SERVER, CLIENT = "server", "client"
"""The names of the two cgroups whose processes' CPU time is measured separately."""

MONITOR = "monitor"
"""The workload's name in a run that has none."""

ClockKind = Literal["wall", "instructions"]
"""What a session's clock counts: the host's time, or the session's own instructions, of which 10⁹ are a second."""

LogSource = Literal["console", "server", "client", "runner"]
"""The source of a Log record's line."""

LogLevel = Literal["info", "warning", "error"]


MEMORY_BYTES = 1 << 30
"""What a guest gets by default. One with a large image needs more, and gets it."""


class SessionSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What kind of session is requested. ``name`` identifies it in every record of the run."""

    name: str
    kind: SessionKind = "guest"
    arm: Arm = "stock"
    vcpus: int = 1
    memory_bytes: int = MEMORY_BYTES
    accel: Literal["auto", "kvm", "tcg"] = "auto"
    image: str = ""
    """Which guest image (its key ``suite/kernel``); empty: the default one."""
    exact: bool = False
    """Count instructions, user and kernel separately, with nothing else running: implies the clock ``instructions``."""
    clock: ClockKind = "wall"
    """The clock that is requested. ``instructions`` is only possible under emulation with one vCPU; see
    :func:`session_clock`."""


def session_clock(spec: SessionSpec, facts: Mapping[str, str]) -> ClockKind:
    """The clock that a session's times are measured by; ``facts`` are those of its :class:`Environment`, empty before
    it is up.

    A session that asks for the clock ``instructions`` and then comes up under KVM has the wall's.
    """
    if spec.exact or facts.get("clock", spec.clock) == "instructions":
        return "instructions"
    return "wall"


class WorkloadSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is run. Exactly one of ``loops`` and ``duration_s`` is set, unless the workload ends by itself."""

    name: str
    loops: int | None = None
    duration_s: float | None = None
    options: dict[str, str] = field(default_factory=dict)
    """The workload's own settings, e.g. ``engine``, ``threads``, ``client``. Never a secret."""
    phases: list[str] = field(default_factory=list)
    """Names of the phases in the order in which they run."""
    statements: list[str] = field(default_factory=list)
    """Short titles of the workload's statements; statement *n* of a record is ``statements[n - 1]``."""
    timing_phases: list[str] = field(default_factory=list)
    """Phases that time system calls one by one: their Measures have the values ``trap`` and ``direct``."""
    article: bool = False
    """It is the article's benchmark: the figures of the article's Table 2 may be shown beside this run's."""
    keeps_output: bool = False
    """What the client prints is part of the result: nothing else reads it."""
    unit: str = ""
    """The unit of its work, e.g. ``request``; empty: its work has no units to count."""
    units_per_loop: int = 0
    script: dict[str, str] = field(default_factory=dict)
    """The shell commands of a workload that the user has declared in a file; empty: it is one of kmltui's own."""


class Header(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="header"):
    """The first record of every recording."""

    format_version: int = FORMAT_VERSION
    run: str = ""
    """The run's name, unique on this machine, e.g. ``20261123-171200-wisconsin``."""
    created_unix_ns: int = 0
    kmltui_version: str = ""
    workload: WorkloadSpec
    sessions: list[SessionSpec]
    sample_period_ns: int = 500_000_000
    host: dict[str, str] = field(default_factory=dict)
    """The machine that the run was done on: cpu, cores, memory_bytes, kernel, os, python, qemu."""
    title: str = ""
    different_work: str = ""
    """Of two recordings shown as one run whose sessions did different work: how it differs. Never recorded."""
    kind: RunKind | None = None
    """None only in recordings of older versions; a reader fills it in. (Some old recordings of benches say ``run``;
    their Repeat records show that they are benches.)"""


class Environment(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="environment"):
    """Table 1 for one session, read from inside it once it has booted. Keys are stable names, values plain text.

    cpu, vcpus, memory_bytes, kernel, cmdline, mitigations (one line per vulnerability), accelerator, qemu, libc,
    mariadb, sysbench, image, kml, clocksource, arm, clock (``wall`` or ``instructions``), ….
    """

    t_ns: int
    session: str
    facts: dict[str, str]


class CpuTicks(Struct, frozen=True, array_like=True):
    """One CPU's line of /proc/stat, in USER_HZ ticks (1/100 s), sampled by the kernel at its tick."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int = 0
    irq: int = 0
    softirq: int = 0
    steal: int = 0

    @property
    def by_kind(self) -> tuple[int, int, int, int]:
        """User, system, idle and other: nice counts as user, interrupts as system, iowait and steal as other."""
        return self.user + self.nice, self.system + self.irq + self.softirq, self.idle, self.iowait + self.steal

    def since(self, before: CpuTicks) -> tuple[int, int, int, int]:
        """What was counted since ``before``, as :attr:`by_kind`. Idle and iowait may step back by a tick."""
        user, system, idle, other = (b - a for a, b in zip(before.by_kind, self.by_kind, strict=True))
        return user, system, idle, other


class GroupCpu(Struct, frozen=True, array_like=True):
    """``cpu.stat`` of one cgroup v2, microseconds. ``usage_us`` is exact; the split is scaled from ticks."""

    usage_us: int
    user_us: int
    system_us: int


class HardwareCounts(Struct, frozen=True, array_like=True):
    """What the processor itself counted of one cgroup's processes, in user and kernel mode, on all CPUs; exact."""

    cycles: int
    instructions: int | None = None
    tlb_misses: int | None = None
    """Loads whose address the data TLB did not hold."""


class ProgramCalls(Struct, frozen=True, array_like=True):
    """The system calls of one program, whatever processes ran it."""

    direct: int
    trap: int


class KmlCounters(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The contents of /proc/kml/counters; exact. Keys of the ``_nr`` maps are system-call numbers."""

    trap_nr: dict[int, int] = field(default_factory=dict)
    direct_nr: dict[int, int] = field(default_factory=dict)
    trap_cpu: dict[int, int] = field(default_factory=dict)
    direct_cpu: dict[int, int] = field(default_factory=dict)
    elevations_cpu: dict[int, int] = field(default_factory=dict)
    demotions_vector: dict[int, int] = field(default_factory=dict)
    rewinds: int = 0
    attached: int = 0
    """Address spaces that are attached now (a gauge, the one number here that can go down)."""
    programs: dict[str, ProgramCalls] = field(default_factory=dict)
    """By name of what was executed. Only arm ``kml`` counts by program."""


class AgentCost(Struct, frozen=True, array_like=True):
    """What the agent has cost its guest so far: CPU nanoseconds and the system calls it made itself."""

    cpu_ns: int
    syscalls: int


class Contention(Struct, frozen=True, array_like=True):
    """How much CPU the host gave a guest, and how busy it was otherwise."""

    run_ns: int
    """How long the guest's vCPU threads have run so far, in total (``/proc/PID/task/TID/schedstat``)."""
    wait_ns: int
    """How long they have waited so far, ready to run, for a CPU of the host."""
    load: float = 0.0
    """The host's load average over the last minute."""
    steal_ticks: int = 0
    """Time that the host's own hypervisor has stolen so far (``/proc/stat``, all CPUs), USER_HZ ticks."""
    khz: int | None = None
    """The current frequency of the host's CPUs, averaged over them."""


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="sample"):
    """One sample of one session: cumulative counters at one instant."""

    t_ns: int
    session: str
    mono_ns: int
    mark: str = ""
    """Empty for a periodic sample; otherwise the boundary at which it was taken: :data:`START`, :data:`END`, that of
    :func:`phase_mark`, or ``boot``."""
    cpus: dict[int, CpuTicks] = field(default_factory=dict)
    interrupts: int | None = None
    context_switches: int | None = None
    groups: dict[str, GroupCpu] = field(default_factory=dict)
    """CPU time of the ``server`` and of the ``client`` cgroup."""
    kml: KmlCounters | None = None
    io_calls: dict[str, int] | None = None
    """By group: read and write calls of its processes (/proc/PID/io), a small part of a server's calls; only in local
    sessions."""
    agent: AgentCost | None = None
    instructions: dict[str, tuple[int, int]] | None = None
    """Exact mode: user and kernel instructions executed so far, by vCPU number."""
    contention: Contention | None = None
    """Guests only, read on the host as the sample arrives."""
    hardware: dict[str, HardwareCounts] = field(default_factory=dict)
    """By group, in samples on demand of guests whose processor has counters (under KVM, where the host lends them)."""


class Status(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="status"):
    """The counters of ``SHOW GLOBAL STATUS`` that are kept; ``own`` is the part that the sampler caused, to be
    subtracted."""

    t_ns: int
    session: str
    counters: dict[str, int]
    own: dict[str, int] = field(default_factory=dict)
    life: int = 0
    """1 for the server as it was found, one more after each restart; 0: not observed."""


class Digest(Struct, frozen=True, array_like=True):
    """One kind of statement of a watched server, without literals: cumulative counters from its performance schema."""

    digest: str
    schema: str
    text: str
    calls: int
    time_us: int
    rows_examined: int
    rows_sent: int
    errors: int


MAX_DIGESTS = 50
"""Of an answer about kinds of statements."""


class ServerThread(Struct, frozen=True, array_like=True):
    """A thread of a watched server that is at work. What it executes is not kept: it may contain private data."""

    user: str
    db: str
    command: str
    time_s: int
    state: str


class Inside(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="inside"):
    """What a watched server reports about its work, every ten seconds or less often."""

    t_ns: int
    session: str
    digests: list[Digest] = field(default_factory=list)
    """The kinds of statements that have taken most time since the server began to count, at most
    :data:`MAX_DIGESTS`."""
    threads: list[ServerThread] = field(default_factory=list)
    replica_lag_s: int | None = None
    """How far a replica is behind its source, seconds; None if the server is not a replica or does not know."""


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="progress"):
    """How far the workload is. Queries and rows are cumulative since the workload began, as counted by its client."""

    t_ns: int
    session: str
    phase: str
    statement: int = 0
    """1-based index into ``WorkloadSpec.statements``; 0 when the phase has none."""
    loop: int = 0
    loops: int = 0
    queries: int = 0
    rows: int = 0
    fraction: float | None = None
    """The fraction of the whole workload that is done, 0 to 1, if known."""


class StatementCount(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="statement"):
    """The system calls that the session made while one statement was executed ``queries`` times, by number.

    Counted by the kernel between two readings of the workload's client, whose own call is subtracted. The agent's
    calls are among them, about ten traps for each sample, and those with which guestd passes on the client's report
    each half second.
    """

    t_ns: int
    session: str
    statement: int
    """1-based index into ``WorkloadSpec.statements``."""
    queries: int
    trap: dict[int, int] = field(default_factory=dict)
    direct: dict[int, int] = field(default_factory=dict)


class Phase(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="phase"):
    """The beginning or the end of a phase in a session."""

    t_ns: int
    session: str
    name: str
    event: Literal["begin", "end"]
    mono_ns: int | None = None
    instructions: dict[str, tuple[int, int]] | None = None
    """Exact mode, at the end: user and kernel instructions executed in this phase, by vCPU number."""


class Latency(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="latency"):
    """Latencies of one interval (not cumulative: histograms add up), in microseconds; ``hdr`` is HdrHistogram's V2."""

    t_ns: int
    session: str
    statement: int = 0
    """0: the workload as a whole, without statements."""
    hdr: bytes = b""


class State(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="state"):
    """A session's change of state. ``detail`` says what is being done or what went wrong, for people to read."""

    t_ns: int
    session: str
    state: SessionState
    detail: str = ""
    fraction: float | None = None
    left_s: float | None = None
    """The estimated time that this will still take, seconds."""


class Log(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="log"):
    """A line of text: from the guest's console, the server's error log or the workload's output, or a warning from the
    runner."""

    t_ns: int
    session: str
    """Empty: the runner itself."""
    source: LogSource
    text: str
    level: LogLevel = "info"


class TrapSite(Struct, frozen=True, array_like=True):
    """A place in a file at which calls entered the kernel by a trap."""

    file: str
    """The file's path in the session, or its build-id; empty outside of any file. In older recordings it is
    also empty if the process had ended before the list was read."""
    offset: int
    """Offset in the file of the ``syscall`` instruction, or just behind it, where a trapped instruction pointer is."""
    count: int


class TrapSites(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="trap-sites"):
    """Where the session's attached programs have trapped so far, the most frequent places first."""

    t_ns: int
    session: str
    sites: list[TrapSite]


class Proof(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="proof"):
    """A claim about a session that was checked from inside, e.g. the code segment read in a running process."""

    t_ns: int
    session: str
    name: str
    """``ring`` of a process, ``checksum`` of results, ``rows``, ``calls``."""
    subject: str
    """What it is about: ``mariadbd``, ``sysbench``, a statement's title."""
    value: str
    ok: bool = True


class Measure(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="measure"):
    """A figure that the workload itself measured, e.g. what one system call costs."""

    t_ns: int
    session: str
    name: str
    unit: str
    values: dict[str, float]
    """By name; in a phase that times calls, ``trap`` and ``direct``. A figure that the session cannot provide is left
    out."""


class Mark(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="mark"):
    """An instant that a user singled out, with a note."""

    t_ns: int
    note: str = ""
    author: str = ""


class Repeat(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="repeat"):
    """``bench``: the boundary of one measured repetition of one arm."""

    t_ns: int
    session: str
    pair: int
    """0 for the warm-up, then 1, 2, …"""
    event: Literal["begin", "end"]
    order: int = 0
    machine: str = ""
    """In merged benches: the machine that this pair was measured on. Empty: that of the header."""
    pairs: int = 0
    """How many pairs are planned; 0: not recorded."""


class Gap(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="gap"):
    """Made by the reader, never written: something between the neighbouring records was damaged or lost."""

    t_ns: int
    lost_bytes: int
    reason: str


class End(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="end"):
    """The last record of a run that ended properly. A recording without it is live, lost or torn."""

    t_ns: int
    status: RunStatus
    reason: str = ""


Record = (
    Header
    | Environment
    | Sample
    | Status
    | Inside
    | Progress
    | StatementCount
    | Phase
    | Latency
    | State
    | Log
    | TrapSites
    | Proof
    | Measure
    | Mark
    | Repeat
    | Gap
    | End
)
"""Any record of the stream."""
