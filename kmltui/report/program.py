# SPDX-License-Identifier: GPL-2.0-or-later
"""The card of a program as text and as a picture."""

from __future__ import annotations

import textwrap
from html import escape

from kmltui.figures.program import ProgramCard
from kmltui.printable import printable
from kmltui.report import text
from kmltui.report.blocks import Facts

_WIDTH, _MARGIN, _LABEL, _LINE = 960, 32, 150, 24
_COLUMNS = 82
"""Characters per line beside the labels, in a font whose characters are 9.1 units wide."""
_TRAP, _DIRECT, _WARNING = "#bb4112", "#0a6f4d", "#8f6400"


def as_text(card: ProgramCard, width: int = text.WIDTH) -> str:
    rows = [(row.label, printable(row.text), printable(row.more)) for row in card.rows]
    return f"{printable(card.command)}\n\n{text.render([Facts(rows)], width)}"


def as_svg(card: ProgramCard) -> str:
    """A self-contained picture with its own colours: it looks the same wherever it is placed."""
    parts: list[str] = []
    y = _MARGIN + 22
    for line in textwrap.wrap(f"$ {printable(card.command)}", 68)[:3]:
        parts.append(f'<text x="{_MARGIN}" y="{y}" font-size="20" font-weight="bold">{escape(line)}</text>')
        y += 28
    y += 4
    most = max((trap + direct for _, trap, direct in card.traps), default=0)
    for name, trap, direct in card.traps:
        parts.append(f'<text x="{_MARGIN}" y="{y + 15}" font-weight="bold">{escape(printable(name))}</text>')
        x = float(_MARGIN + _LABEL)
        room = _WIDTH - 2 * _MARGIN - _LABEL - 250
        for calls, colour in ((trap, _TRAP), (direct, _DIRECT)):
            long = calls / most * room if most else 0.0
            if calls:
                parts.append(f'<rect x="{x:.1f}" y="{y}" width="{max(long, 1.5):.1f}" height="20" fill="{colour}"/>')
            x += long
        said = f"{trap:,} traps" + (f", {direct:,} direct" if direct else "")
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 15}">{said}</text>')
        y += 28
    y += 12
    for index, row in enumerate(card.rows):
        colour = f' fill="{_WARNING}" font-weight="bold"' if card.warned and index == 0 else ""
        parts.append(f'<text x="{_MARGIN}" y="{y}" fill="#5c6671">{escape(printable(row.label))}</text>')
        for line, style in [
            *((line, colour) for line in textwrap.wrap(printable(row.text), _COLUMNS)),
            *((line, ' fill="#5c6671"') for line in textwrap.wrap(printable(row.more), _COLUMNS)),
        ]:
            parts.append(f'<text x="{_MARGIN + _LABEL}" y="{y}"{style}>{escape(line)}</text>')
            y += _LINE
        y += 6
    parts.append(f'<text x="{_MARGIN}" y="{y + 8}" fill="#5c6671" font-size="12">kmltui, Kernel Mode Linux</text>')
    height = y + _MARGIN
    title = escape(f"{printable(card.command)} in ring 3 and in ring 0", quote=True)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
            f' height="{height}" role="img" aria-label="{title}" font-family="monospace" font-size="15"'
            ' fill="#1c232b">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#fbfaf7"/>',
            *parts,
            "</svg>\n",
        ]
    )
