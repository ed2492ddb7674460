# SPDX-License-Identifier: GPL-2.0-or-later
"""One session in one measured interval: the figures of a report.

An interval lies between the sample marked ``start``, taken right before the workload's client begins, and the one
marked ``end``, right after it has ended. Figures are differences of cumulative counters between the two. What the
session could not provide is None, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec import Struct

from kmltui.counters import syscalls
from kmltui.counters.lives import GAUGES, query_count
from kmltui.counters.proc import USER_HZ
from kmltui.figures.agent import without_agent
from kmltui.live.latencies import Latencies
from kmltui.model import (
    CLIENT,
    MAX_DIGESTS,
    SERVER,
    Digest,
    GroupCpu,
    HardwareCounts,
    Inside,
    KmlCounters,
    Measure,
    Phase,
    ProgramCalls,
    Progress,
    Sample,
    SessionKind,
    Status,
    marked_phase,
)


class CpuSeconds(Struct):
    """CPU time of processes, seconds. The kernel accounts ``total`` exactly and scales the split from ticks."""

    total: float
    user: float
    system: float


class Hardware(Struct):
    """What the processor's counters counted of server and client together, in user and kernel mode; exact."""

    cycles: int
    instructions: int | None
    tlb_misses: int | None
    """Loads whose address the data TLB did not hold."""


class CpuTime(Struct, omit_defaults=True):
    """Where one CPU's time went, seconds; all of it sampled at the kernel's tick."""

    cpu: int
    user_s: float
    system_s: float
    idle_s: float
    other_s: float
    """Waiting for I/O, or stolen by the host."""
    since_s: float | None = None
    """Brought online that long after the interval's beginning, seconds; None: it was there from the beginning."""
    until_s: float | None = None
    """Last seen that long after the beginning; None: it was there at the end."""
    offline_s: float | None = None
    """How long it was gone in between, where what it counted is left out; None: it was never gone."""


class CallCount(Struct):
    """How often a system call was made: with the SYSCALL instruction, and with a function call from ring 0."""

    trap: int
    direct: int


class ProgramFigures(CallCount):
    """The calls of one program."""

    direct_share: float | None
    """None: it made no call."""


class CallCounts(Struct):
    """System calls. In a guest: of the whole session, exact, those of the monitor's agent subtracted; ``agent`` says
    how many that were."""

    trap: int
    direct: int
    by_name: dict[str, CallCount]
    agent: int | None = None


class Instructions(Struct):
    """Instructions the session's vCPUs executed, counted exactly, by the sign of their address."""

    total: int
    user: int
    system: int


class LatencyFigures(Struct):
    """Percentiles of the merged histograms, microseconds."""

    count: int
    p50_us: int
    p95_us: int
    p99_us: int
    p999_us: int
    max_us: int


class StatementFigures(Struct):
    """One statement of the workload."""

    statement: int
    title: str
    latency: LatencyFigures


class DigestFigures(Struct):
    """One kind of statement of a watched server, as it counted them itself."""

    text: str
    schema: str
    calls: int
    time_s: float
    rows_examined: int
    rows_sent: int
    errors: int


class PhaseFigures(Struct):
    """One phase, between the samples taken at its beginning and at the next phase's."""

    name: str
    duration_s: float
    cpu_s: CpuSeconds | None = None
    trap: int | None = None
    direct: int | None = None
    queries: int | None = None
    instructions: Instructions | None = None


class ContentionFigures(Struct):
    """How much the host let a guest's vCPUs run, and what else was going on there."""

    run_share: float
    """Share of the time the vCPU threads were runnable in which they ran: 1 if nothing disturbed them."""
    run_s: float
    wait_s: float
    load: float
    """The highest load average (over a minute) that was seen."""
    steal_s: float
    """CPU seconds stolen from it by its own host."""
    mhz: float | None = None
    """The lowest frequency that was seen, where it can be read."""


