# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers that can be read from the back row of an auditorium."""

from __future__ import annotations

from collections.abc import Sequence

from kmltui.tui.glyphs import Glyphs

ROWS = 5
"""Of a character; times the scale."""

_FONT = {
    "0": "111 101 101 101 111",
    "1": "010 110 010 010 111",
    "2": "111 001 111 100 111",
    "3": "111 001 111 001 111",
    "4": "101 101 111 001 001",
    "5": "111 100 111 001 111",
    "6": "111 100 111 101 111",
    "7": "111 001 001 010 010",
    "8": "111 101 111 101 111",
    "9": "111 101 111 001 111",
    "k": "100 101 110 101 101",
    "M": "10001 11011 10101 10001 10001",
    "G": "111 100 101 101 111",
    "–": "000 000 111 000 000",
    ".": "0 0 0 0 1",
    ",": "00 00 00 01 10",
}
"""A filled square is a 1; rows from top to bottom."""

_SCALES = ((4, 2), (2, 1), (1, 1))
"""Cells across and rows down of one square; a cell is about twice as high as it is wide."""


def draw(texts: Sequence[str], cells: int, rows: int, glyphs: Glyphs) -> list[list[str]]:
    """Numbers as :mod:`kmltui.tui.text` writes them, all of one size: the largest in which each fits into ``cells``
    and ``rows``. If there is none, they stay as they are, in one row.

    A damaged recording can make a number that is none, such as a negative count: then nothing is enlarged.
    """
    if not _FONT.keys() >= set("".join(texts)):
        return [[text] for text in texts]
    for across, down in _SCALES:
        if ROWS * down <= rows and all(_squares(text) * across <= cells for text in texts):
            return [_drawn(text, across, down, glyphs) for text in texts]
    return [[text] for text in texts]


def _squares(text: str) -> int:
    return sum(len(_FONT[each].split()[0]) + 1 for each in text) - 1


def _drawn(text: str, across: int, down: int, glyphs: Glyphs) -> list[str]:
    characters = [_FONT[each].split() for each in text]
    lines = ["0".join(each[row] for each in characters) for row in range(ROWS)]
    drawn = ["".join((glyphs.full if bit == "1" else " ") * across for bit in line) for line in lines]
    return [line for line in drawn for _ in range(down)]
