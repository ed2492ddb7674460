# SPDX-License-Identifier: GPL-2.0-or-later
"""The two panes: every row of the left one lines up with its counterpart on the right, on the same scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kmltui.live.recent import RATE_WINDOW_NS
from kmltui.live.views import (
    BUSY_AND_IDLE,
    DIRECT,
    MONO,
    QUERIES,
    SYSTEM,
    TRAP,
    USER,
    CallView,
    LatencyView,
    SessionView,
    Snapshot,
)
from kmltui.printable import printable, time_left
from kmltui.tui.draw import bars, bench, cards, judging, measures
from kmltui.tui.draw.chart import ChartColumns, Column, Rates, Scale, Window, chart, columns_for, highest, window
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.layout import Layout
from kmltui.tui.text import (
    ABSENT,
    Line,
    Span,
    clock,
    count,
    cropped,
    done,
    fit,
    line,
    micros,
    more_or_less,
    percent,
    rate,
    short,
    shorten,
    spread,
    width,
)


@dataclass(frozen=True)
class Chart:
    """What a chart shows; ``roles`` of the series, lowest first."""

    title: str
    roles: tuple[str, ...]
    rates: Rates


CHARTS = {
    "cpu": Chart("CPU %", ("user", "system"), Rates((USER, SYSTEM), BUSY_AND_IDLE, 100.0)),
    "calls": Chart("system calls/s", ("trap", "direct"), Rates((TRAP, DIRECT), MONO, 1e9)),
    "queries": Chart("queries/s", ("queries",), Rates((QUERIES,), 0, 1e9)),
}


_SCALES = ("bars: of the largest on both sides", "bars: of the largest", "bars: of largest", "of the largest")
"""What the longest bar stands for, in as many words as there is room for."""

_LEAST_BAR = 6
"""Cells of a progress bar that has something beside it."""
_LEAST_DONE = 0.02
"""A smaller fraction of the work says nothing about the rest."""

Part = tuple[str, int] | None
"""A phase and a statement of it; None before the first."""


@dataclass
class PaneState:
    """What the panes keep from one frame to the next so that the eye need not search: scales and the order of names."""

    scales: dict[str, Scale] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    columns: dict[tuple[str, int], ChartColumns] = field(default_factory=dict)
    calls: tuple[tuple[CallView, ...], ...] = ()
    calls_ns: int = -RATE_WINDOW_NS
    """When the rates by name were last updated, and their sum with them: there are many of them, so not more often than
    the time they are averaged over."""

    parts: dict[str, tuple[Part, int]] = field(default_factory=dict)
    """For each session the part of the work that it is at, and since when, as far as observed."""

    def renew(self) -> None:
        """The next frame is looked at, not past: its rates are to be those of its own instant."""
        self.calls_ns = -RATE_WINDOW_NS

    def part(self, session: SessionView, t_ns: int) -> tuple[Part, int]:
        """What the session is at, and since when; after a jump, since the jump."""
        now = (session.progress.phase, session.progress.statement) if session.progress else None
        known = self.parts.get(session.name)
        if known is None or known[0] != now or not known[1] <= t_ns:
            self.parts[session.name] = (now, t_ns)
        return self.parts[session.name]

    def settled(self, session: SessionView, t_ns: int, for_ns: int) -> Part:
        """What the session has been at for at least this long; None if it started it more recently."""
        part, since_ns = self.part(session, t_ns)
        return part if t_ns - since_ns >= for_ns else None

    def scale(self, name: str) -> Scale:
        return self.scales.setdefault(name, Scale())


@dataclass(frozen=True)
class Drawing:
    """What all rows need."""

    snapshot: Snapshot
    layout: Layout
    glyphs: Glyphs
    state: PaneState
    window: Window
    call_name: Callable[[int], str]
    single_calls: bool = False
    """The times of single calls are also wanted when their phase is over."""

    @property
    def totals(self) -> bool:
        """Both have completed the workload: its overall figures say more than the rates of idle guests."""
        return all(session.state.state == "done" and session.trap is not None for session in self.snapshot.sessions)

    @property
    def counts(self) -> bool:
        """Calls are shown as counts. In exact mode, too: samples come only between phases, too seldom for rates."""
        return self.totals or any(spec.exact for spec in self.snapshot.header.sessions)

    def stale(self, session: SessionView) -> bool:
        """What the session's rates would be of is over."""
        return not self.counts and self.snapshot.stale(session)


