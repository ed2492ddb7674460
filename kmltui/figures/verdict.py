"""What a run shows, in one sentence for people; as honest about what it does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmltui.figures.compare import Comparison
    from kmltui.figures.summary import Summary

_NAMES = {"stock": "stock Linux", "kml": "KML", "stock+libc": "the rewritten libc", "stock+idt": "the redirected IDT"}


def verdict(summary: Summary) -> str:
    """The sentence. It begins with what forbids a conclusion, if anything does."""
    return (
        _alone(summary)
        or _unfinished(summary)
        or _unsound(summary)
        or _compared(summary)
        or _measured(summary)
        or _rate(summary, summary.comparisons.get(summary.compared or "", {}))
        or "This run holds nothing that could be compared."
    )


def _alone(summary: Summary) -> str | None:
    """A single session has nothing beside it."""
    if len(summary.sessions) != 1 or summary.run.status == "failed":
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
    return f"One session was recorded, {_name(name)}{what}; there is nothing beside it to compare."


def _measured(summary: Summary) -> str | None:
    """A workload that times single calls itself: what a direct call takes of what a trap takes."""
    baseline, compared = (summary.sessions.get(name or "") for name in (summary.baseline, summary.compared))
    if baseline is None or compared is None or not baseline.measures:
        return None
    ratios = {}
    for name, found in baseline.measures.items():
        trap, direct = found.get("trap"), compared.measures.get(name, {}).get("direct")
        if trap and direct:
            ratios[name] = trap / direct
    if not ratios:
        return None
    first = next(iter(ratios))
    unit = baseline.measures[first]["unit"]
    trap, direct = baseline.measures[first]["trap"], compared.measures[first]["direct"]
    slower = sum(ratio < 1 for ratio in ratios.values())
    also = f", {slower} of them slower" if slower else ""
    return (
        f"{first} took {direct:,.0f} {unit} by direct call and {trap:,.0f} {unit} by trap, {ratios[first]:.1f} times as"
        f" fast; over all {len(ratios)} calls that were timed, between {min(ratios.values()):.2f} and"
        f" {max(ratios.values()):.2f} times{also}{_emulated(summary)}."
    )


def _unfinished(summary: Summary) -> str | None:
    """Why nothing can be concluded from a run that did not come to its end."""
    run = summary.run
    if run.status == "failed":
        return f"The run failed and shows nothing: {_first_line(run.reason) or 'no reason was recorded'}."
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
    """Why the figures of a complete run must not be compared, or cannot be."""
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
    exact = found.get("instructions.total")
    total = found.get("cpu_s.total")
    if exact is not None:
        return _exact(summary, exact, found)
    if total is None or total.saved is None:
        return None
    amounts = _amounts(total, "CPU seconds")
    what = "CPU time a query" if summary.per_query else "CPU time"
    change = _change(total.saved, what)
    subject, other = _name(summary.compared), _name(summary.baseline)
    than = other if summary.per_query else f"{other} for the same work"
    if total.interval is not None:
        return _with_interval(summary, total, f"{change} than {than}", amounts)
    if abs(total.saved) < 0.0005:
        sentence = f"{subject} used as much {what} as {than} ({amounts})"
    else:
        sentence = f"{subject} used {change} than {than} ({amounts})"
    return f"{sentence}; one run each, so how much of it is chance is not known{_emulated(summary)}."


def _with_interval(summary: Summary, total: Comparison, change: str, amounts: str) -> str:
    assert total.interval is not None
    low, high = (100 * bound for bound in total.interval)
    subject = _name(summary.compared)
    pairs = f"{summary.run.pairs} pairs of runs"
    if total.shown:
        ends = (low, high) if total.saved and total.saved > 0 else (-high, -low)
        interval = f"95 % interval {ends[0]:.1f} to {ends[1]:.1f} %"
        return f"{subject} used {change} ({amounts}; {interval}, {pairs}){_emulated(summary)}."
    count = total.pairs_needed
    needed = f"; to show a difference of this size it would take about {count} pairs" if count else ""
    return (
        f"No difference in CPU time is shown between {subject} and {_name(summary.baseline)}:"
        f" saved {100 * (total.saved or 0):.1f} %, 95 % interval {low:.1f} to {high:.1f} %, {pairs}"
        f" ({amounts}){needed}{_emulated(summary)}."
    )


def _exact(summary: Summary, total: Comparison, found: dict[str, Comparison]) -> str:
    """Instruction counts: exact, so that a single pair decides."""
    subject, other = _name(summary.compared), _name(summary.baseline)
    parts = []
    for part, label in (("user", "user code"), ("system", "kernel")):
        split = found.get(f"instructions.{part}")
        if split is not None and split.saved is not None:
            parts.append(f"{label} {_signed(-split.saved)}")
    split_text = f" ({', '.join(parts)})" if parts else ""
    saved = total.saved or 0.0
    work = " a query" if summary.per_query else " for the same work"
    if total.interval is not None and not total.shown:
        low, high = (100 * bound for bound in total.interval)
        return (
            f"No difference in instructions is shown between {subject} and {other}{work}: saved {100 * saved:.2f} %,"
            f" 95 % interval {low:.2f} to {high:.2f} %, {summary.run.pairs} pairs of runs{split_text}; each run is"
            " counted exactly, but they differ from one another by more."
        )
    spread = ""
    if total.interval is not None:
        low, high = sorted(bound if saved >= 0 else -bound for bound in total.interval)
        spread = f" (95 % interval {100 * low:.2f} to {100 * high:.2f} %, {summary.run.pairs} pairs of runs)"
    return (
        f"{subject} executed {abs(100 * saved):.2f} % {'fewer' if saved >= 0 else 'more'} instructions than"
        f" {other}{work}{split_text}, counted exactly{spread}; what that is in time depends on what a trap costs the"
        " processor."
    )


def _rate(summary: Summary, found: dict[str, Comparison]) -> str | None:
    """Where no CPU time of server and client is known, the throughput or the duration has to do."""
    for key, what in (("queries_per_s", "queries a second"), ("duration_s", "time")):
        part = found.get(key)
        if part is not None and part.saved is not None:
            change = _change(part.saved, what, "fewer" if key == "queries_per_s" else "less", "more")
            return (
                f"{_name(summary.compared)}: {change} than {_name(summary.baseline)}; CPU time was not measured"
                f"{_emulated(summary)}."
            )
    return None


def _change(saved: float, what: str, less: str = "less", more: str = "more") -> str:
    return f"{abs(100 * saved):.1f} % {less if saved >= 0 else more} {what}"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %"


def _amounts(total: Comparison, unit: str) -> str:
    if total.unit != "s":
        return f"{1e6 * total.baseline:.1f} to {1e6 * total.compared:.1f} us a query, server and client together"
    return f"{total.baseline:.2f} to {total.compared:.2f} {unit}, server and client together"


def _emulated(summary: Summary) -> str:
    if not summary.emulated:
        return ""
    return "; it ran under software emulation (TCG), where a ratio of times is not the hardware's"


def _name(session: str | None) -> str:
    return _NAMES.get(session or "", session or "")
