# SPDX-License-Identifier: GPL-2.0-or-later
"""The end card: the result of a run in at most five lines, for the screen, the report and headless runs alike.

Each line stands alone and says what kind of statement it is: counted, timed, measured, estimated, or quoted.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kmltui.figures import article
from kmltui.figures.compare import Comparison
from kmltui.figures.estimate import short_sentence
from kmltui.figures.judging import is_difference
from kmltui.figures.summary import SessionFigures, Summary
from kmltui.figures.verdict import (
    bounds,
    clock_name,
    is_control,
    no_verdict_on_time,
    not_direct,
    nothing_concluded,
    percent,
    same_arm,
    share,
    share_text,
    subject,
)

LEAST_WITHOUT_PURPOSE = 0.9
"""Of a session that times calls both ways: with fewer direct ones, its traps are mostly those that it timed."""

Kind = Literal["warning", "calls", "call", "measured", "estimate", "article"]
Tone = Literal["good", "bad", "plain", "warning"]


class CardLine(Struct, frozen=True):
    """One statement."""

    kind: Kind
    label: str
    text: str
    """What everybody should read."""
    more: str = ""
    """What qualifies it, where there is room."""
    tone: Tone = "plain"
    """``good`` and ``bad`` only where the report calls it a difference."""


def card(summary: Summary) -> list[CardLine]:
    """The lines that this run can fill, in their order; none while nothing can be said."""
    makers = (_warning, _calls, _call, _measured, _estimate, _article)
    return [line for make in makers if (line := make(summary)) is not None]


def _warning(summary: Summary) -> CardLine | None:
    """What comes before everything else, in place of what was measured."""
    if (why := nothing_concluded(summary)) is not None:
        return CardLine("warning", "No result", why, tone="warning")
    trapped = not_direct(summary)
    return None if trapped is None else CardLine("warning", "Not KML", trapped, tone="warning")


def _calls(summary: Summary) -> CardLine | None:
    session = summary.sessions.get(summary.compared or "")
    if session is None or session.arm != "kml" or session.syscalls is None or session.direct_share is None:
        return None
    calls = session.syscalls
    text = f"{share(session)} of {calls.trap + calls.direct:,} system calls"
    more = f"{calls.trap:,} trapped; counted, each one"
    if summary.timed_calls and session.direct_share < LEAST_WITHOUT_PURPOSE:
        more = f"{calls.trap:,} trapped, most of them on purpose, to be timed"
    elif named := by_program(session):
        more = "; ".join(filter(None, (named, outside(session), more)))
    return CardLine("calls", "Without a trap", text, more)


_PROGRAMS = 3
_LEAST_PART = 0.02
"""Of a session's calls; programs that make fewer are in the report."""


def by_program(session: SessionFigures) -> str:
    """The shares of those programs that make most of the calls; empty where it is one, or none is known."""
    every = sum(calls.trap + calls.direct for calls in (session.programs or {}).values())
    shares = [
        f"{name} {share_text(calls.direct_share or 0.0)}"
        for name, calls in (session.programs or {}).items()
        if calls.trap + calls.direct >= _LEAST_PART * every
    ]
    return ", ".join(shares[:_PROGRAMS]) if len(shares) > 1 else ""


def outside(session: SessionFigures) -> str:
    """Which calls are in the total and in no program's, where they are a part that a reader would miss."""
    if session.syscalls is None or not session.programs:
        return ""
    inside = session.programs.values()
    every = session.syscalls.trap + session.syscalls.direct
    others = every - sum(calls.trap + calls.direct for calls in inside)
    if others < max(_LEAST_PART * every, 1):
        return ""
    trapped = min(session.syscalls.trap - sum(calls.trap for calls in inside), others)
    how = "all by trap" if trapped == others else f"{trapped:,} by trap"
    return f"in the total alone: {others:,} calls, {how}, of the guest's own daemon, which starts the programs"


def _call(summary: Summary) -> CardLine | None:
    if not summary.timed_calls:
        return None
    first = summary.timed_calls[0]
    what = "as many" if first.unit == "instructions" else "as fast"
    amounts = f"{first.trap:,.0f} {first.unit} by trap, {first.direct:,.0f} directly"
    text = f"{first.name}, {amounts}: {first.ratio:.1f} times {what}"
    interval = f"95 % interval {first.interval[0]:.2f} to {first.interval[1]:.2f}" if first.interval else ""
    emulated = "in software emulation" if summary.emulated and first.unit != "instructions" else ""
    return CardLine("call", "One call", text, "; ".join(filter(None, (interval, emulated))))


def _measured(summary: Summary) -> CardLine | None:
    found = summary.comparisons.get(summary.compared or "", {}).get(summary.primary)
    if found is None or found.saved is None or _warning(summary) is not None:
        return None
    barred = None if summary.exact else no_verdict_on_time(summary)
    if barred is not None:
        return CardLine("measured", "Measured", "no verdict on time", barred)
    what = "instructions" if summary.exact else "CPU time"
    per = " a query" if summary.per_query else ""
    digits = 2 if summary.exact else 1
    who = subject(summary, summary.compared)
    text = f"{who} saved {percent(found.saved, digits)} of {what}{per}"
    if found.interval is not None:
        text += f", 95 % interval {bounds(found.interval, digits)}"
        if not found.shown:
            text = f"no difference: {text}"
    return CardLine("measured", "Measured", text, _how(summary, found), _tone(summary, found))


def _tone(summary: Summary, found: Comparison) -> Tone:
    if is_control(summary) or not is_difference(found.saved, found.shown, summary.clock):
        return "plain"
    return "good" if (found.saved or 0.0) > 0 else "bad"


def _how(summary: Summary, found: Comparison) -> str:
    """By how many runs and by which clock."""
    runs = summary.run.pairs or 1
    if runs == 1:
        count = "one run each, no interval"
    else:
        count = f"{runs} pairs of runs" + ("" if found.interval else ", too few for an interval")
    return f"{count}; {'counted one by one' if summary.exact else clock_name(summary)}"


def _estimate(summary: Summary) -> CardLine | None:
    if summary.estimate is None:
        return None
    return CardLine("estimate", "Estimate", *short_sentence(summary.estimate))


def _article(summary: Summary) -> CardLine | None:
    """Beside the article's own benchmark alone, and its client's figure, since the article's very probably are such."""
    if not summary.run.article or summary.compared is None or same_arm(summary):
        return None
    found = summary.comparisons.get(summary.compared, {}).get("client.total")
    here = ""
    if found is not None and found.saved is not None and (summary.exact or no_verdict_on_time(summary) is None):
        here = f"; the client here saved {percent(found.saved, 1)}"
    return CardLine(
        "article",
        "The article",
        f"saved {percent(article.SAVED.total, 1)} of CPU time{here}",
        "Kernel Mode Linux for AMD64, 2005, with MySQL 4.1; very probably its client's time alone",
    )
