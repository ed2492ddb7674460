# SPDX-License-Identifier: GPL-2.0-or-later
"""A bench as it goes on: the means over its pairs so far, and intervals that narrow as pairs come in."""

from __future__ import annotations

from functools import lru_cache

from kmltui.figures.stats import Comparison, compare
from kmltui.live.views import SessionView, Snapshot
from kmltui.tui.draw import judging
from kmltui.tui.text import ABSENT, Line, Span, percent, seconds, shorten

Figures = tuple[float, ...]


def pairs(left: SessionView, right: SessionView) -> list[int]:
    """The pairs of which both repetitions are complete."""
    return sorted({number for number, _ in left.runs} & {number for number, _ in right.runs})


def title(snapshot: Snapshot, left: SessionView, right: SessionView) -> str:
    """What the table is about: how many pairs it is the mean of, and which one is under way."""
    done = len(pairs(left, right))
    last = snapshot.repeats[-1] if snapshot.repeats else None
    now = ""
    if last is not None and last.event == "begin" and not snapshot.status:
        now = f", pair {last.pair} under way" if last.pair else ", warming up"
    return f"CPU seconds, mean of {done} pair{'' if done == 1 else 's'}{now}"


def row(field: str, snapshot: Snapshot, left: SessionView, right: SessionView, cells: int) -> Line:
    """Means, what is saved and its 95 % interval, as much of it as fits into ``cells``.

    Only the total, which the bench is judged by, is called a difference or none, and only where its report would do so.
    """
    numbers = pairs(left, right)
    head: Span = (f" {field:<7}", "strong" if field == "total" else "text")
    if not numbers:
        return (head, (f"{ABSENT:>10}" * 3, "faint"))
    by_pair = [dict(session.runs) for session in (left, right)]
    a, b = (tuple(float(getattr(runs[number], field)) for number in numbers) for runs in by_pair)
    found = _compared(a, b)
    judged = field == "total" and found.p is not None and judging.by_cpu_time(snapshot)
    role = "muted" if not (judged and found.shown) else "good" if (found.saved or 0) > 0 else "bad"
    figures: Line = (
        head,
        (f"{seconds(found.mean_a):>10}", "stock"),
        (f"{seconds(found.mean_b):>10}", "kml"),
        (f"{percent(found.saved).lstrip('+') if found.saved is not None else ABSENT:>10}", role),
    )
    parts: list[Line] = [figures, ((f"  {_interval(found)}", "muted"),)]
    if judged and not found.shown:
        parts.append(((": no difference shown", "muted"),))
    return shorten(parts, cells)


@lru_cache(64)
def _compared(a: Figures, b: Figures) -> Comparison:
    return compare(a, b)


def _interval(found: Comparison) -> str:
    if found.saved_interval is None:
        return "no interval with fewer than three pairs" if found.p is None else ABSENT
    return f"{percent(found.saved_interval.low).lstrip('+')} to {percent(found.saved_interval.high).lstrip('+')}"
