# SPDX-License-Identifier: GPL-2.0-or-later
"""The pairs of a bench as a picture: how much each saved, and the interval from all of them."""

from __future__ import annotations

from kmltui.figures.charts import Dots
from kmltui.figures.summary import Summary
from kmltui.printable import printable


def drawing(summary: Summary) -> Dots | None:
    """How much each pair saved of the figure that the verdict is based on, in per cent; None with fewer than two
    pairs."""
    key, part = ("instructions", "total") if summary.exact else ("cpu_s", "total")
    found = summary.comparisons.get(summary.compared or "", {}).get(f"{key}.{part}")
    labels, values = [], []
    for pair in summary.pairs or []:
        runs = [pair["sessions"].get(name, {}) for name in (summary.baseline, summary.compared)]
        amounts = []
        for run in runs:
            per = run.get("queries") if summary.per_query else 1
            if run.get(key) and per:
                amounts.append(run[key][part] / per)
        if len(amounts) == 2 and amounts[0]:
            labels.append(str(pair["pair"]))
            values.append(100 * (1 - amounts[1] / amounts[0]))
    if found is None or len(values) < 2:
        return None
    what = "instructions" if summary.exact else "CPU time"
    interval = None if found.interval is None else (100 * found.interval[0], 100 * found.interval[1])
    return Dots(f"{what} saved by {printable(summary.compared or '')}, pair by pair", "%", labels, values, interval)