class Figures(Struct):
    """Everything measured in one session in one interval (or the means over several intervals)."""

    duration_s: float | None = None
    """By the session's own clock."""
    clock_ratio: float | None = None
    """The session's clock against the runner's: 1 unless the guest's clock is wrong, or counts instructions."""
    cpu_s: CpuSeconds | None = None
    """Server and client together."""
    server: CpuSeconds | None = None
    client: CpuSeconds | None = None
    per_cpu: list[CpuTime] | None = None
    ticks_seen: float | None = None
    """The share of the interval that ``per_cpu`` accounts for. Less than 1: ticks were lost, by an emulated or crowded
    CPU, and with them the time."""
    syscalls: CallCounts | None = None
    programs: dict[str, ProgramFigures] | None = None
    """The system calls by program, most first; the monitor's agent is not among them. None
    where they are not counted, as in every arm but ``kml``."""
    io_calls: int | None = None
    """Read and write calls of server and client together (/proc/PID/io): where nothing better counts, a part of all."""
    elevations: int | None = None
    demotions: int | None = None
    demotions_by_vector: dict[str, int] | None = None
    rewinds: int | None = None
    interrupts: int | None = None
    context_switches: int | None = None
    queries: int | None = None
    """As counted by the workload's client or, without such a client, by the server."""
    queries_per_s: float | None = None
    rows: int | None = None
    server_status: dict[str, int] | None = None
    """SHOW GLOBAL STATUS over the interval. The monitor's own queries are subtracted; the rows and bytes of their
    answers, which the server counts as well, are not."""
    latency: LatencyFigures | None = None
    statements: list[StatementFigures] | None = None
    digests: list[DigestFigures] | None = None
    """Of a watched server that tells: its kinds of statements, those that took most time first."""
    phases: list[PhaseFigures] | None = None
    instructions: Instructions | None = None
    agent_cpu_s: float | None = None
    """What the agent cost the session."""
    contention: ContentionFigures | None = None
    hardware: Hardware | None = None
    """None where the session's processor has no counters, as under emulation."""


@dataclass(frozen=True)
class CpuGap:
    """Between a CPU's last sample before it was taken offline and its first one after that; of several, the sum."""

    mono_ns: int = 0
    ticks: tuple[int, int, int, int] = (0, 0, 0, 0)
    """User, system, idle and other, of USER_HZ."""

    def plus(self, cpu: int, before: Sample, after: Sample) -> CpuGap:
        """Another absence added."""
        counted = after.cpus[cpu].since(before.cpus[cpu])
        user, system, idle, other = (a + b for a, b in zip(self.ticks, counted, strict=True))
        return CpuGap(self.mono_ns + after.mono_ns - before.mono_ns, (user, system, idle, other))


@dataclass
class Interval:
    """The records of one measured interval of one session."""

    start: Sample
    end: Sample
    """The sample marked ``end``; of an interval that was cut off, the last one."""
    first_counted: Sample | None = None
    """The first one with counts of system calls: a watched server's begin when its process has been found."""
    complete: bool = False
    boundaries: list[Sample] = field(default_factory=list)
    """The samples taken when phases began."""
    samples: int = 1
    """Samples taken after ``start``, up to ``end``: each one cost system calls."""
    marked: int = 1
    """Of these, those that were taken on demand."""
    progress: Progress | None = None
    """The last one."""
    queries_before: dict[str, int] = field(default_factory=dict)
    """How many queries had been done when a phase first reported, in order of the phases."""
    status_before: Status | None = None
    """Summed over the server's lives, without the watcher's own share, like the other one."""
    status_after: Status | None = None
    inside_before: Inside | None = None
    inside_after: Inside | None = None
    latencies: dict[int, Latencies] = field(default_factory=dict)
    instructions: list[Phase] = field(default_factory=list)
    """The ends of phases whose instructions were counted between marks of the workload's own."""
    load: float = 0.0
    """The highest load average of the host that a sample told."""
    khz: int | None = None
    """The lowest frequency."""
    came: dict[int, Sample] = field(default_factory=dict)
    """Where CPUs were first seen that were not there at the beginning."""
    went: dict[int, Sample] = field(default_factory=dict)
    """The last sample before CPUs were gone, those that came back included."""
    offline: dict[int, CpuGap] = field(default_factory=dict)
    """Of CPUs that came back: how long they were gone in all, and what they counted meanwhile."""
    measures: dict[str, Measure] = field(default_factory=dict)
    """What the workload measured itself, by name."""


