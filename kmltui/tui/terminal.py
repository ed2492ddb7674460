# SPDX-License-Identifier: GPL-2.0-or-later
"""What the terminal shows, what it should show, and the shortest output that leads from one to the other.

Textual rewrites whole regions, most of which are on the screen already; over SSH that matters. :class:`Screen` reads
what Textual writes, keeps it as a grid of cells, and outputs only the cells that have changed since the last output. A
terminal that is slower than the frames gets the newest one when it is ready, never a queue of old ones.

Sequences are those of ECMA-48 as Textual and Rich emit them: CUP, SGR, ED, and modes, which are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import get_character_cell_size

from kmltui.tui.glyphs import UNICODE, Glyphs, nearest, spelled

_TOKEN = re.compile(
    r"\x1b\[(?P<params>[0-9;:<=>?]*)(?P<middle>[ -/]*)(?P<final>[@-~])"
    r"|(?P<string>\x1b[\]P_^X].*?(?:\x1b\\|\x07))"
    r"|(?P<escape>\x1b.)"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x1f\x7f]+)",
    re.DOTALL,
)
_SYNC_ON, _SYNC_OFF = "\x1b[?2026h", "\x1b[?2026l"
_LONGEST_UNSYNCED = 256
"""A short update cannot tear; the two sequences around it would add a tenth to it."""

_WORTH_REWRITING = 4
"""So many unchanged cells between two changes are sent again rather than jumped over: a jump takes at least four
bytes."""

_UNKNOWN = "\0"
"""Marks a cell of which it is not known what the terminal shows."""


class Row:
    """A row of cells: their characters (empty: the right half of a wide one) and their SGR parameters."""

    __slots__ = ("styles", "texts")

    def __init__(self, width: int, text: str = " ") -> None:
        self.texts = [text] * width
        self.styles = [""] * width

    def differs(self, other: Row) -> bool:
        return self.texts != other.texts or self.styles != other.styles

    def take_over(self, other: Row) -> None:
        self.texts[:] = other.texts
        self.styles[:] = other.styles

    def put(self, x: int, texts: Sequence[str], style: str) -> None:
        """Write cells; what does not fit is cut off, halves of wide characters that remain become blanks."""
        row = self.texts
        width = len(row)
        end = x + len(texts)
        if end > width:
            texts = list(texts[: max(width - x, 0)])
            end = width
            if texts and _is_wide(texts[-1]):
                texts[-1] = " "
        if x >= width:
            return
        if row[x] == "" and x:
            row[x - 1] = " "
        if end < width and row[end] == "":
            row[end] = " "
        row[x:end] = texts
        self.styles[x:end] = [style] * (end - x)


def _is_wide(text: str) -> bool:
    return text != "" and get_character_cell_size(text[0]) == 2


@lru_cache(8192)
def _cells(text: str, glyphs: Glyphs) -> tuple[str, ...]:
    """One string per cell. Combining characters stay with their base character."""
    if text.isascii():
        return tuple(text)
    result: list[str] = []
    for character in spelled(text, glyphs):
        cells = get_character_cell_size(character)
        if cells == 0:
            if result and glyphs.every:
                result[-1] += character
            continue
        result.append(nearest(character, glyphs))
        if cells == 2:
            result.append("" if glyphs.every else " ")
    return tuple(result)


class Screen:
    """The two grids. Not thread-safe: the driver holds a lock around it."""

    def __init__(self, width: int, height: int, glyphs: Glyphs = UNICODE) -> None:
        self._glyphs = glyphs
        self._sync = False
        self._active = False
        self._raw: list[str] = []
        self._style = ""
        self._x = self._y = 0
        self._pen = _Pen()
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """The terminal has a new size, so what it shows now is unknown."""
        self.width, self.height = width, height
        self._wanted = [Row(width) for _ in range(height)]
        self._shown = [Row(width, _UNKNOWN) for _ in range(height)]
        self._dirty = set(range(height))
        self._pen.forget()

    def invalidate(self) -> None:
        """Send everything again, e.g. because another program wrote over it."""
        self._shown = [Row(self.width, _UNKNOWN) for _ in range(self.height)]
        self._dirty = set(range(self.height))
        self._pen.forget()

    def write(self, data: str) -> None:
        """Process output that was meant for the terminal."""
        for token in _TOKEN.finditer(data):
            if text := token["text"]:
                self._put(text)
            elif final := token["final"]:
                self._sequence(token[0], token["params"], final)
            elif control := token["control"]:
                if control == "\n":
                    self._x, self._y = 0, self._y + 1
                elif control == "\r":
                    self._x = 0
            elif string := token["string"]:
                if not string.startswith("\x1b]8;"):  # hyperlinks: not on this screen
                    self._raw.append(string)
            else:
                self._raw.append(token[0])

    def _sequence(self, whole: str, params: str, final: str) -> None:
        if final == "m":
            self._style = "" if params in ("", "0") else params
        elif final == "H":
            row, _, column = params.partition(";")
            self._y, self._x = int(row or 1) - 1, int(column or 1) - 1
        elif whole == _SYNC_ON:
            self._sync = True
        elif whole == _SYNC_OFF:
            pass
        elif final == "J":
            self._wanted = [Row(self.width) for _ in range(self.height)]
            self._dirty = set(range(self.height))
        else:
            if whole == "\x1b[?1049l":
                self._active = False
                self._raw.append("\x1b[m")  # the style that the last update left
            self._raw.append(whole)
            if whole == "\x1b[?1049h":
                self._active = True
                self.invalidate()

    def _put(self, text: str) -> None:
        if 0 <= self._y < self.height:
            cells = _cells(text, self._glyphs)
            self._wanted[self._y].put(self._x, cells, self._style)
            self._dirty.add(self._y)
            self._x += len(cells)

    def paint(self, x: int, y: int, cells: Iterable[tuple[str, str]]) -> None:
        """Write text with its SGR parameters from a place on, without the cursor."""
        if 0 <= y < self.height:
            row = self._wanted[y]
            self._dirty.add(y)
            for text, style in cells:
                taken = _cells(text, self._glyphs)
                row.put(x, taken, style)
                x += len(taken)

    def take(self) -> str:
        """What to send now; from then on the terminal is assumed to show everything that was written."""
        raw, self._raw = "".join(self._raw), []
        if not self._active:
            return raw
        runs: dict[str, list[Run]] = {}
        for y in sorted(self._dirty):
            wanted, shown = self._wanted[y], self._shown[y]
            if wanted.differs(shown):
                for run in _runs(y, wanted, shown):
                    runs.setdefault(run.style, []).append(run)
                shown.take_over(wanted)
        self._dirty.clear()
        text = self._pen.draw(runs, self.width)
        if self._sync and len(text) > _LONGEST_UNSYNCED:
            text = _SYNC_ON + text + _SYNC_OFF
        return raw + text

    @property
    def pending(self) -> bool:
        return bool(self._raw) or (self._active and bool(self._dirty))


@dataclass(frozen=True, slots=True)
class Run:
    """Cells in a row that differ from what the terminal shows and have one style."""

    y: int
    x: int
    end: int
    style: str
    text: str


def _runs(y: int, wanted: Row, shown: Row) -> Iterator[Run]:
    texts, styles = wanted.texts, wanted.styles
    changed = [
        x
        for x, (text, old, style, before) in enumerate(zip(texts, shown.texts, styles, shown.styles, strict=True))
        if text != old or style != before
    ]
    end = -1
    for index, x in enumerate(changed):
        if x < end:
            continue
        # If half of a wide character changed, all of it is sent.
        start = x - 1 if texts[x] == "" and x else x
        style = styles[start]
        end = x + 1
        for other in changed[index + 1 :]:
            # Writing over a few cells that are already right is shorter than another cursor movement.
            if other - end >= _WORTH_REWRITING or any(each != style for each in styles[end : other + 1]):
                break
            end = other + 1
        while end < len(texts) and texts[end] == "":
            end += 1
        yield Run(y, start, end, style, "".join(texts[start:end]))


class _Pen:
    """The terminal's cursor and style. Both are known from one update to the next, because nothing else writes to the
    terminal.

    The order in which cells are sent is not visible, so they are sent by style: a change of colour costs more than a
    movement.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Cursor and style are no longer known."""
        self._x = self._y = -1
        self._style: str | None = None

    def draw(self, runs: dict[str, list[Run]], width: int) -> str:
        parts: list[str] = []
        while runs:
            style = min(runs, key=lambda style: self._distance(style, runs[style]))
            parts.append(_transition(self._style, style))
            self._style = style
            for run in _by_nearness(runs.pop(style), self._x, self._y):
                if (run.x, run.y) != (self._x, self._y):
                    parts.append(_move(self._x, self._y, run.x, run.y))
                parts.append(run.text)
                # Terminals differ in where the cursor is after the last column, so nothing is derived from it.
                self._x, self._y = (run.end, run.y) if run.end < width else (-1, -1)
        return "".join(parts)

    def _distance(self, style: str, runs: list[Run]) -> int:
        """The number of bytes to get to the nearest cells of this style."""
        change = len(_transition(self._style, style))
        return change + min(_cost(self._x, self._y, run) for run in runs[:_MOST_SORTED])


_MOST_SORTED = 48
"""Above this number of runs of one style, they are sent row by row: always finding the nearest takes quadratic time."""


def _by_nearness(runs: list[Run], x: int, y: int) -> Iterator[Run]:
    """The runs in an order with short movements between them: the next one is always the cheapest to reach."""
    if len(runs) > _MOST_SORTED:
        yield from runs
        return
    rest = runs.copy()
    while rest:
        best, least = 0, 99
        for index, run in enumerate(rest):
            cost = _cost(x, y, run)
            if cost < least:
                best, least = index, cost
                if cost <= 2:
                    break
        run = rest.pop(best)
        x, y = run.end, run.y
        yield run


def _cost(x: int, y: int, run: Run) -> int:
    """About the bytes of the movement to a run: see _move."""
    return len(_vertical(run.y - y)) + len(_horizontal(run.x - x))


def _move(x: int, y: int, to_x: int, to_y: int) -> str:
    """The shortest movement to another cell."""
    absolute = f"\x1b[{to_y + 1};{to_x + 1}H" if to_x else f"\x1b[{to_y + 1}H"
    if x < 0:
        return absolute
    relative = _vertical(to_y - y) + (_horizontal(to_x - x) if to_x else "\r")
    return relative if len(relative) < len(absolute) else absolute


@lru_cache(512)
def _vertical(down: int) -> str:
    """To another row, in the same column. VT and RI scroll only at the screen's edges, beyond which nothing moves; the
    terminal driver, which turns LF into CR LF, leaves VT as it is."""
    if 0 <= down <= 3:
        return "\v" * down
    if down == -1:
        return "\x1bM"
    return f"\x1b[{abs(down)}{'B' if down > 0 else 'A'}"


@lru_cache(2048)
def _horizontal(right: int) -> str:
    """To another column, in the same row."""
    if -4 <= right <= 0:
        return "\b" * -right
    return f"\x1b[{'' if right == 1 else abs(right)}{'C' if right > 0 else 'D'}"


_Look = tuple[str, str, frozenset[str]]
"""Foreground, background (empty: the terminal's own) and the other attributes."""

_OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "7": "27", "8": "28", "9": "29", "53": "55"}
"""What ends an attribute (ECMA-48, 8.3.117). 22 ends both bold and faint."""


