# SPDX-License-Identifier: GPL-2.0-or-later
"""What system calls cost a watched server, as its page on the screen has it: an estimate, on average over the time."""

from __future__ import annotations

from collections.abc import Iterator

from kmltui.figures.servercost import ASSUMED, a_query, two_digits
from kmltui.figures.summary import ServerCost, Summary
from kmltui.printable import printable
from kmltui.report import numbers
from kmltui.report.blocks import ABSENT, Block, Heading, Paragraph, Table

TOP_CALLS = 16
"""System calls shown by name; the others are in the JSON form."""


def section(summary: Summary) -> Iterator[Block]:
    """Nothing where it is not known."""
    cost = summary.server_cost
    if cost is None or not cost.per_s:
        return
    asked = cost.per_query is not None
    rows = []
    for each in cost.names[:TOP_CALLS]:
        row = [printable(each.name), numbers.rate(each.per_s)]
        row += [a_query(each.per_query)] if each.per_query is not None else []
        row += [_amount(each.cores, cost)]
        row += [_amount(each.fewer_cores, cost) if each.fewer_cores is not None else ABSENT] if asked else []
        rows.append(row)
    server = any(session.server_status for session in summary.sessions.values())
    for_a_query = f", {cost.per_query:,.1f} a query" if cost.per_query is not None else ""
    trap = f"{cost.trap_ns.low:.0f} to {cost.trap_ns.high:.0f} ns"
    hidden = len(cost.names) - len(rows)
    yield Heading(f"What system calls cost this {'server' if server else 'machine'}")
    share = cost.share
    least, most = (
        f"{two_digits(cores)} cores" + (f" ({two_digits(100 * part)} % of its CPU time)" if part is not None else "")
        for cores, part in (
            (cost.cores.low, share.low if share else None),
            (cost.cores.high, share.high if share else None),
        )
    )
    yield Paragraph(
        f"Estimate, not measured: ring 0 would save at least {least} and at most {most}:"
        f" {numbers.rate(cost.per_s)} calls a second{for_a_query} on average, where a trap takes {trap}."
    )
    yield Table(
        ["", "calls/s", *(["a query"] if asked else []), "at most", *(["once a query saves"] if asked else [])],
        rows,
        notes=[
            f"{ASSUMED[0].upper()}{ASSUMED[1:]}.",
            *([f"{hidden} others are not shown; the JSON report has them all."] if hidden else []),
        ],
    )


def _amount(cores: float, cost: ServerCost) -> str:
    part = cost.part(cores)
    return f"{two_digits(cores)} cores" if part is None else f"{two_digits(100 * part)} %"
