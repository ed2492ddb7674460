"""CPU seconds of both sessions for the same work, what is saved, and what the article found: its Table 2."""

from __future__ import annotations

from kmltui.analysis.views import EqualWork, Seconds, SessionView, Snapshot, equal_work
from kmltui.tui.draw import bars
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.layout import Layout
from kmltui.tui.text import ABSENT, Line, Span, count, fit, judged, line, percent, seconds, width

ARTICLE = {"total": (753.86, 728.61), "user": (611.78, 605.95), "system": (142.08, 122.66)}
"""Table 2 of the article: CPU seconds of the Wisconsin benchmark, loop count 10,000, original Linux and KML."""


def draw(snapshot: Snapshot, layout: Layout, glyphs: Glyphs) -> list[Line]:
    """The rule and :attr:`Layout.table` rows below it."""
    pair = snapshot.pair
    work = equal_work(*pair) if pair else None
    rows = [_rule(snapshot, work, layout, glyphs)]
    if pair is None:
        return [*rows, *[()] * layout.table]
    names = [session.name[:8] for session in pair]
    article = snapshot.workload.name in ("wisconsin", "demo")
    head: Line = (
        (f" {'':<7}{names[0]:>10}{names[1]:>10}{'saved':>10}", "muted"),
        (f"{'article':>10}" if article else "", "faint"),
    )
    rows.append(head)
    for field in ("total", "user", "system"):
        rows.append(_row(field, field, work.left if work else None, work.right if work else None, article))
    if layout.groups:
        for group in ("server", "client"):
            rows.append(_group(group, pair, work))
    side = _bars(work, layout.width - 54, glyphs) if layout.width >= 100 else _facts(pair, layout.width - 52)
    facts = _facts(pair, 30) if layout.width >= 150 else []
    for index in range(1, len(rows)):
        extra = side[index - 1] if index - 1 < len(side) else ()
        more = facts[index - 1] if index - 1 < len(facts) else ()
        rest = layout.width - 52
        right = (*fit(extra, rest - 32), *line("  "), *fit(more, 30)) if facts else fit(extra, rest)
        rows[index] = (*fit(rows[index], 50), *line("  "), *right)
    return [fit(row, layout.width) for row in rows]


def _rule(snapshot: Snapshot, work: EqualWork | None, layout: Layout, glyphs: Glyphs) -> Line:
    """The wall of the panes ends here; the title says what is compared."""
    if work is None:
        title = "CPU seconds: no query has been run yet"
    elif work.final:
        title = "CPU seconds, whole workload"
    else:
        title = f"CPU seconds for the same {count(work.queries)} queries"
    cells = layout.pane + 1
    head: Line = ((glyphs.rule, "faint"), (f" {title} ", "strong" if work and work.final else "text"))
    left = (*head, (glyphs.rule * (cells - width(head)), "faint")) if width(head) < cells else fit(head, cells)
    rest = layout.width - cells - 1
    note = ""
    pair = snapshot.pair
    if pair and all(dict(session.facts).get("accelerator", "").upper() == "TCG" for session in pair):
        note = " emulated: not the hardware's ratio "
    if len(note) + 1 > rest:
        note = ""
    tail: Line = ((glyphs.rule * (rest - len(note) - 1), "faint"), (note, "muted"), (glyphs.rule, "faint"))
    return (*left, (glyphs.tee_up, "faint"), *tail)


def _row(label: str, field: str, left: Seconds | None, right: Seconds | None, article: bool) -> Line:
    a = getattr(left, field) if left else None
    b = getattr(right, field) if right else None
    change = (b - a) / a if a and b is not None else None
    text, role = judged(change, more_is_better=False)
    theirs: Span = ("", "faint")
    if article:
        before, after = ARTICLE[field]
        theirs = (f"{percent((after - before) / before):>10}", "muted")
    return (
        (f" {label:<7}", "strong" if label == "total" else "text"),
        (f"{seconds(a):>10}", "stock"),
        (f"{seconds(b):>10}", "kml"),
        (f"{text:>10}", role),
        theirs,
    )


def _group(group: str, pair: tuple[SessionView, SessionView], work: EqualWork | None) -> Line:
    """Server or client over the whole interval: comparable once both sessions have done the same work."""
    found = [dict(session.groups).get(group) for session in pair]
    if work is None or not work.final:
        shares = []
        for session in pair:
            part, whole = dict(session.groups).get(group), session.cpu
            shares.append(f"{part.total / whole.total * 100:.1f} %" if part and whole and whole.total else ABSENT)
        return ((f" {group:<7}", "muted"), (f"{shares[0]:>10}{shares[1]:>10}", "muted"), (" of total", "faint"))
    return _row(group, "total", found[0], found[1], False)


def _bars(work: EqualWork | None, cells: int, glyphs: Glyphs) -> list[Line]:
    """Both totals, user and system, on one scale: the difference as a length."""
    if work is None or cells < 20:
        return []
    cells = min(cells, 100)
    most = max(work.left.total, work.right.total)
    rows: list[Line] = [()]
    for name, side in (("stock", work.left), ("kml", work.right)):
        bar = bars.stacked((side.user, side.system), most, cells - 8, glyphs, ("user", "system"))
        rows.append(((f"{glyphs.wall}" if False else "", "faint"), *bar))
        del name
    saved = work.saved("total")
    if saved is not None:
        text, role = judged(-saved, more_is_better=False)
        rows.append(
            line(
                (f"{text} of the CPU time", role),
                ("  ", "text"),
                (f"{glyphs.full} user  {glyphs.second} system", "muted"),
            )
        )
    return rows


def _facts(pair: tuple[SessionView, SessionView], cells: int) -> list[Line]:
    """What the calls came to: how many were made without a trap."""
    right = pair[1]
    rows: list[Line] = []
    if right.trap is not None and right.direct is not None and right.trap + right.direct:
        avoided = right.direct / (right.trap + right.direct)
        rows.append(line(("without a trap ", "muted"), (f"{avoided * 100:.2f} %", "direct")))
    if right.trap is not None:
        rows.append(
            line(("traps ", "muted"), (count(pair[0].trap), "trap"), (" : ", "muted"), (count(right.trap), "trap"))
        )
    if right.elevations is not None:
        rows.append(line(("elevations ", "muted"), (count(right.elevations), "elevation")))
    del cells
    return [(), *rows]