@lru_cache(4096)
def _look(params: str) -> _Look:
    foreground = background = ""
    attributes: set[str] = set()
    numbers = params.split(";")
    index = 0
    while index < len(numbers):
        number = numbers[index]
        code = int(number) if number.isdigit() else 0
        if code in (38, 48):
            length = 5 if numbers[index + 1 : index + 2] == ["2"] else 3
            colour = _short(numbers[index : index + length])
            foreground, background = (colour, background) if code == 38 else (foreground, colour)
            index += length
            continue
        if code == 0:
            foreground, background = "", ""
            attributes.clear()
        elif 30 <= code <= 37 or 90 <= code <= 97:
            foreground = number
        elif 40 <= code <= 47 or 100 <= code <= 107:
            background = number
        elif code == 39:
            foreground = ""
        elif code == 49:
            background = ""
        else:
            attributes.add(number)
        index += 1
    return foreground, background, frozenset(attributes)


_CUBE = (0x00, 0x5F, 0x87, 0xAF, 0xD7, 0xFF)
"""The levels of the colour cube at 16 to 231 of the 256 colours."""


def _short(numbers: list[str]) -> str:
    """A 24-bit colour that equals one of the 256 is written as that one: half the bytes."""
    if numbers[1:2] == ["2"] and len(numbers) == 5:
        red, green, blue = (int(number) for number in numbers[2:])
        if red in _CUBE and green in _CUBE and blue in _CUBE:
            return f"{numbers[0]};5;{16 + 36 * _CUBE.index(red) + 6 * _CUBE.index(green) + _CUBE.index(blue)}"
        if red == green == blue and (red - 8) % 10 == 0 and 8 <= red <= 238:
            return f"{numbers[0]};5;{232 + (red - 8) // 10}"
    return ";".join(numbers)


@lru_cache(4096)
def _transition(before: str | None, after: str) -> str:
    """SGR that turns one style into another, without the parts that stay the same; None: the current style is
    unknown."""
    new = _look(after)
    old = ("", "", frozenset[str]()) if before is None else _look(before)
    parts = [""] if before is None else []
    gone = old[2] - new[2]
    kept = old[2] & new[2]
    if gone:
        offs = sorted({_OFF.get(code, "0") for code in gone})
        if "0" in offs:
            parts, old, kept = [""], ("", "", frozenset[str]()), frozenset[str]()
        else:
            parts += offs
            kept -= {code for code in kept if _OFF.get(code) in offs}
    parts += sorted(new[2] - kept)
    if new[0] != old[0]:
        parts.append(new[0] or "39")
    if new[1] != old[1]:
        parts.append(new[1] or "49")
    if parts == [""] or (parts and not any(new[:2]) and not new[2]):
        return "\x1b[m"
    return f"\x1b[{';'.join(parts)}m" if parts else ""
