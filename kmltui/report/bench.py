# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of repeated runs: every figure with its interval, the origin of a difference, and every raw pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kmltui.figures.compare import Comparison
from kmltui.figures.summary import Summary
from kmltui.printable import printable
from kmltui.report import details, numbers, pairs
from kmltui.report.blocks import ABSENT, Block, Heading, Picture, Table

_LABELS = {
    "cpu_s.total": "CPU, total",
    "cpu_s.user": "CPU, user *",
    "cpu_s.system": "CPU, system *",
    "server.total": "server, total",
    "server.user": "server, user *",
    "server.system": "server, system *",
    "client.total": "client, total",
    "client.user": "client, user *",
    "client.system": "client, system *",
    "instructions.total": "instructions",
    "instructions.user": "instructions, user",
    "instructions.system": "instructions, kernel",
    "hardware.cycles": "cycles, server and client",
    "hardware.instructions": "instructions, server and client",
    "hardware.tlb_misses": "TLB misses, server and client",
    "duration_s": "duration",
    "queries_per_s": "queries a second",
    "latency.p50_us": "latency p50",
    "latency.p95_us": "latency p95",
    "latency.p99_us": "latency p99",
    "syscalls": "system calls",
}

_ARMS = {
    "stock+libc": "the rewritten libc, whose system calls still trap",
    "stock+idt": "the redirected interrupts, nobody in ring 0",
    "kml": "all of it: ring 0 and direct calls",
}


def sections(summary: Summary) -> Iterator[Block]:
    """Nothing for a single run without exact counts."""
    if summary.pairs is None and not summary.exact:
        return
    if summary.compared is not None and summary.comparisons.get(summary.compared):
        yield Heading("Differences" if summary.pairs is None else "Differences, from pairs of runs")
        yield _differences(summary, summary.comparisons[summary.compared])
    yield from _machines(summary)
    yield from _arms(summary)
    yield from _pairs(summary)


def _differences(summary: Summary, found: dict[str, Comparison]) -> Table:
    rows = []
    for key, comparison in found.items():
        shown = ABSENT if comparison.shown is None else "yes" if comparison.shown else "no"
        unit = (
            ""
            if comparison.unit in ("1/s", "calls", "instructions", "cycles", "misses")
            else f", {numbers.unit(comparison.unit)}"
        )
        rows.append(
            [
                f"{_LABELS.get(key, key)}{unit}",
                numbers.rate(comparison.baseline),
                numbers.rate(comparison.compared),
                numbers.saved(key, comparison.saved),
                numbers.saved_interval(key, comparison.interval),
                shown,
                numbers.count(comparison.pairs_needed) if comparison.primary and not comparison.shown else "",
            ]
        )
    headers = ["", printable(summary.baseline or ""), printable(summary.compared or ""), "saved"]
    if not any(comparison.interval for comparison in found.values()):
        return Table(headers, [row[: len(headers)] for row in rows])
    notes = [
        "Interval: 95 %, each figure by itself (Student's t on the pairs' log ratios). The run is judged by one figure,"
        f" chosen in advance: {_LABELS.get(summary.primary, summary.primary)}. What is shown of all others is corrected"
        " for their number (Holm), and never within the error of the kernel's ticks. Pairs needed: how many would show"
        " a difference of this size in four of five benches.",
    ]
    if summary.clock != "wall" and "duration_s" in found:
        notes.append(details.IDLE_NOTE)
    outliers = sorted({index for comparison in found.values() for index in comparison.outliers or []})
    if outliers:
        numbered = ", ".join(str(index + 1) for index in outliers)
        notes.append(f"Outliers, none left out: pairs {numbered} (counted among the complete ones).")
    return Table([*headers, "95 % interval", "shown", "pairs needed"], rows, notes=notes)


def _machines(summary: Summary) -> Iterator[Block]:
    """For merged benches: what each machine shows, and whether they agree."""
    found = summary.comparisons.get(summary.compared or "", {}).get(summary.primary)
    if found is None or not found.machines:
        return
    rows = [[printable(name), numbers.percent(saved)] for name, saved in found.machines.items()]
    share = found.heterogeneity or 0.0
    agree = (
        "The machines agree within the scatter of their pairs."
        if share == 0
        else f"{share * 100:.0f} % of the variation between machines exceeds the scatter of their pairs (I²)."
    )
    yield Heading("By machine")
    yield Table(
        ["machine", f"{_LABELS.get(summary.primary, summary.primary)}, saved"],
        rows,
        notes=[
            f"{agree} Intervals are for the mean over machines like these (random effects, Hartung and"
            " Knapp). How the machines differ is among the warnings."
        ],
    )


def _arms(summary: Summary) -> Iterator[Block]:
    """The decomposition: what each arm costs or saves compared with stock."""
    arms = {name: summary.sessions[name].arm for name in summary.comparisons}
    if len(arms) < 2:
        return
    rows = []
    saved: dict[str, float] = {}
    for name, found in summary.comparisons.items():
        total = found.get("instructions.total") or found.get("cpu_s.total")
        if total is None or total.saved is None:
            continue
        saved[arms[name]] = total.saved
        meaning = f": {_ARMS[arms[name]]}" if arms[name] in _ARMS else ""
        rows.append([f"{printable(name)}{meaning}", numbers.percent(total.saved), numbers.interval(total.interval)])
    if saved.keys() >= _ARMS.keys():
        alone = saved["kml"] - saved["stock+libc"] - saved["stock+idt"]
        rows.append(["direct calls alone: the last minus the two before it", numbers.percent(alone), ""])
    if not rows:
        return
    what = "instructions" if summary.exact else "CPU time"
    yield Heading("Where the difference comes from")
    yield Table([f"{what}, against {printable(summary.baseline or '')}", "change", "95 % interval"], rows)


def _pairs(summary: Summary) -> Iterator[Block]:
    if not summary.pairs:
        return
    names = list(summary.sessions)
    columns = [("instructions", "total") if summary.exact else ("cpu_s", "total")]
    if len(names) <= 2 and not summary.exact:
        columns += [("duration_s", ""), ("queries_per_s", "")]
    rows = []
    for pair in summary.pairs:
        row = [str(pair["pair"])]
        for name in names:
            row += [_cell(pair["sessions"].get(name, {}), *column) for column in columns]
        rows.append(row)
    titles = {"instructions": "instructions", "cpu_s": "CPU s", "duration_s": "s", "queries_per_s": "queries/s"}
    headers = ["pair", *(f"{printable(name)} {titles[key]}" for name in names for key, _ in columns)]
    keep = [index for index in range(len(headers)) if any(row[index] != ABSENT for row in rows)]
    yield Heading("Every pair")
    if summary.compared is not None and (spread := pairs.drawing(summary)) is not None:
        yield Picture(spread)
    yield Table([headers[index] for index in keep], [[row[index] for index in keep] for row in rows])


def _cell(run: dict[str, Any], key: str, part: str) -> str:
    value = run.get(key)
    if part:
        value = value.get(part) if value is not None else None
    return numbers.count(value) if key == "instructions" else numbers.seconds(value)
