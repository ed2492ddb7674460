# SPDX-License-Identifier: GPL-2.0-or-later
"""Subtracts the agent's own system calls from what was measured.

The module counts every system call of the session, including the agent's; the agent reports how many it has made, all
of them by trap in every session. Their numbers follow from what it does: for a sample it waits (ppoll), gets its own
CPU time (clock_gettime), reads its files (pread64) and sends what it read (write); for a sample on demand it has also
read the command, until nothing is left (two reads), and the processor's counters where there are any (reads, too).
"""

from __future__ import annotations

from collections.abc import Mapping

from kmltui.counters.syscalls import NUMBERS


def without_agent(
    trap: Mapping[int, int], made: int, samples: int, on_demand: int, counters: int = 0
) -> dict[int, int]:
    """Traps by number without the ``made`` ones of an agent that took so many samples.

    ``counters``: how many of the processor's counters it reads for a sample on demand.

    The sum is exact; it is subtracted from the numbers above and, if those are too few, from the most frequent ones.
    No count falls below 0.
    """
    left = dict(trap)
    fixed = {"ppoll": samples, "clock_gettime": samples, "write": samples, "read": (2 + counters) * on_demand}
    shares = {**fixed, "pread64": made - sum(fixed.values())}
    missing = made
    for name, share in shares.items():
        missing -= _take(left, NUMBERS[name], min(share, missing))
    for number in sorted(left, key=lambda number: -left[number]):
        missing -= _take(left, number, missing)
    return left


def _take(left: dict[int, int], number: int, share: int) -> int:
    taken = max(0, min(share, left.get(number, 0)))
    if taken:
        left[number] -= taken
    return taken