def draw(
    snapshot: Snapshot,
    layout: Layout,
    glyphs: Glyphs,
    state: PaneState,
    call_name: Callable[[int], str],
    window_ns: int,
    single_calls: bool = False,
) -> list[Line]:
    """The title and :attr:`Layout.pane_rows` rows below it, as wide as the layout."""
    drawing = Drawing(snapshot, layout, glyphs, state, window(snapshot.t_ns, window_ns), call_name, single_calls)
    shown = snapshot.pair or snapshot.sessions[:1]
    charts = {name: _columns(drawing, name, shown) for name in layout.charts}
    if drawing.counts:
        state.calls, state.calls_ns = tuple(as_totals(session.calls) for session in shown), -RATE_WINDOW_NS
    elif not 0 <= snapshot.t_ns - state.calls_ns < RATE_WINDOW_NS - RATE_WINDOW_NS // 8:
        state.calls, state.calls_ns = tuple(session.calls for session in shown), snapshot.t_ns
    panes = [_pane(drawing, index, shown, charts) for index in range(len(shown))]
    return [_titles(drawing, shown), *_side_by_side(panes, layout, glyphs)]


def charts(snapshot: Snapshot, layout: Layout, glyphs: Glyphs, state: PaneState, window_ns: int) -> list[Line]:
    """Only the layout's charts, with nothing above or below."""
    drawing = Drawing(snapshot, layout, glyphs, state, window(snapshot.t_ns, window_ns), str)
    shown = snapshot.pair or snapshot.sessions[:1]
    columns = {name: _columns(drawing, name, shown) for name in layout.charts}
    return _side_by_side(
        [
            [row for name in layout.charts for row in _chart(drawing, name, index, columns[name])]
            for index in range(len(shown))
        ],
        layout,
        glyphs,
    )


def _side_by_side(panes: Sequence[Sequence[Line]], layout: Layout, glyphs: Glyphs) -> list[Line]:
    """One pane, or two with a wall between them, as wide as the layout."""
    if len(panes) == 1:
        return [fit(row, layout.width) for row in panes[0]]
    wall: Span = (f" {glyphs.wall} ", "rule")
    rest = layout.width - 3 - layout.pane
    return [(*fit(a, layout.pane), wall, *fit(b, rest)) for a, b in zip(*panes, strict=True)]


def _titles(drawing: Drawing, shown: Sequence[SessionView]) -> Line:
    glyphs, layout = drawing.glyphs, drawing.layout
    result: Line = ()
    for index, session in enumerate(shown):
        cells = layout.pane + 1 if index == 0 else layout.width - layout.pane - 2
        if len(shown) == 1:
            cells = layout.width
        name: Span = (f" {printable(session.name).upper()} ", "stock" if index == 0 else "kml")
        tail = _title_tail(session, glyphs, cells - width((name,)) - 3)
        head: Line = ((glyphs.rule, "rule"), name, *tail)
        result += (*fit(head, min(width(head), cells)), (glyphs.rule * (cells - width(head)), "rule"))
        if index == 0 and len(shown) > 1:
            result += ((glyphs.tee_down, "rule"),)
    return result


