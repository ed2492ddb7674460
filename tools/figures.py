# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the figures in README.md and docs/peers.md from the recordings that ship; no number there comes from anywhere
else.

python tools/figures.py            write them
python tools/figures.py --check    say whether they are as they would be written (status 1 if not)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from kmltui.figures.compare import Comparison
from kmltui.figures.suite import suite_row
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.figures.verdict import same_arm
from kmltui.printable import signed
from kmltui.recording import Reader
from kmltui.workloads.suites import suite

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/peers.md")
BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"


@cache
def summary(name: str) -> Summary:
    with Reader.open(ROOT / "recordings" / f"{name}.kmlrec") as reader:
        return summarise(reader.records())


def names(beginning: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "recordings").glob(f"{beginning}*.kmlrec"))


def percent(value: float, digits: int = 2) -> str:
    text = f"{100 * value:.{digits}f}"
    return f"{signed(text if float(text) else text.lstrip('-'))} %"


def with_interval(found: Comparison, digits: int = 2) -> str:
    if found.saved is None:
        return "–"
    text = percent(found.saved, digits)
    if found.interval is None:
        return text
    low, high = (signed(f"{100 * bound:.{digits}f}") for bound in found.interval)
    return f"{text} ({low} to {high})"


def instructions() -> Iterator[str]:
    """What benches in exact mode saved, one row per recording."""
    yield "| saved by KML | all instructions | user | kernel | direct calls | recording |"
    yield "|---|---|---|---|---|---|"
    for name in names("bench-exact-"):
        found = summary(name)
        figures = found.comparisons.get(found.compared or "", {})
        if "instructions.total" not in figures or found.timed_calls:
            continue
        what = found.run.title or found.run.workload
        share = found.sessions[found.compared or ""].direct_share or 0.0
        total, user, kernel = (figures[f"instructions.{part}"] for part in ("total", "user", "system"))
        yield (
            f"| {what} | {with_interval(total)} | {with_interval(user)} | {with_interval(kernel)} "
            f"| {percent(share)} | `{name}` |"
        )


def calls() -> Iterator[str]:
    """Single calls, by trap and by direct call."""
    found = summary("bench-exact-syscalls")
    yield f"| one call, {found.timed_calls[0].unit} | by trap | direct | times as many (95 %) |"
    yield "|---|---|---|---|"
    for call in found.timed_calls:
        bounds = f" ({call.interval[0]:.2f} to {call.interval[1]:.2f})" if call.interval else ""
        yield f"| {call.name} | {call.trap:,.0f} | {call.direct:,.0f} | {call.ratio:.2f}{bounds} |"


def times() -> Iterator[str]:
    """What runs and benches by a clock saved in CPU time, one row per recording."""
    yield "| saved by KML | CPU time | by the clock | direct calls | recording |"
    yield "|---|---|---|---|---|"
    for name in sorted(set(names("")) - set(names("bench-exact-")) - set(names("peers-"))):
        found = summary(name)
        if found.saved is None or found.saved.total is None or same_arm(found):
            continue
        compared = found.sessions[found.compared or ""]
        clock = "of executed instructions" if found.clock == "instructions" else "on the wall"
        yield (
            f"| {found.run.title or found.run.workload} | {percent(found.saved.total, 1)} | {clock} "
            f"| {percent(compared.direct_share or 0.0)} | `{name}` |"
        )


def kernels() -> Iterator[str]:
    """Two kernels, both with KML."""
    found = summary("kernels")
    total = found.comparisons[found.compared or ""]["cpu_s.total"]
    assert found.baseline and found.compared and total.saved is not None
    older, newer = (found.environment["differs"]["kernel"][name] for name in (found.baseline, found.compared))
    more = "less" if total.saved >= 0 else "more"
    yield (
        f"Both with KML, Linux {newer} takes {percent(abs(total.saved), 1)} {more} CPU time for the same Wisconsin "
        f"selects than Linux {older} (by executed instructions, one run each; `kernels`)."
    )


def peers() -> Iterator[str]:
    """The suite's table, as ``kmltui bench --suite peers`` prints it, in the order of the suite."""
    yield "| workload | instructions saved (95 %) | user | kernel | calls | direct | estimate for hardware |"
    yield "|---|---|---|---|---|---|---|"
    for part in suite("peers").parts:
        name = f"peers-{part.name.replace(' ', '')}"
        if name not in names("peers-"):
            continue
        row = suite_row(summary(name), part.title)
        saved = {key: f"{percent(found.fraction or 0.0)}" for key, found in row.saved.items()}
        low, high = row.saved["total"].interval or (0.0, 0.0)
        bounds = signed(f" ({100 * low:.2f} to {100 * high:.2f})")
        likely = row.estimate.likely if row.estimate else None
        estimated = f"{100 * likely.low:.1f} to {100 * likely.high:.1f} %" if likely else "–"
        yield (
            f"| {part.name} | {saved['total']}{bounds} | {saved['user']} | {saved['system']} "
            f"| {row.calls_per_unit or 0:.1f} a {row.unit} | {percent(row.direct_share or 0.0)} | {estimated} |"
        )


BLOCKS: dict[str, Callable[[], Iterator[str]]] = {
    "instructions": instructions,
    "calls": calls,
    "times": times,
    "kernels": kernels,
    "peers": peers,
}


def written(text: str) -> str:
    """``text`` with everything between the marks generated again."""
    for name, block in BLOCKS.items():
        begin = BEGIN.format(name)
        if begin not in text:
            continue
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        text = "\n".join([before + begin, *block(), END]) + after
    return text


def main() -> int:
    wrong = []
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        made = written(text)
        if made != text:
            wrong.append(name)
        if "--check" not in sys.argv[1:]:
            path.write_text(made, encoding="utf-8")
    if "--check" in sys.argv[1:]:
        for name in wrong:
            print(f"{name}: its figures are not those of the recordings; 'make figures' writes them", file=sys.stderr)
        return int(bool(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
