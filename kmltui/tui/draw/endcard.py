# SPDX-License-Identifier: GPL-2.0-or-later
"""The end card on the screen: the outcome of the run, in place of the table of CPU seconds."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from kmltui.figures.card import CardLine
from kmltui.printable import printable
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import Line, fit

_ROLES = {"good": "good", "bad": "bad", "warning": "warn", "plain": "text"}


_LEAST_ROWS = 4


def rows(lines: Sequence[CardLine], cells: int, most: int) -> int:
    """How many rows the card asks for: as many as show what everybody should read, but at most ``most``."""
    label = _label(lines)
    return max(min(sum(len(_wrapped(line.text, cells - label)) for line in lines), most), _LEAST_ROWS)


def draw(lines: Sequence[CardLine], cells: int, rows: int, glyphs: Glyphs) -> list[Line]:
    """A rule and ``rows`` rows, each ``cells`` wide; lines that do not fit are dropped from the end.

    What qualifies a line stands beside it, or below it while there are rows to spare; otherwise it ends in dots.
    """
    title = " What this run came to "
    result: list[Line] = [
        ((glyphs.rule, "rule"), (title, "strong"), (glyphs.rule * max(cells - len(title) - 1, 0), "rule"))
    ]
    label = _label(lines)
    texts = [_wrapped(line.text, cells - label) for line in lines]
    spare = rows - sum(map(len, texts))
    for line, text in zip(lines, texts, strict=True):
        head = f" {printable(line.label):<{label - 1}}"
        for index, row in enumerate(text):
            result.append(((head if not index else " " * label, "muted"), (row, _ROLES[line.tone])))
        if not line.more:
            continue
        below = _wrapped(line.more, cells - label)
        if label + len(text[-1]) + 3 + len(line.more) > cells and len(below) <= spare:
            spare -= len(below)
            result += [((" " * label, "muted"), (row, "faint")) for row in below]
        else:
            result[-1] = (*result[-1], (f"   {printable(line.more)}", "faint"))
    if len(result) > rows + 1:
        (blank, _), *rest = result[rows + 1]
        result = result[: rows + 1]
        if not blank.strip():  # what goes on in the first row that is left out ends in dots
            result[-1] = (*result[-1], (" ", "text"), *rest)
    result += [()] * (rows + 1 - len(result))
    return [fit(line, cells) for line in result]


def _label(lines: Sequence[CardLine]) -> int:
    """Cells before the text: the label between two blanks."""
    return max((len(line.label) for line in lines), default=0) + 2


def _wrapped(text: str, cells: int) -> list[str]:
    return wrap(printable(text), max(cells, 20)) or [""]
