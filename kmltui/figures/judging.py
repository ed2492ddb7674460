# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules shared by report and screen: what may be compared, and what may be called a difference.

The screen knows sessions as it shows them, the report as figures; both ask with the header's specifications and the
facts that the sessions reported about themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kmltui.figures.environment import Facts, is_emulated
from kmltui.model import ClockKind, SessionSpec, session_clock

LEAST_RUN_SHARE = 0.98
"""Under the wall clock: a guest whose vCPUs ran for less of the time that they were ready to run books waiting as CPU
time, and no verdict is given on it."""

INSTRUCTION_CLOCK_ERROR = 0.003
"""What a single pair of runs by the instruction clock may be off: three runs of the same work agree to 0.3 points."""


def any_emulated(facts: Iterable[Facts]) -> bool:
    """Whether a session ran under software emulation: then no ratio of times is the hardware's."""
    return any(is_emulated(own) for own in facts)


def judges_times(specs: Sequence[SessionSpec], facts: Mapping[str, Facts]) -> bool:
    """Return whether times of these sessions may be compared.

    With the wall clock, an emulated guest's second depends on the emulator and the host, so the sign of a difference is
    a matter of chance.
    """
    own = [(spec, facts.get(spec.name, {})) for spec in specs]
    return all(session_clock(spec, known) == "instructions" or not is_emulated(known) for spec, known in own)


def common_clock(specs: Sequence[SessionSpec], facts: Mapping[str, Facts]) -> ClockKind | None:
    """What a second is in all sessions; None if it is not the same in all of them."""
    clocks = {session_clock(spec, facts.get(spec.name, {})) for spec in specs}
    return clocks.pop() if len(clocks) == 1 else None


def is_difference(saved: float | None, shown: bool | None, clock: ClockKind | None) -> bool:
    """Whether what was saved is called a difference: ``shown`` by pairs of runs, or, where a single pair has been run,
    by the clock that counts instructions."""
    if saved is None:
        return False
    return shown if shown is not None else clock == "instructions" and abs(saved) > INSTRUCTION_CLOCK_ERROR


LEAST_DIRECT_SHARE = 0.5
"""A KML session with a smaller direct share ran almost entirely in ring 3: its figures are not KML's."""


def is_kml(arm: str, trap: int, direct: int, *, times_both: bool) -> bool:
    """Return whether a session of the arm ``kml`` did its job: its system calls were direct.

    ``times_both``: it times traps beside direct calls, and so makes both on purpose. Other arms are what they are.
    """
    if arm != "kml" or not trap + direct:
        return True
    return direct > 0 and (times_both or direct / (trap + direct) >= LEAST_DIRECT_SHARE)


def own_ways(measured: Iterable[Mapping[str, Mapping[str, object]]], counted: bool) -> bool:
    """Return whether sessions time calls in different numbers of ways, e.g. only one of them twice: unequal work.

    ``measured`` holds each session's measures by name, ``counted`` tells whether all sessions count queries.
    """
    ways: dict[str, set[int]] = {}
    for session in measured:
        for name, values in session.items():
            ways.setdefault(name, set()).add(len(values))
    return not counted and any(len(found) > 1 for found in ways.values())
