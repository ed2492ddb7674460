# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU seconds of both sessions for the same work, what is saved, and what the article found: its Table 2."""

from __future__ import annotations

from kmltui.counters.proc import USER_HZ
from kmltui.figures import article
from kmltui.figures.verdict import INSTRUCTION_CLOCK
from kmltui.live.views import SYSTEM, USER, EqualWork, Seconds, SessionView, Snapshot, equal_work
from kmltui.model import CLIENT, SERVER
from kmltui.printable import printable
from kmltui.tui.draw import bars, bench, callcost, judging
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.layout import Layout
from kmltui.tui.text import (
    ABSENT,
    Line,
    Span,
    cropped,
    fit,
    line,
    percent,
    saved,
    seconds,
    short,
    spread,
    width,
)

_TABLE = 50
"""Cells of the table; the remaining width is for the bars."""

_COST = 12
"""Cells of one figure of the cost of watching."""

_FACTS = 28
"""Cells that a fact may need; if there are fewer, none is shown rather than a truncated figure."""


def draw(snapshot: Snapshot, layout: Layout, glyphs: Glyphs, viewer_share: float | None = None) -> list[Line]:
    """The rule and :attr:`Layout.table` rows below it. ``viewer_share``: the viewer's own CPU use as a share of one
    core."""
    rows = _rows(snapshot, layout, glyphs)
    cost = ((_cost(snapshot, viewer_share), "faint"), (" ", "text"))
    if width(_trimmed(rows[1])) + width(cost) + 2 <= layout.width:
        rows[1] = spread(rows[1], cost, layout.width)
    return rows


def _trimmed(spans: Line) -> Line:
    """The line without trailing padding."""
    return _trimmed(spans[:-1]) if spans and not spans[-1][0].strip() else spans


def _cost(view: Snapshot, viewer_share: float | None) -> str:
    """The cost of watching: this viewer, and the agents in the guests."""
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
        return _alone(snapshot, layout, glyphs)
    names = [f"{cropped(printable(session.name), 9):>10}" for session in pair]
    if snapshot.repeats:
        rows = [_rule(snapshot, bench.title(snapshot, *pair), layout, glyphs)]
        head: Line = ((f" {'':<7}{names[0]}{names[1]}{'saved':>10}  95 % interval", "muted"),)
        dots = bench.dots(snapshot, *pair, glyphs)
        fits = width(head) + width(dots) + 4 <= layout.width - (2 * _COST if layout.width >= 100 else 0)
        rows.append((*head, ("    ", "text"), *dots) if fits else head)
        rows += [bench.row(field, snapshot, *pair, layout.width) for field in ("total", "user", "system")]
        return [fit(row, layout.width) for row in [*rows, *[()] * (layout.table + 1 - len(rows))]]
    trapped = judging.not_kml(snapshot)
    if trapped is not None:
        return _not_kml(snapshot, trapped, layout, glyphs)
    if judging.unequal_work(snapshot) or judging.warming_up(snapshot):
        return _not_compared(snapshot, layout, glyphs)
    work = per_query(snapshot, equal_work(*pair))
    rows = [_rule(snapshot, _title(snapshot, work), layout, glyphs)]
    comparable = snapshot.workload.article and layout.groups
    rows.append(((f" {'':<7}{names[0]}{names[1]}{'saved':>10}{'in article' if comparable else '':>12}", "muted"),))
    split = work is not None and judging.splits_differ(snapshot, [work.left], [work.right])
    rows += [_row(field, work, judging.work_role(snapshot, work), split) for field in ("total", "user", "system")]
    if layout.groups:
        rows += [_group(group, pair, work, snapshot.workload.article) for group in (SERVER, CLIENT)]
    room = layout.width - _TABLE - 2
    beside = _beside(pair, work, room, glyphs) if room >= 48 else _facts(pair, glyphs) if room >= _FACTS else []
    for index, extra in enumerate(beside[: len(rows) - 1], 1):
        rows[index] = (*fit(rows[index], _TABLE), ("  ", "text"), *extra)
    return [fit(row, layout.width) for row in rows]


def per_query(snapshot: Snapshot, work: EqualWork | None) -> EqualWork | None:
    """For sessions that worked for the same time: the CPU time for the queries of the one that did fewer, by each
    session's own mean, as in the report."""
    if work is None or not work.final or snapshot.workload.duration_s is None or snapshot.pair is None:
        return work
    queries = [session.queries for session in snapshot.pair]
    if not all(queries):
        return None
    least = min(count for count in queries if count)
    left, right = (
        Seconds(*(value * least / count for value in (used.total, used.user, used.system)))
        for used, count in zip((work.left, work.right), (count or 1 for count in queries), strict=True)
    )
    return EqualWork(least, left, right, True)


