# SPDX-License-Identifier: GPL-2.0-or-later
"""The first screen if nothing was named: what can be started here, and the recordings that there are."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, OptionList, Static
from textual.widgets.option_list import Option

from kmltui.model import MONITOR
from kmltui.printable import printable
from kmltui.tui import glyphs
from kmltui.tui.controls import Choice, Library, RunRow
from kmltui.tui.draw import header
from kmltui.tui.form import Values
from kmltui.tui.layout import SMALLEST
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.screens.dialogs import Ask, Prompt, parse_time
from kmltui.tui.screens.form import FormScreen
from kmltui.tui.screens.help import HelpScreen
from kmltui.tui.text import clock, size
from kmltui.tui.textual_private import Steady
from kmltui.tui.widgets.keybar import KeyBar, unique_bindings
from kmltui.tui.widgets.lines import Lines

_SORTS: tuple[tuple[str, Callable[[RunRow], object]], ...] = (
    ("newest first", lambda row: -row.created_unix_ns),
    ("by name", lambda row: row.name.lower()),
    ("longest first", lambda row: -row.duration_ns),
    ("largest first", lambda row: -row.size_bytes),
)
_LEAST_ROWS = 12
"""Title, what can be started, heads, a few rows, note and keys."""
_LEAST_NAME = 23
"""Cells of a recording's name: those that are made up from date and time need as many to be told apart."""
_NAMED = 6
"""Recordings that a question about several names; of the others their number."""
_REPORT_FRAME = 3
"""Columns that the border of a report takes in addition to the margins of the screen itself."""
_ACTIONS = (
    ("demo", "Demonstration", "both kernels side by side, in about two minutes"),
    ("measure", "Measure…", "choose a workload, sessions and how to measure"),
    ("monitor", "Monitor", "this machine, and a MySQL or MariaDB server on it"),
    ("try", "Try a program", "any command, in ring 3 and in ring 0"),
)


