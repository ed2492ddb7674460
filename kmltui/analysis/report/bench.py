"""The report of repeated runs: every figure with its interval, where a difference comes from, and every raw pair."""

from __future__ import annotations

from collections.abc import Iterator

from kmltui.analysis.compare import Comparison
from kmltui.analysis.printable import printable
from kmltui.analysis.report import numbers
from kmltui.analysis.report.blocks import ABSENT, Block, Heading, Paragraph, Table
from kmltui.analysis.summary import Summary

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
    yield from _arms(summary)
    yield from _pairs(summary)


def _differences(summary: Summary, found: dict[str, Comparison]) -> Table:
    rows = []
    for key, comparison in found.items():
        change = None if comparison.saved is None else -comparison.saved
        bounds = comparison.interval
        turned = None if bounds is None else (-bounds[1], -bounds[0])
        shown = ABSENT if comparison.shown is None else "yes" if comparison.shown else "no"
        rows.append(
            [
                f"{_LABELS.get(key, key)}, {comparison.unit}",
                numbers.rate(comparison.baseline),
                numbers.rate(comparison.compared),
                numbers.percent(change, signed=True),
                numbers.interval(turned),
                shown,
                numbers.count(comparison.pairs_needed) if comparison.shown is False else "",
            ]
        )
    notes = [
        "Interval: paired bootstrap, bias-corrected, 95 %. A difference is shown where it does not hold zero. Pairs"
        " needed: an estimate of how many would show a difference of this size.",
    ]
    outliers = sorted({index for comparison in found.values() for index in comparison.outliers or []})
    if outliers:
        numbered = ", ".join(str(index + 1) for index in outliers)
        notes.append(f"Outliers, none left out: pairs {numbered} (counted among the complete ones).")
    headers = [
        "",
        printable(summary.baseline or ""),
        printable(summary.compared or ""),
        "change",
        "95 % interval",
        "shown",
        "pairs needed",
    ]
    return Table(headers, rows, notes=notes)


def _arms(summary: Summary) -> Iterator[Block]:
    """Decomposition: what each arm costs or saves against stock."""
    arms = {name: summary.sessions[name].arm for name in summary.comparisons}
    if len(arms) < 2:
        return
    rows = []
    for name, found in summary.comparisons.items():
        total = found.get("instructions.total") or found.get("cpu_s.total")
        if total is None:
            continue
        change = None if total.saved is None else -total.saved
        turned = None if total.interval is None else (-total.interval[1], -total.interval[0])
        meaning = _ARMS.get(arms[name], "")
        rows.append([printable(name), numbers.percent(change, signed=True), numbers.interval(turned), meaning])
    what = "instructions" if summary.exact else "CPU time"
    yield Heading("Where the difference comes from")
    yield Table(["arm", "change", "95 % interval", f"of {what}, against {printable(summary.baseline or '')}"], rows)
    yield Paragraph(
        "What direct calls alone save is the last line less the other two: the rewritten libc and the redirected"
        " interrupts are part of it."
    )


def _pairs(summary: Summary) -> Iterator[Block]:
    if not summary.pairs:
        return
    names = list(summary.sessions)
    rows = []
    for pair in summary.pairs:
        row = [str(pair["pair"])]
        for name in names:
            run = pair["sessions"].get(name, {})
            if summary.exact:
                row.append(numbers.count(run.get("instructions", {}).get("total")))
            else:
                row.append(numbers.seconds(run.get("cpu_s", {}).get("total")))
            row.append(numbers.seconds(run.get("duration_s")))
        rows.append(row)
    what = "instructions" if summary.exact else "CPU s"
    yield Heading("Every pair")
    yield Table(["pair", *(f"{printable(name)} {unit}" for name in names for unit in (what, "s"))], rows)