def figures(
    interval: Interval, statements: list[str], kind: SessionKind = "guest", samples_asked_for: bool = False
) -> Figures:
    """The figures of an interval; ``statements`` are the titles of the workload's statements.

    ``kind`` of the session: in a guest the monitor's agent runs, and its system calls are among those counted.
    ``samples_asked_for``: all of its samples were taken on demand, not only the marked ones.
    """
    start, end = interval.start, interval.end
    duration_s = (end.mono_ns - start.mono_ns) / 1e9
    groups = {name: _group(start, end, name) for name in (SERVER, CLIENT)}
    last = interval.progress
    status = _status(interval)
    queries, queries_per_s = _queries(interval, status)
    result = Figures(
        duration_s=duration_s,
        clock_ratio=_clock_ratio(start, end),
        cpu_s=_sum(groups.values()),
        server=groups[SERVER],
        client=groups[CLIENT],
        per_cpu=_per_cpu(interval),
        syscalls=call_counts(interval, kind, samples_asked_for),
        programs=_programs(start, end),
        io_calls=_io_calls(start, end),
        interrupts=_difference(start.interrupts, end.interrupts),
        context_switches=_difference(start.context_switches, end.context_switches),
        queries=queries,
        queries_per_s=queries_per_s,
        rows=last.rows or None if last else None,
        server_status=status,
        latency=merged_latency([interval]),
        statements=_statements(interval, statements),
        digests=_digests(interval),
        phases=_phases(interval),
        instructions=_marked(interval.instructions) or _instructions(start, end),
    )
    if result.per_cpu and duration_s > 0:
        there = [cpu for cpu in result.per_cpu if cpu.since_s is None and cpu.until_s is None]
        accounted = sum(cpu.user_s + cpu.system_s + cpu.idle_s + cpu.other_s for cpu in there)
        online_s = sum(duration_s - (cpu.offline_s or 0) for cpu in there)
        result.ticks_seen = accounted / online_s if online_s > 0 else None
    if start.kml and end.kml and kind != "local":  # there is no ring 0 to go into
        vectors = {
            str(vector): count - start.kml.demotions_vector.get(vector, 0)
            for vector, count in sorted(end.kml.demotions_vector.items())
        }
        result.elevations = sum(end.kml.elevations_cpu.values()) - sum(start.kml.elevations_cpu.values())
        result.demotions = sum(vectors.values())
        result.demotions_by_vector = vectors
        result.rewinds = end.kml.rewinds - start.kml.rewinds
    if start.agent and end.agent:
        result.agent_cpu_s = (end.agent.cpu_ns - start.agent.cpu_ns) / 1e9
    result.contention = _contention(interval)
    result.hardware = _hardware(start, end)
    return result


def _hardware(start: Sample, end: Sample) -> Hardware | None:
    names = start.hardware.keys() & end.hardware.keys()

    def counted(of: Callable[[HardwareCounts], int | None]) -> int | None:
        differences = [_difference(of(start.hardware[name]), of(end.hardware[name])) for name in names]
        known = [each for each in differences if each is not None]
        return sum(known) if names and len(known) == len(names) else None

    cycles = counted(lambda counts: counts.cycles)
    if cycles is None:
        return None
    return Hardware(cycles, counted(lambda counts: counts.instructions), counted(lambda counts: counts.tlb_misses))