def _not_kml(snapshot: Snapshot, session: SessionView, layout: Layout, glyphs: Glyphs) -> list[Line]:
    """Shown in place of figures that would not be KML's."""
    trap, direct = session.trap or 0, session.direct or 0
    share = f"{short(direct)} of {short(trap + direct)} system calls were direct"
    rows = [_rule(snapshot, "not KML", layout, glyphs)]
    rows.append(line((f" {printable(session.name)} runs in ring 3: {share}.", "warn")))
    rows.append(line((" What it takes says nothing about KML.", "muted")))
    return _padded(rows, layout)


def _not_compared(snapshot: Snapshot, layout: Layout, glyphs: Glyphs) -> list[Line]:
    """Shown in place of a comparison of unequal work, or of work that does not count."""
    rows = [_rule(snapshot, "CPU seconds", layout, glyphs)]
    if snapshot.header.different_work:
        rows.append(line((" Not compared: the sessions did different work.", "text")))
        rows.append(line((f" {printable(snapshot.header.different_work)}", "muted")))
    elif judging.warming_up(snapshot):
        rows.append(line((" Warming up: nothing is compared yet.", "text")))
        what = " ".join(judging.counted_phases(snapshot.workload))
        rows.append(line((f" What counts comes next: {printable(what)}.", "muted")))
    else:
        rows.append(line((" Not compared: each session times its calls in its own way.", "text")))
        rows.append(line((" What counts is each call by itself, by trap and directly.", "muted")))
    return _padded(rows, layout)


def _padded(rows: list[Line], layout: Layout) -> list[Line]:
    rows += [()] * (layout.table + 1 - len(rows))
    return [fit(row, layout.width) for row in rows[: layout.table + 1]]


def _alone(snapshot: Snapshot, layout: Layout, glyphs: Glyphs) -> list[Line]:
    """For a session that is not compared with another: the CPU seconds of its processes since the beginning, and what
    system calls cost a watched server."""
    session = snapshot.sessions[0]
    title = " CPU seconds since the beginning "
    rows: list[Line] = [
        ((glyphs.rule, "rule"), (title, "strong"), (glyphs.rule * (layout.width - len(title) - 1), "rule")),
        line((f" {'':<7}{'total':>10}{'user':>10}{'system':>10}", "muted")),
    ]
    used = [(printable(group), (own.total, own.user, own.system)) for group, own in session.groups]
    if not used and (machine := _of_all_cpus(session)) is not None:
        used = [("machine", machine)]
    for name, figures in used:
        cells = "".join(f"{seconds(value, 1):>10}" for value in figures)
        rows.append(((f" {cropped(name, 7):<7}", "text"), (cells, "text")))
    if not session.groups and snapshot.header.kind == "monitor":
        watched = session.server or session.lacking
        why = "the server's own is not known (e says why)" if watched else "no server is watched (--mysql)"
        rows.append(line((f" {why}", "muted")))
    if estimate := callcost.estimate(snapshot, layout.width):
        rows.append(line((f" {estimate}", "text")))
    return _padded(rows, layout)


def _of_all_cpus(session: SessionView) -> tuple[float, float, float] | None:
    """Seconds of the machine's CPUs since the beginning: in all, user and system. By ticks, as their shares are."""
    first, last = session.samples.first, session.samples.last
    if first is None or last is None:
        return None
    user, system = ((last[column] - first[column]) / USER_HZ for column in (USER, SYSTEM))
    return user + system, user, system


def _title(snapshot: Snapshot, work: EqualWork | None) -> str:
    if work is None:
        return "CPU seconds: nothing to compare yet"
    if work.final and snapshot.workload.duration_s is not None:
        return f"CPU seconds for {short(work.queries)} queries"
    return "CPU seconds, whole workload" if work.final else f"CPU seconds, same {short(work.queries)} queries"


