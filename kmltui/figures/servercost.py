# SPDX-License-Identifier: GPL-2.0-or-later
"""What system calls cost a watched server: an upper bound of what ring 0, or making fewer calls, could save.

    cores = calls a second × (a trap − a direct call)

The calls are counted, what a trap takes has been timed on the machine that records; what a direct call would take is
assumed as in :mod:`kmltui.figures.estimate`. It takes no guest, no module, and no rights beyond counting the calls.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from kmltui.figures.estimate import DIRECT_CALL_NS, OF_THE_PROCESSES, saved_by_a_call, trap_cost, uncounted
from kmltui.figures.summary import Range
from kmltui.live.recent import RATE_WINDOW_NS
from kmltui.live.views import CPU_US, MONO, SessionView

ASSUMED = (
    f"assumed: a direct call takes {DIRECT_CALL_NS.low:.0f} to {DIRECT_CALL_NS.high:.0f} ns, and nothing else changes"
)


class NamedCost(Struct, frozen=True):
    """One system call by its number."""

    nr: int
    per_s: float
    per_query: float | None
    cores: float
    """At most: what making all of them directly would save."""
    fewer_cores: float | None
    """At most: what making it once a query would save, by trap as now; None where it is made no oftener."""


class ServerCost(Struct, frozen=True):
    """All of a server's calls, just now."""

    per_s: float
    per_query: float | None
    trap_ns: Range
    cores: Range
    """Bounds of what making all calls directly would save."""
    share: Range | None
    """The same as a fraction of the server's CPU time; None where that is not known."""
    names: list[NamedCost]
    """Those that cost most first."""


def server_cost(session: SessionView, host: Mapping[str, str]) -> ServerCost | None:
    """None where calls are not counted, or the machine's trap was not timed, or the server is in ring 0 already.

    ``host`` is the recording's own, from its header.
    """
    cost = trap_cost(host)
    if cost is None or session.arm or session.trap_rate is None:
        return None
    bounds_ns = saved_by_a_call(cost)[1]
    per_s, queries = session.trap_rate, session.query_rate
    cores = Range(per_s * bounds_ns.low / 1e9, per_s * bounds_ns.high / 1e9)
    names = []
    for call in session.calls:
        per_query = call.rate / queries if queries else None
        spared = call.rate - queries if queries and call.rate > queries else None
        names.append(
            NamedCost(
                call.nr,
                call.rate,
                per_query,
                call.rate * bounds_ns.high / 1e9,
                spared * cost.ns.high / 1e9 if spared is not None else None,
            )
        )
    names.sort(key=lambda each: (-each.cores, each.nr))
    return ServerCost(per_s, per_s / queries if queries else None, cost.ns, cores, _share(session, per_s, cores), names)


def _share(session: SessionView, per_s: float, cores: Range) -> Range | None:
    """Only of calls of those processes whose CPU time it is."""
    last = session.samples.last
    if last is None or OF_THE_PROCESSES not in dict(session.facts).get("calls", ""):
        return None
    found = session.samples.rates([last[0] - RATE_WINDOW_NS, last[0]], (CPU_US,), MONO)[0]
    if found is None or found[0] <= 0:
        return None
    used = uncounted(found[0] * 1e3, per_s)
    return Range(min(cores.low / used.high, 1.0), min(cores.high / used.low, 1.0))
