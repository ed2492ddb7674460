# SPDX-License-Identifier: GPL-2.0-or-later
"""How many rows each part of the live screen gets, for a terminal of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SMALLEST = (60, 20)
"""Below this size nothing can be compared side by side."""
COMFORTABLE = (80, 24)
"""From this size on nothing is left out."""
_FEW_CALLS = 3
"""Names of calls that come before latencies on the smallest screen."""


@dataclass(frozen=True)
class Layout:
    """Rows of the live view, which is ``width`` by ``height`` cells."""

    width: int
    height: int
    cpus: int = 0
    charts: tuple[str, ...] = ()
    """Which charts are drawn, top to bottom: ``cpu``, ``calls``, ``queries``."""
    chart_rows: int = 0
    calls: int = 0
    """Names below the rates of system calls."""
    work: int = 2
    """Rows for queries, latency and progress."""
    table: int = 4
    """Rows of the table of CPU seconds, its head included."""
    groups: bool = False
    """The table has server and client separately."""
    log: int = 0
    panes: int = 2
    """The number of panes; one for a run with a single session."""
    dropped: tuple[str, ...] = field(default=())

    @property
    def pane(self) -> int:
        """Cells of one pane: the two and the wall between them (with a blank on both sides) fill the width."""
        return (self.width - 3) // 2 if self.panes == 2 else self.width

    @property
    def pane_rows(self) -> int:
        """Rows of a pane below its title."""
        return self.cpus + len(self.charts) * (self.chart_rows + 1) + 1 + self.calls + self.work


def plan(
    width: int,
    height: int,
    cpus: int,
    charts: Sequence[str] = ("cpu", "calls", "queries"),
    chart: str = "cpu",
    panes: int = 2,
    table: int = 4,
    queries: bool = True,
) -> Layout:
    """Distribute ``height`` rows. As many of ``charts`` are drawn as there is room for, ``chart`` before the others.

    ``table``: the rows that the table of CPU seconds, or what stands in its place, asks for. ``queries``: the workload
    makes queries, so that there is more to show of its work than its progress.
    """
    order = [chart, *(name for name in charts if name != chart)]
    fixed = 1 + 1 + 1  # the panes' title, the rates of calls, the rule above the table
    shown_cpus = min(max(cpus, 1), 2 if height < 30 else 4 if height < 42 else 8)
    if height < 19:
        # The 60×20 screen: the screen itself names what is left out.
        room = height - fixed - table - 1 - 1  # one row for the CPUs, one for what is left out
        work = (3 if room >= _FEW_CALLS + 3 else 2) if queries else 1
        calls = max(room - work, 0)
        missing = ("chart", "single CPUs", *(("latency",) if work == 2 else ()), "traps", "cost")
        return Layout(width, height, 1, (), 0, calls, work, table, panes=panes, dropped=missing)
    work = 1 if not queries else 4 if panes == 2 and height >= 30 else 3
    groups = height >= 34
    table += 2 if groups else 0
    rest = height - fixed - table - work - shown_cpus
    number = min(1 if rest < 22 else 2 if rest < 30 else 3, len(order))
    log = 0 if height < 42 else min(1 + (height - 38) // 4, 9)
    rest -= log
    calls = min(max(rest // 2 - (number - 1) * 2, 3), 14)
    chart_rows = max((rest - calls) // number - 1, 2)
    spare = rest - calls - number * (chart_rows + 1)
    return Layout(
        width,
        height,
        shown_cpus,
        tuple(order[:number]),
        chart_rows,
        max(calls + spare, 0),
        work,
        table,
        groups,
        log,
        panes,
    )
