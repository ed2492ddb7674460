# SPDX-License-Identifier: GPL-2.0-or-later
"""A watched server: its rates in a few lines, what is at work in it, and what it does not report."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from kmltui.live.views import SessionView
from kmltui.printable import printable
from kmltui.tui.text import Line, Span, fit, line, rate, shorten

_FILES = {
    "Innodb_data_reads": "reads",
    "Innodb_data_writes": "writes",
    "Innodb_data_fsyncs": "syncs",
    "Innodb_log_writes": "log writes",
    "Innodb_row_lock_waits": "lock waits",
}
_ROWS = {
    "Innodb_rows_read": "rows read",
    "Innodb_rows_inserted": "inserted",
    "Innodb_rows_updated": "updated",
    "Innodb_rows_deleted": "deleted",
}
_COMMANDS = ("select", "insert", "update", "delete", "replace", "commit", "rollback", "call_procedure")


def summary(session: SessionView, cells: int) -> list[Line]:
    """Queries, threads and kinds of commands; InnoDB's files; its rows. What is not known is left out."""
    rates, counters = dict(session.server_rates), dict(session.server)
    first: list[Line] = [((" queries/s ", "muted"), (rate(session.query_rate), "queries"))]
    if session.over:
        first = [((" queries/s ", "muted"), (rate(session.mean_query_rate), "queries"), (" on average", "muted"))]
    if "Threads_running" in counters:
        first.append((("   threads running ", "muted"), (str(counters["Threads_running"]), "text")))
    if session.replica_lag_s is not None:
        role = "warn" if session.replica_lag_s > 10 else "text"
        first.append((("   behind its source ", "muted"), (f"{session.replica_lag_s} s", role)))
    first += [
        ((f"   {name.replace('_', ' ')} ", "muted"), (rate(found), "text"))
        for name in _COMMANDS
        if (found := rates.get(f"Com_{name}"))
    ]
    second: list[Line] = []
    if hits := _hits(rates):
        second.append(((" buffer pool ", "muted"), (hits, "text"), (" found", "muted")))
    second += _each(rates, _FILES)
    return [shorten(parts, cells) for parts in (first, second, _each(rates, _ROWS)) if parts]


def _each(rates: dict[str, float], labels: dict[str, str]) -> list[Line]:
    return [
        ((f"   {label} ", "muted"), (f"{rate(rates[name])}/s", "text"))
        for name, label in labels.items()
        if name in rates
    ]


def _hits(rates: dict[str, float]) -> str:
    requests = rates.get("Innodb_buffer_pool_read_requests")
    if not requests:
        return ""
    missed = rates.get("Innodb_buffer_pool_reads", 0.0)
    return f"{100 * max(1 - missed / requests, 0.0):.2f} %"


def absent(session: SessionView, cells: int) -> list[Line]:
    """What the server does not report, and what would change that: a grant is of use only if all of it can be read."""
    found: list[Line] = []
    for name, why in session.facts:
        if name.startswith("absent ") and not why.startswith("this server"):
            label = f" no {printable(name.removeprefix('absent '))}: "
            first, *rest = wrap(
                label + printable(why), max(cells, 20), subsequent_indent="    ", break_on_hyphens=False
            )
            found.append(line((first[: len(label)], "muted"), (first[len(label) :], "text")))
            found += [line((row, "text")) for row in rest]
    return [(), *found] if found else []


def threads(session: SessionView) -> Sequence[Line]:
    """What is at work in the server, longest first; never what it executes."""
    if not session.threads:
        return []
    lines: list[Line] = [(), line((" at work", "strong"), ("      s  user            schema          doing", "muted"))]
    for each in session.threads:
        spans: tuple[Span, ...] = (
            (f"{each.time_s:>15}  ", "text"),
            *fit(line(printable(each.user)), 15),
            (" ", "text"),
            *fit(line(printable(each.db)), 15),
            (f" {printable(each.command)} {printable(each.state)}".rstrip(), "muted"),
        )
        lines.append(spans)
    return lines
