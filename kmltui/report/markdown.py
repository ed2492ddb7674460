# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as Markdown, with tables in the syntax of GitHub and most others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from kmltui.report.blocks import Block, Bullets, Facts, Heading, Lines, Paragraph, Picture, Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")


def render(blocks: Iterable[Block]) -> str:
    """Markdown; characters in a text that would be markup are escaped."""
    return "\n\n".join("\n".join(lines) for block in blocks if (lines := list(_block(block)))) + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f"{'#' * level} {_escape(text)}"
        case Paragraph(text, important):
            yield f"**{_escape(text)}**" if important else _escape_line(text)
        case Facts(rows):
            for name, fact, more in rows:
                yield f"- **{_escape(name)}**: {_escape(fact)}{f' ({_escape(more)})' if more else ''}"
        case Bullets(items):
            for item in items:
                yield f"- {_escape(item)}"
        case Lines(lines):
            # A fence longer than any run of backticks in the text cannot be closed by it.
            fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0))
            yield fence
            yield from lines
            yield fence
        case Table():
            yield from _table(block)
        case Picture():
            return


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield _escape_line(table.caption)
        yield ""
    align = ["---" if index == 0 or table.text_columns else "---:" for index in range(len(table.headers))]
    yield _row(table.headers)
    yield f"| {' | '.join(align)} |"
    for row in table.rows:
        yield _row(row)
    for note in table.notes:
        yield ""
        yield _escape_line(note)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escape(cell.strip()) for cell in cells)} |"


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _escape_line(text: str) -> str:
    """Also escapes what is markup only at the beginning of a line."""
    escaped = _escape(text)
    return (
        _LINE_START.sub(r"\1\\\2", escaped)
        if not escaped[:1].isdigit()
        else re.sub(r"^(\d+)([.)])", r"\1\\\2", escaped)
    )
