"""The workload's statements: latency of each, stock against KML."""

from __future__ import annotations

from typing import ClassVar

from kmltui.analysis.printable import printable
from kmltui.analysis.views import LatencyView
from kmltui.tui.pages.base import Canvas, Column, Row, TablePage
from kmltui.tui.player import Frame
from kmltui.tui.text import ABSENT, Line, count, difference, judged, micros, rate


class QueriesPage(TablePage):
    name: ClassVar[str] = "queries"
    title: ClassVar[str] = "Queries"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("statement", 0, left=True),
        Column("stock p50", 11),
        Column("kml p50", 11),
        Column("diff", 10),
        Column("stock p99", 11, least=90),
        Column("kml p99", 11, least=90),
        Column("diff p99", 10, least=100),
        Column("stock max", 11, least=125),
        Column("kml max", 11, least=125),
        Column("queries", 12, least=80),
    )
    sort = 0
    descending = False

    def total(self, frame: Frame, canvas: Canvas) -> Line:
        pair = frame.view.pair
        if pair is None:
            return ()
        change = judged(difference(pair[0].query_rate, pair[1].query_rate), more_is_better=True)
        return (
            (" queries/s  ", "muted"),
            (rate(pair[0].query_rate), "stock"),
            (f" {canvas.glyphs.arrow} ", "muted"),
            (rate(pair[1].query_rate), "kml"),
            ("  ", "text"),
            change,
            ("    in all  ", "muted"),
            (count(pair[0].queries), "stock"),
            (" / ", "muted"),
            (count(pair[1].queries), "kml"),
        )

    def rows(self, frame: Frame, canvas: Canvas) -> list[Row]:
        pair = frame.view.pair
        if pair is None:
            return []
        titles = frame.view.workload.statements
        left, right = dict(pair[0].statements), dict(pair[1].statements)
        found = [_row(number, _title(number, titles), left.get(number), right.get(number)) for number in left | right]
        if len(found) > 1:
            found.append(_row(10_000, "all statements", pair[0].latency, pair[1].latency))
        return found


def _title(number: int, titles: list[str]) -> str:
    if number == 0:
        return "the workload's queries"
    return f"{number:>2}  {printable(titles[number - 1])}" if number <= len(titles) else f"statement {number}"


def _row(number: int, title: str, a: LatencyView | None, b: LatencyView | None) -> Row:
    p50 = difference(a.p50_us if a else None, b.p50_us if b else None)
    p99 = difference(a.p99_us if a else None, b.p99_us if b else None)
    queries = (a.count if a else 0) + (b.count if b else 0)
    values = (
        (a.p50_us if a else None, "stock"),
        (b.p50_us if b else None, "kml"),
        (p50, ""),
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
            cells.append(judged(value, more_is_better=False) if value is not None else (ABSENT, "faint"))
        keys.append(value if value is not None else -1.0)
    return Row((*cells, (count(queries), "muted")), (*keys, queries))
