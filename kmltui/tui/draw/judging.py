# SPDX-License-Identifier: GPL-2.0-or-later
"""What the report would call a difference, asked of what the screen shows."""

from __future__ import annotations

from kmltui.figures.judging import any_emulated, common_clock, judges_times, own_ways
from kmltui.live.views import Snapshot
from kmltui.model import ClockKind


def _facts(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    return {session.name: dict(session.facts) for session in snapshot.sessions}


def times(snapshot: Snapshot) -> bool:
    """Whether times of the sessions may be held against each other."""
    return judges_times(snapshot.header.sessions, _facts(snapshot))


def clock(snapshot: Snapshot) -> ClockKind | None:
    """What a second is in all sessions; None where it is not the same in all of them."""
    return common_clock(snapshot.header.sessions, _facts(snapshot))


def emulated(snapshot: Snapshot) -> bool:
    """Whether a session runs under software emulation."""
    return any_emulated(_facts(snapshot).values())


def unequal_work(snapshot: Snapshot) -> bool:
    """Whether the sessions time calls each in their own ways, so that nothing they used can be compared."""
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for measure in snapshot.measures:
        measured.setdefault(measure.session, {})[measure.name] = measure.values
    return own_ways(measured.values(), all(session.queries is not None for session in snapshot.sessions))
