# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run shows, in one sentence for people; as honest about what it does not show."""

from __future__ import annotations

import math

from kmltui.figures.compare import Comparison
from kmltui.figures.judging import INSTRUCTION_CLOCK_ERROR, LEAST_DIRECT_SHARE, LEAST_RUN_SHARE, is_difference, is_kml
from kmltui.figures.summary import SessionFigures, Summary
from kmltui.printable import signed

INSTRUCTION_CLOCK = "1 s = 10⁹ instructions"

_NAMES = {"stock": "stock Linux", "kml": "KML", "stock+libc": "the rewritten libc", "stock+idt": "the redirected IDT"}
_LEAST_CHANGE = 0.0005


def verdict(summary: Summary) -> str:
    """The sentence. It begins with what forbids a conclusion, if anything does."""
    return (
        nothing_concluded(summary)
        or not_direct(summary)
        or _alone(summary)
        or _compared(summary)
        or _timed(summary)
        or _rate(summary)
        or "This run holds nothing that could be compared."
    )


def nothing_concluded(summary: Summary) -> str | None:
    """Why the sessions' figures must not be compared: different work, no regular end, or a check that failed."""
    if summary.run.different_work:
        return f"The sessions did different work ({summary.run.different_work}): what it took is not compared."
    return _unfinished(summary) or _unsound(summary)


def clock_name(summary: Summary) -> str:
    """The clock that all times of the run are by, in words."""
    match summary.clock:
        case "instructions":
            return f"by instructions, {INSTRUCTION_CLOCK}"
        case "wall":
            return "by the wall clock" + (" of an emulator" if summary.emulated else "")
        case _:
            return "by clocks that differ between the sessions"


def no_verdict_on_time(summary: Summary) -> str | None:
    """Why times of this run prove nothing, if so; exact counts are untouched by it."""
    if summary.clock is None:
        return "the sessions' clocks differ: a second of one is not a second of the other"
    if summary.clock == "instructions":
        return None
    if summary.emulated:
        return (
            "it ran under software emulation (TCG) by the wall clock, whose times are the emulator's and the host's:"
            " even the sign of a difference is chance"
        )
    waited = {
        name: 1 - session.contention.run_share
        for name, session in summary.sessions.items()
        if session.contention is not None and session.contention.run_share < LEAST_RUN_SHARE
    }
    if waited:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in waited.items())
        loads = [s.contention.load for s in summary.sessions.values() if s.contention is not None]
        return (
            f"the host was busy (load {max(loads):.1f}): of the time they could run, vCPUs waited for a CPU: {shares}"
        )
    return None


def not_direct(summary: Summary) -> str | None:
    """That a session meant to be KML's made few or no direct calls, where that is so: its figures are not KML's."""
    for name, session in summary.sessions.items():
        if session.arm != "kml" or session.direct_share is None or session.syscalls is None:
            continue
        times_both = any("direct" in found for found in session.measures.values())
        trap, direct = _of_programs(session) or (session.syscalls.trap, session.syscalls.direct)
        calls = trap + direct
        if is_kml(session.arm, trap, direct, times_both=times_both):
            if times_both or (left := _left_in_ring_3(session, calls)) is None:
                continue
            program, own_share = left
            return (
                f"{program} ran mostly in ring 3 in {name}: only {share_text(own_share)} of its system calls were"
                " direct. Its figures are not KML's, and nothing is concluded about KML."
            )
        if direct == 0:
            return (
                f"{name} ran in ring 3: none of its {calls:,} system calls was direct. Its figures are not KML's, and"
                " nothing is concluded about KML."
            )
        return (
            f"{name} ran mostly in ring 3: only {share_text(direct / calls)} of its {calls:,} system calls were direct."
            " Its figures are not KML's, and nothing is concluded about KML."
        )
    return None


def _of_programs(session: SessionFigures) -> tuple[int, int] | None:
    """The calls of what was executed, by trap and direct, where they are counted: without the forty or so by trap that
    it takes the guest's own daemon to start a command, which may make more of them than the command."""
    programs = (session.programs or {}).values()
    calls = sum(each.trap for each in programs), sum(each.direct for each in programs)
    return calls if any(calls) else None


_LEAST_PART = 0.1
"""Of a session's calls, what a program makes whose ring matters to the result."""


