# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording's report, or how two recordings differ, above the home screen."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from kmltui.printable import printable
from kmltui.tui.controls import Library, RunRow
from kmltui.tui.textual_private import Steady

_FRAME = 3
"""Columns that the border of a report takes in addition to the margins of the screen itself."""


class ReportScreen(Steady, ModalScreen[None]):
    """A recording's report, or how two recordings differ; any key that leaves a screen closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,r", "close", "close")]

    def __init__(self, library: Library, row: RunRow, other: RunRow | None = None) -> None:
        super().__init__()
        self._library, self._row, self._other = library, row, other

    def compose(self) -> ComposeResult:
        text = OptionList(Option("reading…", disabled=True), id="report", markup=False)
        text.border_title = printable(self._row.name + (f" and {self._other.name}" if self._other else ""))
        yield text

    def on_mount(self) -> None:
        self._read()

    @work(thread=True, group="report")
    def _read(self) -> None:
        told = 0.0

        def show(fraction: float) -> None:
            nonlocal told
            if fraction - told >= 0.01:
                told = fraction
                self.app.call_from_thread(self._show, f"reading… {fraction:.0%}")

        width = self.app.size.width - _FRAME
        try:
            if self._other is not None:
                text = self._library.comparison_text(self._row.path, self._other.path, width)
            else:
                text = self._library.report_text(self._row.path, width, show)
        except Exception as error:
            text = f"there is no report of this: {error}"
        self.app.call_from_thread(self._show, text)

    def _show(self, text: str) -> None:
        for report in self.query("#report").results(OptionList):  # none once the dialog has been closed
            report.clear_options()
            report.add_options([Option(printable(line) or " ") for line in text.splitlines()])

    def action_close(self) -> None:
        self.dismiss()
