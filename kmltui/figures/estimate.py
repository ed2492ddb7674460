# SPDX-License-Identifier: GPL-2.0-or-later
"""An estimate, not a measurement: what the traps of a run would cost on a processor whose trap has been timed.

    saved = calls made directly × (a trap − a direct call) / CPU time of the same work on that processor

Counts are exact under emulation, too; times are not. So the calls come from the run, what a trap costs comes from a
timing of the recording machine's own processor, and the rest are assumptions, named below, that make the bounds wide.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from kmltui.figures.environment import mitigations
from kmltui.figures.summary import Estimate, Range, SessionFigures, Summary
from kmltui.figures.verdict import not_direct, same_arm
from kmltui.model import MONITOR

DIRECT_CALL_NS = Range(15.0, 60.0)
"""Assumed: what the same system call costs as a function call in ring 0, on a processor of today."""

LIKELY_DIRECT_CALL_NS = 30.0

INSTRUCTIONS_PER_CYCLE = Range(0.7, 2.0)
"""Assumed of a database and its client, where their CPU time on the processor has not been measured."""

NULL_CALL_INSTRUCTIONS = 330
"""Executed by the cheapest system call, by trap through the C library (getppid, Debian's 6.1: 339). The time of a trap
is timed natively and contains them, so they are no part of the work that is assumed to run at a certain rate."""

COUNTING_NS = 150.0
"""At most: what counting a system call by a tracepoint adds to it, while it is counted."""


OF_THE_PROCESSES = "of the session's processes"
"""In the fact ``calls``: they are those of the session's processes, and not of the whole machine."""


class TrapCost(Struct, frozen=True):
    """What a trap costs a processor: a null system call, by the least and by the median of many batches."""

    ns: Range
    cycles: Range
    """Of the time-stamp counter."""
    call_ns: float
    """A call of an empty function."""
    processor: str
    mitigations: str
    """What the kernel does against the processor's vulnerabilities, a line each."""
    virtual: bool
    """The machine is a virtual one itself."""
    busy: str = ""
    """How much else the machine had to do while it was timed, in words; empty where that was little."""

    @property
    def ghz(self) -> float:
        """The frequency of the time-stamp counter, near to what the processor is sold with."""
        return self.cycles.low / self.ns.low

    def facts(self) -> dict[str, str]:
        """As texts for a recording's header; :func:`trap_cost` reads them again."""
        return {
            "trap_ns": f"{self.ns.low:.1f} to {self.ns.high:.1f}",
            "trap_cycles": f"{self.cycles.low:.0f} to {self.cycles.high:.0f}",
            "call_ns": f"{self.call_ns:.2f}",
            "mitigations": self.mitigations,
            "virtual": "yes" if self.virtual else "no",
            **({"trap_busy": self.busy} if self.busy else {}),
        }


TRAP_UNTIMED = "trap_untimed"
"""Among a recording's facts about its machine: why no trap was timed."""


def trap_cost(host: Mapping[str, str]) -> TrapCost | None:
    """The recording machine's, from its header; None where it was not timed."""
    try:
        ns, cycles = (_range(host[key]) for key in ("trap_ns", "trap_cycles"))
        call_ns = float(host["call_ns"])
    except (KeyError, ValueError):
        return None
    if not (0 < ns.low <= ns.high < 1e6 and 0 < cycles.low <= cycles.high < 1e7):
        return None
    virtual = host.get("virtual") == "yes"
    processor, against, busy = (host.get(key, "") for key in ("cpu", "mitigations", "trap_busy"))
    return TrapCost(ns, cycles, call_ns, processor, against, virtual, busy)


def _range(text: str) -> Range:
    low, _, high = text.partition(" to ")
    return Range(float(low), float(high))


def page_table_isolation(mitigations: str) -> bool | None:
    """Whether each trap changes the page tables; None where the kernel does not tell."""
    line = next((line for line in mitigations.splitlines() if line.startswith("meltdown:")), None)
    return None if line is None else "PTI" in line


def saved_by_a_call(cost: TrapCost) -> tuple[Range, Range]:
    """Nanoseconds that one direct call saves: the likely range, and the bounds. Neither is below 0."""
    likely = Range(*(max(0.0, ns - LIKELY_DIRECT_CALL_NS) for ns in (cost.ns.low, cost.ns.high)))
    bounds = Range(max(0.0, cost.ns.low - DIRECT_CALL_NS.high), max(0.0, cost.ns.high - DIRECT_CALL_NS.low))
    return likely, bounds


def estimate(summary: Summary, native_s: Range | None = None) -> Estimate | None:
    """What the run's calls would save on the processor of the machine that recorded it; None where it cannot be known.

    ``native_s`` is the CPU time of the same work on that processor, measured outside of any guest: see
    :func:`native_seconds`.
    """
    cost = trap_cost(summary.environment["host"])
    session = _whose(summary)
    if cost is None or session is None or session.syscalls is None or not summary.run.complete:
        return None
    is_kml = session.arm == "kml" and session.kind == "guest"
    calls = session.syscalls.direct if is_kml else session.syscalls.trap
    # Of two sessions of the same arm neither saves a call: in a control with stock both trap, in one with KML neither.
    if not calls or same_arm(summary) or (is_kml and not_direct(summary)):
        return None
    units = _units(summary, session)
    native = native_s or _native(summary, session, cost, calls / units)
    likely_ns, bounds_ns = saved_by_a_call(cost)
    counted = _counted_ns(summary, session, calls)
    if counted is not None:  # one difference, without an interval: it moves the bounds, not what is likely
        bounds_ns = Range(min(bounds_ns.low, counted), max(bounds_ns.high, counted))
    a_unit = calls / units
    return Estimate(
        trap_ns=cost.ns,
        calls_per_query=a_unit if session.queries else None,
        saved=_fraction(a_unit, bounds_ns, native) if native else None,
        likely=_fraction(a_unit, likely_ns, native) if native else None,
        saved_us=Range(a_unit * bounds_ns.low / 1e3, a_unit * bounds_ns.high / 1e3),
        native_us=Range(native.low * 1e6, native.high * 1e6) if native else None,
        assumed=_assumed(summary, native_s),
        counted_ns=counted,
        processor=cost.processor,
        mitigations=cost.mitigations,
        busy=cost.busy,
    )


def native_seconds(local: Summary) -> Range | None:
    """CPU seconds a query, or of the whole work, of a run on the processor itself: a single local session's.

    None where it is not complete, or its CPU time is not known.
    """
    session = next(iter(local.sessions.values()))
    if not session.complete or session.cpu_s is None or session.cpu_s.total <= 0:
        return None
    units = session.queries or 1
    return uncounted(session.cpu_s.total / units, (session.syscalls.trap if session.syscalls else 0) / units)


def uncounted(seconds: float, calls: float) -> Range:
    """CPU time without that of counting its calls by a tracepoint, which may have been part of it.

    Both arguments are of the same work, or of the same second.
    """
    return Range(max(seconds / 2, seconds - calls * COUNTING_NS / 1e9), seconds)


def sentence(estimate: Estimate) -> str:
    """The one line, apart from all that was measured."""
    return f"Estimate, not measured: {_where(estimate)} {_saved(estimate)}: {_why(estimate)}."


def short_sentence(estimate: Estimate) -> tuple[str, str]:
    """The same in two parts: what is saved, and what qualifies it."""
    return f"{_saved(estimate)}, not measured", f"{_where(estimate)}: {_why(estimate)}"


def _where(estimate: Estimate) -> str:
    if not estimate.processor:
        return "on the recording machine's processor"
    return f"on the recording machine's processor ({estimate.processor})"


def _saved(estimate: Estimate) -> str:
    if estimate.saved is None or estimate.likely is None:
        unit = "" if estimate.calls_per_query is None else " a query"
        return f"{_round(estimate.saved_us.low)} to {_round(estimate.saved_us.high)} µs of CPU time{unit}"
    likely = f"{100 * estimate.likely.low:.1f} to {100 * estimate.likely.high:.1f} %"
    return f"{likely} of CPU time ({100 * estimate.saved.low:.1f} to {100 * estimate.saved.high:.1f})"


def _why(estimate: Estimate) -> str:
    trap = f"{estimate.trap_ns.low:.0f} to {estimate.trap_ns.high:.0f} ns"
    if estimate.calls_per_query is None:
        return f"a trap takes {trap}"
    return f"{estimate.calls_per_query:,.0f} calls a query without a trap of {trap}"


def notes(estimate: Estimate) -> list[str]:
    """What the line rests on."""
    found = [f"Assumed: {estimate.assumed}."]
    if estimate.busy:
        found.append(f"{too_dear(estimate.busy)}, and the estimate too high.")
    if estimate.counted_ns is not None:
        saved = f"a direct call saved {estimate.counted_ns:.0f} ns in this run"
        found.append(f"By the cycles that the processor counted, {saved}.")
    if estimate.native_us is not None:
        unit = "of all the work" if estimate.calls_per_query is None else "a query"
        low, high = estimate.native_us.low, estimate.native_us.high
        amount = f"{_round(low)} µs" if low == high else f"{_round(low)} to {_round(high)} µs"
        found.append(f"CPU time {unit} there: {amount}.")
    isolation = page_table_isolation(estimate.mitigations)
    if isolation is not None:
        found.append(f"Page-table isolation is {'on' if isolation else 'off'} there.")
    if active := mitigations(estimate.mitigations):
        found.append(f"Mitigations there: {active}.")
    return found


def too_dear(busy: str) -> str:
    """What is to be said of a timing on a machine that was ``busy``."""
    return f"The trap was timed while the machine was busy ({busy}), which makes it look dearer than it is"


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _counted_ns(summary: Summary, session: SessionFigures, calls: int) -> float | None:
    """What a direct call saved by the processor's own counters: cycles, at the rate at which the baseline had them.

    None where they were not counted, or the sessions' work is not the same. Never below 0.
    """
    baseline = summary.sessions.get(summary.baseline or "")
    if baseline is None or baseline.hardware is None or session.hardware is None or summary.per_query:
        return None
    if not baseline.hardware.cycles or baseline.cpu_s is None or baseline.cpu_s.total <= 0:
        return None
    cycles = (baseline.hardware.cycles - session.hardware.cycles) / calls
    return max(0.0, cycles * 1e9 * baseline.cpu_s.total / baseline.hardware.cycles)


def _fraction(calls: float, saved_ns: Range, native_s: Range) -> Range:
    return Range(
        min(1.0, calls * saved_ns.low / 1e9 / native_s.high), min(1.0, calls * saved_ns.high / 1e9 / native_s.low)
    )


def _whose(summary: Summary) -> SessionFigures | None:
    """The session whose calls are meant: KML's, or, of a server that is watched alone, its own."""
    if summary.compared is not None:
        return summary.sessions.get(summary.compared)
    session = next(iter(summary.sessions.values()), None)
    if session is None or len(summary.sessions) > 1 or session.kind != "local":
        return None
    # Those of the whole host have nothing to do with the CPU time of some of its processes.
    return session if OF_THE_PROCESSES in session.calls_source else None


def _units(summary: Summary, session: SessionFigures) -> float:
    """The queries to which its calls and its CPU time are related; 1 where nothing counts queries.

    A server that is watched tells of its queries at times of its own: what it made in the whole time is inferred.
    """
    if summary.run.workload == MONITOR and session.queries_per_s and session.duration_s:
        return session.queries_per_s * session.duration_s
    return session.queries or 1


def _native(summary: Summary, session: SessionFigures, cost: TrapCost, calls: float) -> Range | None:
    """CPU seconds of a query, or of the whole work, on the processor without KML."""
    baseline = summary.sessions.get(summary.baseline or "", session)
    units = _units(summary, baseline)
    if summary.exact and baseline.instructions is not None:
        return _from_instructions(baseline.instructions.total / units, calls, cost)
    if baseline.cpu_s is None or baseline.cpu_s.total <= 0:
        return None
    seconds = baseline.cpu_s.total / units
    if baseline.clock == "instructions":
        return _from_instructions(seconds * 1e9, calls, cost)
    if baseline.kind == "local":
        return uncounted(seconds, calls)
    # Under KVM a guest's CPU time is the processor's own; under emulation by the wall clock it is nobody's.
    return None if summary.emulated else Range(seconds, seconds)


def _from_instructions(instructions: float, calls: float, cost: TrapCost) -> Range:
    """CPU seconds of work that executes ``instructions``, those of its ``calls`` by trap among them."""
    cycles_s = max(0.0, instructions - calls * NULL_CALL_INSTRUCTIONS) / (cost.ghz * 1e9)
    return Range(
        calls * cost.ns.low / 1e9 + cycles_s / INSTRUCTIONS_PER_CYCLE.high,
        calls * cost.ns.high / 1e9 + cycles_s / INSTRUCTIONS_PER_CYCLE.low,
    )


def _assumed(summary: Summary, native_s: Range | None) -> str:
    low, high = DIRECT_CALL_NS.low, DIRECT_CALL_NS.high
    direct = f"a direct call takes about {LIKELY_DIRECT_CALL_NS:.0f} ns ({low:.0f} to {high:.0f})"
    if native_s is None and (summary.exact or summary.clock == "instructions"):
        ipc = INSTRUCTIONS_PER_CYCLE
        return f"{direct}; the work beside the traps runs at {ipc.low} to {ipc.high} instructions a cycle"
    return direct
