# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole run on one or two lines: throughput, phases, marks, damage, and where the screen is."""

from __future__ import annotations

from kmltui.live.views import QUERIES, Snapshot
from kmltui.printable import printable
from kmltui.tui.draw.chart import ChartColumns, Column, Rates, Window, highest, nice
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, clock, fit


def geometry(cells: int) -> tuple[int, int]:
    """First column and length of the track in a timeline ``cells`` wide, to translate mouse positions."""
    return 7, max(cells - 16, 1)


def time_at(column: int, cells: int, duration_ns: int) -> int:
    """The run's time under a column of the timeline."""
    start, length = geometry(cells)
    return int(min(max((column - start + 0.5) / length, 0.0), 1.0) * duration_ns)


def draw(frame: Frame, cells: int, rows: int, glyphs: Glyphs, kept: dict[str, ChartColumns]) -> list[Line]:
    """``rows`` is 1 or 2; with two, the second one names the phases and marks. ``kept`` is kept between frames."""
    start, length = geometry(cells)
    duration = max(axis_ns(frame), 1)
    track = _throughput(frame.head, duration, length, glyphs, kept)
    names: list[tuple[str, str]] = [(" ", "text")] * (cells - start)  # the last one may go on below the time at the end
    columns = [min(int(landmark.t_ns / duration * length), length - 1) for landmark in frame.landmarks]
    for column, landmark in zip(columns, frame.landmarks, strict=True):
        if landmark.kind == "mark":
            track[column] = (glyphs.mark, "mark")
        elif landmark.kind == "gap":
            track[column] = (glyphs.failed, "bad")
        role = {"mark": "mark", "gap": "bad"}.get(landmark.kind, "faint")
        text = printable(landmark.text) if landmark.kind != "gap" else "damaged"
        sign = glyphs.mark if landmark.kind == "mark" else glyphs.wall
        # A name ends where the next one begins: what is left of it behind a shorter one would be read as part of that.
        room = min((other for other in columns if other > column), default=len(names)) - column
        for index, character in enumerate((sign + text[:20])[:room]):
            names[column + index] = (character, role if index == 0 or landmark.kind != "phase" else "muted")
    here = min(int(frame.view.t_ns / duration * length), length - 1)
    if not (frame.live and frame.at_head):
        track[here] = (glyphs.cursor, "cursor")
    left = " 00:00 "
    right = f" {clock(duration):<8}" if not frame.reading else " reading…"
    result: list[Line] = [((left, "muted"), *track, (right, "muted"))]
    if rows > 1:
        result.append(((" " * start, "text"), *names))
    return [fit(_merge(each), cells) for each in result]


def axis_ns(frame: Frame) -> int:
    """The time that the timeline spans: in a live run more than has passed, so that it seldom shifts."""
    if not frame.live:
        return frame.duration_ns
    length = 60_000_000_000
    while length < frame.duration_ns:
        length = length * 3 // 2
    return length


_QUERIES = Rates((QUERIES,), 0, 1e9)


def _throughput(
    head: Snapshot, duration: int, length: int, glyphs: Glyphs, kept: dict[str, ChartColumns]
) -> list[tuple[str, str]]:
    """Queries per second of all sessions together, as a height; without queries a plain track."""
    frame = Window(0, duration)
    found = [
        kept.setdefault(session.name, ChartColumns()).update(session.work, frame, length, _QUERIES)
        for session in head.sessions
    ]
    columns: list[Column] = []
    for values in zip(*found, strict=True):
        known = [value[0] for value in values if value]
        columns.append((sum(known),) if known else None)
    most = nice(highest(columns)) if any(columns) else 0.0  # a scale that ends at a round value seldom moves
    full = len(glyphs.levels) - 1
    result: list[tuple[str, str]] = []
    for position, column in enumerate(columns):
        if column is None or not most:
            result.append((glyphs.rule if position * duration <= head.t_ns * length else " ", "rule"))
        else:
            level = max(round(column[0] / most * full), 1) if column[0] else 0
            result.append((glyphs.levels[level] if level else glyphs.rule, "queries" if level else "rule"))
    return result


def _merge(spans: Line) -> Line:
    result: list[tuple[str, str]] = []
    for text, role in spans:
        if result and result[-1][1] == role:
            result[-1] = (result[-1][0] + text, role)
        else:
            result.append((text, role))
    return tuple(result)