def _left_in_ring_3(session: SessionFigures, calls: int) -> tuple[str, float] | None:
    """A program that made a good part of the session's calls, most of them by trap, and its share of direct ones."""
    for name, program in (session.programs or {}).items():
        share = program.direct_share
        if share is not None and share < LEAST_DIRECT_SHARE and program.trap + program.direct >= _LEAST_PART * calls:
            return name, share
    return None


def share(session: SessionFigures) -> str:
    """Of its calls the direct ones, as :func:`share_text` writes it."""
    return share_text(session.direct_share or 0.0)


def share_text(fraction: float) -> str:
    """A share in per cent; never 100 where something is missing, nor 0 where something is there."""
    percent = 100 * fraction
    digits = 1
    while digits < 6 and 0 < percent < 100 and float(f"{percent:.{digits}f}") in (0.0, 100.0):
        digits += 1
    return f"{percent:.{digits}f} %"


def percent(fraction: float, digits: int) -> str:
    """With a minus where more was used; never a negative zero."""
    return f"{signed(f'{round(100 * fraction, digits) + 0.0:.{digits}f}')} %"


def bounds(interval: tuple[float, float], digits: int) -> str:
    """An interval of such fractions."""
    return f"{percent(interval[0], digits).removesuffix(' %')} to {percent(interval[1], digits)}"


def subject(summary: Summary, name: str | None) -> str:
    """A session as the subject of a sentence; by its own name where another session has the same arm."""
    arms = [session.arm for session in summary.sessions.values()]
    session = summary.sessions.get(name or "")
    if session is None or arms.count(session.arm) > 1:
        return name or ""
    return _NAMES.get(name or "", name or "")


def is_control(summary: Summary) -> bool:
    """Whether both sides of the comparison are set up alike, arm and all: there is no difference to find."""
    return same_arm(summary) and not summary.environment.get("differs")


def same_arm(summary: Summary) -> bool:
    """Whether both sides of the comparison are guests of the same arm, whatever else they differ in."""
    pair = [summary.sessions.get(name or "") for name in (summary.baseline, summary.compared)]
    return all(session is not None and session.kind == "guest" for session in pair) and (
        len({session.arm for session in pair if session is not None}) == 1
    )


def _alone(summary: Summary) -> str | None:
    """A single session has nothing beside it."""
    if len(summary.sessions) != 1:
        return None
    name, session = next(iter(summary.sessions.items()))
    facts = []
    if session.duration_s is not None:
        facts.append(f"{session.duration_s:.0f} s")
    if session.queries is not None:
        rate = f" ({session.queries_per_s:,.0f} a second)" if session.queries_per_s is not None else ""
        facts.append(f"{session.queries:,} queries{rate}")
    if session.cpu_s is not None:
        facts.append(f"{session.cpu_s.total:,.2f} CPU seconds")
    what = f": {', '.join(facts)}" if facts else ""
    return f"One session was recorded, {subject(summary, name)}{what}; there is nothing beside it to compare."


def _timed(summary: Summary) -> str | None:
    """A workload that times single calls itself: what a direct call takes of what a trap takes."""
    calls = summary.timed_calls
    if not calls:
        return None
    first = calls[0]
    ratios = [call.ratio for call in calls]
    slower = sum(call.slower for call in calls)
    also = f", {slower} of them slower" if slower else ""
    interval = f" ({first.interval[0]:.2f} to {first.interval[1]:.2f})" if first.interval else ""
    if first.unit == "instructions":
        times, note = "as many", ""
        took = f"{first.name} took {first.direct:,.0f} instructions by direct call and {first.trap:,.0f} by trap"
    else:
        times, unit = "as fast", first.unit
        took = f"{first.name} took {first.direct:,.0f} {unit} by direct call and {first.trap:,.0f} {unit} by trap"
        note = "; it ran under software emulation (TCG), where a ratio of times is not the hardware's"
    return (
        f"{took}, {first.ratio:.1f} times {times}{interval}; over all {len(calls)} calls that were timed, between"
        f" {min(ratios):.2f} and {max(ratios):.2f} times{also}{note if summary.emulated else ''}."
    )


