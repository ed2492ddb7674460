# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened between two samples, by CPU, by system call, by control group."""

from __future__ import annotations

from collections.abc import Mapping, Set

from msgspec.structs import astuple

from kmltui.live.views import CallView, CpuView, Seconds
from kmltui.model import CpuTicks, KmlCounters, Sample


class Usage:
    """Cumulative use of a session: what the workload's interval is the difference of. Immutable once made."""

    __slots__ = ("demotions", "direct", "elevations", "groups", "programs", "rewinds", "trap")

    def __init__(self, sample: Sample | None = None) -> None:
        kml = sample.kml if sample else None
        self.groups: dict[str, tuple[int, ...]] = (
            {name: (cpu.usage_us, cpu.user_us, cpu.system_us) for name, cpu in sample.groups.items()} if sample else {}
        )
        self.trap: Mapping[int, int] = kml.trap_nr if kml else {}
        self.direct: Mapping[int, int] = kml.direct_nr if kml else {}
        self.demotions: Mapping[int, int] = kml.demotions_vector if kml else {}
        self.elevations = sum(kml.elevations_cpu.values()) if kml else 0
        self.rewinds = kml.rewinds if kml else 0
        counted = kml.programs.values() if kml else ()
        self.programs = (sum(each.trap for each in counted), sum(each.direct for each in counted))
        """Calls of what was executed, by trap and direct: without those of the guest's own daemon."""

    def plus(self, other: Usage, sign: int = 1) -> Usage:
        """The sum of both; ``sign`` -1: the difference."""
        result = Usage()
        result.groups = {
            name: tuple(
                a + sign * b
                for a, b in zip(self.groups.get(name, (0, 0, 0)), other.groups.get(name, (0, 0, 0)), strict=True)
            )
            for name in self.groups | other.groups
        }
        result.trap = _plus(self.trap, other.trap, sign)
        result.direct = _plus(self.direct, other.direct, sign)
        result.demotions = _plus(self.demotions, other.demotions, sign)
        result.elevations = self.elevations + sign * other.elevations
        result.rewinds = self.rewinds + sign * other.rewinds
        (trap, direct), (others_trap, others_direct) = self.programs, other.programs
        result.programs = (trap + sign * others_trap, direct + sign * others_direct)
        return result

    def minus(self, other: Usage) -> Usage:
        """Without the other."""
        return self.plus(other, -1)


def _plus(a: Mapping[int, int], b: Mapping[int, int], sign: int) -> dict[int, int]:
    result = dict(a)
    for key, value in b.items():
        result[key] = result.get(key, 0) + sign * value
    return result


def seconds_of_all(usage: Usage) -> Seconds:
    """CPU time of all groups: server and client."""
    return seconds(tuple(map(sum, zip(*usage.groups.values(), strict=True))))


def seconds(us: tuple[int, ...]) -> Seconds:
    """Total, user and system, from microseconds."""
    return Seconds(us[0] / 1e6, us[1] / 1e6, us[2] / 1e6)


def counters(sample: Sample, cpus: Set[int] | None = None) -> tuple[float, ...]:
    """A sample as the columns that histories keep; :mod:`kmltui.live.views` names them.

    ``cpus``: those whose ticks count, if not all of them.
    """
    counted = sample.cpus.values() if cpus is None else [ticks for cpu, ticks in sample.cpus.items() if cpu in cpus]
    # Field by field: of a hundred CPUs, adding up is most of what a sample costs.
    fields = map(sum, zip(*map(astuple, counted), strict=True))
    user, system, everything = shares(CpuTicks(*fields)) if counted else (0, 0, 0)
    kml = sample.kml or _NO_COUNTERS
    usage = [0, 0, 0]
    for group in sample.groups.values():
        usage[0] += group.usage_us
        usage[1] += group.user_us
        usage[2] += group.system_us
    return (
        sample.t_ns,
        sample.mono_ns,
        user,
        system,
        everything,
        sum((kml.trap_cpu or kml.trap_nr).values()),
        sum((kml.direct_cpu or kml.direct_nr).values()),
        sum(kml.elevations_cpu.values()),
        *usage,
    )


def shares(ticks: CpuTicks) -> tuple[int, int, int]:
    """A CPU's ticks in user mode, in the kernel, and all of them, idle ones included."""
    user, system, _, _ = kinds = ticks.by_kind
    return user, system, sum(kinds)


_NO_COUNTERS = KmlCounters()


def cpus_between(first: Sample | None, last: Sample | None) -> tuple[CpuView, ...]:
    """What each CPU did between two samples, without those that came meanwhile."""
    if first is None or last is None:
        return ()
    return tuple(_cpu(cpu, first.cpus[cpu], ticks) for cpu, ticks in sorted(last.cpus.items()) if cpu in first.cpus)


def _cpu(cpu: int, a: CpuTicks, b: CpuTicks) -> CpuView:
    # A share must not become negative because a counter steps back.
    user, system, idle, other = (max(ticks, 0) for ticks in b.since(a))
    everything = user + system + idle + other
    return (
        CpuView(cpu, user / everything, system / everything, other / everything)
        if everything
        else CpuView(cpu, 0, 0, 0)
    )


def calls_between(
    first: Sample | None, last: Sample | None, elapsed: float, usage: Usage
) -> tuple[tuple[CallView, ...], tuple[float, float, float]]:
    """Every number with a count, and the rates of all traps, direct calls and elevations."""
    if last is None or last.kml is None:
        return (), (0.0, 0.0, 0.0)
    now, then = last.kml, (first.kml if first and first.kml else last.kml)
    scale = 1 / elapsed if elapsed else 0.0
    views = []
    for nr in now.trap_nr.keys() | now.direct_nr.keys():
        trap = (now.trap_nr.get(nr, 0) - then.trap_nr.get(nr, 0)) * scale
        direct = (now.direct_nr.get(nr, 0) - then.direct_nr.get(nr, 0)) * scale
        views.append(CallView(nr, trap, direct, usage.trap.get(nr, 0), usage.direct.get(nr, 0)))
    views.sort(key=lambda call: (-call.rate, -call.total, call.nr))
    rates = (
        sum(call.trap_rate for call in views),
        sum(call.direct_rate for call in views),
        (sum(now.elevations_cpu.values()) - sum(then.elevations_cpu.values())) * scale,
    )
    return tuple(views), rates


def run_share(first: Sample | None, last: Sample | None) -> float | None:
    """Share of the time a guest's vCPUs were runnable in which the host let them run; None if unknown."""
    if first is None or last is None or first.contention is None or last.contention is None:
        return None
    ran, waited = (getattr(last.contention, name) - getattr(first.contention, name) for name in ("run_ns", "wait_ns"))
    return ran / (ran + waited) if ran > 0 else None


def io_rate(first: Sample | None, last: Sample | None, elapsed: float) -> float | None:
    """Read and write calls a second, of a session that counts no others."""
    if first is None or last is None or last.io_calls is None or last.kml is not None or not elapsed:
        return None
    before = first.io_calls or {}
    return sum(calls - before.get(group, calls) for group, calls in last.io_calls.items()) / elapsed
