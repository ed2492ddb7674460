# SPDX-License-Identifier: GPL-2.0-or-later
"""A suite: several workloads, each with its own recording, as the rows of one table."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kmltui.figures.summary import Estimate, Summary
from kmltui.model import ClockKind

PARTS = ("total", "user", "system")


class Saved(Struct, frozen=True):
    """The fraction saved (0.03 is 3 % less) with its 95 % interval; None where that cannot be known."""

    fraction: float | None
    interval: tuple[float, float] | None


class SuiteRow(Struct, kw_only=True):
    """One workload of a suite."""

    workload: str
    title: str
    problem: str = ""
    """Why it has no result: it failed, was stopped, or ran in ring 3."""
    exact: bool = False
    """``saved`` is of instructions, else of CPU time by ``clock``."""
    clock: ClockKind | None = None
    pairs: int | None = None
    saved: dict[str, Saved] = {}
    """By ``total``, ``user`` and ``system``."""
    unit: str = ""
    calls_per_unit: float | None = None
    """System calls, by trap or direct, for each ``unit`` of the work."""
    direct_share: float | None = None
    estimate: Estimate | None = None
    reported: str = ""
    """What others have reported for such a workload, with the source."""


def suite_row(summary: Summary, title: str, reported: str = "") -> SuiteRow:
    """What a run, its verdict reached, contributes to the table of its suite."""
    compared = summary.sessions.get(summary.compared or "")
    row = SuiteRow(workload=summary.run.workload, title=title, reported=reported, unit=summary.run.unit)
    if summary.run.status != "done" or not summary.run.complete or compared is None:
        row.problem = summary.run.reason or "it did not finish"
        return row
    found = summary.comparisons.get(summary.compared or "", {})
    figure = "instructions" if summary.exact else "cpu_s"
    for part in PARTS:
        if (comparison := found.get(f"{figure}.{part}")) is not None:
            row.saved[part] = Saved(comparison.saved, comparison.interval)
    row.exact, row.clock, row.pairs = summary.exact, summary.clock, summary.run.pairs
    row.direct_share, row.estimate = compared.direct_share, summary.estimate
    if compared.syscalls is not None and summary.run.units:
        row.calls_per_unit = (compared.syscalls.trap + compared.syscalls.direct) / summary.run.units
    return row


def comparable(rows: Sequence[SuiteRow]) -> bool:
    """Return whether the rows were measured alike, so that their savings may share a column."""
    return len({(row.exact, row.clock) for row in rows if not row.problem}) <= 1
