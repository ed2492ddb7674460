# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as one self-contained HTML file: no script, no font, no network; light, dark and for printing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from urllib.parse import quote

from kmltui.printable import printable
from kmltui.report import svg
from kmltui.report.blocks import Block, Bullets, Facts, Heading, Lines, Paragraph, Picture, Table

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --faint: #59636e; --rule: #d1d9e0; --band: #f6f8fa;
  --a: #0b62b8; --b: #b45309; --c: #3f7d20; --d: #8250a8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e4e8ec; --faint: #9aa4af; --rule: #39424c; --band: #1c2229;
    --a: #6cb2f7; --b: #f0a54a; --c: #8fce6a; --d: #c9a0ea;
  }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
a { color: var(--a); }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.verdict { border-left: 4px solid var(--a); background: var(--band); padding: .7rem 1rem; font-size: 1.1rem; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
.facts dt { color: var(--faint); } .facts dd { margin: 0; } .more { color: var(--faint); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .3rem 0; }
caption { text-align: left; color: var(--faint); padding-bottom: .2rem; }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; vertical-align: top; white-space: nowrap; }
th { border-bottom: 1px solid var(--ink); font-weight: 600; }
th:first-child, td:first-child, .text th, .text td { text-align: left; }
.text td { white-space: normal; overflow-wrap: anywhere; } .text td:first-child { white-space: nowrap; }
tr.rule td { border-top: 1px solid var(--rule); }
.note { color: var(--faint); font-size: .87rem; margin: .2rem 0; max-width: 48rem; }
pre { background: var(--band); padding: .6rem 1rem; overflow-x: auto; font-size: .85rem; }
figure { margin: 1rem 0; break-inside: avoid; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--faint); } svg .axis { stroke: var(--rule); } svg .phase { stroke: var(--faint); }
@media print {
  :root { --paper: #fff; --ink: #000; --faint: #444; --rule: #bbb; --band: #fff; --a: #0b62b8; --b: #b45309;
    --c: #3f7d20; --d: #8250a8; color-scheme: light; }
  body { margin: 0; max-width: none; font-size: 10pt; } h2 { break-after: avoid; } table { break-inside: auto; }
  tr { break-inside: avoid; } .scroll { overflow: visible; } th, td { padding-right: .5rem; }
}
"""


def render(blocks: Iterable[Block], title: str, plays: str = "") -> str:
    """The whole document. Every text is escaped. ``plays`` is the file beside it that plays the recording."""
    link = f'<p><a href="./{quote(os.fsencode(plays))}">Play the recording</a></p>\n' if plays else ""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(printable(title))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{link}{body(blocks)}\n</body>\n</html>\n"
    )


def body(blocks: Iterable[Block]) -> str:
    """The blocks alone, for a page that contains more."""
    return "\n".join(line for block in blocks for line in _block(block))


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text, important):
            yield f'<p class="verdict">{escape(text)}</p>' if important else f"<p>{escape(text)}</p>"
        case Facts(rows):
            yield '<dl class="facts">'
            for name, fact, more in rows:
                note = f' <span class="more">({escape(more)})</span>' if more else ""
                yield f"<dt>{escape(name)}</dt><dd>{escape(fact)}{note}</dd>"
            yield "</dl>"
        case Bullets(items):
            yield "<ul>"
            for item in items:
                yield f"<li>{escape(item)}</li>"
            yield "</ul>"
        case Lines(lines):
            yield f"<pre>{escape(chr(10).join(lines))}</pre>"
        case Table():
            yield from _table(block)
        case Picture(chart):
            yield f"<figure><figcaption>{escape(chart.title)}, {escape(chart.unit)}</figcaption>"
            yield svg.draw(chart)
            yield "</figure>"


def _table(table: Table) -> Iterator[str]:
    yield f'<div class="scroll"><table{" class=text" if table.text_columns else ""}>'
    if table.caption:
        yield f"<caption>{escape(table.caption)}</caption>"
    yield f"<thead><tr>{_cells(table.headers, 'th')}</tr></thead>\n<tbody>"
    for index, row in enumerate(table.rows):
        rule = ' class="rule"' if index in table.separators else ""
        yield f"<tr{rule}>{_cells(row, 'td')}</tr>"
    yield "</tbody></table></div>"
    for note in table.notes:
        yield f'<p class="note">{escape(note)}</p>'


def _cells(cells: Sequence[str], tag: str) -> str:
    return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