def _unfinished(summary: Summary) -> str | None:
    """Why nothing can be concluded from a run that did not come to its end."""
    run = summary.run
    if run.status == "failed":
        return f"The run failed and shows nothing: {_first_line(run.reason) or 'no reason was recorded'}."
    if len(summary.sessions) == 1:
        return None  # nothing is compared, and what there is is told
    if run.status == "stopped":
        reason = _first_line(run.reason)
        why = f" ({reason})" if reason else ""
        return f"The run was stopped before its end{why}: the sessions did not do the same work, nothing is concluded."
    if run.status is None:
        return (
            "The recording has no end: the run is still going on or was lost, and the figures are those up to its last"
            " sample; nothing is concluded."
        )
    if not run.complete and run.pairs is None:
        return "Not every session completed the workload, so they did not do the same work: nothing is concluded."
    return None


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".: ")


def _unsound(summary: Summary) -> str | None:
    """Why the figures of a complete run must not be compared."""
    if len(summary.sessions) == 1:
        return None
    if summary.checksums is not None and not summary.checksums.equal:
        which = ", ".join(summary.checksums.differing[:3])
        return f"The sessions computed different results ({which}): their figures must not be compared."
    for name, session in summary.sessions.items():
        if session.clock_wrong and session.clock_ratio is not None:
            return (
                f"The clock of {name} ran {session.clock_ratio:.2f} times as fast as the runner's: its times, CPU time"
                " among them, mean nothing."
            )
    failed = [proof for session in summary.sessions.values() for proof in session.failed_proofs]
    if failed:
        return f"A check inside a session failed ({failed[0]}): the figures must not be compared."
    return None


def _compared(summary: Summary) -> str | None:
    found = summary.comparisons.get(summary.compared or "", {})
    if summary.exact and (instructions := found.get("instructions.total")) is not None:
        return _exact(summary, instructions, found)
    total = found.get("cpu_s.total")
    if total is None or total.saved is None:
        return None
    amounts = _amounts(summary, total)
    if (barred := no_verdict_on_time(summary)) is not None:
        who, other = subject(summary, summary.compared), subject(summary, summary.baseline)
        return f"No verdict on time for {who} and {other} ({amounts}): {barred}.{_exact_calls(summary)}"
    clock = f", {INSTRUCTION_CLOCK}" if summary.clock == "instructions" else ""
    return _cpu_time(summary, total, total.saved, f"{amounts}{clock}")


def _cpu_time(summary: Summary, total: Comparison, saved: float, amounts: str) -> str:
    who, other = subject(summary, summary.compared), subject(summary, summary.baseline)
    if total.interval is not None and not total.shown:
        return _not_shown(summary, total, amounts)
    if is_control(summary):
        return _control(saved, "CPU time", who, other, amounts)
    what = "CPU time a query" if summary.per_query else "CPU time"
    than = other if summary.per_query else f"{other} for the same work"
    used = f"{who} used {_change(saved, what)} than {than}"
    if abs(saved) < _LEAST_CHANGE:
        used = f"{who} used as much {what} as {than}"
    if total.interval is None:
        return f"{used} ({amounts}); {_few(summary, saved)}."
    low, high = sorted(bound if saved > 0 else -bound for bound in total.interval)
    return f"{used} ({amounts}; 95 % interval {bounds((low, high), 1)}, {_pairs(summary)})."


def _few(summary: Summary, saved: float) -> str:
    """What one or two pairs leave open."""
    runs = summary.run.pairs or 1
    if summary.clock == "instructions":
        how = "one run each" if runs == 1 else f"{runs} pairs of runs"
        error = 100 * INSTRUCTION_CLOCK_ERROR
        if is_difference(saved, None, summary.clock):
            return f"{how}, by a clock that repeats to about {error:.1f} points"
        return f"{how}, and no more than the {error:.1f} points to which this clock repeats"
    if runs == 1:
        return "one run each, so how much of it is chance is not known"
    return f"{runs} pairs of runs, too few for an interval, so how much of it is chance is not known"


def _not_shown(summary: Summary, total: Comparison, amounts: str) -> str:
    assert total.interval is not None
    count = total.pairs_needed
    needed = f"; to show a difference of this size it would take about {count:,} pairs" if count else ""
    control = " Both are the same arm: this is what was to be expected." if is_control(summary) else ""
    return (
        f"No difference in CPU time is shown between {subject(summary, summary.compared)} and"
        f" {subject(summary, summary.baseline)}: saved {percent(total.saved or 0.0, 1)}, 95 % interval"
        f" {bounds(total.interval, 1)}, {_pairs(summary)} ({amounts}){needed if not control else ''}.{control}"
    )


