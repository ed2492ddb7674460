"""The first screen when nothing was named: the recordings of this machine, and what can be done with them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, OptionList, Static
from textual.widgets.option_list import Option

from kmltui.printable import printable
from kmltui.tui.controls import Choice, Library, RunRow
from kmltui.tui.draw import header
from kmltui.tui.layout import SMALLEST
from kmltui.tui.screens.dialogs import Ask, Prompt
from kmltui.tui.text import clock, size
from kmltui.tui.widgets.keybar import KeyBar, unique_bindings
from kmltui.tui.widgets.lines import Lines

_COLUMNS = ("when", "run", "sessions", "result", "size", "length", "name")
"""The name last: unless the user has given it, it repeats the time and the workload, and a small screen lacks room."""
_GIVEN_BY_US = re.compile(r"\d{8}-\d{6}-")


_OWN_NAME = 18
"""Characters of a name that the user has given, where the workload is shown."""
_LEAST_ROWS = 8
"""Title, heads, a few rows, note and keys."""
_REPORT_FRAME = 3
"""Columns that the border of a report takes beyond the margins of the screen's own."""


class PickerScreen(Screen[None]):
    """Lists runs, newest first; Enter watches a live one and replays any other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "watch or replay", priority=True),
        Binding("s", "start", "start a run"),
        Binding("r", "report", "report"),
        Binding("n", "rename", "rename"),
        Binding("d,delete", "delete", "delete", key_display="d"),
        Binding("f5,ctrl+r", "reload", "reload", show=False),
        Binding("T", "app.next_theme", "theme", show=False),
        Binding("q,escape", "quit", "quit", key_display="q"),
    ]

    def __init__(self, library: Library) -> None:
        super().__init__()
        self._library = library
        self._rows: Sequence[RunRow] = ()

    def compose(self) -> ComposeResult:
        yield Static("kmltui · recordings", id="picker-title", markup=False)
        table: DataTable[str] = DataTable(id="runs", cursor_type="row", zebra_stripes=False)
        table.add_columns(*_COLUMNS)
        yield table
        yield Static("reading…", id="picker-note", markup=False)
        yield KeyBar(id="keys")
        yield Lines(id="small")

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        too_small = width < SMALLEST[0] or height < _LEAST_ROWS
        self.set_class(too_small, "too-small")
        if too_small:
            self.query_one("#small", Lines).show_lines(header.too_small(width, height, (SMALLEST[0], _LEAST_ROWS)))
        self.call_after_refresh(self._show_keys)

    def _show_keys(self) -> None:
        self.query_one(KeyBar).show_bindings([each for each in unique_bindings(self) if each.show])

    def on_mount(self) -> None:
        self.action_reload()

    @work(thread=True, exclusive=True, group="list")
    def action_reload(self) -> None:
        try:
            rows: Sequence[RunRow] = self._library.list_runs()
            problem = ""
        except Exception as error:
            rows, problem = (), f"the recordings cannot be listed: {error}"
        self.app.call_from_thread(self._show, rows, problem)

    def _show(self, rows: Sequence[RunRow], problem: str) -> None:
        self._rows = sorted(rows, key=lambda row: (row.result != "live", -row.created_unix_ns))
        table = self.query_one("#runs", DataTable)
        cursor = table.cursor_row
        table.clear()
        for row in self._rows:
            table.add_row(*_cells(row))
        if self._rows:
            table.move_cursor(row=min(max(cursor, 0), len(self._rows) - 1))
        note = problem or ("" if self._rows else "There is no recording yet: s starts a run.")
        self.query_one("#picker-note", Static).update(note)
        table.focus()

    @property
    def _selected(self) -> RunRow | None:
        cursor = self.query_one("#runs", DataTable).cursor_row
        return self._rows[cursor] if 0 <= cursor < len(self._rows) else None

    def _choose(self, choice: Choice | None) -> None:
        self.app.exit(choice)

    def action_open(self) -> None:
        row = self._selected
        if row is None:
            return
        if row.result == "unreadable":
            self.notify("this file cannot be read as a recording", severity="warning")
            return
        self._choose(Choice(action="watch" if row.result == "live" else "replay", path=row.path))

    @work
    async def action_report(self) -> None:
        row = self._selected
        if row is not None:
            await self.app.push_screen_wait(ReportScreen(self._library, row))

    @work
    async def action_rename(self) -> None:
        row = self._selected
        if row is None:
            return

        def rename(text: str) -> str:
            """What is wrong with the name; nothing when the recording has it now."""
            name = text.strip()
            try:
                if name and name != row.name:
                    self._library.rename(row.path, name)
            except Exception as error:
                return f"not renamed: {error}"
            return "" if name else "a name is needed"

        if await self.app.push_screen_wait(Prompt("Rename the recording", value=row.name, check=rename)):
            self.action_reload()

    @work
    async def action_delete(self) -> None:
        row = self._selected
        if row is None:
            return
        if row.result == "live":
            self.notify("this run is still going on: stop it first", severity="warning")
            return
        answer = await self.app.push_screen_wait(
            Ask(
                "Delete the recording?",
                printable(str(row.path)),
                [("y", "yes", "delete it for good"), ("n", "", "keep it")],
            )
        )
        if answer:
            try:
                self._library.delete(row.path)
            except Exception as error:
                self.notify(f"not deleted: {error}", severity="error", markup=False)
            self.action_reload()

    @work
    async def action_start(self) -> None:
        workloads = list(self._library.workloads())
        if not workloads:
            self.notify("no run can be started on this machine; 'kmltui doctor' says why", severity="warning")
            return
        name = await self.app.push_screen_wait(WorkloadScreen(workloads))
        if name:
            self._choose(Choice(action="start", workload=name))

    def action_quit(self) -> None:
        self._choose(None)


def _cells(row: RunRow) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created_unix_ns / 1e9)) if row.created_unix_ns else ""
    own = "" if _GIVEN_BY_US.match(row.name) and row.workload else row.name
    sessions = row.sessions
    first, others = sessions.partition(", ")[0], sessions.count(", ")
    return (
        when,
        printable(" · ".join(part for part in (own[:_OWN_NAME], row.workload) if part)),
        printable(sessions if others < 2 else f"{first} +{others}"),
        row.result,
        f"{size(row.size_bytes):>8}",
        f"{clock(row.duration_ns):>7}",
        printable(row.name),
    )


class WorkloadScreen(ModalScreen[str | None]):
    """Which workload to start."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, workloads: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._workloads = workloads

    def compose(self) -> ComposeResult:
        width = max(len(name) for name, _ in self._workloads)
        options = [Option(f"{name:<{width}}  {printable(title)}", id=name) for name, title in self._workloads]
        choices = OptionList(*options, id="workloads", markup=False)
        choices.border_title = "Start"
        yield choices

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_cancel(self) -> None:
        self.dismiss(None)


class ReportScreen(ModalScreen[None]):
    """A recording's report; any of the leaving keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,r", "close", "close")]

    def __init__(self, library: Library, row: RunRow) -> None:
        super().__init__()
        self._library, self._row = library, row

    def compose(self) -> ComposeResult:
        text = OptionList(Option("reading…", disabled=True), id="report", markup=False)
        text.border_title = printable(self._row.name)
        yield text

    def on_mount(self) -> None:
        self._read()

    @work(thread=True)
    def _read(self) -> None:
        told = 0.0

        def show(fraction: float) -> None:
            nonlocal told
            if fraction - told >= 0.01:
                told = fraction
                self.app.call_from_thread(self._show, f"reading… {fraction:.0%}")

        try:
            text = self._library.report_text(self._row.path, self.app.size.width - _REPORT_FRAME, show)
        except Exception as error:
            text = f"there is no report of this recording: {error}"
        self.app.call_from_thread(self._show, text)

    def _show(self, text: str) -> None:
        report = self.query_one("#report", OptionList)
        report.clear_options()
        report.add_options([Option(printable(line) or " ") for line in text.splitlines()])

    def action_close(self) -> None:
        self.dismiss()
