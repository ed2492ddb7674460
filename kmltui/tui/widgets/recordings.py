# SPDX-License-Identifier: GPL-2.0-or-later
"""The home screen's table of recordings."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from kmltui.printable import printable
from kmltui.tui.controls import RunRow
from kmltui.tui.text import clock, size

_LEAST_NAME = 23
"""Cells of a recording's name: those that are made up from date and time need as many to be told apart."""


class Recordings(DataTable[Text]):
    """Its cursor stays on its recording, wherever that goes in the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Enter in the table's own turn: a screen's key with priority would overtake the arrows pressed before it.
        Binding("enter", "screen.open", show=False),
        # Along a row there is nowhere to go.
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False)
        self._rows: Sequence[RunRow] = ()
        self._heads: list[tuple[str, int]] = []
        self._lines: list[tuple[str, ...]] = []

    @property
    def row(self) -> RunRow | None:
        """The recording under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def show_rows(
        self,
        rows: Sequence[RunRow],
        selected: Collection[Path],
        outcomes: Mapping[Path, str],
        width: int,
        at: Path | None = None,
    ) -> None:
        """Show ``rows`` on a screen of so many columns, the cursor on the recording ``at``, else where it was."""
        columns = [(title, [cell(row) for row in rows]) for title, cell in _columns(width, selected, outcomes)]
        # A table that measures its cells does so when it is idle; what it has drawn by then keeps its old width.
        widths = [max(cell_len(text) for text in (title, *cells)) for title, cells in columns]
        # Names get what the other columns leave, the blank cell on both sides of each and the scrollbar included.
        room = width - 1 - 2 * len(widths) - sum(widths[1:])
        widths[0] = min(widths[0], max(room, _LEAST_NAME))
        heads = [(title, cells) for (title, _), cells in zip(columns, widths, strict=True)]
        lines = [
            (name if cell_len(name) <= widths[0] else set_cell_size(name, widths[0] - 1) + "…", *rest)
            for name, *rest in zip(*(cells for _, cells in columns), strict=True)
        ]
        paths = [row.path for row in rows]
        same = heads == self._heads and paths == [row.path for row in self._rows]
        before = self.cursor_row
        wanted = at or (self.row.path if self.row is not None else None)
        index = paths.index(wanted) if wanted in paths else min(before, len(rows) - 1)
        if same:
            self._change(lines)
        else:
            self._rebuild(heads, lines, index - before)
        self._rows, self._heads, self._lines = rows, heads, lines
        if rows and index != self.cursor_row:
            self.move_cursor(row=index)

    def _change(self, lines: Sequence[Sequence[str]]) -> None:
        """Change the cells that differ: the list stays where it was scrolled to, and little is drawn."""
        for y, (line, known) in enumerate(zip(lines, self._lines, strict=True)):
            for x, text in enumerate(line):
                if text != known[x]:
                    self.update_cell_at(Coordinate(y, x), Text(text))

    def _rebuild(self, heads: Sequence[tuple[str, int]], lines: Sequence[Sequence[str]], moved: int) -> None:
        """Fill the table anew; the row of the cursor, which has ``moved``, stays in its place of the screen."""
        top = self.scroll_offset.y + moved
        self.clear(columns=True)
        for title, cells in heads:
            self.add_column(Text(title), width=cells)
        for line in lines:
            self.add_row(*(Text(text) for text in line))
        self.scroll_target_y = self.scroll_y = max(top, 0)


def _columns(
    width: int, selected: Collection[Path], outcomes: Mapping[Path, str]
) -> list[tuple[str, Callable[[RunRow], str]]]:
    """Titles and cells, as many as fit into the width: what a run is and what it showed come first."""

    def name(row: RunRow) -> str:
        sign = "*" if row.path in selected else " "
        return sign + printable(row.name)

    def result(row: RunRow) -> str:
        return "sample" if row.shipped and row.result == "done" else row.result

    columns: list[tuple[str, Callable[[RunRow], str]]] = [
        (" recording", name),
        ("state", result),
        ("showed", lambda row: outcomes.get(row.path, "") if row.result != "live" else "under way"),
    ]
    if width >= 110:
        columns.insert(1, ("when", _when))
    if width >= 92:
        columns.append(("length", lambda row: f"{clock(row.duration_ns):>7}"))
    if width >= 140:
        columns.append(("size", lambda row: f"{size(row.size_bytes):>8}"))
        columns.append(("sessions", lambda row: printable(row.sessions)))
    return columns


def _when(row: RunRow) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created_unix_ns / 1e9)) if row.created_unix_ns else ""