def _control(saved: float, what: str, who: str, other: str, amounts: str) -> str:
    """Two sessions of the same arm that differ all the same, or for which there is no interval."""
    return (
        f"{who} and {other} are the same arm: the {abs(100 * saved):.2f} % by which they differ in {what} ({amounts})"
        " are what chance does to this set-up, and no difference between arms."
    )


def _exact(summary: Summary, total: Comparison, found: dict[str, Comparison]) -> str:
    """Instruction counts: exact, so that a single pair decides."""
    who, other = subject(summary, summary.compared), subject(summary, summary.baseline)
    parts = []
    for part, label in (("user", "user code"), ("system", "kernel")):
        split = found.get(f"instructions.{part}")
        if split is not None and split.saved is not None:
            parts.append(f"{label} {_change(split.saved, '', 'fewer').rstrip()}")
    split_text = f" ({', '.join(parts)})" if parts else ""
    saved = total.saved or 0.0
    work = " a query" if summary.per_query else " for the same work"
    if total.interval is not None and not total.shown:
        control = " Both are the same arm: this is what was to be expected." if is_control(summary) else ""
        return (
            f"No difference in instructions is shown between {who} and {other}{work}: saved {percent(saved, 2)},"
            f" 95 % interval {bounds(total.interval, 2)}, {_pairs(summary)}{split_text}; each run is"
            f" counted exactly, but they differ from one another by more.{control}"
        )
    if is_control(summary):
        return _control(saved, "instructions", who, other, "each counted exactly")
    runs = summary.run.pairs or 1
    if total.interval is not None:
        low, high = sorted(bound if saved >= 0 else -bound for bound in total.interval)
        spread = f" (95 % interval {bounds((low, high), 2)}, {_pairs(summary)})"
    else:
        how = "one run each" if runs == 1 else f"{runs} pairs of runs"
        spread = f" ({how}: no interval can be given)"
    return (
        f"{who} executed {abs(100 * saved):.2f} % {'fewer' if saved >= 0 else 'more'} instructions than"
        f" {other}{work}{split_text}, counted exactly{spread}; what that is in time depends on what a trap costs the"
        " processor."
    )


def _exact_calls(summary: Summary) -> str:
    """What is certain whatever the clock: how many traps there were and how many are gone."""
    session = summary.sessions.get(summary.compared or "")
    if session is None or session.syscalls is None or not session.direct_share:
        return ""
    calls = session.syscalls.trap + session.syscalls.direct
    return f" What is exact: {session.syscalls.direct:,} of its {calls:,} system calls ({share(session)}) made no trap."


def _rate(summary: Summary) -> str | None:
    """Where no CPU time of server and client is known, the throughput or the duration has to do."""
    found = summary.comparisons.get(summary.compared or "", {})
    for key, what in (("queries_per_s", "queries a second"), ("duration_s", "time")):
        part = found.get(key)
        if part is None or part.saved is None:
            continue
        who, other = subject(summary, summary.compared), subject(summary, summary.baseline)
        if (barred := no_verdict_on_time(summary)) is not None:
            return f"No verdict on time for {who} and {other}: {barred}.{_exact_calls(summary)}"
        if part.interval is not None and not part.shown:
            return f"No difference in {what} is shown between {who} and {other}; CPU time was not measured."
        change = _change(part.saved, what, "fewer" if key == "queries_per_s" else "less", "more")
        return f"{who}: {change} than {other}; CPU time was not measured."
    return None


def _change(saved: float, what: str, less: str = "less", more: str = "more") -> str:
    return f"{abs(100 * saved):.1f} % {less if saved >= 0 else more} {what}"


def _pairs(summary: Summary) -> str:
    return f"{summary.run.pairs} pairs of runs"


def _amounts(summary: Summary, total: Comparison) -> str:
    if total.unit == "s":
        least = min(total.baseline, total.compared)
        digits = 2 - math.floor(math.log10(least)) if 0 < least < 0.1 else 2
        amounts = f"{total.baseline:.{digits}f} to {total.compared:.{digits}f} CPU seconds"
    else:
        amounts = f"{1e6 * total.baseline:.1f} to {1e6 * total.compared:.1f} µs a query"
    served = any(session.server is not None and session.server.total for session in summary.sessions.values())
    return f"{amounts}, server and client together" if served else amounts