def _contention(interval: Interval) -> ContentionFigures | None:
    before, after = interval.start.contention, interval.end.contention
    if before is None or after is None:
        return None
    run_s, wait_s = (after.run_ns - before.run_ns) / 1e9, (after.wait_ns - before.wait_ns) / 1e9
    if run_s <= 0:
        return None
    return ContentionFigures(
        run_share=run_s / (run_s + wait_s),
        run_s=run_s,
        wait_s=wait_s,
        load=interval.load,
        steal_s=(after.steal_ticks - before.steal_ticks) / USER_HZ,
        mhz=interval.khz / 1e3 if interval.khz is not None else None,
    )


def _clock_ratio(start: Sample, end: Sample) -> float | None:
    # In a cut the beginning of an interval that began before it has lost its time.
    if not 0 < start.t_ns < end.t_ns:
        return None
    return (end.mono_ns - start.mono_ns) / (end.t_ns - start.t_ns)


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _group(start: Sample, end: Sample, name: str) -> CpuSeconds | None:
    after = end.groups.get(name)
    if after is None or after.usage_us == 0:  # no process ever ran in it
        return None
    # A group that did not exist at the start began to count after it.
    before = start.groups.get(name, GroupCpu(0, 0, 0))
    return CpuSeconds(
        (after.usage_us - before.usage_us) / 1e6,
        (after.user_us - before.user_us) / 1e6,
        (after.system_us - before.system_us) / 1e6,
    )


def _sum(parts: Iterable[CpuSeconds | None]) -> CpuSeconds | None:
    there = [part for part in parts if part is not None]
    if not there:
        return None
    return CpuSeconds(
        sum(part.total for part in there), sum(part.user for part in there), sum(part.system for part in there)
    )


_NO_GAP = CpuGap()


def _per_cpu(interval: Interval) -> list[CpuTime] | None:
    """Of each CPU from where it was first seen in the interval to where it was last."""
    times = []
    for cpu in sorted(interval.start.cpus.keys() | interval.came.keys()):
        first = interval.start if cpu in interval.start.cpus else interval.came[cpu]
        last = interval.end if cpu in interval.end.cpus else interval.went.get(cpu, first)
        gap = interval.offline.get(cpu, _NO_GAP)
        counted = last.cpus[cpu].since(first.cpus[cpu])
        user_s, system_s, idle_s, other_s = (
            max(0, value - offline) / USER_HZ for value, offline in zip(counted, gap.ticks, strict=True)
        )
        since, until = ((sample.mono_ns - interval.start.mono_ns) / 1e9 for sample in (first, last))
        times.append(
            CpuTime(
                cpu,
                user_s,
                system_s,
                idle_s,
                other_s,
                since_s=since if first is not interval.start else None,
                until_s=until if last is not interval.end else None,
                offline_s=gap.mono_ns / 1e9 if gap.mono_ns else None,
            )
        )
    return times or None


def call_counts(interval: Interval, kind: SessionKind, samples_asked_for: bool) -> CallCounts | None:
    """The system calls of an interval, as far as it has come; arguments as of :func:`figures`."""
    after = interval.end.kml
    if after is None:
        return None
    # What did not count at the start began to count, from 0, after it.
    before = interval.start.kml or KmlCounters()
    trap = {nr: count - before.trap_nr.get(nr, 0) for nr, count in after.trap_nr.items()}
    direct = {nr: count - before.direct_nr.get(nr, 0) for nr, count in after.direct_nr.items()}
    agent = None
    if kind == "guest" and interval.start.agent and interval.end.agent:
        on_demand = interval.samples if samples_asked_for else interval.marked
        agent = interval.end.agent.syscalls - interval.start.agent.syscalls
        # The agent reads the counters of each group on each CPU.
        counters = len(interval.end.hardware) * len(interval.end.cpus)
        trap = without_agent(trap, agent, interval.samples, on_demand, counters)
    by_name = {
        syscalls.name(nr): CallCount(trap.get(nr, 0), direct.get(nr, 0))
        for nr in trap.keys() | direct.keys()
        if trap.get(nr) or direct.get(nr)
    }
    ordered = sorted(by_name.items(), key=lambda item: (-item[1].trap - item[1].direct, item[0]))
    return CallCounts(sum(trap.values()), sum(direct.values()), dict(ordered), agent)


