"""What the terminal shows, what it should show, and the shortest way from the one to the other.

Textual writes regions whole; over SSH most of what it writes is on the screen already. :class:`Screen` reads what
Textual writes, keeps it as a grid of cells, and gives out only the cells that differ from what was given out before.
A terminal that is slower than the frames gets the newest one when it is ready, never a queue of old ones.

Sequences are those of ECMA-48 as Textual and Rich emit them: CUP, SGR, ED, and modes, which are passed on.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rich.cells import get_character_cell_size

from kmltui.tui.glyphs import UNICODE, Glyphs, nearest

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
"""A short update cannot tear; the two sequences around it would be a tenth of it."""

_UNKNOWN = ("\0", "")
Cell = tuple[str, str]
"""A character (empty: the right half of a wide one) and its SGR parameters."""
_BLANK: Cell = (" ", "")


class Screen:
    """The two grids. Not thread-safe: the driver holds a lock around it."""

    def __init__(self, width: int, height: int, glyphs: Glyphs = UNICODE) -> None:
        self._glyphs = glyphs
        self._sync = False
        self._active = False
        self._raw: list[str] = []
        self._style = ""
        self._x = self._y = 0
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """The terminal has a new size: what it shows now is not known any more."""
        self.width, self.height = width, height
        self._wanted: list[list[Cell]] = [[_BLANK] * width for _ in range(height)]
        self._shown: list[list[Cell]] = [[_UNKNOWN] * width for _ in range(height)]
        self._dirty = set(range(height))

    def invalidate(self) -> None:
        """Send everything again, e.g. because another program wrote over it."""
        self._shown = [[_UNKNOWN] * self.width for _ in range(self.height)]
        self._dirty = set(range(self.height))

    def write(self, data: str) -> None:
        """Take what was meant for the terminal."""
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
            self._wanted = [[_BLANK] * self.width for _ in range(self.height)]
            self._dirty = set(range(self.height))
        else:
            self._raw.append(whole)
            if whole == "\x1b[?1049h":
                self._active = True
                self.invalidate()
            elif whole == "\x1b[?1049l":
                self._active = False

    def _put(self, text: str) -> None:
        y, x = self._y, self._x
        if not 0 <= y < self.height:
            return
        row, style, width, glyphs = self._wanted[y], self._style, self.width, self._glyphs
        self._dirty.add(y)
        if text.isascii():
            part = text[: max(width - x, 0)]
            row[x : x + len(part)] = [(character, style) for character in part]
            self._x = x + len(text)
            return
        for original in text:
            cells = get_character_cell_size(original)
            if cells == 0:
                if 0 < x <= width and glyphs is UNICODE:
                    row[x - 1] = (row[x - 1][0] + original, row[x - 1][1])
                continue
            character = nearest(original, glyphs)
            if cells == 2 and character != original:
                character += " "
            if x + cells > width:
                break
            row[x] = (character[:1] if len(character) == cells == 2 and character != original else character, style)
            if cells == 2:
                row[x + 1] = ("", style) if character == original else (" ", style)
            x += cells
        self._x = x

    def take(self) -> str:
        """What to send now; afterwards the terminal is held to show all that was written."""
        raw, self._raw = "".join(self._raw), []
        if not self._active:
            return raw
        update = _Update()
        for y in sorted(self._dirty):
            wanted, shown = self._wanted[y], self._shown[y]
            if wanted != shown:
                _row(update, y, wanted, shown)
                self._shown[y] = wanted.copy()
        self._dirty.clear()
        text = update.finish()
        if self._sync and len(text) > _LONGEST_UNSYNCED:
            text = _SYNC_ON + text + _SYNC_OFF
        return raw + text

    @property
    def pending(self) -> bool:
        return bool(self._raw) or (self._active and bool(self._dirty))


def _row(update: _Update, y: int, wanted: list[Cell], shown: list[Cell]) -> None:
    width = len(wanted)
    x = 0
    while x < width:
        if wanted[x] == shown[x]:
            x += 1
            continue
        if wanted[x][0] == "" and x and wanted[x - 1] == shown[x - 1]:
            x -= 1  # half of a wide character: send it whole
        update.move(x, y, wanted)
        while x < width and wanted[x] != shown[x]:
            character, style = wanted[x]
            update.put(character, style)
            x += 1
        if x < width and wanted[x][0] == "":
            x += 1


class _Update:
    """Builds the sequence, with the cursor's place and the style in mind. Begins and ends with the style reset."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._x = self._y = -1
        self._style = ""

    def move(self, x: int, y: int, row: list[Cell]) -> None:
        if (x, y) == (self._x, self._y):
            return
        if y == self._y and x > self._x >= 0:
            between = row[self._x : x]
            if len(between) <= 4 and all(style == self._style and text != "" for text, style in between):
                self._parts.append("".join(text for text, _ in between))
            else:
                step = x - self._x
                self._parts.append("\x1b[C" if step == 1 else f"\x1b[{step}C")
        elif y == self._y + 1 and self._y >= 0 and x == 0:
            self._parts.append("\r\n")
        elif x == 0:
            self._parts.append(f"\x1b[{y + 1}H")
        else:
            self._parts.append(f"\x1b[{y + 1};{x + 1}H")
        self._x, self._y = x, y

    def put(self, character: str, style: str) -> None:
        if style != self._style:
            self._parts.append(_transition(self._style, style))
            self._style = style
        self._parts.append(character)
        self._x += 1

    def finish(self) -> str:
        if self._style:
            self._parts.append("\x1b[m")
        return "".join(self._parts)


_Look = tuple[str, str, frozenset[str]]
"""Foreground, background (empty: the terminal's own) and the other attributes."""


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
            colour = ";".join(numbers[index : index + length])
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


@lru_cache(4096)
def _transition(before: str, after: str) -> str:
    """SGR that turns one style into another, without the parts that stay."""
    if not after:
        return "\x1b[m"
    old, new = _look(before), _look(after)
    if old[2] - new[2]:  # an attribute goes: its own "off" codes are not equally known everywhere, a reset is
        parts = ["", *sorted(new[2])]
        old = ("", "", frozenset())
    else:
        parts = sorted(new[2] - old[2])
    if new[0] != old[0]:
        parts.append(new[0] or "39")
    if new[1] != old[1]:
        parts.append(new[1] or "49")
    return f"\x1b[{';'.join(parts)}m" if parts else ""