def _title_tail(session: SessionView, glyphs: Glyphs, room: int) -> Line:
    """Ring, arm if it says more than the name, and the state."""
    parts: list[Span] = []
    rings = {proof.value.partition(" ")[0] for proof in session.proofs if proof.name == "ring"}
    if rings:
        parts.append((f"ring {printable('/'.join(sorted(rings)))} ", "muted"))
    if session.arm and session.arm != session.name:
        parts.append((f"{glyphs.dot} {session.arm} ", "muted"))
    state = session.state.state
    sign, role = {"done": (glyphs.done, "good"), "running": (glyphs.play, "muted")}.get(state, (glyphs.busy, "warn"))
    if cards.is_broken(session):
        sign, role = glyphs.failed, "alert"
    parts.append((f"{sign} {cards.state_word(state)} ", role))
    while parts and width(parts) > room:
        parts.pop(0)
    return tuple(parts)


def _pane(
    drawing: Drawing,
    index: int,
    shown: Sequence[SessionView],
    charts: Mapping[str, Sequence[Sequence[Column]]],
) -> list[Line]:
    layout, session = drawing.layout, shown[index]
    if cards.wants_card(session):
        return cards.card(drawing.snapshot, session, layout.pane, layout.pane_rows, drawing.glyphs)
    if bench.waits(drawing.snapshot, session):
        return bench.waiting(drawing.snapshot, session, (layout.pane, layout.pane_rows), drawing.glyphs)
    rows = _cpus(drawing, session)
    timed = measures.names(drawing.snapshot, over=drawing.single_calls)
    room = len(charts) * (layout.chart_rows + 1) + 1 + layout.calls
    for name, columns in charts.items():
        if timed and room - layout.chart_rows - 1 < len(timed) + 3:
            break
        rows += _chart(drawing, name, index, columns)
        room -= layout.chart_rows + 1
    if timed:
        rows += measures.draw(drawing.snapshot, session, timed, (layout.pane, room), drawing.glyphs)
    else:
        rows += _calls(drawing, session, index)
    work = _work(drawing, session, shown[0] if index else None)
    return rows + work + [()] * (layout.work - len(work))


def _cpus(drawing: Drawing, session: SessionView) -> list[Line]:
    cells, rows = drawing.layout.pane, drawing.layout.cpus
    shown = list(session.cpus[:rows])
    labels = [f"cpu{cpu.cpu}" for cpu in shown]
    user, system = [cpu.user for cpu in shown], [cpu.system for cpu in shown]
    if len(session.cpus) > rows:  # the last row stands for all CPUs without a row of their own
        rest = session.cpus[rows - 1 :]
        labels[-1] = f"{'' if rows == 1 else '+'}{len(rest)} cpus"
        user[-1] = sum(cpu.user for cpu in rest) / len(rest)
        system[-1] = sum(cpu.system for cpu in rest) / len(rest)
    label = max((len(text) for text in labels), default=4)
    result: list[Line] = []
    stale = drawing.snapshot.stale(session)
    for text, us, sy in zip(labels, user, system, strict=True):
        if stale:
            result.append(line((f"{text:<{label}} ", "muted"), (ABSENT, "faint")))
            continue
        figures: Line = (
            (" us ", "muted"),
            (f"{us * 100:3.0f}", "user"),
            (" sy ", "muted"),
            (f"{sy * 100:3.0f}", "system"),
        )
        room = cells - label - 1 - width(figures)
        result.append((*line((f"{text:<{label}} ", "muted")), *bars.shares(us, sy, room, drawing.glyphs), *figures))
    if not result:
        # A server on another machine will never have one.
        words = (
            "no sample of the CPUs yet" if len(session.samples) < 3 else f"{ABSENT}  the CPUs cannot be seen from here"
        )
        result.append(line((words, "muted")))
    return result + [()] * (rows - len(result))


def as_totals(calls: Sequence[CallView]) -> tuple[CallView, ...]:
    """Counts in place of rates."""
    return tuple(CallView(call.nr, float(call.trap), float(call.direct), call.trap, call.direct) for call in calls)


