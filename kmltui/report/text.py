# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as text of 80 columns."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from kmltui.report.blocks import Block, Bullets, Facts, Heading, Lines, Paragraph, Picture, Table

WIDTH = 80

_GAP = "  "
_NARROWEST = 8


def render(blocks: Iterable[Block], width: int = WIDTH) -> str:
    """Lines of at most ``width`` columns."""
    lines: list[str] = []
    for block in blocks:
        part = list(_block(block, width))
        if part:
            lines += [*part, ""]
    return "\n".join(line.rstrip() for line in lines[:-1]) + "\n"


def _block(block: Block, width: int) -> Iterator[str]:
    match block:
        case Heading(text, level):
            for line in _wrap(text, width):
                yield line
                yield ("=" if level == 1 else "-") * _columns(line)
        case Paragraph(text):
            yield from _wrap(text, width)
        case Facts(rows):
            label = max(len(row[0]) for row in rows) + len(_GAP)
            for name, fact, more in rows:
                text = f"{fact} ({more})" if more else fact
                indent = " " * label
                yield from textwrap.wrap(text, width, initial_indent=f"{name:<{label}}", subsequent_indent=indent)
        case Bullets(items):
            for item in items:
                yield from textwrap.wrap(item, width, initial_indent="- ", subsequent_indent="  ")
        case Lines(lines):
            for line in lines:
                yield from textwrap.wrap(line, width, initial_indent="    ", subsequent_indent="    ") or [""]
        case Table():
            yield from _table(block, width)
        case Picture():
            return


def _table(table: Table, width: int) -> Iterator[str]:
    if table.caption:
        yield from _wrap(table.caption, width)
    rows = [list(table.headers), *map(list, table.rows)]
    widths = _widths(rows, width)
    for index, row in enumerate(rows):
        if index == 1 or index - 1 in table.separators:
            yield _GAP.join("-" * column for column in widths)
        yield from _row(row, widths, table.text_columns)
    for note in table.notes:
        yield from textwrap.wrap(note, width, initial_indent="  ", subsequent_indent="  ")


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The width that each column needs; if the total is too much, the widest columns are narrowed and wrapped."""
    widths = [max(_columns(cell) for cell in column) for column in zip(*rows, strict=True)]
    room = width - len(_GAP) * (len(widths) - 1)
    # No column stays wider than the room, and a text of any length may come from a recording.
    widths = [min(column, max(room, _NARROWEST)) for column in widths]
    while sum(widths) > room and max(widths) > _NARROWEST:
        widest = max(range(len(widths)), key=lambda index: widths[index])
        widths[widest] -= 1
    return widths


def _row(row: Sequence[str], widths: Sequence[int], text: bool) -> Iterator[str]:
    cells = [_wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    for line in range(max(len(cell) for cell in cells)):
        parts = [cell[line] if line < len(cell) else "" for cell in cells]
        yield _GAP.join(
            _pad(part, width, right=index > 0 and not text)
            for index, (part, width) in enumerate(zip(parts, widths, strict=True))
        )


def _wrap(text: str, width: int) -> list[str]:
    # textwrap counts characters; a wide one takes two columns, so in the worst case half as many fit.
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    if all(_columns(line) <= width for line in lines):
        return lines
    return [
        piece
        for line in lines
        for piece in (textwrap.wrap(line, max(1, width // 2)) if _columns(line) > width else [line])
    ]


def _pad(text: str, width: int, right: bool) -> str:
    blank = " " * max(0, width - _columns(text))
    return blank + text if right else text + blank


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