class _Recordings(DataTable[Text]):
    """Home and End go to the first and the last row: along a row there is nowhere to go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]


class HomeScreen(Steady, Screen[None]):
    """What can be started above, the recordings below: live ones first, those that ship with kmltui last."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", priority=True, tooltip="begin, watch or replay"),
        Binding("s", "start", "measure", tooltip="measure something"),
        Binding("a", "again", "run again", tooltip="run the same again"),
        Binding("r", "report", "report", tooltip="the recording's report"),
        Binding("h", "page", "page", show=False, tooltip="save as an HTML page"),
        Binding("e", "export", "export", show=False, tooltip="export to other formats"),
        Binding("x", "cut", "cut", show=False, tooltip="cut out a part"),
        Binding("space", "select", "select", show=False, tooltip="select"),
        Binding("c", "compare", "compare", show=False, tooltip="compare the two selected"),
        Binding("n", "rename", "rename", tooltip="rename"),
        Binding("d,delete", "delete", "delete", key_display="d", tooltip="delete"),
        Binding("slash", "filter", "filter", key_display="/", tooltip="filter"),
        Binding("o", "sort", "sort", show=False, tooltip="sort in another way"),
        Binding("tab", "app.focus_next", show=False, key_display="Tab", tooltip="to the list, and back"),
        Binding("f5,ctrl+r", "reload", "reload", show=False, key_display="F5", tooltip="read the list again"),
        Binding("T", "app.next_theme", "theme", show=False, tooltip="the next theme"),
        Binding("question_mark,f1", "help", "help", key_display="?", tooltip="this help"),
        Binding("q,escape", "quit", "quit", key_display="q", tooltip="quit"),
    ]

    def __init__(self, library: Library) -> None:
        super().__init__()
        self._library = library
        self._all: Sequence[RunRow] = ()
        self._rows: Sequence[RunRow] = ()
        self._selected: set[Path] = set()
        self._filter = ""
        self._sort = 0
        self._outcomes: dict[Path, str] = {}

    def compose(self) -> ComposeResult:
        yield Static("kmltui", id="home-title", markup=False)
        yield OptionList(id="actions", markup=False)
        yield _Recordings(id="runs", cursor_type="row", zebra_stripes=False)
        yield Static("reading…", id="home-note", markup=False)
        yield KeyBar(id="keys")
        yield Lines(id="small")

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        too_small = width < SMALLEST[0] or height < _LEAST_ROWS
        self.set_class(too_small, "too-small")
        if too_small:
            self.query_one("#small", Lines).show_lines(header.too_small(width, height, (SMALLEST[0], _LEAST_ROWS)))
        self.call_after_refresh(self._show)

    def on_mount(self) -> None:
        actions = self.query_one("#actions", OptionList)
        actions.add_options([Option(f" {name:<15}{text}", id=key) for key, name, text in _ACTIONS])
        actions.highlighted = 0
        actions.focus()
        self.action_reload()

    # The list

    @work(thread=True, exclusive=True, group="list")
    def action_reload(self) -> None:
        try:
            rows: Sequence[RunRow] = self._library.list_runs()
            problem = ""
        except Exception as error:
            rows, problem = (), f"the recordings cannot be listed: {error}"
        self.app.call_from_thread(self._take, rows, problem)
        for row in rows:  # reading them takes a while; one that has changed is read again
            if row.result not in ("live", "unreadable") and row.path not in self._outcomes:
                try:
                    outcome = self._library.outcome(row.path)
                except Exception:
                    outcome = ""
                self.app.call_from_thread(self._tell_outcome, row.path, outcome)

    def _take(self, rows: Sequence[RunRow], problem: str) -> None:
        self._all = rows
        self._selected &= {row.path for row in rows}
        self._show()
        self.query_one("#home-note", Static).update(problem or self._note())
        if self._rows and any(row.result == "live" for row in self._rows):
            self.query_one("#runs", DataTable).focus()

    def _tell_outcome(self, path: Path, outcome: str) -> None:
        self._outcomes[path] = outcome
        self._show()

    def _note(self) -> str:
        parts = [f"{len(self._rows)} of {len(self._all)} recordings", _SORTS[self._sort][0]]
        if self._filter:
            parts.insert(1, f"with {self._filter!r}")
        if self._selected:
            parts.append(f"{len(self._selected)} selected: c compares two, d deletes")
        return printable(", ".join(parts))

    def _show(self) -> None:
        key = _SORTS[self._sort][1]
        wanted = [row for row in self._all if self._filter.lower() in f"{row.name} {row.workload} {row.result}".lower()]
        wanted.sort(key=lambda row: (row.shipped, row.result != "live", key(row)))
        self._rows = wanted
        table: DataTable[Text] = self.query_one("#runs", DataTable)
        cursor = table.cursor_row
        table.clear(columns=True)
        columns = [(title, [cell(row) for row in wanted]) for title, cell in self._columns()]
        # A table that measures its cells does so when it is idle; what it has drawn by then keeps its old width.
        widths = [max(cell_len(text) for text in (title, *cells)) for title, cells in columns]
        # Names get what the other columns leave, the blank cell on both sides of each and the scrollbar included.
        room = self.size.width - 1 - 2 * len(widths) - sum(widths[1:])
        widths[0] = min(widths[0], max(room, _LEAST_NAME))
        for (title, _), cells in zip(columns, widths, strict=True):
            table.add_column(Text(title), width=cells)
        for name, *rest in zip(*(cells for _, cells in columns), strict=True):
            short = name if cell_len(name) <= widths[0] else set_cell_size(name, widths[0] - 1) + "…"
            table.add_row(*(Text(text) for text in (short, *rest)))
        if wanted:
            table.move_cursor(row=min(max(cursor, 0), len(wanted) - 1))
        self.query_one("#home-note", Static).update(self._note())
        self.query_one(KeyBar).show_bindings([each for each in unique_bindings(self) if each.show])

    def _columns(self) -> list[tuple[str, Callable[[RunRow], str]]]:
        """Titles and cells, as many as fit into the width: what a run is and what it showed come first."""
        width = self.size.width

        def name(row: RunRow) -> str:
            sign = "*" if row.path in self._selected else " "
            return sign + printable(row.name)

        def result(row: RunRow) -> str:
            return "sample" if row.shipped and row.result == "done" else row.result

        columns: list[tuple[str, Callable[[RunRow], str]]] = [
            (" recording", name),
            ("state", result),
            ("showed", lambda row: self._outcomes.get(row.path, "") if row.result != "live" else "under way"),
        ]
        if width >= 110:
            columns.insert(1, ("when", _when))
        if width >= 92:
            columns.append(("length", lambda row: f"{clock(row.duration_ns):>7}"))
        if width >= 140:
            columns.append(("size", lambda row: f"{size(row.size_bytes):>8}"))
            columns.append(("sessions", lambda row: printable(row.sessions)))
        return columns

    @property
    def _row(self) -> RunRow | None:
        """The recording under the cursor, where the cursor is in the list."""
        table = self.query_one("#runs", DataTable)
        if self.focused is not table or not 0 <= table.cursor_row < len(self._rows):
            return None
        return self._rows[table.cursor_row]

    def _need_row(self) -> RunRow | None:
        row = self._row
        if row is None:
            self.notify("choose a recording first: Tab goes to the list", severity="warning")
        elif row.result == "unreadable":
            self.notify("this file cannot be read as a recording", severity="warning")
            return None
        return row

    # What can be done

    @work
    async def action_open(self) -> None:
        if self.focused is self.query_one("#actions", OptionList):
            await self._begin()
            return
        if (row := self._need_row()) is not None:
            self.app.exit(Choice(action="watch" if row.result == "live" else "replay", path=row.path))

    async def _begin(self) -> None:
        at = self.query_one("#actions", OptionList).highlighted
        match _ACTIONS[at or 0][0]:
            case "demo":
                self.app.exit(Choice(action="start", arguments=("demo",)))
            case "measure":
                await self._form(self._library.remembered())
            case "try":
                text = await self.app.push_screen_wait(
                    Prompt("Try a program", hint="its path or name, and its arguments; it runs in both rings")
                )
                if text and text.strip():
                    self._try(text.strip())
            case "monitor":
                await self._monitor("")

    async def _monitor(self, server: str) -> None:
        hint = "mysql:// for the server that runs here, its address, or nothing: this machine alone"
        text = await self.app.push_screen_wait(Prompt("Monitor", value=server, hint=hint))
        if text is not None:
            address = ("--mysql", text.strip()) if text.strip() else ()
            self.app.exit(Choice(action="start", arguments=("monitor", *address)))

    def _try(self, command: str) -> None:
        try:
            arguments = ("try", "--", *shlex.split(command))
        except ValueError as error:
            self.notify(f"{command}: {error}", severity="error", markup=False)
            return
        self.app.exit(Choice(action="start", arguments=arguments))

    async def _form(self, values: Values) -> None:
        # Whether a guest can run here is asked of the machine, which takes a moment.
        offers = await asyncio.to_thread(self._library.offers)
        if not offers:
            self.notify("no run can be started on this machine; 'kmltui doctor' says why", severity="warning")
            return
        choice = await self.app.push_screen_wait(FormScreen(self._library, offers, values))
        if choice is not None:
            self.app.exit(choice)

    @work
    async def action_start(self) -> None:
        await self._form(self._library.remembered())

    @work
    async def action_again(self) -> None:
        row = self._need_row()
        if row is None:
            return
        if row.workload == MONITOR:
            await self._monitor(row.server)
            return
        try:
            values = self._library.values_of(row.path)
        except Exception as error:
            self.notify(f"what made this recording is not known: {error}", severity="warning", markup=False)
            return
        await self._form(values)

    @work
    async def action_report(self) -> None:
        if (row := self._need_row()) is not None:
            await self.app.push_screen_wait(ReportScreen(self._library, row))

    async def _write(self, row: RunRow, ending: str, format: str) -> None:
        """Ask for a file and write the recording into it in another format."""

        def write(text: str) -> str:
            try:
                self._library.export(row.path, Path(text.strip()).expanduser(), format)
            except Exception as error:
                return f"not written: {error}"
            return ""

        text = await self.app.push_screen_wait(
            Prompt("Write to", value=f"{row.name}{ending}", hint="a file that is not there yet", check=write)
        )
        if text:
            self.notify(f"written: {text}", markup=False)

    @work
    async def action_page(self) -> None:
        if (row := self._need_row()) is not None:
            await self._write(row, ".html", "html")

    @work
    async def action_export(self) -> None:
        row = self._need_row()
        if row is None:
            return
        keys = [
            ("1", "csv", "CSV, a line a sample"),
            ("2", "jsonl", "every record, as JSON lines"),
            ("3", "html", "a page that plays in a browser"),
            ("4", "asciicast", "the screen as a film"),
        ]
        format = await self.app.push_screen_wait(Ask("Export as", printable(row.name), keys))
        if format:
            await self._write(row, {"asciicast": ".cast"}.get(format, f".{format}"), format)

    @work
    async def action_cut(self) -> None:
        row = self._need_row()
        if row is None:
            return

        def times(text: str) -> tuple[int, int] | None:
            parts = [parse_time(part, row.duration_ns) for part in text.split("-")]
            begin, end = parts if len(parts) == 2 else (None, None)
            return (begin, end) if begin is not None and end is not None and begin < end else None

        def cut(text: str) -> str:
            span = times(text)
            if span is None:
                return f"{printable(text)!r} is no part: try 0:30 - 1:30"
            target = row.path.with_name(f"{row.name}-cut.kmlrec")
            try:
                self._library.cut(row.path, target, *span)
            except Exception as error:
                return f"not cut: {error}"
            return ""

        hint = f"from and to, between 0:00 and {clock(row.duration_ns)}: 0:30 - 1:30"
        if await self.app.push_screen_wait(Prompt("Cut out a part", hint=hint, check=cut)):
            self.action_reload()

    def _chosen(self) -> list[RunRow]:
        """The selected recordings, those that a filter hides at present included: they were found one by one."""
        return sorted((row for row in self._all if row.path in self._selected), key=lambda row: -row.created_unix_ns)

    def action_select(self) -> None:
        row = self._row
        if row is not None:
            self._selected ^= {row.path}
            self._show()

    @work
    async def action_compare(self) -> None:
        chosen = self._chosen()
        if len(chosen) != 2:
            self.notify("select two recordings with the space bar", severity="warning")
            return
        await self.app.push_screen_wait(ReportScreen(self._library, chosen[0], chosen[1]))

    @work
    async def action_rename(self) -> None:
        row = self._need_row()
        if row is None:
            return

        def rename(text: str) -> str:
            """What is wrong with the name; empty if it is the recording's present name."""
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
        rows = self._chosen() or [row for row in [self._row] if row]
        if any(row.result == "live" for row in rows):
            self.notify("a run is still going on: stop it first", severity="warning")
            return
        if any(row.shipped for row in rows):
            self.notify("samples that came with kmltui stay", severity="warning")
            return
        if not rows:
            return
        what = printable(str(rows[0].path)) if len(rows) == 1 else _named(rows)
        title = "Delete the recording?" if len(rows) == 1 else f"Delete {len(rows)} recordings?"
        keys = [("y", "yes", "delete for good"), ("n", "", "keep")]
        if await self.app.push_screen_wait(Ask(title, what, keys)):
            for row in rows:
                try:
                    self._library.delete(row.path)
                except Exception as error:
                    self.notify(f"not deleted: {error}", severity="error", markup=False)
            self.action_reload()

    @work
    async def action_filter(self) -> None:
        text = await self.app.push_screen_wait(
            Prompt("Show only recordings with", value=self._filter, hint="in name, workload or state; empty: all")
        )
        if text is not None:
            self._filter = text.strip()
            self._show()

    def action_sort(self) -> None:
        self._sort = (self._sort + 1) % len(_SORTS)
        self._show()

    def action_help(self) -> None:
        bindings = [binding for binding in unique_bindings(self) if binding.tooltip]
        canvas = Canvas(self.size.width, self.size.height, glyphs.detect(), call_name)
        self.app.push_screen(HelpScreen(bindings, canvas))

    def action_quit(self) -> None:
        self.app.exit(None)


def _named(rows: Sequence[RunRow]) -> str:
    names = [printable(row.name) for row in rows]
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return "\n".join([*names[:_NAMED], *more])


def _when(row: RunRow) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created_unix_ns / 1e9)) if row.created_unix_ns else ""


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

        width = self.app.size.width - _REPORT_FRAME
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
