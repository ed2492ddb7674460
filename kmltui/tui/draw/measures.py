# SPDX-License-Identifier: GPL-2.0-or-later
"""Single system calls, timed by trap and by direct call: each row has its own scale, the same on both sides."""

from __future__ import annotations

from textwrap import wrap

from kmltui.figures.article import GETPID
from kmltui.figures.calls import ratio_text, true_unit
from kmltui.live.views import SessionView, Snapshot
from kmltui.printable import printable
from kmltui.tui.draw import judging
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import ABSENT, Line, Span, fit, line, short, shorten


def names(snapshot: Snapshot, *, over: bool = False) -> list[str]:
    """What is being timed, in order; empty while something else is going on, unless timings that are ``over`` are
    wanted, too."""
    workload = snapshot.workload
    timing = bool(workload.timing_phases) and (
        set(workload.phases) <= set(workload.timing_phases)
        or any(
            session.progress is not None and session.progress.phase in workload.timing_phases
            for session in snapshot.sessions
        )
    )
    found = [measure.name for measure in snapshot.measures if "trap" in measure.values or "direct" in measure.values]
    return list(dict.fromkeys(found)) if timing or over else []


def draw(
    snapshot: Snapshot, session: SessionView, shown: list[str], size: tuple[int, int], glyphs: Glyphs
) -> list[Line]:
    """``size``: cells wide, rows high. The head, a row per call, and the article's figure if there is room."""
    cells, rows = size
    values = {(each.session, each.name): each.values for each in snapshot.measures}
    unit = next((each.unit for each in snapshot.measures if each.name in shown), "ns")
    unit = true_unit(unit, judging.clock(snapshot))
    own = {name: _ways(session.name, name, values) for name in shown}
    # Both sides leave the same room for figures, so that a bar's length means the same on both.
    both = any("direct" in found for found in values.values())
    has_direct = any("direct" in found for found in own.values())
    label = min(max(len(name) for name in shown), 22 if cells >= 50 else min(12, cells - 19))
    head: list[Line] = [((f"{printable(unit)} a call", "text"),)]
    if _bar_cells(cells - label - 1, both) == 0:  # nothing that a sign would explain
        ways: Line = (("  ", "text"), ("trap", "trap"))
        head.append((*ways, (f" {glyphs.arrow} ", "faint"), ("direct", "direct")) if has_direct else ways)
    else:
        head.append((("  trap ", "muted"), (glyphs.full, "trap")))
        if has_direct:
            head += [(("  direct ", "muted"), (glyphs.second, "direct")), (("  ratio", "muted"),)]
    result: list[Line] = [shorten(head, cells)]
    for name in shown[: rows - 1]:
        most = max((v for (_, other), found in values.items() if other == name for v in _library(found)), default=0.0)
        text: Line = fit(((f" {printable(name)}", "muted"),), label + 1)
        result.append((*text, *_row(own[name], most, (cells - label - 1, both), glyphs)))
    article = wrap(GETPID, cells - 1)
    if rows - len(result) > len(article):
        result += [(), *(line((f" {text}", "faint")) for text in article)]
    return result + [()] * (rows - len(result))


def _ways(session: str, name: str, values: dict[tuple[str, str], dict[str, float]]) -> dict[str, float]:
    """What a session measured for a call; a direct call is compared with the trap of the session beside it."""
    own = values.get((session, name), {})
    if "direct" not in own:
        return own
    others = (found for (who, what), found in values.items() if what == name and who != session)
    trap = next((found["trap"] for found in others if "trap" in found), None)
    return own if trap is None else {**own, "trap": trap}


def _library(found: dict[str, float]) -> list[float]:
    return [found[way] for way in ("trap", "direct") if way in found]


def _row(values: dict[str, float], most: float, room: tuple[int, bool], glyphs: Glyphs) -> Line:
    """What a direct call takes is a filled bar, what it saves compared with a trap is an empty track."""
    trap, direct = values.get("trap"), values.get("direct")
    cells, both = room
    if trap is None and direct is None:
        return line((f"{ABSENT:>8}", "faint"))
    numbers: list[Span] = [(f"{_number(trap):>8}", "trap" if direct is None else "muted")]
    if direct is not None:
        ratio = f" ×{ratio_text(trap / direct)}" if trap and direct else ""
        numbers += [(f" {glyphs.arrow}", "faint"), (f"{_number(direct):>7}", "direct")]
        if cells >= 24:
            numbers.append((f"{ratio:<6} ", "text"))
    else:
        numbers.append((" " * (16 if both else 1), "text"))
    length = _bar_cells(cells, both)
    if not length or most <= 0:
        return tuple(numbers)
    longest = round((trap or direct or 0.0) / most * length)
    if direct is None:
        return (*numbers, (glyphs.full * longest, "trap"))
    taken = round(direct / most * length)
    return (*numbers, (glyphs.second * taken, "direct"), (glyphs.track * max(longest - taken, 0), "idle"))


def _bar_cells(cells: int, both: bool) -> int:
    """The longest bar, in a row that has so many cells for figures and bar; 0 if it would be too short to say much."""
    length = cells - (24 if both else 9)
    return length if length >= 3 else 0


def _number(value: float | None) -> str:
    if value is None:
        return ABSENT
    return short(value) if value >= 99.5 else f"{value:.1f}"
