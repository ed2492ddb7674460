# SPDX-License-Identifier: GPL-2.0-or-later
"""A bench in progress: the means over its pairs so far, and intervals that narrow as pairs come in."""

from __future__ import annotations

from functools import lru_cache

from kmltui.figures.stats import Comparison, compare
from kmltui.live.views import SessionView, Snapshot
from kmltui.printable import printable, time_left
from kmltui.tui.draw import bars, judging
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import ABSENT, Line, Span, cropped, line, percent, seconds, shorten

Figures = tuple[float, ...]


def pairs(left: SessionView, right: SessionView) -> list[int]:
    """The pairs whose repetitions are all complete."""
    return sorted({number for number, _ in left.runs} & {number for number, _ in right.runs})


def title(snapshot: Snapshot, left: SessionView, right: SessionView) -> str:
    """What the table shows: the number of pairs that it averages, and which pair is in progress."""
    done = len(pairs(left, right))
    last = snapshot.repeats[-1] if snapshot.repeats else None
    now = ""
    if last is not None and not snapshot.status:
        if last.event == "begin":
            now = f", pair {last.pair} under way" if last.pair else ", warming up"
        if (seconds_left := _left_s(snapshot)) is not None:
            now += f", {time_left(seconds_left)}"
    return f"CPU seconds, mean of {done} pair{'' if done == 1 else 's'}{now}"


def _left_s(snapshot: Snapshot) -> float | None:
    """How long the remaining turns will take if they take as long as those before; None if unknown."""
    ends = [repeat for repeat in snapshot.repeats if repeat.event == "end"]
    planned = snapshot.repeats[-1].pairs
    if not planned or not ends or snapshot.abandoned:
        return None
    first, turns = snapshot.repeats[0].t_ns, (planned + 1) * len(snapshot.sessions)
    # The first of those that were kept need not be the first of all.
    done = ends[-1].order - snapshot.repeats[0].order + 1
    a_turn = (ends[-1].t_ns - first) / max(done, 1)
    return max((a_turn * (turns - ends[-1].order - 1) - (snapshot.t_ns - ends[-1].t_ns)) / 1e9, 0.0)


def dots(snapshot: Snapshot, left: SessionView, right: SessionView, glyphs: Glyphs) -> Line:
    """A dot per pair, filled once the pair is complete."""
    done = len(pairs(left, right))
    planned = max(snapshot.repeats[-1].pairs, done) if snapshot.repeats else done
    return ((glyphs.record * done, "title"), (glyphs.dot * (planned - done), "muted"))


def waits(snapshot: Snapshot, session: SessionView) -> bool:
    """Whether it is not the session's turn: what it did last is over and says nothing about the present."""
    last = snapshot.repeats[-1] if snapshot.repeats else None
    if last is None or snapshot.status:
        return False
    return last.session != session.name if last.event == "begin" else session.state.state != "running"


def waiting(snapshot: Snapshot, session: SessionView, size: tuple[int, int], glyphs: Glyphs) -> list[Line]:
    """Shown in place of rates that are over: who is at work, what the session's own turns have taken, and, in a bench
    of more than two arms, what all of them have come to so far.

    ``size``: cells and rows; the newest turns are shown, on one scale for both sides.
    """
    cells, rows = size
    last = snapshot.repeats[-1]
    at_work = f"{printable(last.session)} is at work" if last.event == "begin" else ""
    done = session.state.state == "done"
    own = f" {glyphs.done} its turns are over" if done else f" {glyphs.busy} waits for its turn"
    words = [f"{own}; {at_work}" if at_work else own]
    if len(words[0]) > cells:
        words = [own, f"   {at_work}"]
    lines: list[Line] = [(), *(((text, "muted"),) for text in words), ()]
    most = max((used.total for each in snapshot.pair or () for _, used in each.runs), default=0.0)
    every = _all_arms(snapshot, session, cells, glyphs)
    room = max(rows - len(lines), 0)
    if room - len(every) < min(len(session.runs), _LEAST_TURNS):
        every = []
    for number, used in session.runs[len(session.runs) - min(len(session.runs), room - len(every)) :]:
        text = f"   pair {number:>3} {seconds(used.total):>9} s "
        bar = bars.shares(used.user / most, used.system / most, cells - len(text) - 1, glyphs) if most else ()
        lines.append(((text, "muted"), *bar))
    lines += every
    return [*lines, *[()] * (rows - len(lines))][:rows]


