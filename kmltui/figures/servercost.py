# SPDX-License-Identifier: GPL-2.0-or-later
"""What system calls cost a watched server: an upper bound of what ring 0, or making fewer calls, could save.

    cores = calls a second × (a trap − a direct call)

The calls are counted, what a trap takes has been timed on the machine that records; what a direct call would take is
assumed as in :mod:`kmltui.figures.estimate`. It takes no guest, no module, and no rights beyond counting the calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from kmltui.counters import syscalls
from kmltui.figures.estimate import DIRECT_CALL_NS, OF_THE_PROCESSES, saved_by_a_call, trap_cost, uncounted
from kmltui.figures.figures import Interval
from kmltui.figures.summary import NamedCost, Range, ServerCost, SessionFigures
from kmltui.live.recent import RATE_WINDOW_NS
from kmltui.live.views import CPU_US, MONO, TRAP, SessionView
from kmltui.model import KmlCounters, Sample

ASSUMED = (
    f"assumed: a direct call takes {DIRECT_CALL_NS.low:.0f} to {DIRECT_CALL_NS.high:.0f} ns, and nothing else changes"
)


_OFTENER = 1.05
"""Calls and queries are counted at different instants: a smaller difference between their rates is none."""


def a_query(value: float) -> str:
    """Calls a query; few of them are not shown as none."""
    return "< 0.01" if 0 < value < 0.005 else f"{value:,.2f}"


def two_digits(value: float) -> str:
    """Two significant digits: a small value is not shown as nothing."""
    digits = max(1 - math.floor(math.log10(value)), 0) if value > 0 else 0
    return f"{value:,.{min(digits, 7)}f}"


def server_cost(session: SessionView, host: Mapping[str, str]) -> ServerCost | None:
    """What they cost just now; once the session is over, on average as in :func:`average_cost`.

    None where calls are not counted, or the machine's trap was not timed, or the server is in ring 0 already. ``host``
    is the recording's own, from its header.
    """
    last = session.samples.last
    if session.arm or session.trap_rate is None or last is None:
        return None
    counts = {call.nr: call.trap if session.over else call.rate for call in session.calls}
    span, queries = [last[0] - RATE_WINDOW_NS, last[0]], session.query_rate
    if session.over:
        counted, first = session.samples.around(TRAP, 1), session.samples.first or last
        span, queries = [counted[1][0] if counted else first[0], last[0]], session.mean_query_rate
    found = session.samples.rates(span, (TRAP, CPU_US), MONO)[0]
    if found is None:
        return None
    cpu_s = found[1] * 1e3 if OF_THE_PROCESSES in dict(session.facts).get("calls", "") else None
    return _cost(_Work(found[0] * 1e9 if session.over else session.trap_rate, counts, queries, cpu_s), host)


def average_cost(session: SessionFigures, interval: Interval, host: Mapping[str, str]) -> ServerCost | None:
    """What they cost on average, from the first sample with counts to the end of the ``interval``; None as above."""
    first, last = interval.first_counted, interval.end
    if session.kind != "local" or first is None or first.kml is None or last.kml is None:
        return None
    seconds = (last.mono_ns - first.mono_ns) / 1e9
    if seconds <= 0:
        return None
    start = interval.start.kml or KmlCounters()
    counts = {nr: count - start.trap_nr.get(nr, 0) for nr, count in last.kml.trap_nr.items()}
    per_s = (sum(last.kml.trap_nr.values()) - sum(first.kml.trap_nr.values())) / seconds
    used_us = _usage_us(last) - _usage_us(first)
    cpu_s = used_us / 1e6 / seconds if OF_THE_PROCESSES in session.calls_source else None
    return _cost(_Work(per_s, counts, session.queries_per_s, cpu_s), host)


def _usage_us(sample: Sample) -> int:
    return sum(group.usage_us for group in sample.groups.values())


class _Work(Struct, frozen=True):
    """What is told of a server over some time."""

    per_s: float
    """Calls a second."""
    counts: Mapping[int, float]
    """How they are divided among the numbers of calls."""
    queries: float | None
    """A second."""
    cpu_s: float | None
    """A second, of the processes that make the calls; None where their time is not known."""


def _cost(work: _Work, host: Mapping[str, str]) -> ServerCost | None:
    cost = trap_cost(host)
    if cost is None:
        return None
    bounds_ns = saved_by_a_call(cost)[1]
    per_s, queries = work.per_s, work.queries
    cores = Range(per_s * bounds_ns.low / 1e9, per_s * bounds_ns.high / 1e9)
    share = None
    if work.cpu_s is not None and work.cpu_s > 0:
        used = uncounted(work.cpu_s, per_s)
        share = Range(min(cores.low / used.high, 1.0), min(cores.high / used.low, 1.0))
    names, every = [], sum(work.counts.values())
    for nr, count in work.counts.items():
        if count > 0:
            rate = count / every * per_s
            names.append(
                NamedCost(
                    nr,
                    syscalls.name(nr),
                    rate,
                    rate / queries if queries else None,
                    rate * bounds_ns.high / 1e9,
                    (rate - queries) * cost.ns.high / 1e9 if queries and rate > _OFTENER * queries else None,
                )
            )
    names.sort(key=lambda each: (-each.cores, each.nr))
    return ServerCost(per_s, per_s / queries if queries else None, cost.ns, cores, share, names)
