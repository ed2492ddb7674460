# SPDX-License-Identifier: GPL-2.0-or-later
"""For an audience: two large numbers, one chart and one sentence. This view makes no judgements of its own; it only
quotes."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import ClassVar

from kmltui.figures.card import CardLine
from kmltui.figures.verdict import share_text
from kmltui.live.views import SessionView, Snapshot
from kmltui.printable import printable
from kmltui.tui.draw import bigtext, cards, judging, panes
from kmltui.tui.layout import Layout
from kmltui.tui.pages.base import Canvas, Page
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, Span, centre, fit, rate, short

_WINDOW_NS = 60_000_000_000
_SENTENCE_ROWS = 4
_MARGIN = 4
"""Cells of a pane that its number leaves free, so that two of them do not look like one."""
_TONES = {"good": "good", "bad": "bad", "warning": "warn", "plain": "strong"}
_ORDER = ("warning", "calls", "call", "measured")
"""The outcome of the run in one sentence: a warning takes precedence over everything else, and a count over a time."""


class ProjectorPage(Page):
    name: ClassVar[str] = "projector"
    title: ClassVar[str] = "Projector"

    def __init__(self) -> None:
        self.card: Sequence[CardLine] = ()
        """The outcome of the run, once that is known."""
        self._state = panes.PaneState()

    def draw(self, frame: Frame, canvas: Canvas) -> list[Line]:
        view = frame.view
        shown = view.pair or view.sessions[:1]
        layout = Layout(canvas.width, canvas.height, panes=2)
        big = max(min((canvas.height - _SENTENCE_ROWS) * 2 // 5, 2 * bigtext.ROWS), 1)
        numbers = _numbers(view, shown, layout.pane)
        columns = []
        drawn_values = bigtext.draw([value for _, value, _ in numbers], layout.pane - _MARGIN, big, canvas.glyphs)
        for (what, _, role), rows in zip(numbers, drawn_values, strict=True):
            ink = max(map(len, rows))
            drawn = [centre(((f"{row:<{ink}}", role),), layout.pane) for row in rows]
            columns.append([centre((what,), layout.pane), (), *drawn])
        height = max(map(len, columns))
        between: Span = ("   ", "text")
        lines: list[Line] = [()]
        for a, b in zip(*(column + [()] * (height - len(column)) for column in columns), strict=True):
            lines.append((*fit(a, layout.pane), between, *fit(b, layout.pane)))
        sentence = _awaited(view, shown) or _sentence(view, shown, self.card)
        chart_rows = canvas.height - len(lines) - _SENTENCE_ROWS - 3
        if chart_rows >= 3 and any(session.has_calls for session in shown):  # a chart of nothing would look like zeros
            single = Layout(canvas.width, canvas.height, charts=("calls",), chart_rows=chart_rows, panes=len(shown))
            lines += [(), *panes.charts(view, single, canvas.glyphs, self._state, _WINDOW_NS)]
        lines.append(())
        for text, role in sentence:
            lines += [centre(((row, role),), canvas.width) for row in wrap(printable(text), max(canvas.width - 4, 20))]
        lines += [()] * (canvas.height - len(lines))
        return [fit(each, canvas.width) for each in lines[: canvas.height]]


Number = tuple[Span, str, str]
"""What the number is, its value, and the value's role."""


def _numbers(view: Snapshot, shown: Sequence[SessionView], cells: int) -> list[Number]:
    """For two sessions the traps of both: while they work, per second, then in total. For one session, queries and
    calls."""
    if len(shown) == 1:
        alone = shown[0]
        calls = None if alone.trap_rate is None else alone.trap_rate + (alone.direct_rate or 0.0)
        return [
            (("queries a second", "muted"), rate(alone.query_rate), "queries"),
            (("system calls a second", "muted"), rate(calls), "trap"),
        ]
    # In exact mode samples come too seldom for rates.
    whole = "all turns" if view.repeats else "in all"  # of a bench the outcome is told of one turn
    totals = bool(view.status) or any(spec.exact for spec in view.header.sessions)
    words = (
        (f"traps into the kernel, {whole}", f"traps, {whole}")
        if totals
        else ("traps into the kernel, a second", "traps/s")
    )
    names = [printable(session.name).upper() for session in shown]
    longest = max(map(len, names))  # both sides say the same of their numbers
    said = next((f": {each}" for each in words if longest + 2 + len(each) <= cells), "")
    return [
        (
            (f"{name}{said}", "kml" if index else "stock"),
            short(session.trap) if totals else rate(session.trap_rate),
            "direct" if index else "trap",
        )
        for index, (name, session) in enumerate(zip(names, shown, strict=True))
    ]


def _awaited(view: Snapshot, shown: Sequence[SessionView]) -> list[Span]:
    """Before there is a number: that it will come, and what each session is at until then."""
    if view.status or not all(session.counts_later for session in shown):
        return []
    doing = [
        ", ".join(filter(None, (f"{session.name}: {cards.state_word(session.state.state)}", session.state.detail)))
        for session in shown
    ]
    return [("Nothing has been counted yet", "strong"), ("; ".join(doing), "muted")]


def _sentence(view: Snapshot, shown: Sequence[SessionView], card: Sequence[CardLine]) -> list[Span]:
    """The sentence, and what qualifies it; during the work only what has been counted."""
    if view.status and card:
        first = min(
            (line for line in card if line.kind in _ORDER), key=lambda line: _ORDER.index(line.kind), default=None
        )
        if first is not None:
            more: list[Span] = [(first.more, "muted")] if first.more else []
            return [(f"{first.label}: {first.text}", _TONES[first.tone]), *more]
    if (trapped := judging.not_kml(view)) is not None:
        return [(f"{trapped.name} runs in ring 3: this is not Kernel Mode Linux", "warn")]
    if judging.warming_up(view):
        return [("Warming up: nothing is compared yet", "strong")]
    last = shown[-1]
    calls = (last.trap or 0) + (last.direct or 0)
    if last.direct and calls:
        share = share_text(last.direct / calls)
        return [
            (f"{last.name} has made {share} of {calls:,} system calls without a trap", "strong"),
            ("counted, each one", "muted"),
        ]
    if len(shown) == 1 and last.query_rate and last.trap_rate is not None:
        return [
            (f"{(last.trap_rate + (last.direct_rate or 0.0)) / last.query_rate:,.1f} system calls a query", "strong")
        ]
    return []
