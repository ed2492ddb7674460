# SPDX-License-Identifier: GPL-2.0-or-later
"""Common to all views: they draw a frame at a given size, and scroll if they are longer than the screen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from kmltui.tui.glyphs import Glyphs
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, cropped, fit, line


@dataclass
class Canvas:
    """Where a view draws."""

    width: int
    height: int
    glyphs: Glyphs
    call_name: Callable[[int], str]
    viewer_share: float | None = None
    """The viewer's own CPU use as a share of one core, if known."""


class Page(ABC):
    """One view. Draws exactly ``canvas.height`` lines."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def draw(self, frame: Frame, canvas: Canvas) -> list[Line]: ...

    def scroll(self, lines: int) -> None:
        """Scroll by so many lines; a view that shows everything does not move."""
        del lines

    def click(self, x: int, y: int) -> bool:
        """Handle a click; True if something has changed."""
        return False


class ScrolledPage(Page):
    """A fixed head, and lines that scroll."""

    follows_end: ClassVar[bool] = False
    """Stay at the end while lines are added, until the user scrolls up."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._most = 0
        self._room = 0

    @abstractmethod
    def head(self, frame: Frame, canvas: Canvas) -> list[Line]: ...

    @abstractmethod
    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]: ...

    def draw(self, frame: Frame, canvas: Canvas) -> list[Line]:
        head = self.head(frame, canvas)
        body = self.body(frame, canvas)
        self._room = room = max(canvas.height - len(head), 0)
        self._most = max(len(body) - room, 0)
        offset = self._most if self._offset is None and self.follows_end else min(self._offset or 0, self._most)
        shown = list(body[offset : offset + room])
        if shown and len(body) > room:
            bar = _scrollbar(offset, room, len(body), canvas.glyphs)
            shown = [(*fit(each, canvas.width - 1), sign) for each, sign in zip(shown, bar, strict=False)]
        lines = [*head, *shown]
        lines += [()] * (canvas.height - len(lines))
        return lines[: canvas.height]

    def scroll(self, lines: int) -> None:
        start = self._most if self._offset is None and self.follows_end else self._offset or 0
        offset = min(max(start + lines, 0), self._most)
        self._offset = None if self.follows_end and offset == self._most else offset


@dataclass(frozen=True)
class Column:
    """A column of a table. ``width`` 0: the remaining width."""

    title: str
    width: int
    left: bool = False
    least: int = 0
    """The column is shown from this width of the table on."""
    sortable: bool = True
    name: str = ""
    """What it shows, whatever the sessions are called; empty: the title says so."""

    @property
    def key(self) -> str:
        return self.name or self.title


Cell = tuple[str, str]


@dataclass(frozen=True)
class Row:
    cells: tuple[Cell, ...]
    keys: tuple[float | str, ...]
    """The sort key of each column."""
    tail: Line = ()
    """What is drawn in the column of width 0."""
    choice: tuple[str, str] | None = None
    """Identifies what can be chosen in this row; None: nothing."""


