"""Two recordings side by side: another kernel, another machine, KVM against emulation. Differences of the
environment come first, because they are what a difference of figures may be due to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from kmltui.analysis import stats
from kmltui.analysis.compare import FIGURES
from kmltui.analysis.summary import Bounds, Fractions, Summary


class Difference(Struct):
    """A fact of the environment, or of what was run, that is not the same; absent on a side: None."""

    name: str
    first: str | None
    second: str | None


class Across(Struct):
    """One figure of one session in both recordings; of benches, the means over their runs."""

    unit: str
    first: float
    second: float
    change: float | None
    """The second over the first, minus 1: 0.03 is 3 % more."""
    interval: tuple[float, float] | None = None
    """95 % bootstrap interval of ``change``; None where a side has fewer than three runs."""
    shown: bool | None = None


class Comparison(Struct):
    """Everything that differs between two recordings."""

    environment: list[Difference]
    sessions: dict[str, dict[str, Across]]
    saved: list[Fractions | None] = field(default_factory=list)
    """What each recording's own compared session saves, first and second."""
    intervals: list[Bounds | None] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)


def compare(first: Summary, second: Summary) -> Comparison:
    """Compare the sessions of the same name in two recordings."""
    return Comparison(
        environment=_differences(first, second),
        sessions={
            name: _figures(_runs(first, name), _runs(second, name))
            for name in first.sessions
            if name in second.sessions
        },
        saved=[first.saved, second.saved],
        intervals=[first.intervals, second.intervals],
        verdicts=[first.verdict, second.verdict],
    )


def _facts(summary: Summary) -> dict[str, str]:
    run = summary.run
    facts = {
        "workload": run.workload,
        "loops": str(run.loops) if run.loops is not None else "",
        "duration limit": str(run.duration_limit_s) if run.duration_limit_s is not None else "",
        "pairs": str(run.pairs) if run.pairs is not None else "",
        "exact": "yes" if summary.exact else "no",
        "kmltui": run.kmltui,
        "sessions": ", ".join(summary.sessions),
    }
    facts |= {f"option {name}": value for name, value in run.options.items()}
    for name, value in summary.environment.items():
        if isinstance(value, Mapping):
            facts |= {f"{name} {key}": str(inner) for key, inner in value.items()}
        else:
            facts[name] = str(value)
    return {name: value for name, value in facts.items() if value}


def _differences(first: Summary, second: Summary) -> list[Difference]:
    a, b = _facts(first), _facts(second)
    names = dict.fromkeys([*a, *b])
    return [Difference(name, a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)]


def _runs(summary: Summary, session: str) -> list[dict[str, Any]]:
    """The figures of every run of a session: of a bench its pairs, else the one run."""
    if summary.pairs:
        return [pair["sessions"][session] for pair in summary.pairs if session in pair["sessions"]]
    return [msgspec.to_builtins(summary.sessions[session])]


def _figures(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> dict[str, Across]:
    found = {}
    for figure in FIGURES:
        a = [value for run in first if (value := _value(run, figure.key)) is not None]
        b = [value for run in second if (value := _value(run, figure.key)) is not None]
        if not a or not b:
            continue
        result = stats.compare_independent(a, b)
        interval = result.saved_interval
        found[figure.key] = Across(
            unit=figure.unit,
            first=result.mean_a,
            second=result.mean_b,
            change=-result.saved if result.saved is not None else None,
            interval=(-interval.high, -interval.low) if interval else None,
            shown=result.shown if result.difference_interval else None,
        )
    return found


def _value(run: Mapping[str, Any], key: str) -> float | None:
    """The figure in a run written as plain data; system calls are traps and direct calls together."""
    found: Any = run
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if key == "syscalls" and isinstance(found, Mapping):
        return float(found["trap"] + found["direct"])
    return float(found) if isinstance(found, int | float) else None


def text(comparison: Comparison, names: tuple[str, str]) -> str:
    """The comparison for people."""
    lines = [f"A: {names[0]}", f"B: {names[1]}", "", "What differs between them"]
    lines += [
        f"  {difference.name}: {difference.first or '—'} | {difference.second or '—'}"
        for difference in comparison.environment
    ] or ["  nothing that was recorded"]
    for session, figures in comparison.sessions.items():
        lines += ["", session, f"  {'':<22}{'A':>16}{'B':>16}  change"]
        lines += [
            f"  {key:<22}{across.first:>16,.2f}{across.second:>16,.2f}  {_change(across)}"
            for key, across in figures.items()
        ]
    lines += ["", f"A says: {comparison.verdicts[0]}", f"B says: {comparison.verdicts[1]}"]
    return "\n".join(lines)


def _change(across: Across) -> str:
    if across.change is None:
        return ""
    told = f"{100 * across.change:+.1f} %"
    if across.interval is None:
        return told
    low, high = (100 * bound for bound in across.interval)
    return f"{told} ({low:+.1f} to {high:+.1f})" + ("" if across.shown else ", no difference shown")
