# SPDX-License-Identifier: GPL-2.0-or-later
"""Queries: for a workload the latency of each statement, stock against KML; for a watched server what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.figures.statements import StatementCalls
from kmltui.live.views import DigestView, LatencyView, SessionView
from kmltui.printable import printable
from kmltui.tui.draw import callcost, judging, panes, server
from kmltui.tui.pages.base import Canvas, Column, Row, TablePage
from kmltui.tui.player import Frame
from kmltui.tui.text import (
    ABSENT,
    Line,
    Span,
    count,
    cropped,
    line,
    micros,
    more_or_less,
    percent,
    rate,
    short,
    shorten,
    width,
)


class QueriesPage(TablePage):
    name: ClassVar[str] = "queries"
    title: ClassVar[str] = "Queries"
    columns: tuple[Column, ...] = (Column("statement", 0, left=True),)
    empty = "no query has been reported yet: latencies come with the client's reports"

    def __init__(self) -> None:
        super().__init__()
        self._state = panes.PaneState()
        self.calls: StatementCalls | None = None
        """Of each statement the calls a query, those that are inferred from samples among them: known once the run is
        over and its recording has been read."""

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        watched = _watched(frame)
        if watched is not None:
            if self.columns[0].title != _DIGEST:
                self.columns, self.usual = _DIGEST_COLUMNS, 1
            summary = server.summary(watched, canvas.width) if watched.server else []
            return [*summary, *super().head(frame, canvas)] if watched.digests else summary
        if judging.without_queries(frame.view):
            return []
        self.columns = _columns([cropped(printable(session.name), 6) for session in frame.view.pair or ()])
        return super().head(frame, canvas)

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        watched = _watched(frame)
        if watched is None:
            if judging.without_queries(frame.view):
                return [
                    (),
                    line((" This workload makes no queries: its system calls by name are on the page t.", "text")),
                ]
            shown = frame.view.pair or frame.view.sessions[:1]
            now = callcost.at_work(frame.view, shown, self._state, canvas.call_name)
            every = self._by_statement(frame, shown, canvas)
            return [*super().body(frame, canvas), *now, *every]
        if not watched.server:
            self.listed = []
            lines = [line((f" {printable(watched.lacking) or 'no server is watched'}", "muted"))]
        else:
            lines = list(super().body(frame, canvas)) if watched.digests else []
            if watched.digests:
                lines.append(line((" x: the server's plan (EXPLAIN) of the statement at the mark", "faint")))
        cost = callcost.cost(frame.view, canvas.call_name, canvas.width - 1)
        return [*lines, *cost, *server.absent(watched, canvas.width - 1), *server.threads(watched)]

    def _by_statement(self, frame: Frame, shown: Sequence[SessionView], canvas: Canvas) -> list[Line]:
        calls = self.calls if frame.view.status else None
        if calls is None:
            calls = StatementCalls()
            for each in (each for session in shown for each in session.counted):
                calls.hear(each)
        size = (canvas.width - 1, canvas.glyphs)
        return callcost.by_statement(frame.view, shown, calls, size, canvas.call_name)

    def total(self, frame: Frame, canvas: Canvas) -> Line:
        if _watched(frame) is not None:
            return ()
        pair = frame.view.pair
        # A rate per second of the host says nothing of sessions whose clock counts instructions.
        by_wall = judging.clock(frame.view) != "instructions"
        # A session counts anew in each repetition of a bench; the latencies below are of all of them.
        span = "in this repetition" if frame.view.header.kind == "bench" else "in all"
        if pair is None:
            alone = frame.view.sessions[0]
            if not by_wall:
                return ((f" queries {span}  ", "muted"), (count(alone.queries), "text"))
            rows: Line = (("    rows/s  ", "muted"), (rate(alone.row_rate), "text"))
            return ((" queries/s  ", "muted"), (rate(alone.query_rate), "text"), *rows)
        comparable = judging.times(frame.view) and by_wall
        change: Span = (more_or_less(pair[0].query_rate, pair[1].query_rate) if comparable else "", "muted")
        known = by_wall and any(session.query_rate is not None for session in pair)
        rates: Line = (
            (" queries/s  ", "muted"),
            (rate(pair[0].query_rate), "stock"),
            (f" {canvas.glyphs.arrow} ", "muted"),
            (rate(pair[1].query_rate), "kml"),
        )
        totals: Line = (
            (f"    {span}  " if known else f" queries {span}  ", "muted"),
            (count(pair[0].queries), "stock"),
            (" / ", "muted"),
            (count(pair[1].queries), "kml"),
        )
        parts = [rates, (("  ", "text"), change), totals] if known else [totals]
        return shorten(parts, canvas.width - width(self.filter_sign()))

    def rows(self, frame: Frame, canvas: Canvas) -> list[Row]:
        if (watched := _watched(frame)) is not None:
            return [_digest(view) for view in watched.digests]
        pair = frame.view.pair
        titles = frame.view.workload.statements
        if pair is None:
            alone = frame.view.sessions[0].statements
            return [_row_alone(_title(number, titles), number, view) for number, view in alone]
        left, right = dict(pair[0].statements), dict(pair[1].statements)
        found = [_row(number, _title(number, titles), left.get(number), right.get(number)) for number in left | right]
        if len(found) > 1:
            a, b = pair[0].latency, pair[1].latency
            # While one session is ahead of the other, they are executing different statements.
            found.append(_row(10_000, "all statements", a, b, comparable=bool(a and b and a.count == b.count)))
        return found


_DIGEST = "statement, without its values"
_DIGEST_COLUMNS = (
    Column(_DIGEST, 0, left=True),
    Column("threads", 9),
    Column("calls/s", 9),
    Column("a call", 10),
    Column("rows/call", 11, least=90),
    Column("calls", 12, least=100),
    Column("errors", 9, least=120),
)


def _watched(frame: Frame) -> SessionView | None:
    """The session whose server is only watched, if that is what is shown."""
    return frame.view.sessions[0] if frame.view.header.kind == "monitor" else None


def _digest(view: DigestView) -> Row:
    text = f"{printable(view.schema)}: {printable(view.text)}" if view.schema else printable(view.text)
    share = view.time_share
    cells = (
        (text, "text"),
        (f"{share:.2f}" if share is not None else ABSENT, "strong" if share and share >= 0.1 else "muted"),
        (rate(view.call_rate), "queries"),
        (micros(view.us_per_call), "text"),
        (short(view.rows_per_call), "muted"),
        (count(view.calls), "muted"),
        (count(view.errors) if view.errors else "", "warn"),
    )
    keys = (text, share or 0.0, view.call_rate or 0.0, view.us_per_call or 0.0, view.rows_per_call or 0.0)
    return Row(cells, (*keys, view.calls, view.errors), choice=(view.digest, view.schema))


def _columns(names: list[str]) -> tuple[Column, ...]:
    """For two sessions side by side, or for one if no names are given."""
    statement, queries = Column("statement", 0, left=True), Column("queries", 16, least=80)
    if not names:
        return statement, *(Column(name, 11) for name in ("p50", "p95", "p99", "max")), queries
    left, right = names
    return (
        statement,
        Column(f"{left} p50", 11, name="first p50"),
        Column(f"{right} p50", 11, name="second p50"),
        Column("saved p50", 11),
        Column(f"{left} p95", 11, least=175, name="first p95"),
        Column(f"{right} p95", 11, least=175, name="second p95"),
        Column("saved p95", 11, least=175),
        Column(f"{left} p99", 11, least=90, name="first p99"),
        Column(f"{right} p99", 11, least=90, name="second p99"),
        Column("saved p99", 11, least=101),
        Column(f"{left} max", 11, least=125, name="first max"),
        Column(f"{right} max", 11, least=125, name="second max"),
        queries,
    )


def _row_alone(title: str, number: int, view: LatencyView) -> Row:
    values = (view.p50_us, view.p95_us, view.p99_us, view.max_us)
    cells = ((title, "text"), *((micros(value), "text") for value in values), (count(view.count), "muted"))
    return Row(cells, (number, *values, view.count))


def _title(number: int, titles: list[str]) -> str:
    if number == 0:
        return "the workload's queries"
    return f"{number:>2}  {printable(titles[number - 1])}" if number <= len(titles) else f"statement {number}"


def _row(number: int, title: str, a: LatencyView | None, b: LatencyView | None, *, comparable: bool = True) -> Row:
    p50, p95, p99 = judging.latency_saved(a, b) if comparable else (None, None, None)
    many = max((view.count for view in (a, b) if view), default=0) > 999_999 and a and b and a.count != b.count
    of_a, of_b = ((short if many else count)(view.count) if view else ABSENT for view in (a, b))
    queries = (a.count if a else 0) + (b.count if b else 0)
    values = (
        (a.p50_us if a else None, "stock"),
        (b.p50_us if b else None, "kml"),
        (p50, ""),
        (a.p95_us if a else None, "stock"),
        (b.p95_us if b else None, "kml"),
        (p95, ""),
        (a.p99_us if a else None, "stock"),
        (b.p99_us if b else None, "kml"),
        (p99, ""),
        (a.max_us if a else None, "muted"),
        (b.max_us if b else None, "muted"),
    )
    cells = [(title, "strong" if number == 10_000 else "text")]
    keys: list[float | str] = [number]
    for value, role in values:
        if role:
            cells.append((micros(value), role if value is not None else "faint"))
        else:
            cells.append((percent(value).lstrip("+"), "muted") if value is not None else (ABSENT, "faint"))
        keys.append(value if value is not None else -1.0)
    # The work is usually equal: then one number suffices.
    return Row((*cells, (of_a if of_a == of_b else f"{of_a}/{of_b}", "muted")), (*keys, queries))
