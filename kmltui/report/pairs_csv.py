# SPDX-License-Identifier: GPL-2.0-or-later
"""Every repetition of every session as a line of CSV, for statistics of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from kmltui.figures.compare import FIGURES
from kmltui.figures.figures import Figures
from kmltui.figures.summary import Summary
from kmltui.recording.export import csv_line

_COUNTS = ("queries", "rows", "trap", "direct")


def pairs_csv(summary: Summary) -> Iterator[str]:
    """A header, then a line for each pair and session: the figures that are compared, and counts.

    Raw values, in seconds, microseconds (``_us``) and counts; what a session could not provide is empty. A run that is
    not a bench is one pair; the warm-up of a bench is left out.
    """
    yield csv_line(["pair", "session", "arm", "order", *(figure.key for figure in FIGURES), *_COUNTS, "run_share"])
    for pair, name, order, run in _repetitions(summary):
        values: list[Any] = [pair, name, summary.sessions[name].arm, order]
        values += [figure.value(run) for figure in FIGURES]
        calls = run.syscalls
        values += [run.queries, run.rows, calls.trap if calls else None, calls.direct if calls else None]
        values.append(run.contention.run_share if run.contention else None)
        yield csv_line(values)


def _repetitions(summary: Summary) -> Iterator[tuple[int, str, int, Figures]]:
    """Pair, session, the number of the turn, and its figures."""
    if summary.pairs is None:
        for order, (name, session) in enumerate(summary.sessions.items()):
            yield 1, name, order, session
        return
    for pair in summary.pairs:
        for name, plain in pair["sessions"].items():
            figures = {key: value for key, value in plain.items() if key != "order"}
            yield pair["pair"], name, plain["order"], msgspec.convert(figures, Figures)