def _columns(drawing: Drawing, name: str, shown: Sequence[SessionView]) -> list[list[Column]]:
    """The columns of chart ``name`` for each session; None before the first sample, after the last and in gaps."""
    number = columns_for(drawing.layout.pane, drawing.glyphs)
    result = []
    for index, session in enumerate(shown):
        series = session.work if name == "queries" else session.samples
        kept = drawing.state.columns.setdefault((name, index), ChartColumns())
        result.append(
            _blank_gaps(
                drawing,
                kept.update(series, drawing.window, number, CHARTS[name].rates, per_cell=number // drawing.layout.pane),
                number,
            )
        )
    return result


def _chart(drawing: Drawing, name: str, index: int, columns: Sequence[Sequence[Column]]) -> list[Line]:
    layout, glyphs = drawing.layout, drawing.glyphs
    kind = CHARTS[name]
    scale = drawing.state.scale(name)
    most = 100.0 if name == "cpu" else scale.most if index else scale.cover(highest(*columns))
    legend: list[Line] = [((kind.title, "text"),)]
    if len(kind.roles) > 1 and layout.pane >= 50:
        for role, sign in zip(kind.roles, (glyphs.full, glyphs.second), strict=True):
            legend.append((("  ", "text"), (f"{sign} {role}", role)))
    start, end = clock(drawing.window.start_ns), clock(drawing.window.end_ns)
    axis: Line = ((f"{start}–{end}", "faint"), (f"  0–{count(most)}", "muted"))
    if width(legend[0]) + 1 + width(axis) > layout.pane:
        axis = axis[1:]
    head = spread(shorten(legend, layout.pane - width(axis) - 2), axis, layout.pane)
    return [head, *chart(columns[index], most, (layout.pane, layout.chart_rows), kind.roles, glyphs)]


def _blank_gaps(drawing: Drawing, columns: list[Column], number: int) -> list[Column]:
    """A damaged part of the recording is left empty: a straight line across it would be an invention."""
    start, length = drawing.window.start_ns, drawing.window.end_ns - drawing.window.start_ns
    gaps = [int((gap.t_ns - start) * number / length) for gap in drawing.snapshot.gaps]
    if not any(0 <= gap < number for gap in gaps):
        return columns
    return [None if position in gaps else column for position, column in enumerate(columns)]


def _calls(drawing: Drawing, session: SessionView, index: int) -> list[Line]:
    layout, glyphs = drawing.layout, drawing.glyphs
    cells = layout.pane
    if not session.has_calls:
        words = f"{ABSENT}  not counted {'yet' if session.counts_later else 'in this session'}"
        if session.io_rate is not None:
            words += f"; reads and writes, a part of them: {rate(session.io_rate)}"
        absent = line(("system calls/s ", "text"), (words, "muted"))
        return [absent, *[()] * layout.calls]
    totals = drawing.counts
    stale = drawing.stale(session)
    write = short if totals else rate
    rows = [_calls_head(drawing, session, index)]
    calls = drawing.state.calls
    by_number = {call.nr: call for call in calls[index]}
    order = _order(drawing.state)[: layout.calls]
    most = drawing.state.scale("names in all" if totals else "names").cover(
        max((call.rate for each in calls for call in each if call.nr in order), default=0.0)
    )
    names = {nr: printable(drawing.call_name(nr)) for nr in order}
    label = min(max((len(name) for name in names.values()), default=8), 16 if cells >= _WIDE else 9)
    for nr in order:
        name: Span = (f" {cropped(names[nr], label):<{label}} ", "muted")
        if stale:
            rows.append((name, (f"{ABSENT:>8}", "faint")))
            continue
        call = by_number.get(nr) or CallView(nr, 0.0, 0.0, 0, 0)
        number: Span = (f"{write(call.rate):>8} ", "text" if call.rate else "faint")
        room = cells - label - 2 - len(number[0])
        bar = bars.stacked(
            (call.trap_rate, call.direct_rate), most, min(room, 44), glyphs, roles=("trap", "direct"), fine=False
        )
        rows.append((name, number, *bar))
    if index == 0 and not stale:
        rows = _with_scale(rows, layout)
    return rows + [()] * (layout.calls + 1 - len(rows))


_WIDE = 50
"""Cells of a pane from which on words are written out."""


def _calls_head(drawing: Drawing, session: SessionView, index: int) -> Line:
    """All calls together, trapped and direct."""
    cells = drawing.layout.pane
    totals, wide = drawing.counts, cells >= _WIDE
    write = short if totals else rate
    figures: tuple[float | None, ...] = (None, None, session.elevation_rate)
    if session.trap_rate is not None:  # the sum of the names below, of the same instant
        calls = drawing.state.calls[index]
        figures = (sum(call.trap_rate for call in calls), sum(call.direct_rate for call in calls), figures[2])
    if totals:
        figures = (session.trap, session.direct, session.elevations)
    elif drawing.stale(session):
        figures = (None, None, None)
    (trap, direct), elevated = map(write, figures[:2]), figures[2]
    title = "syscalls" if wide else "calls"
    if totals and drawing.snapshot.repeats and wide:
        title = "syscalls, all turns"  # what else is shown of a bench is of a single turn
    if not session.arm:
        # This machine without KML: there is only one way into its kernel.
        head: list[Span] = [(f"{title} " if totals else f"{title}/s ", "text"), (trap, "trap")]
    elif cells >= 37:
        head = [(f"{title}  " if totals else f"{title}/s", "text")]
        head += [("  trap ", "muted"), (f"{trap:>7}", "trap"), ("  direct ", "muted"), (f"{direct:>7}", "direct")]
    else:
        unit = "" if totals else "/s"
        head = [("trap ", "muted"), (trap + unit, "trap"), (" direct ", "muted"), (direct + unit, "direct")]
    row = tuple(head)
    if elevated is not None and (elevated or session.arm == "kml"):
        for word in ("into ring 0", "ring 0"):
            elevations: Line = ((f"{word} ", "muted"), (f"{write(elevated):>5}", "elevation"))
            if width(head) + width(elevations) + 2 <= cells:
                row = spread(row, elevations, cells)
                break
    return row


def _with_scale(rows: list[Line], layout: Layout) -> list[Line]:
    """With the scale of the bars behind their head or, where that leaves no room, behind the last bar that does."""
    words = _SCALES[layout.panes == 1 :]
    for place in (0, *range(len(rows) - 1, 0, -1)):
        row = rows[place]
        if place and row and not row[-1][0].strip():
            row = row[:-1]  # the blanks behind its bar
        room = layout.pane - width(row) - 2
        if scale := next((each for each in words if len(each) <= room), ""):
            rows[place] = spread(row, line((scale, "faint")), layout.pane)
            break
    return rows


def _order(state: PaneState) -> list[int]:
    """The same names in the same rows on both sides, by rate; two names change places only if their rates differ
    clearly."""
    rates: dict[int, float] = {}
    for calls in state.calls:
        for call in calls:
            rates[call.nr] = rates.get(call.nr, 0.0) + call.rate
    known = [nr for nr in state.order if nr in rates]
    order = known + sorted((nr for nr in rates if nr not in known), key=lambda nr: -rates[nr])
    for index in range(1, len(order)):
        position = index
        while position and rates[order[position]] > rates[order[position - 1]] * 1.25 + 1:
            order[position - 1], order[position] = order[position], order[position - 1]
            position -= 1
    state.order = order
    return order


def _work(drawing: Drawing, session: SessionView, other: SessionView | None) -> list[Line]:
    """Queries, latency and progress; the right pane adds how much it differs from the left one."""
    layout, cells = drawing.layout, drawing.layout.pane
    progress = session.progress
    if drawing.snapshot.header.kind == "monitor" and not (session.server or session.lacking):
        return [()] * layout.work  # no server is watched, so there is nothing to say about queries
    if layout.work == 1:
        return [_progress(drawing, session, other)]
    done = drawing.totals or (session.over and (other is None or other.over))
    speed = session.mean_query_rate if done else session.query_rate
    before = None if other is None else other.mean_query_rate if done else other.query_rate
    queries: list[Line] = [(("queries/s ", "text"), (f"{rate(speed):>8}", "queries"))]
    if done:
        queries.append(((" on average", "muted"),))
    counted = judging.clock(drawing.snapshot) == "instructions" or (speed is None and session.queries is not None)
    if counted:  # a rate per second of the host says nothing, or is unknown
        queries = [(("queries ", "text"), (f"{short(session.queries):>10}", "queries"))]
    comparable = other is not None and judging.times(drawing.snapshot) and _abreast(drawing, session, other)
    comparable = comparable and judging.clock(drawing.snapshot) == "wall"
    change: Span | None = (more_or_less(before, speed), "muted") if comparable else None
    if change and change[0]:
        rows = [spread(shorten(queries, cells - width((change,)) - 1), (change,), cells)]
    else:
        rows = [shorten(queries, cells)]
    if progress is None and (session.server or session.lacking):
        return rows + _server(session, layout)
    rows += _latency(drawing, session, other)
    rows.append(_progress(drawing, session, other))
    return rows


_LABEL = 11
"""Cells of a phase and its statement, and one behind them."""


def _progress(drawing: Drawing, session: SessionView, other: SessionView | None) -> Line:
    """Where the workload is, and how much of it is done."""
    progress, cells = session.progress, drawing.layout.pane
    label = f"{progress.phase}" if progress else "–"
    if progress and progress.statement:
        label += f" #{progress.statement}"  # "change 24" would read as a change of 24
    loops = f" {count(progress.loop)}/{count(progress.loops)}" if progress and progress.loops and progress.loop else ""
    fraction = progress.fraction if progress else None
    share = f" {done(fraction)}" if fraction is not None else ""
    if (seconds_left := _left_s(drawing, session)) is not None:
        words = time_left(seconds_left)
        room = cells - _LABEL - _LEAST_BAR - len(share)
        share += next((f"  {each}" for each in (words, words.removeprefix("about ")) if len(each) + 2 <= room), "")
    if _LABEL + (_LEAST_BAR if fraction is not None else 0) + len(loops) + len(share) > cells:
        loops = ""  # the fraction says the same
    room = max(cells - _LABEL - len(loops) - len(share), 0)
    return (
        (f"{cropped(printable(label), _LABEL - 1):<{_LABEL}}", "text"),
        *bars.progress(fraction, room, drawing.glyphs, "stock" if other is None else "kml"),
        (loops, "muted"),
        (share, "text"),
    )


def _left_s(drawing: Drawing, session: SessionView) -> float | None:
    """How long the rest will take if it goes on as so far; None where that would be a guess. A bench says it as a
    whole."""
    progress = session.progress
    snapshot = drawing.snapshot
    if progress is None or not progress.fraction or snapshot.repeats or snapshot.status or snapshot.abandoned:
        return None
    if session.state.state != "running" or not _LEAST_DONE <= progress.fraction < 1:
        return None
    return (progress.t_ns - session.since_ns) / 1e9 * (1 - progress.fraction) / progress.fraction


def _server(session: SessionView, layout: Layout) -> list[Line]:
    """What a server that is only watched reports about itself, or that it reports nothing."""
    if not session.server:
        rows: list[Line] = [line((printable(session.lacking), "warn"))]
        return rows + [()] * (layout.work - 2)
    figures = dict(session.server)
    parts = [("rows/s", rate(session.row_rate))] if session.row_rate is not None else []
    for title, name in (("connections", "Threads_connected"), ("running", "Threads_running"), ("slow", "Slow_queries")):
        if name in figures:
            parts.append((title, count(figures[name])))
    fields: list[Line] = [((f"{title} ", "muted"), (f"{value}  ", "text")) for title, value in parts]
    up = figures.get("Uptime")
    rows = [shorten(fields, layout.pane + 2)]
    if layout.work >= 3:
        rows.append(line((f"up {clock(up * 1_000_000_000)}" if up is not None else "", "muted")))
    return rows


def _abreast(drawing: Drawing, session: SessionView, other: SessionView) -> bool:
    """Both have been at the same part of the work for as long as rates are averaged over: only then can their rates be
    compared. At the end these are the rates of the whole work."""
    if drawing.totals or (session.progress is None and other.progress is None):
        return True
    mine, theirs = (drawing.state.part(each, drawing.snapshot.t_ns) for each in (session, other))
    return mine[0] == theirs[0] and drawing.snapshot.t_ns - max(mine[1], theirs[1]) >= RATE_WINDOW_NS


def _current_latency(session: SessionView, *, whole: bool) -> LatencyView | None:
    """For the statement that is being run, None until its first latencies have been reported; for all statements if
    the ``whole`` workload is shown, or if it has none."""
    current = session.progress.statement if session.progress else 0
    return session.latency if whole or not current else dict(session.statements).get(current)


def _latency(drawing: Drawing, session: SessionView, other: SessionView | None) -> list[Line]:
    """Percentiles, in one row or two; the right pane adds how much of them is saved, if that can be compared."""
    cells, whole, rows = drawing.layout.pane, drawing.totals, drawing.layout.work - 2
    if rows <= 0:
        return []
    latency = _current_latency(session, whole=whole)
    if latency is None:
        return [line(("latency  ", "text"), (ABSENT, "muted")), ()][:rows]
    before = None
    if other is not None and judging.times(drawing.snapshot) and (whole or _same_part(session, other)):
        before = _current_latency(other, whole=whole)
    values = [micros(value) for value in (latency.p50_us, latency.p95_us, latency.p99_us)]
    parts = list(zip(("p50", "p95", "p99"), values, strict=True))
    changes = ["" if each is None else percent(each).lstrip("+") for each in judging.latency_saved(before, latency)]
    change: Span | None = None
    if changes[0] and rows == 1:
        change = (f"p50 saved {changes[0]}" if cells >= 50 else f"saved {changes[0]}", "muted")
    tail = [("p99.9", micros(latency.p999_us)), ("longest", micros(latency.max_us))]
    if rows == 1 and cells >= 70:
        parts.append(tail[0])
    first = _fields("latency", parts, cells - (len(change[0]) + 1 if change else 0))
    if rows == 1:
        return [spread(first, (change,), cells) if change else first]
    if any(changes):
        told = [(each or ABSENT).rjust(len(value)) for each, value in zip(changes, values, strict=True)]
        second = _fields("saved", list(zip(("p50", "p95", "p99"), told, strict=True)), cells, "muted")
    else:
        second = _fields("", tail, cells)
    return [first, second]


def _fields(label: str, parts: Sequence[tuple[str, str]], cells: int, role: str = "text") -> Line:
    """A label, and of the named values as many as there is room for."""
    spans: list[Span] = [(f"{label:<{len('latency')}}", role)]
    for name, value in parts:
        part: tuple[Span, Span] = ((f"  {name} ", "muted"), (value, role))
        if width(spans) + width(part) > cells:
            break
        spans += part
    return tuple(spans)


def _same_part(session: SessionView, other: SessionView) -> bool:
    """Both are at the same statement, so its latencies since the beginning can be compared."""
    mine, theirs = session.progress, other.progress
    if mine is None or theirs is None:
        return mine is theirs
    return (mine.phase, mine.statement) == (theirs.phase, theirs.statement)
