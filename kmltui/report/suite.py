# SPDX-License-Identifier: GPL-2.0-or-later
"""A suite's workloads as one table: what KML saves in each, and what others have reported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec

from kmltui.figures.suite import PARTS, Saved, SuiteRow, comparable
from kmltui.figures.verdict import share_text
from kmltui.printable import printable
from kmltui.report import html, markdown, numbers, text
from kmltui.report.blocks import ABSENT, Block, Bullets, Heading, Paragraph, Table

_WIDTH = 110
"""Columns of the text, so that no row is broken into several lines."""


def render_suite(name: str, rows: Sequence[SuiteRow], format: str = "text") -> str:
    """The table of the suite ``name`` as ``text``, ``markdown``, ``json`` or ``html``.

    Raises ValueError for another format.
    """
    match format:
        case "text":
            return text.render(document(name, rows), _WIDTH)
        case "markdown":
            return markdown.render(document(name, rows))
        case "html":
            return html.render(document(name, rows), title=f"Suite {name}")
        case "json":
            found = {"suite": name, "rows": json.loads(msgspec.json.encode(list(rows)))}
            return json.dumps(found, indent=2) + "\n"
    raise ValueError(f"{format}: is not a format of reports; there are text, markdown, json, html")


def document(name: str, rows: Sequence[SuiteRow]) -> Iterator[Block]:
    """The table, what could not be measured, then what others have reported."""
    yield Heading(f"Suite {printable(name)}: what KML saved of each workload", 1)
    measured = [row for row in rows if not row.problem]
    if not comparable(rows):
        yield Paragraph("The workloads were not all measured in the same way: rows cannot be compared.", important=True)
    if measured:
        what = "instructions" if measured[0].exact else "CPU time"
        pairs = sorted({row.pairs for row in measured if row.pairs})
        how = f"{what} saved, 95 % intervals from {' or '.join(map(str, pairs))} pairs of runs" if pairs else what
        headers = ["", "total", "95 %", "user", "kernel", "calls", "a", "direct", "estimate"]
        notes = [
            "estimate: of CPU time on the recording machine's processor, likely bounds; not measured "
            "(docs/measurement.md).",
            "calls: system calls, by trap or direct, for each unit of the work.",
        ]
        yield Table(headers, [_row(row) for row in measured], caption=how, notes=notes)
    if problems := [f"{printable(row.title)}: {printable(row.problem)}" for row in rows if row.problem]:
        yield Heading("Not measured")
        yield Bullets(problems)
    if reported := [f"{printable(row.workload)}: {printable(row.reported)}." for row in rows if row.reported]:
        yield Heading("What others have reported")
        yield Bullets(reported)


def _row(row: SuiteRow) -> list[str]:
    saved = {part: row.saved.get(part, Saved(None, None)) for part in PARTS}
    calls = row.calls_per_unit
    estimated = row.estimate.likely if row.estimate else None
    return [
        printable(row.workload),
        numbers.percent(saved["total"].fraction),
        numbers.interval(saved["total"].interval),
        numbers.percent(saved["user"].fraction),
        numbers.percent(saved["system"].fraction),
        numbers.rate(calls) if calls is not None else ABSENT,
        printable(row.unit) or ABSENT,
        share_text(row.direct_share) if row.direct_share is not None else ABSENT,
        numbers.interval((estimated.low, estimated.high)) if estimated else ABSENT,
    ]
