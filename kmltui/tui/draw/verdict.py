"""CPU seconds of both sessions for the same work, what is saved, and what the article found: its Table 2."""

from __future__ import annotations

from kmltui.figures import article
from kmltui.live.views import EqualWork, Seconds, SessionView, Snapshot, equal_work
from kmltui.model import CLIENT, SERVER
from kmltui.printable import printable
from kmltui.tui.draw import bars, bench
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.layout import Layout
from kmltui.tui.text import (
    ABSENT,
    Line,
    Span,
    cropped,
    difference,
    fit,
    judged,
    line,
    percent,
    seconds,
    short,
    spread,
    width,
)

_TABLE = 50
"""Cells of the table; what is left of the width is for the bars."""

_FACTS = 28
"""Cells that a fact may need; where there are fewer, none is shown rather than a part of a figure."""


def draw(snapshot: Snapshot, layout: Layout, glyphs: Glyphs, viewer_share: float | None = None) -> list[Line]:
    """The rule and :attr:`Layout.table` rows below it. ``viewer_share``: the viewer's own CPU use, of one core."""
    rows = _rows(snapshot, layout, glyphs)
    cost = ((_cost(snapshot, viewer_share), "faint"), (" ", "text"))
    if width(_trimmed(rows[1])) + width(cost) + 2 <= layout.width:
        rows[1] = spread(rows[1], cost, layout.width)
    return rows


def _trimmed(spans: Line) -> Line:
    """Without the padding at its end."""
    return _trimmed(spans[:-1]) if spans and not spans[-1][0].strip() else spans


def _cost(view: Snapshot, viewer_share: float | None) -> str:
    """What watching costs: this viewer, and the agents in the guests."""
    parts = []
    if viewer_share is not None:
        parts.append(f"viewer {viewer_share * 100:.1f} %")
    shares = [session.agent_share for session in view.sessions if session.agent_share is not None]
    if shares:
        parts.append(f"agent {max(shares) * 100:.1f} %")
    return "  ".join(parts)


def _rows(snapshot: Snapshot, layout: Layout, glyphs: Glyphs) -> list[Line]:
    pair = snapshot.pair
    if pair is None:
        return _alone(snapshot.sessions[0], layout, glyphs)
    names = [f"{cropped(printable(session.name), 9):>10}" for session in pair]
    if snapshot.repeats:
        rows = [_rule(snapshot, bench.title(snapshot, *pair), layout, glyphs)]
        rows.append(((f" {'':<7}{names[0]}{names[1]}{'saved':>10}  95 % interval", "muted"),))
        rows += [bench.row(field, snapshot, *pair, layout.width) for field in ("total", "user", "system")]
        return [fit(row, layout.width) for row in [*rows, *[()] * (layout.table + 1 - len(rows))]]
    work = equal_work(*pair)
    rows = [_rule(snapshot, _title(work), layout, glyphs)]
    comparable = snapshot.workload.article
    rows.append(((f" {'':<7}{names[0]}{names[1]}{'change':>10}{'article' if comparable else '':>10}", "muted"),))
    rows += [_row(field, work, comparable) for field in ("total", "user", "system")]
    if layout.groups:
        rows += [_group(group, pair, work) for group in (SERVER, CLIENT)]
    room = layout.width - _TABLE - 2
    beside = _beside(pair, work, room, glyphs) if room >= 48 else _facts(pair, glyphs) if room >= _FACTS else []
    for index, extra in enumerate(beside[: len(rows) - 1], 1):
        rows[index] = (*fit(rows[index], _TABLE), ("  ", "text"), *extra)
    return [fit(row, layout.width) for row in rows]


def _alone(session: SessionView, layout: Layout, glyphs: Glyphs) -> list[Line]:
    """Of a session that is compared with none: the CPU seconds of its processes since the beginning."""
    title = " CPU seconds since the beginning "
    rows: list[Line] = [
        ((glyphs.rule, "faint"), (title, "strong"), (glyphs.rule * (layout.width - len(title) - 1), "faint")),
        line((f" {'':<7}{'total':>10}{'user':>10}{'system':>10}", "muted")),
    ]
    for group, used in session.groups:
        figures = "".join(f"{seconds(value, 1):>10}" for value in (used.total, used.user, used.system))
        rows.append(((f" {cropped(printable(group), 7):<7}", "text"), (figures, "text")))
    if not session.groups:
        rows.append(line((f" {ABSENT}  of no process in particular", "muted")))
    rows += [()] * (layout.table + 1 - len(rows))
    return [fit(row, layout.width) for row in rows[: layout.table + 1]]


