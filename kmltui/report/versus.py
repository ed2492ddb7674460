# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison of two recordings as a report."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from kmltui.figures.summary import Fractions, RunFacts
from kmltui.figures.versus import Change, Versus
from kmltui.printable import printable
from kmltui.report import html, markdown, numbers, text
from kmltui.report.blocks import ABSENT, Block, Heading, Paragraph, Table


def render_versus(versus: Versus, format: str = "text", width: int = text.WIDTH) -> str:
    """The comparison as ``text`` of ``width`` columns, ``markdown``, ``json`` or ``html``.

    Raises ValueError for any other format.
    """
    match format:
        case "text":
            return text.render(document(versus), width)
        case "markdown":
            return markdown.render(document(versus))
        case "html":
            return html.render(document(versus), title=f"{_name(versus.left)} and {_name(versus.right)}")
        case "json":
            return json.dumps(json.loads(msgspec.json.encode(versus)), indent=2) + "\n"
    raise ValueError(f"{format}: is not a format of reports; there are text, markdown, json, html")


def document(versus: Versus) -> Iterator[Block]:
    """The environment's differences first, then the figures."""
    yield Heading(f"{_name(versus.left)} and {_name(versus.right)}", 1)
    yield Paragraph(printable(versus.verdict), important=True)
    yield Heading("What differs in the environment")
    if versus.environment:
        rows = [[printable(item.what), _short(item.left), _short(item.right)] for item in versus.environment]
        yield Table(["", "left", "right"], rows, text_columns=True)
    else:
        yield Paragraph("Nothing that was recorded.")
    if versus.saved_left and versus.saved_right:
        yield Heading("What KML saved in each")
        rows = [
            [f"{side}, of {'instructions' if exact else 'CPU time *'}", *_fractions(saved)]
            for side, saved, exact in (
                ("left", versus.saved_left, versus.exact_left),
                ("right", versus.saved_right, versus.exact_right),
            )
        ]
        yield Table(["", "total", "user", "system"], rows)
    for name, changes in versus.sessions.items():
        yield Heading(f"Session {printable(name)}")
        yield Table(["", "left", "right", "change", "95 % interval", "shown"], [_row(change) for change in changes])
    yield Paragraph("* Split by the kernel's ticks, which are biased around system calls.")


def _row(change: Change) -> list[str]:
    mark = " *" if change.tick_sampled else ""
    shown = ABSENT if change.shown is None else "yes" if change.shown else "no"
    return [
        f"{change.figure}{mark}, {numbers.unit(change.unit)}",
        numbers.rate(change.left),
        numbers.rate(change.right),
        numbers.percent(change.change, signed=True),
        numbers.interval(change.interval),
        shown,
    ]


def _fractions(saved: Fractions) -> list[str]:
    return [numbers.percent(value) for value in (saved.total, saved.user, saved.system)]


def _name(run: RunFacts) -> str:
    return printable(run.title or run.name or run.workload)


def _short(value: str) -> str:
    return printable(value.replace("\n", "; "))