def direct_share(trap: int, direct: int) -> float | None:
    """Of some calls the share of direct ones; None of none."""
    return direct / (trap + direct) if trap + direct else None


def _programs(start: Sample, end: Sample) -> dict[str, ProgramFigures] | None:
    if start.kml is None or end.kml is None or not end.kml.programs:
        return None
    found = {}
    for name, after in end.kml.programs.items():
        before = start.kml.programs.get(name, ProgramCalls(0, 0))
        trap, direct = after.trap - before.trap, after.direct - before.direct
        if trap or direct:
            found[name] = ProgramFigures(trap, direct, direct_share(trap, direct))
    return dict(sorted(found.items(), key=lambda item: (-item[1].trap - item[1].direct, item[0])))


def _io_calls(start: Sample, end: Sample) -> int | None:
    if end.io_calls is None:
        return None
    before = start.io_calls or {}
    # A group that was not there at the start has had its processes watched since it was.
    return sum(calls - before.get(group, calls) for group, calls in end.io_calls.items())


def _queries(interval: Interval, status: dict[str, int] | None) -> tuple[int | None, float | None]:
    """Their number, and the rate per second. None if nothing counts queries or there are none."""
    if interval.progress is not None and interval.progress.queries:
        duration_ns = interval.end.mono_ns - interval.start.mono_ns
        return interval.progress.queries, _rate(interval.progress.queries, duration_ns)
    count = query_count(status) if interval.progress is None and status is not None else None
    if count is not None:
        assert interval.status_before is not None and interval.status_after is not None
        return count, _rate(count, interval.status_after.t_ns - interval.status_before.t_ns)
    return None, None


def _rate(count: int, duration_ns: int) -> float | None:
    return count / (duration_ns / 1e9) if duration_ns > 0 else None


def _status(interval: Interval) -> dict[str, int] | None:
    before, after = interval.status_before, interval.status_after
    if before is None or after is None:
        return None
    return {
        name: value - before.counters[name]
        for name, value in sorted(after.counters.items())
        if name in before.counters and name not in GAUGES
    }


def _latency(latencies: Latencies) -> LatencyFigures | None:
    percentiles = latencies.percentiles((50, 95, 99, 99.9))
    if percentiles is None or latencies.largest is None:
        return None
    p50, p95, p99, p999 = percentiles
    return LatencyFigures(latencies.count, p50, p95, p99, p999, latencies.largest)


def merged_latency(intervals: Iterable[Interval]) -> LatencyFigures | None:
    """The latencies of all statements of some intervals, from merged histograms."""
    merged = Latencies()
    for interval in intervals:
        for latencies in interval.latencies.values():
            merged.merge(latencies)
    return _latency(merged)


def _statements(interval: Interval, titles: list[str]) -> list[StatementFigures] | None:
    found = []
    for number, latencies in sorted(interval.latencies.items()):
        latency = _latency(latencies)
        if number > 0 and latency is not None:
            title = titles[number - 1] if number <= len(titles) else f"statement {number}"
            found.append(StatementFigures(number, title, latency))
    return found or None


_NO_DIGEST = Digest("", "", "", 0, 0, 0, 0, 0)


