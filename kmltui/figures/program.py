# SPDX-License-Identifier: GPL-2.0-or-later
"""Any program in both rings, on one card: its calls, the work between them, its cost, what trapped, the proof."""

from __future__ import annotations

from msgspec import Struct

from kmltui.figures.card import CardLine, by_program, card, outside
from kmltui.figures.compare import Comparison
from kmltui.figures.estimate import OF_THE_PROCESSES
from kmltui.figures.summary import SessionFigures, Summary
from kmltui.figures.verdict import bounds, clock_name, no_verdict_on_time, percent, share

_NAMED = 6
"""Names of trapped calls on a card; the report has them all."""


class Row(Struct, frozen=True):
    """One statement, and what qualifies it."""

    label: str
    text: str
    more: str = ""


class ProgramCard(Struct, frozen=True):
    """The result of running one program."""

    command: str
    rows: list[Row]
    traps: list[tuple[str, int, int]]
    """Of each session its name, trapped and direct calls of a run."""
    warned: bool = False
    """The first row says why nothing can be concluded."""


def program_card(summary: Summary) -> ProgramCard:
    """The card of a run of the workload that takes a command; of a bench the figures are means over its pairs."""
    base, kml = (summary.sessions.get(name or "") for name in (summary.baseline, summary.compared))
    warning = next((line for line in card(summary) if line.kind == "warning"), None)
    rows = [_as_row(warning)] if warning else []
    traps: list[tuple[str, int, int]] = []
    if base is not None and kml is not None:
        for name, session in ((summary.baseline or "", base), (summary.compared or "", kml)):
            if session.syscalls is not None:
                traps.append((name, session.syscalls.trap, session.syscalls.direct))
        rows += [row for row in _rows(summary, base, kml) if row is not None]
    command = summary.run.options.get("command", summary.run.workload)
    return ProgramCard(command, rows, traps, warned=warning is not None)


def _as_row(line: CardLine) -> Row:
    return Row(line.label, line.text, line.more)


def _rows(summary: Summary, base: SessionFigures, kml: SessionFigures) -> list[Row | None]:
    found = summary.comparisons.get(summary.compared or "", {})
    instructions, seconds = found.get("instructions.total"), found.get("cpu_s.total")
    timed = seconds if summary.exact or no_verdict_on_time(summary) is None else None
    estimate = next((line for line in card(summary) if line.kind == "estimate"), None)
    pairs = summary.run.pairs or 1
    return [
        _proof(summary, base, kml),
        _calls(kml),
        Row("By program", shares, outside(kml)) if (shares := by_program(kml)) else None,
        _trapped(kml),
        _density(instructions, base),
        _amount("Instructions", instructions, "{:,.0f}", "counted one by one, user and kernel"),
        # With the instruction clock, CPU seconds are just these.
        _amount("CPU time", timed, "{:,.4g} s", clock_name(summary)) if not summary.exact else None,
        _as_row(estimate) if estimate else None,
        Row(
            "Runs",
            f"{pairs} pair{'' if pairs == 1 else 's'}, in turn",
            "no interval with fewer than three" * (pairs < 3),
        ),
    ]


def _proof(summary: Summary, base: SessionFigures, kml: SessionFigures) -> Row | None:
    """Of a program that tells its own ring what it said; of any other that it did what only ring 0 can."""
    if base.ring is not None and kml.ring is not None:
        sides = f"{summary.baseline} in ring {base.ring}, {summary.compared} in ring {kml.ring}"
        return Row("Proof", sides, "by the code segment, read in each session")
    if base.syscalls is None or kml.syscalls is None or not kml.syscalls.direct:
        return None
    text = f"{summary.compared} called the kernel's functions {kml.syscalls.direct:,} times, which only ring 0 can"
    return Row("Proof", text, f"{summary.baseline}: {base.syscalls.direct:,} times; counted by the kernel itself")


def _calls(kml: SessionFigures) -> Row | None:
    calls = kml.syscalls
    if calls is None or kml.direct_share is None:
        return None
    text = f"{calls.trap + calls.direct:,} a run, {share(kml)} without a trap"
    # On the host itself, programs that the command starts may be missing: the report says whose calls were counted.
    how = "counted" if OF_THE_PROCESSES in kml.calls_source else "counted, each one"
    return Row("System calls", text, f"{calls.direct:,} direct, {calls.trap:,} trapped; {how}")


def _trapped(kml: SessionFigures) -> Row | None:
    names = {name: each.trap for name, each in kml.syscalls.by_name.items() if each.trap} if kml.syscalls else {}
    if not names:
        return None
    most = sorted(names, key=lambda name: (-names[name], name))
    text = ", ".join(f"{name} {names[name]:,}" for name in most[:_NAMED])
    left = len(most) - _NAMED
    return Row("Trapped", text, f"and {left} more names" if left > 0 else "")


def _density(found: Comparison | None, base: SessionFigures) -> Row | None:
    """The work per call, which decides how much can be saved at all."""
    if found is None or base.syscalls is None or not (calls := base.syscalls.trap + base.syscalls.direct):
        return None
    return Row("Work a call", f"{found.baseline / calls:,.0f} instructions by trap, the kernel's included")


def _amount(label: str, found: Comparison | None, form: str, how: str) -> Row | None:
    if found is None or found.saved is None:
        return None
    text = (
        f"{form.format(found.baseline)} by trap, {form.format(found.compared)} without: saved {percent(found.saved, 2)}"
    )
    if found.interval is not None:
        text += f", 95 % interval {bounds(found.interval, 2)}"
        if not found.shown:
            text = f"no difference: {text}"
    return Row(label, text, how)
