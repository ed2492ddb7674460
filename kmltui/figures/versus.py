# SPDX-License-Identifier: GPL-2.0-or-later
"""Two recordings against each other: another kernel, another machine, KVM against emulation.

What differs in the environment comes first, since any of it may be the reason for what differs in the figures.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from kmltui.figures import stats
from kmltui.figures.compare import FIGURES, primary_figure
from kmltui.figures.figures import Figures
from kmltui.figures.summary import Fractions, RunFacts, Summary


class Difference(Struct):
    """Something that is not the same in the two recordings."""

    what: str
    left: str
    right: str


class Change(Struct):
    """A figure of a session in both recordings. ``change`` is a fraction: 0.05 is 5 % more on the right."""

    figure: str
    unit: str
    left: float
    right: float
    change: float | None
    interval: tuple[float, float] | None
    """95 % interval of the change by itself (Welch's t on the logarithms); null where a recording has too few runs."""
    p: float | None
    """p-value of "no change"; of all but the primary figure, corrected for their number (Holm)."""
    shown: bool | None
    tick_sampled: bool


class Versus(Struct):
    """The comparison of two recordings."""

    left: RunFacts
    right: RunFacts
    environment: list[Difference]
    sessions: dict[str, list[Change]]
    """By session, for those that are in both recordings."""
    saved_left: Fractions | None
    saved_right: Fractions | None
    """What KML saved in each recording by itself: of counted instructions where it is ``exact``, else of CPU time."""
    exact_left: bool
    exact_right: bool
    same_work: bool
    """Both ran the same workload with the same bounds and settings: only then are sums comparable."""
    verdict: str


def compare_recordings(left: Summary, right: Summary) -> Versus:
    """Compare two recordings, session by session."""
    # What was only watched did work of its own.
    same_work = bool(left.run.command and right.run.command) and _work(left) == _work(right)
    names = [name for name in left.sessions if name in right.sessions]
    sessions = {name: _changes(left, right, name, same_work) for name in names}
    _decide(sessions, primary_figure(left.exact and right.exact))
    result = Versus(
        left=left.run,
        right=right.run,
        environment=_differences(left, right),
        sessions={name: changes for name, changes in sessions.items() if changes},
        saved_left=left.saved,
        saved_right=right.saved,
        exact_left=left.exact,
        exact_right=right.exact,
        same_work=same_work,
        verdict="",
    )
    result.verdict = _verdict(result)
    return result


def _work(summary: Summary) -> tuple[Any, ...]:
    run = summary.run
    return run.workload, run.loops, run.duration_limit_s, run.options, run.script


def _differences(left: Summary, right: Summary) -> list[Difference]:
    a, b = _facts(left), _facts(right)
    return [
        Difference(key, a.get(key, "-"), b.get(key, "-"))
        for key in dict.fromkeys([*a, *b])
        if a.get(key, "-") != b.get(key, "-")
    ]


def _facts(summary: Summary) -> dict[str, str]:
    """Everything that may differ, by a name that people understand."""
    environment = summary.environment
    facts = {key: str(value) for key, value in environment.items() if key not in ("differs", "host")}
    for key, values in environment["differs"].items():
        facts |= {f"{key} of {session}": str(value) for session, value in values.items()}
    facts |= {f"host {key}": str(value) for key, value in environment["host"].items()}
    run = summary.run
    facts |= {"workload": run.workload, "loops": str(run.loops), "duration": str(run.duration_limit_s)}
    facts |= {key: str(value) for key, value in run.options.items()}
    facts |= {"sessions": ", ".join(summary.sessions), "pairs of runs": str(run.pairs or 1), "kmltui": run.kmltui}
    return facts


def _runs(summary: Summary, session: str) -> list[Figures]:
    """The session's raw runs: of a bench all complete pairs, else the one."""
    if summary.pairs is None:
        return [summary.sessions[session]] if summary.sessions[session].complete else []
    found = (pair["sessions"].get(session) for pair in summary.pairs)
    return [msgspec.convert(run, Figures) for run in found if run]


def _changes(left: Summary, right: Summary, session: str, same_work: bool) -> list[Change]:
    changes = []
    a, b = _runs(left, session), _runs(right, session)
    for figure in FIGURES:
        if figure.per_work and not same_work:
            continue
        per_query = figure.per_work and (left.per_query or right.per_query)
        before = [value for run in a if (value := figure.of(run, per_query)) is not None]
        after = [value for run in b if (value := figure.of(run, per_query)) is not None]
        if not before or not after:
            continue
        found = stats.compare_independent(before, after)
        bounds = found.saved_interval
        changes.append(
            Change(
                figure=figure.key,
                unit=f"{figure.unit} a query" if per_query else figure.unit,
                left=found.mean_a,
                right=found.mean_b,
                change=None if found.saved is None else -found.saved,
                interval=(-bounds.high, -bounds.low) if bounds else None,
                p=found.p,
                shown=None,
                tick_sampled=figure.tick_sampled,
            )
        )
    return changes


def _decide(sessions: dict[str, list[Change]], primary: str) -> None:
    """What is shown: the primary figure of each session by itself, all others corrected for their number."""
    tested = {(name, change.figure): change for name, changes in sessions.items() for change in changes}
    others = {place: change.p for place, change in tested.items() if change.p is not None and place[1] != primary}
    corrected = stats.holm(others)
    for place, change in tested.items():
        if change.p is not None:
            change.p = corrected.get(place, change.p)
            change.shown = change.p < stats.ALPHA


def _verdict(versus: Versus) -> str:
    """What differs, in a sentence."""
    count = len(versus.environment)
    environment = f"The recordings differ in {count} points of their environment" if count else "Same environment"
    if not versus.sessions:
        return f"{environment}; they have no completed session in common that could be compared."
    if not versus.same_work:
        return f"{environment} and did different work: sums are not compared."
    parts = []
    for name, changes in versus.sessions.items():
        total = next((c for key in ("instructions.total", "cpu_s.total") for c in changes if c.figure == key), None)
        if total is None or total.change is None:
            continue
        what = "instructions" if total.figure.startswith("instr") else "CPU time"
        if total.shown is False:
            parts.append(f"{name}: no difference in {what} is shown")
        else:
            direction = "more" if total.change >= 0 else "less"
            parts.append(f"{name} took {abs(100 * total.change):.1f} % {direction} {what} on the right")
    savings = ""
    if versus.saved_left and versus.saved_right and versus.saved_left.total is not None:
        right = versus.saved_right.total
        if right is not None:
            savings = (
                f"; KML saved {100 * versus.saved_left.total:.1f} % on the left and {100 * right:.1f} % on the right"
            )
    return f"{environment}; {'; '.join(parts) or 'CPU time was not measured in both'}{savings}."
