# SPDX-License-Identifier: GPL-2.0-or-later
"""A server's counters over a run in which the server may be restarted, which resets them to 0."""

from __future__ import annotations

from collections.abc import Mapping

from kmltui.model import Status

GAUGES = frozenset({"Threads_connected", "Threads_running", "Uptime"})
"""Gauges: values that go up and down and describe only the moment."""

QUERIES = ("Queries", "Questions")
"""Counts of queries, in order of preference: the first includes what stored procedures execute, the second does not."""

_MOST_RESTARTS = 1000


class Lives:
    """Sums the counters of one server over its restarts, without the share of the client that asks for them."""

    def __init__(self) -> None:
        self._last: Status | None = None
        self._sums: dict[str, int] = {}
        self.restarts: list[int] = []
        """When the server was started again, nanoseconds since the run began: to the second, as it tells its uptime."""

    def add(self, status: Status) -> Status:
        """``status`` with sums in place of its counters, which never fall; gauges stay as they are.

        The first sum begins at what the server had counted by then: only differences matter.
        """
        last, self._last = self._last, status
        if last is None:
            self._sums = {name: count - status.own.get(name, 0) for name, count in _counts(status).items()}
        else:
            began_anew = restarted(last, status)
            if began_anew and len(self.restarts) < _MOST_RESTARTS:
                self.restarts.append(_began_ns(last, status))
            for name, count in _counts(status).items():
                before = 0 if began_anew else last.counters.get(name, count)
                own = status.own.get(name, 0) - last.own.get(name, 0)
                self._sums[name] = self._sums.get(name, 0) + max(count - before - own, 0)
        gauges = {name: value for name, value in status.counters.items() if name in GAUGES}
        return Status(t_ns=status.t_ns, session=status.session, counters={**self._sums, **gauges}, life=status.life)


def _counts(status: Status) -> dict[str, int]:
    return {name: count for name, count in status.counters.items() if name not in GAUGES}


def restarted(before: Status, after: Status) -> bool:
    """Whether the server was restarted in between.

    The watcher records this (:attr:`kmltui.model.Status.life`). In older recordings it is inferred from counters, or an
    uptime, that have decreased.
    """
    if before.life and after.life:
        return before.life != after.life
    names = (*QUERIES, "Uptime")
    return any(after.counters.get(name, 0) < before.counters.get(name, 0) for name in names if name in after.counters)


def _began_ns(before: Status, after: Status) -> int:
    """When the life of ``after`` began: as long ago as it says, but not before the other life was last seen."""
    began_ns = after.t_ns - max(0, after.counters.get("Uptime", 0)) * 1_000_000_000
    return min(max(began_ns, before.t_ns), after.t_ns)


def query_count(counters: Mapping[str, int]) -> int | None:
    """How many queries a server has counted; None if it does not say."""
    return next((counters[name] for name in QUERIES if name in counters), None)
