# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of the run, as ``kmltui report`` prints it, made from what has been recorded so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from kmltui.figures.card import CardLine, card
from kmltui.figures.figures import CallCounts
from kmltui.figures.settled import settled
from kmltui.figures.statements import StatementCalls
from kmltui.figures.summarise import summarise
from kmltui.recording import with_progress
from kmltui.tui.draw import bars
from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame, Source
from kmltui.tui.text import Line, Span, line

_MARGINS = 3
_NARROWEST = 40


def make_report(source: Source, width: int, progress: Callable[[float], object] = lambda _: None) -> str:
    """The report's text, for a screen of so many columns; if there can be no report, a text that says why.

    Reads the whole recording: call it in a thread. ``progress`` is called with the fraction that has been read.
    """
    if not callable(getattr(source, "records", None)):
        return "a stream cannot be read twice: there is no report of it here"
    from kmltui.report import render  # noqa: PLC0415  (most viewers never ask for it)
    from kmltui.report.text import WIDTH  # noqa: PLC0415

    try:
        return render(
            summarise(with_progress(source.records(), source.duration_ns, progress)),
            "text",
            max(min(WIDTH, width - _MARGINS), _NARROWEST),
        )
    except Exception as error:
        return f"there is no report of this recording: {error}"


class Outcome(Struct, frozen=True):
    """What only the whole recording tells."""

    card: Sequence[CardLine] = ()
    """The end card; empty if there is nothing to say."""
    calls: StatementCalls | None = None
    counts: Mapping[str, CallCounts] = {}
    """The system calls of each session without those of the monitor's agent; empty for a bench, whose are means."""

    measured: Mapping[str, Mapping[str, Mapping[str, float]]] = {}
    """Of each session the figures that the workload measured, by name; of a bench the means over the pairs."""

    def settle(self, frame: Frame) -> Frame:
        """The frame with these counts in place of those that samples give, which include the agent's own calls, and
        with means in place of what the last turn of a bench measured.

        After the end no panel may contradict card or report.
        """
        view = frame.view
        if not view.status or not (self.counts or self.measured):
            return frame
        sessions = tuple(settled(session, self.counts.get(session.name)) for session in view.sessions)
        measures = tuple(
            replace(measure, values={**self.measured.get(measure.session, {}).get(measure.name, measure.values)})
            for measure in view.measures
        )
        return replace(frame, view=replace(view, sessions=sessions, measures=measures))


def make_outcome(source: Source) -> Outcome:
    """An empty one if there is no recording to read. Call it in a thread, too."""
    calls = StatementCalls()
    try:
        summary = summarise(calls.listening(source.records()))
        counts = {name: each.syscalls for name, each in summary.sessions.items() if each.syscalls is not None}
        measured = {
            name: {
                figure: {way: value for way, value in found.items() if way != "unit"}
                for figure, found in each.measures.items()
            }
            for name, each in summary.sessions.items()
        }
        return Outcome(card(summary), calls, counts if summary.pairs is None else {}, measured)
    except Exception:  # whatever is wrong with the recording, the report says so
        return Outcome()


class ReportPage(ScrolledPage):
    name: ClassVar[str] = "report"
    title: ClassVar[str] = "Report"

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        """Empty while it is being made."""
        self.fraction = 0.0
        """The fraction of the recording that has been read for it."""

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        return []

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        if not self.text:
            done = bars.progress(self.fraction, 30, canvas.glyphs)
            said: Span = (f" {canvas.glyphs.busy} reading the recording  ", "muted")
            return [(), (said, *done, (f" {self.fraction:4.0%}", "muted"))]
        return [_line(text) for text in self.text.splitlines()]


def _line(text: str) -> Line:
    """Headings stand out; the report's own text has no other markup."""
    bare = text.strip()
    if bare and set(bare) <= set("─-=═ "):
        return line((f" {text}", "faint"))
    if bare and not text.startswith(" ") and (bare.isupper() or bare.endswith(":")):
        return line((f" {text}", "strong"))
    return line(f" {text}")
