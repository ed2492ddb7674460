"""The article's tables with this run's figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, line


class ReportPage(ScrolledPage):
    name: ClassVar[str] = "report"
    title: ClassVar[str] = "Report"

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        return []

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        return [line(" to come")]