class TablePage(ScrolledPage):
    """A table: sorted by any column, filtered by a text in its first one."""

    columns: tuple[Column, ...]
    """May depend on the frame; :meth:`head` then sets them again."""
    empty: str = "nothing to show"
    """What stands in a table without rows."""
    usual: int = 0
    """The column that it is sorted by until the user chooses one; may depend on the frame, too."""
    chosen: tuple[str, bool] | None = None
    """The column that the user has chosen, by its :attr:`Column.key`, and whether the largest comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = ""
        self.listed: list[tuple[str, str]] = []
        """What can be chosen, in the order in which it was last drawn."""
        self._picked: tuple[str, str] | None = None
        self._width = 0
        self._spans: list[tuple[int, int, int]] = []

    @property
    def picked(self) -> tuple[str, str] | None:
        """The :attr:`Row.choice` that is marked: the first one until the user moves the mark; None: there is none."""
        return self._picked if self._picked in self.listed else self.listed[0] if self.listed else None

    def scroll(self, lines: int) -> None:
        """Move the mark; where there is none, or beyond the last one, scroll."""
        if self.picked is None:
            super().scroll(lines)
            return
        at = self.listed.index(self.picked)
        to = min(max(at + lines, 0), len(self.listed) - 1)
        self._picked = self.listed[to]
        if beyond := lines - (to - at):
            super().scroll(beyond)
        else:
            self._offset = min(max(self._offset or 0, to - self._room + 1), to)

    @property
    def sort(self) -> int:
        """The column that it is sorted by: the chosen one, if this table has it."""
        keys = [column.key for column in self.columns if column.sortable]
        if self.chosen is not None and self.chosen[0] in keys:
            return next(index for index, column in enumerate(self.columns) if column.key == self.chosen[0])
        return self.usual

    @property
    def descending(self) -> bool:
        """Whether the largest comes first: of numbers, unless the user has turned the order round."""
        column = self.columns[self.sort]
        return self.chosen[1] if self.chosen is not None and self.chosen[0] == column.key else not column.left

    @abstractmethod
    def rows(self, frame: Frame, canvas: Canvas) -> list[Row]: ...

    def total(self, frame: Frame, canvas: Canvas) -> Line:
        """A line above the columns."""
        return ()

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        spans: list[tuple[str, str]] = []
        self._spans = []
        self._width = canvas.width
        x = 0
        for index, (column, width) in self._shown(canvas.width):
            sign = ""
            if index == self.sort:
                sign = canvas.glyphs.down if self.descending else canvas.glyphs.up
            text = f"{column.title}{sign}"
            text = f" {text:<{width - 1}}" if column.left else f"{text:>{width}}"
            spans.append((cropped(text, width), "strong" if index == self.sort else "muted"))
            self._spans.append((x, x + width, index))
            x += width
        lines = [tuple(spans), line((canvas.glyphs.rule * canvas.width, "rule"))]
        total = (*self.filter_sign(), *self.total(frame, canvas))
        return [total, *lines] if total else lines

    def filter_sign(self) -> Line:
        """Shown before the total, because the filter explains what is missing below. Empty without a filter."""
        if not self.filter:
            return ()
        return ((" filter: ", "muted"), (self.filter, "warn"), ("  ", "muted"))

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        rows = self.rows(frame, canvas)
        if self.filter:
            rows = [row for row in rows if self.filter.lower() in row.cells[0][0].lower()]
        rows.sort(key=lambda row: row.keys[self.sort], reverse=self.descending)
        self.listed = [row.choice for row in rows if row.choice is not None]
        shown = self._shown(canvas.width)
        result: list[Line] = []
        for row in rows:
            marked = row.choice is not None and row.choice == self.picked
            spans: list[tuple[str, str]] = []
            for index, (column, width) in shown:
                if index >= len(row.cells):
                    spans += fit((("  ", "text"), *row.tail), width)
                    continue
                text, role = row.cells[index]
                text = cropped(text, width - 1)
                if column.left:
                    spans.append((canvas.glyphs.play if marked else " ", "key"))
                    spans.append((f"{text:<{width - 1}}", "strong" if marked else role))
                else:
                    spans.append((f"{text:>{width}}", role))
            result.append(tuple(spans))
        if not result:
            result.append(line((f" {'nothing matches the filter' if self.filter else self.empty}", "muted")))
        return result

    def _shown(self, width: int) -> list[tuple[int, tuple[Column, int]]]:
        shown = [(index, column) for index, column in enumerate(self.columns) if width >= column.least]
        rest = max(width - sum(column.width for _, column in shown) - 1, 8)
        return [(index, (column, column.width or rest)) for index, column in shown]

    def sort_next(self, step: int) -> None:
        """Sort by the next visible column."""
        choices = [index for index, (column, _) in self._shown(self._width) if column.sortable]
        at = choices.index(self.sort) if self.sort in choices else -step
        self._choose(choices[(at + step) % len(choices)])

    def reverse(self) -> None:
        self.chosen = (self.columns[self.sort].key, not self.descending)

    def _choose(self, index: int) -> None:
        self.chosen = (self.columns[index].key, not self.columns[index].left)

    def click(self, x: int, y: int) -> bool:
        if y > 1:
            return False
        for start, end, index in self._spans:
            if start <= x < end and self.columns[index].sortable:
                if index == self.sort:
                    self.reverse()
                else:
                    self._choose(index)
                return True
        return False


def _scrollbar(offset: int, room: int, length: int, glyphs: Glyphs) -> list[tuple[str, str]]:
    thumb = max(room * room // length, 1)
    start = round(offset / max(length - room, 1) * (room - thumb))
    return [(glyphs.full, "rule") if start <= y < start + thumb else (glyphs.wall, "idle") for y in range(room)]
