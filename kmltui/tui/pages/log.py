# SPDX-License-Identifier: GPL-2.0-or-later
"""The log: phases and states, consoles, the servers' logs, warnings and marks, in chronological order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.printable import printable
from kmltui.tui.draw.cards import state_word
from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, clock, cropped, line, size


class LogPage(ScrolledPage):
    name: ClassVar[str] = "log"
    title: ClassVar[str] = "Log"
    follows_end: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.filter = ""

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        filtered = f"   filter: {self.filter}" if self.filter else ""
        head = line((f" {'time':>8} {'session':<8} {'from':<8} text", "muted"), (filtered, "warn"))
        return [head, line((canvas.glyphs.rule * canvas.width, "rule"))]

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        view, glyphs = frame.view, canvas.glyphs
        entries: list[tuple[int, str, str, str, str]] = []
        for log in view.logs:
            role = {"warning": "warn", "error": "bad"}.get(log.level, "text")
            entries.append((log.t_ns, log.session or "runner", log.source, log.text, role))
        for session in view.sessions:
            entries += [(phase.begin_ns, session.name, "phase", phase.name, "title") for phase in session.phases]
            state = session.state
            entries.append(
                (state.t_ns, session.name, "state", f"{state_word(state.state)} {state.detail}".strip(), "strong")
            )
        entries += [
            (mark.t_ns, mark.author or "viewer", "mark", f"{glyphs.mark} {mark.note}", "mark") for mark in view.marks
        ]
        entries += [
            (gap.t_ns, "", "damage", f"{size(gap.lost_bytes)} of the recording lost: {gap.reason}", "bad")
            for gap in view.gaps
        ]
        entries.sort(key=lambda entry: entry[0])
        wanted = self.filter.lower()
        return [
            (
                (f" {clock(t_ns):>8} ", "muted"),
                (f"{cropped(printable(session), 8):<8} ", "muted"),
                (f"{source:<8} ", "muted"),
                (printable(text), role),
            )
            for t_ns, session, source, text, role in entries
            if wanted in f"{session} {source} {text}".lower()
        ]
