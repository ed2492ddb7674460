# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel reports of CPUs: /proc/stat, a cgroup's cpu.stat, and what the agent reads of the processor's
counters."""

from __future__ import annotations

from dataclasses import dataclass, field

from kmltui.counters.errors import CounterError, malformed, unsigned
from kmltui.model import CpuTicks, GroupCpu, HardwareCounts

USER_HZ = 100
"""Ticks per second in /proc/stat; on x86 a constant of the kernel's user-space interface."""


@dataclass(frozen=True, slots=True)
class ProcStat:
    """What is kept of /proc/stat. The field of a missing line is empty or None."""

    cpus: dict[int, CpuTicks] = field(default_factory=dict)
    interrupts: int | None = None
    context_switches: int | None = None


_LEAST_FIELDS = 4
_MOST_FIELDS = 8


def parse_proc_stat(text: str) -> ProcStat:
    """Read /proc/stat (ticks of 1/100 s). Unknown lines and additional fields are ignored. Raises CounterError.

    Offline CPUs have no line and so no entry.
    """
    cpus: dict[int, CpuTicks] = {}
    single: dict[str, int] = {}
    for line in text.splitlines():
        match line.split():
            case [name, *fields] if name.startswith("cpu") and name != "cpu":
                number = unsigned(name[3:], "/proc/stat", line)
                if len(fields) < _LEAST_FIELDS:
                    raise malformed("/proc/stat", line)
                cpus[number] = CpuTicks(*(unsigned(word, "/proc/stat", line) for word in fields[:_MOST_FIELDS]))
            case [("intr" | "ctxt") as name, total, *_]:
                # Only the sum of all interrupts; the rest of the line has one number per interrupt.
                single[name] = unsigned(total, "/proc/stat", line)
    return ProcStat(cpus, single.get("intr"), single.get("ctxt"))


def parse_cpu_stat(text: str) -> GroupCpu:
    """Read a cgroup v2's cpu.stat (microseconds). Raises CounterError if one of the three times is missing."""
    times: dict[str, int] = {}
    for line in text.splitlines():
        match line.split():
            case [("usage_usec" | "user_usec" | "system_usec") as name, value]:
                times[name] = unsigned(value, "cpu.stat", line)
    try:
        return GroupCpu(times["usage_usec"], times["user_usec"], times["system_usec"])
    except KeyError as missing:
        raise CounterError(f"cpu.stat: there is no line {missing.args[0]}: not a cgroup v2?") from None


def parse_hardware(text: str) -> HardwareCounts:
    """Read the agent's lines ``NAME COUNT`` of one cgroup (``guestd/hardware.c``). Raises CounterError.

    Unknown names are ignored; the cycles must be there.
    """
    counts: dict[str, int] = {}
    for line in text.splitlines():
        name, _, count = line.partition(" ")
        counts[name] = unsigned(count, "the processor's counters", line)
    if "cycles" not in counts:
        raise CounterError("the processor's counters: there is no line cycles")
    return HardwareCounts(counts["cycles"], counts.get("instructions"), counts.get("tlb_misses"))