def _title(work: EqualWork | None) -> str:
    if work is None:
        return "CPU seconds: nothing to compare yet"
    return "CPU seconds, whole workload" if work.final else f"CPU seconds, same {short(work.queries)} queries"


def _rule(snapshot: Snapshot, title: str, layout: Layout, glyphs: Glyphs) -> Line:
    """The wall of the panes ends here; the title says what is compared."""
    cells = layout.pane + 1
    left: Line = ((glyphs.rule, "faint"), (f" {title} ", "strong"))
    if width(left) < cells:
        left = (*left, (glyphs.rule * (cells - width(left)) + glyphs.tee_up, "faint"))
    rest = layout.width - width(left)
    pair = snapshot.pair
    emulated = pair and all(dict(session.facts).get("accelerator", "").upper().startswith("TCG") for session in pair)
    notes = (" emulated: not the hardware's ratio ", " emulated ") if emulated else ()
    note = next((note for note in notes if len(note) < rest), "")
    tail: Line = ((glyphs.rule * (rest - len(note) - 1), "faint"), (note, "muted"), (glyphs.rule, "faint"))
    return (*left, *tail)


def _row(field: str, work: EqualWork | None, comparable: bool) -> Line:
    a, b = (getattr(work.left, field), getattr(work.right, field)) if work else (None, None)
    found = percent(-float(getattr(article.SAVED, field)))
    theirs: Span = (f"{found:>10}" if comparable else "", "muted")
    return _figures(field, a, b, 2 if work and work.final else 1, theirs)


def _figures(label: str, a: float | None, b: float | None, digits: int, theirs: Span = ("", "text")) -> Line:
    text, role = judged(difference(a, b), more_is_better=False)
    return (
        (f" {label:<7}", "strong" if label == "total" else "text"),
        (f"{seconds(a, digits):>10}", "stock"),
        (f"{seconds(b, digits):>10}", "kml"),
        (f"{text:>10}", role),
        theirs,
    )


def _group(group: str, pair: tuple[SessionView, SessionView], work: EqualWork | None) -> Line:
    """Server or client: seconds once both sessions have done the same work, until then only its share."""
    parts: list[Seconds | None] = [dict(session.groups).get(group) for session in pair]
    if work is not None and work.final:
        a, b = (part.total if part else None for part in parts)
        return _figures(group, a, b, 2)
    shares = [
        f"{part.total / session.cpu.total * 100:.0f} %" if part and session.cpu and session.cpu.total else ABSENT
        for part, session in zip(parts, pair, strict=True)
    ]
    return ((f" {group:<7}{shares[0]:>10}{shares[1]:>10}", "muted"), ("   of the total", "faint"))


def _beside(pair: tuple[SessionView, SessionView], work: EqualWork | None, cells: int, glyphs: Glyphs) -> list[Line]:
    """Both totals as bars on one scale, so that the difference is a length; then what became of the traps."""
    if work is None:
        return _facts(pair, glyphs)
    most = max(work.left.total, work.right.total)
    room = min(cells - 20, 90)
    rows: list[Line] = [line((f"{'':<8}{glyphs.full} user  {glyphs.second} system", "faint"))]
    for session, side, role in zip(pair, (work.left, work.right), ("stock", "kml"), strict=True):
        bar = bars.stacked((side.user, side.system), most, room, glyphs, roles=("user", "system"))
        rows.append(((f"{cropped(printable(session.name), 7):<8}", role), *bar))
    text, role = judged(difference(work.left.total, work.right.total), more_is_better=False)
    rows[2] = (*rows[2], (f"  {text}", role))
    facts = _facts(pair, glyphs)[1:]
    rows.append(facts[0] if facts else ())
    rows.append(tuple(span for fact in facts[1:] for span in (*fact, ("   ", "text"))))
    return rows


def _facts(pair: tuple[SessionView, SessionView], glyphs: Glyphs) -> list[Line]:
    """What became of the traps, a fact a line; the first line is empty, beside the table's head."""
    left, right = pair
    rows: list[Line] = [()]
    if right.trap is not None:
        change = difference(left.trap, right.trap)
        rows.append(
            (
                ("traps ", "muted"),
                (short(left.trap), "trap"),
                (f" {glyphs.arrow} ", "muted"),
                (short(right.trap), "trap"),
                *((("  ", "text"), judged(change, more_is_better=False)) if change is not None else ()),
            )
        )
    if right.trap is not None and right.direct is not None and right.trap + right.direct:
        share = right.direct / (right.trap + right.direct)
        rows.append(line((f"{share * 100:.2f} %", "direct"), (" of the calls direct", "muted")))
    if right.elevations is not None:
        rows.append(line((short(right.elevations), "elevation"), (" elevations", "muted")))
    return rows