_LEAST_TURNS = 3
"""Of a session's own turns, shown before the other arms."""
_ARM = 11
"""Cells of an arm's name, and a blank behind it."""


def _all_arms(snapshot: Snapshot, session: SessionView, cells: int, glyphs: Glyphs) -> list[Line]:
    """Of more than two arms the means so far in the left pane, and what each saves compared with the first in the
    right; of the same pairs as the table below."""
    first, *others = snapshot.sessions
    if len(others) < 2:
        return []
    if session.name != first.name:
        return [
            (),
            line((f" saved so far, compared with {printable(first.name)}", "muted")),
            *(shorten([_arm(other), *_saved_so_far(first, other)], cells) for other in others),
        ]
    means = {}
    for each in snapshot.sessions:
        numbers = pairs(first, each if each is not first else others[-1])
        used = [dict(each.runs)[number] for number in numbers]
        if used:
            means[each.name] = [
                sum(getattr(one, part) for one in used) / len(used) for part in ("total", "user", "system")
            ]
    most = max((total for total, _, _ in means.values()), default=0.0)
    lines: list[Line] = [(), line((" CPU seconds a turn, means so far", "muted"))]
    for each in snapshot.sessions:
        total, user, system = means.get(each.name, (None, 0.0, 0.0))
        text = f"{seconds(total):>9} s "
        room = cells - 3 - _ARM - len(text) - 1
        bar = bars.shares(user / most, system / most, room, glyphs) if most and total is not None else ()
        lines.append((*_arm(each), (text, "muted"), *bar))
    return lines


def _saved_so_far(first: SessionView, other: SessionView) -> list[Line]:
    """What it saves of the CPU time of the first, and the interval of that."""
    numbers = pairs(first, other)
    if not numbers:
        return [line((f"{ABSENT:>8}", "faint"))]
    a, b = (tuple(dict(each.runs)[number].total for number in numbers) for each in (first, other))
    found = _compared(a, b)
    saved = percent(found.saved).lstrip("+") if found.saved is not None else ABSENT
    interval = [line((f"  {_interval(found)}", "muted"))] if found.saved_interval is not None else []
    return [line((f"{saved:>8}", "text")), *interval]


def _arm(session: SessionView) -> Line:
    return line((f"   {cropped(printable(session.name), _ARM - 1):<{_ARM}}", "muted"))


def row(field: str, snapshot: Snapshot, left: SessionView, right: SessionView, cells: int) -> Line:
    """Means, savings and their 95 % intervals, as much as fits into ``cells``.

    Only the total, by which the bench is judged, is called a difference or no difference, and only if the report would
    do so.
    """
    numbers = pairs(left, right)
    head: Span = (f" {field:<7}", "strong" if field == "total" else "text")
    if not numbers:
        return (head, (f"{ABSENT:>10}" * 3, "faint"))
    by_pair = [dict(session.runs) for session in (left, right)]
    a, b = (tuple(float(getattr(runs[number], field)) for number in numbers) for runs in by_pair)
    found = _compared(a, b)
    means: Line = ((f"{seconds(found.mean_a):>10}", "stock"), (f"{seconds(found.mean_b):>10}", "kml"))
    judged = field == "total" and found.p is not None and judging.by_cpu_time(snapshot)
    if field != "total" and not judging.splits_differ(
        snapshot, [by_pair[0][number] for number in numbers], [by_pair[1][number] for number in numbers]
    ):
        return shorten([(head, *means, (f"{ABSENT:>10}", "muted")), (("  within the ticks' error", "muted"),)], cells)
    role = "muted" if not (judged and found.shown) else "good" if (found.saved or 0) > 0 else "bad"
    figures: Line = (
        head,
        *means,
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
