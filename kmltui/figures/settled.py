# SPDX-License-Identifier: GPL-2.0-or-later
"""What a screen shows of a session, with the counts of a report: without the calls of the monitor's agent."""

from __future__ import annotations

from msgspec.structs import replace

from kmltui.counters import syscalls
from kmltui.figures.figures import CallCount, CallCounts
from kmltui.live.views import SessionView


def settled(session: SessionView, counts: CallCounts | None) -> SessionView:
    """The session with these counts; as it is where there are none."""
    if counts is None or session.trap is None:
        return session
    calls = []
    for call in session.calls:
        found = counts.by_name.get(syscalls.name(call.nr), CallCount(0, 0))
        calls.append(replace(call, trap=found.trap, direct=found.direct))
    return replace(session, trap=counts.trap, direct=counts.direct, calls=tuple(calls))
