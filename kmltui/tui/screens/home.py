# SPDX-License-Identifier: GPL-2.0-or-later
"""The first screen if nothing was named: what can be started here, and the recordings that there are."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker

from kmltui import paths
from kmltui.model import MONITOR
from kmltui.printable import printable
from kmltui.recording.library import SAMPLES_STAY
from kmltui.tui import glyphs
from kmltui.tui.controls import Choice, Library, Place, RunRow
from kmltui.tui.draw import header
from kmltui.tui.form import Values
from kmltui.tui.layout import SMALLEST
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.screens.dialogs import Ask, Prompt, parse_time
from kmltui.tui.screens.form import FormScreen
from kmltui.tui.screens.help import HelpScreen
from kmltui.tui.screens.report import ReportScreen
from kmltui.tui.text import clock
from kmltui.tui.textual_private import Steady
from kmltui.tui.widgets.keybar import KeyBar, unique_bindings
from kmltui.tui.widgets.lines import Lines
from kmltui.tui.widgets.menu import Menu
from kmltui.tui.widgets.recordings import Recordings

_SORTS: tuple[tuple[str, Callable[[RunRow], object]], ...] = (
    ("newest first", lambda row: -row.created_unix_ns),
    ("by name", lambda row: row.name.lower()),
    ("longest first", lambda row: -row.duration_ns),
    ("largest first", lambda row: -row.size_bytes),
)
_LEAST_ROWS = 12
"""Title, what can be started, heads, a few rows, note and keys."""
_READ_AGAIN_S = 2.0
"""The list is read again so long after it was read, if reading it is quick."""
_READING_SHARE = 0.05
"""Reading the list takes no larger share of the time, however many recordings there are."""
_NAMED = 6
"""Recordings that a question about several names; of the others their number."""
_ACTIONS = (
    ("demo", "Demonstration", "both kernels side by side, in about two minutes"),
    ("measure", "Measure…", "choose a workload, sessions and how to measure"),
    ("monitor", "Monitor", "this machine, and a MySQL or MariaDB server on it"),
    ("try", "Try a program", "any command, in ring 3 and in ring 0"),
)


class _Actions(Menu):
    """What can be started."""

    # Enter in the list's own turn: a screen's key with priority would overtake the arrows pressed before it.
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "screen.open", show=False)]


class HomeScreen(Steady, Screen[None]):
    """What can be started above, the recordings below: live ones first, those that ship with kmltui last."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", tooltip="begin, watch or replay"),
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
        Binding("escape", "back", show=False, key_display="esc", tooltip="all recordings after a filter, else quit"),
        Binding("q", "quit", "quit", tooltip="quit"),
    ]

    def __init__(self, library: Library, place: Place) -> None:
        super().__init__()
        self._library = library
        self._place = place
        self._all: Sequence[RunRow] | None = None
        """None until the list has been read."""
        self._rows: Sequence[RunRow] = ()
        self._at = place.path
        """The recording to which the cursor goes when the list has been read."""
        self._outcomes: dict[Path, str] = {}
        self._timer: Timer | None = None
        self._reading: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield Static("kmltui", id="home-title", markup=False)
        yield _Actions(id="actions", markup=False)
        yield Recordings(id="runs")
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
        actions.highlighted = self._place.action
        (actions if self._at is None else self._table).focus()
        self.action_reload()

    # The list

    @work(exclusive=True, group="list")
    async def action_reload(self) -> None:
        began = time.monotonic()
        try:
            rows, problem = tuple(await asyncio.to_thread(self._library.list_runs)), ""
        except Exception as error:
            rows, problem = (), f"the recordings cannot be listed: {error}"
        pause = max(_READ_AGAIN_S, (time.monotonic() - began) / _READING_SHARE)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(pause, self._follow)
        if problem or rows != self._all:
            self._take(rows, problem)

    def _follow(self) -> None:
        """Read the list again: runs begin, go on and end. Not while a dialog or the form lies over it."""
        if self.is_current:
            self.action_reload()
        else:
            self._timer = self.set_timer(_READ_AGAIN_S, self._follow)

    def _take(self, rows: Sequence[RunRow], problem: str) -> None:
        first, at = self._all is None, self._at
        self._all, self._at = rows, None
        self._place.selected &= {row.path for row in rows}
        self._show(at)
        self.query_one("#home-note", Static).update(problem or self._note())
        if first and any(row.result == "live" for row in self._rows):
            self._table.focus()
        if self._reading is None or self._reading.is_finished:
            self._reading = self._read_outcomes()

    @work(group="outcomes")
    async def _read_outcomes(self) -> None:
        """Read what each recording showed, which may take seconds; one that comes meanwhile has its turn, too."""
        while (row := next(filter(self._lacks_outcome, self._all or ()), None)) is not None:
            try:
                self._outcomes[row.path] = await asyncio.to_thread(self._library.outcome, row.path)
            except Exception:
                self._outcomes[row.path] = ""
            self._show()

    def _lacks_outcome(self, row: RunRow) -> bool:
        return row.result not in ("live", "unreadable") and row.path not in self._outcomes

    def _note(self) -> str:
        parts = [f"{len(self._rows)} of {len(self._all or ())} recordings", _SORTS[self._place.sort][0]]
        if self._place.filter:
            parts.insert(1, f"with {self._place.filter!r}")
        if self._place.selected:
            parts.append(f"{len(self._place.selected)} selected: c compares two, d deletes")
        return printable(", ".join(parts))

    def _show(self, at: Path | None = None) -> None:
        """Show the list, the cursor on the recording ``at``, else where it was."""
        key, text = _SORTS[self._place.sort][1], self._place.filter.lower()
        wanted = [row for row in self._all or () if text in f"{row.name} {row.workload} {row.result}".lower()]
        wanted.sort(key=lambda row: (row.shipped, row.result != "live", key(row)))
        self._rows = wanted
        self._table.show_rows(wanted, self._place.selected, self._outcomes, self.size.width, at)
        if self._all is not None:
            self.query_one("#home-note", Static).update(self._note())
        self.query_one(KeyBar).show_bindings([each for each in unique_bindings(self) if each.show])

    @property
    def _table(self) -> Recordings:
        return self.query_one("#runs", Recordings)

    @property
    def _row(self) -> RunRow | None:
        """The recording under the cursor, where the cursor is in the list."""
        return self._table.row if self.focused is self._table else None

    def _need_row(self, *, readable: bool = True) -> RunRow | None:
        row = self._row
        if row is None:
            self.notify("this is for recordings, choose one first: Tab goes to the list", severity="warning")
        elif readable and row.result == "unreadable":
            self.notify("this file cannot be read as a recording", severity="warning")
            return None
        return row

    # What can be done

    def _leave(self, choice: Choice | None) -> None:
        self._place.action = self.query_one("#actions", OptionList).highlighted or 0
        self._place.path = self._row.path if self._row is not None else None
        self.app.exit(choice)

    def action_open(self) -> None:
        actions = self.query_one("#actions", OptionList)
        if self.focused is actions:
            self._begin(_ACTIONS[actions.highlighted or 0][0])
        elif (row := self._need_row()) is not None:
            self._leave(Choice(action="watch" if row.result == "live" else "replay", path=row.path))

    def _begin(self, action: str) -> None:
        match action:
            case "demo":
                self._leave(Choice(action="start", arguments=("demo",)))
            case "measure":
                self.action_start()
            case "try":
                self._try()
            case "monitor":
                self._monitor("")

    @work
    async def _monitor(self, server: str) -> None:
        hint = "mysql:// for the server that runs here, its address, or nothing: this machine alone"
        text = await self.app.push_screen_wait(Prompt("Monitor", value=server, hint=hint))
        if text is not None:
            address = ("--mysql", text.strip()) if text.strip() else ()
            self._leave(Choice(action="start", arguments=("monitor", *address)))

    @work
    async def _try(self) -> None:
        def wrong(text: str) -> str:
            try:
                words = shlex.split(text)
            except ValueError as error:
                return f"the command is not complete: {error}"
            problem = self._library.check(("try", "--", *words)) if words else None
            return problem.text if problem is not None else "" if words else "a program is needed"

        hint = "its path or name, and its arguments; it runs in both rings"
        text = await self.app.push_screen_wait(Prompt("Try a program", hint=hint, check=wrong))
        if text is not None:
            self._leave(Choice(action="start", arguments=("try", "--", *shlex.split(text))))

    @work
    async def _form(self, values: Values) -> None:
        # Whether a guest can run here is asked of the machine, which takes a moment.
        offers = await asyncio.to_thread(self._library.offers)
        if not offers:
            self.notify("no run can be started on this machine; 'kmltui doctor' says why", severity="warning")
            return
        choice = await self.app.push_screen_wait(FormScreen(self._library, offers, values))
        if choice is not None:
            self._leave(choice)

    def action_start(self) -> None:
        self._form(self._library.remembered())

    def action_again(self) -> None:
        row = self._need_row()
        if row is None:
            return
        if row.workload == MONITOR:
            self._monitor(row.server)
            return
        try:
            values = self._library.values_of(row.path)
        except Exception as error:
            self.notify(f"what made this recording is not known: {error}", severity="warning", markup=False)
            return
        self._form(values)

    def action_report(self) -> None:
        if (row := self._need_row()) is not None:
            self.app.push_screen(ReportScreen(self._library, row))

    @work
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

    def action_page(self) -> None:
        if (row := self._need_row()) is not None:
            self._write(row, ".html", "html")

    def action_export(self) -> None:
        if (row := self._need_row()) is not None:
            self._export(row)

    @work
    async def _export(self, row: RunRow) -> None:
        keys = [
            ("1", "csv", "CSV, a line a sample"),
            ("2", "jsonl", "every record, as JSON lines"),
            ("3", "html", "a page that plays in a browser"),
            ("4", "asciicast", "the screen as a film"),
        ]
        format = await self.app.push_screen_wait(Ask("Export as", printable(row.name), keys))
        if format:
            self._write(row, {"asciicast": ".cast"}.get(format, f".{format}"), format)

    def action_cut(self) -> None:
        if (row := self._need_row()) is not None:
            self._cut(row)

    @work
    async def _cut(self, row: RunRow) -> None:
        def times(text: str) -> tuple[int, int] | None:
            parts = [parse_time(part, row.duration_ns) for part in text.split("-")]
            begin, end = parts if len(parts) == 2 else (None, None)
            return (begin, end) if begin is not None and end is not None and begin < end else None

        def cut(text: str) -> str:
            span = times(text)
            if span is None:
                return f"{printable(text)!r} is no part: try 0:30 - 1:30"
            # What is cut out of a sample is the user's own.
            directory = paths.runs_dir() if row.shipped else row.path.parent
            target = directory / f"{row.name}-cut.kmlrec"
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
        chosen = [row for row in self._all or () if row.path in self._place.selected]
        return sorted(chosen, key=lambda row: -row.created_unix_ns)

    def action_select(self) -> None:
        if (row := self._need_row(readable=False)) is not None:
            self._place.selected ^= {row.path}
            self._show()

    def action_compare(self) -> None:
        chosen = self._chosen()
        if len(chosen) != 2:
            self.notify("select two recordings with the space bar", severity="warning")
            return
        self.app.push_screen(ReportScreen(self._library, chosen[0], chosen[1]))

    def action_rename(self) -> None:
        if (row := self._need_row()) is None:
            return
        if row.shipped:
            self.notify(SAMPLES_STAY, severity="warning")
        else:
            self._rename(row)

    @work
    async def _rename(self, row: RunRow) -> None:
        def rename(text: str) -> str:
            """What is wrong with the name; empty if it is the recording's present name."""
            name = text.strip()
            try:
                if name and name != row.name:
                    self._at = self._library.rename(row.path, name)
                    if row.path in self._place.selected:
                        self._place.selected ^= {row.path, self._at}
            except Exception as error:
                return f"not renamed: {error}"
            return "" if name else "a name is needed"

        if await self.app.push_screen_wait(Prompt("Rename the recording", value=row.name, check=rename)):
            self.action_reload()

    def action_delete(self) -> None:
        rows = self._chosen() or [row for row in [self._need_row(readable=False)] if row]
        if any(row.result == "live" for row in rows):
            self.notify("a run is still going on: stop it first", severity="warning")
        elif any(row.shipped for row in rows):
            self.notify(SAMPLES_STAY, severity="warning")
        elif rows:
            self._delete(rows)

    @work
    async def _delete(self, rows: Sequence[RunRow]) -> None:
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
            Prompt("Show only recordings with", value=self._place.filter, hint="in name, workload or state; empty: all")
        )
        if text is not None:
            self._place.filter = text.strip()
            self._show()

    def action_sort(self) -> None:
        self._place.sort = (self._place.sort + 1) % len(_SORTS)
        self._show()

    def action_help(self) -> None:
        bindings = [binding for binding in unique_bindings(self) if binding.tooltip]
        canvas = Canvas(self.size.width, self.size.height, glyphs.detect(), call_name)
        self.app.push_screen(HelpScreen(bindings, canvas))

    def action_back(self) -> None:
        if self._place.filter:
            self._place.filter = ""
            self._show()
        else:
            self.action_quit()

    def action_quit(self) -> None:
        self._leave(None)


def _named(rows: Sequence[RunRow]) -> str:
    names = [printable(row.name) for row in rows]
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return "\n".join([*names[:_NAMED], *more])