def _digests(interval: Interval) -> list[DigestFigures] | None:
    """What the server counted of each between its first answer in the interval and its last."""
    before, after = interval.inside_before, interval.inside_after
    if before is None or after is None:
        return None
    known = {(digest.digest, digest.schema): digest for digest in before.digests}
    found = []
    for last in after.digests:
        first = known.get((last.digest, last.schema))
        if first is None and len(before.digests) >= MAX_DIGESTS:
            continue  # one that had taken less time than those that it told of: how much is not known
        if first is None or last.calls < first.calls:  # new, or the server counts anew
            first = _NO_DIGEST
        if last.calls > first.calls:
            found.append(
                DigestFigures(
                    last.text,
                    last.schema,
                    last.calls - first.calls,
                    (last.time_us - first.time_us) / 1e6,
                    last.rows_examined - first.rows_examined,
                    last.rows_sent - first.rows_sent,
                    last.errors - first.errors,
                )
            )
    return sorted(found, key=lambda each: -each.time_s) or None


def _instructions(start: Sample, end: Sample) -> Instructions | None:
    before, after = start.instructions, end.instructions
    if before is None or after is None:
        return None
    user = sum(value[0] for value in after.values()) - sum(value[0] for value in before.values())
    system = sum(value[1] for value in after.values()) - sum(value[1] for value in before.values())
    return Instructions(user + system, user, system)


def _marked(phases: Iterable[Phase]) -> Instructions | None:
    """Instructions executed in phases, exactly: without the waiting at their boundaries, which depends on chance."""
    counts = [count for phase in phases for count in (phase.instructions or {}).values()]
    if not counts:
        return None
    user, system = sum(count[0] for count in counts), sum(count[1] for count in counts)
    return Instructions(user + system, user, system)


def _phases(interval: Interval) -> list[PhaseFigures] | None:
    """Phases in the order of their first beginning; repeated ones are summed up."""
    phases: dict[str, PhaseFigures] = {}
    queries = _queries_by_phase(interval)
    for begin, end in pairwise([*interval.boundaries, interval.end]):
        name = marked_phase(begin.mark) or ""
        part = _phase(name, begin, end)
        if name in phases:
            part = _add(phases[name], part)
        part.queries = queries.get(name)
        phases[name] = part
    for name, part in phases.items():
        part.instructions = _marked(phase for phase in interval.instructions if phase.name == name) or part.instructions
    return list(phases.values()) or None


def _phase(name: str, begin: Sample, end: Sample) -> PhaseFigures:
    part = PhaseFigures(name, (end.mono_ns - begin.mono_ns) / 1e9)
    part.cpu_s = _sum([_group(begin, end, group) for group in (SERVER, CLIENT)])
    part.instructions = _instructions(begin, end)
    if begin.kml and end.kml:
        part.trap = sum(end.kml.trap_nr.values()) - sum(begin.kml.trap_nr.values())
        part.direct = sum(end.kml.direct_nr.values()) - sum(begin.kml.direct_nr.values())
    return part


def _add(a: PhaseFigures, b: PhaseFigures) -> PhaseFigures:
    both = [part for part in (a.instructions, b.instructions) if part is not None]
    return PhaseFigures(
        a.name,
        a.duration_s + b.duration_s,
        _sum([a.cpu_s, b.cpu_s]),
        None if a.trap is None or b.trap is None else a.trap + b.trap,
        None if a.direct is None or b.direct is None else a.direct + b.direct,
        instructions=Instructions(*(sum(getattr(i, f) for i in both) for f in ("total", "user", "system")))
        if both
        else None,
    )


def _queries_by_phase(interval: Interval) -> dict[str, int]:
    """Each phase's share of the client's count, which is reported as a phase begins; absent if one comes again."""
    names = [marked_phase(sample.mark) or "" for sample in interval.boundaries]
    if len(set(names)) != len(names):
        return {}
    if interval.progress is None:
        return {}
    begins = list(interval.queries_before.values())
    ends = [*begins[1:], interval.progress.queries]
    return {
        name: end - begin
        for name, begin, end in zip(interval.queries_before, begins, ends, strict=False)
        if name in names
    }