def _rule(snapshot: Snapshot, title: str, layout: Layout, glyphs: Glyphs) -> Line:
    """The wall between the panes ends here; the title says what is compared."""
    cells = layout.pane + 1
    left: Line = ((glyphs.rule, "rule"), (f" {title} ", "strong"))
    if width(left) < cells:
        left = (*left, (glyphs.rule * (cells - width(left)) + glyphs.tee_up, "rule"))
    rest = layout.width - width(left)
    if judging.clock(snapshot) == "instructions":
        notes: tuple[str, ...] = (f" {INSTRUCTION_CLOCK} ",)
    elif judging.emulated(snapshot):
        notes = (" an emulator's wall clock: times prove nothing ", " an emulator's time ")
    else:
        notes = (" by the wall clock ",)
        if judging.disturbed(snapshot):
            notes = (" the host is busy: no verdict on times like these ", " the host is busy ")
    note = next((note for note in notes if len(note) < rest), "")
    tail: Line = ((glyphs.rule * (rest - len(note) - 1), "rule"), (note, "muted"), (glyphs.rule, "rule"))
    return (*left, *tail)


def _row(field: str, work: EqualWork | None, role: str, split: bool) -> Line:
    """``role``: the colour of the total's saving; the split has no colour, because it is only sampled. ``split``: it
    differs by more than the sampling error."""
    a, b = (getattr(work.left, field), getattr(work.right, field)) if work else (None, None)
    digits = 2 if work and work.final else 1
    if field == "total":
        return _figures(field, a, b, digits, role)
    return _figures(field, a, b, digits, "muted", compared=split)


def _figures(
    label: str,
    a: float | None,
    b: float | None,
    digits: int,
    role: str,
    theirs: Span = ("", "text"),
    *,
    compared: bool = True,
) -> Line:
    return (
        (f" {label:<7}", "strong" if label == "total" else "text"),
        (f"{seconds(a, digits):>10}", "stock"),
        (f"{seconds(b, digits):>10}", "kml"),
        (f"{saved(a, b) if compared else ABSENT:>10}", role),
        theirs,
    )


def _group(group: str, pair: tuple[SessionView, SessionView], work: EqualWork | None, comparable: bool) -> Line:
    """Server or client: seconds once both sessions have done the same work, until then only their share.

    ``comparable``: the article's figure is shown beside the client's, since the article's times very probably are the
    client's.
    """
    parts: list[Seconds | None] = [dict(session.groups).get(group) for session in pair]
    theirs = f"{percent(article.SAVED.total).lstrip('+'):>12}" if comparable and group == CLIENT else ""
    if work is not None and work.final:
        a, b = (part.total if part else None for part in parts)
        return _figures(group, a, b, 2, "muted", (theirs, "muted"))
    shares = [
        f"{part.total / session.cpu.total * 100:.0f} %" if part and session.cpu and session.cpu.total else ABSENT
        for part, session in zip(parts, pair, strict=True)
    ]
    return ((f" {group:<7}{shares[0]:>10}{shares[1]:>10}", "muted"), (f"{'of total':>10}", "faint"), (theirs, "muted"))


def _beside(pair: tuple[SessionView, SessionView], work: EqualWork | None, cells: int, glyphs: Glyphs) -> list[Line]:
    """Both totals as bars on one scale, so that the difference is visible as a length; then what became of the
    traps."""
    if work is None:
        return _facts(pair, glyphs)
    most = max(work.left.total, work.right.total)
    room = min(cells - 20, 90)
    rows: list[Line] = [line((f"{'':<8}{glyphs.full} user  {glyphs.second} system", "faint"))]
    for session, side, role in zip(pair, (work.left, work.right), ("stock", "kml"), strict=True):
        bar = bars.stacked((side.user, side.system), most, room, glyphs, roles=("user", "system"))
        rows.append(((f"{cropped(printable(session.name), 7):<8}", role), *bar))
    facts = _facts(pair, glyphs)[1:]
    rows.append(facts[0] if facts else ())
    rows.append(tuple(span for fact in facts[1:] for span in (*fact, ("   ", "text"))))
    return rows


def _facts(pair: tuple[SessionView, SessionView], glyphs: Glyphs) -> list[Line]:
    """What became of the traps, one fact per line; the first line, beside the table's head, is empty."""
    left, right = pair
    rows: list[Line] = [()]
    if right.trap is not None:
        rows.append(
            (
                ("traps ", "muted"),
                (short(left.trap), "trap"),
                (f" {glyphs.arrow} ", "muted"),
                (short(right.trap), "trap"),
            )
        )
    if right.trap is not None and right.direct is not None and right.trap + right.direct:
        share = right.direct / (right.trap + right.direct)
        rows.append(line((f"{share * 100:.2f} %", "direct"), (" of the calls direct", "muted")))
    if right.elevations is not None:
        rows.append(line((short(right.elevations), "elevation"), (" times into ring 0", "muted")))
    return rows
