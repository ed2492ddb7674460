# SPDX-License-Identifier: GPL-2.0-or-later
"""The report's content: its sections, what their tables contain, and what must be said beside a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kmltui.figures import article, estimate
from kmltui.figures.card import card
from kmltui.figures.figures import CpuSeconds
from kmltui.figures.summary import Summary
from kmltui.figures.verdict import INSTRUCTION_CLOCK, clock_name
from kmltui.model import FINAL_STATES
from kmltui.printable import printable
from kmltui.report import bench, details, numbers, servercost
from kmltui.report.blocks import Block, Bullets, Facts, Heading, Lines, Paragraph, Picture, Table
from kmltui.report.environment import environment_table

_TICKS = (
    "* The kernel splits CPU time into user and system by where its timer tick falls, and a tick that falls into the"
    " entry to or the exit from a system call is counted as user time: the split is biased exactly where KML differs."
    " The total is exact."
)


def document(summary: Summary) -> Iterator[Block]:
    """The whole report, from the verdict to the proofs."""
    yield from head(summary)
    yield from details_of(summary)


def head(summary: Summary) -> Iterator[Block]:
    """What everybody should read: what was measured, the verdict, and the end card."""
    yield Heading(_title(summary), 1)
    yield Paragraph(printable(summary.verdict), important=True)
    yield from facts(summary)


def details_of(summary: Summary) -> Iterator[Block]:
    """All that follows the head."""
    warnings = list(_warnings(summary))
    if warnings:
        yield Bullets(warnings)
    yield from details.failure(summary)
    yield from details.measures(summary)
    yield from _instructions(summary)
    yield from _cpu_time(summary)
    yield from details.hardware(summary)
    yield from bench.sections(summary)
    yield from _estimate(summary)
    yield from details.work(summary)
    for chart in summary.charts:
        yield Picture(chart)
    yield from details.system_calls(summary)
    yield from servercost.section(summary)
    yield from details.cpus(summary)
    yield from details.contention(summary)
    yield from details.phases(summary)
    yield from details.statements(summary)
    yield from details.digests(summary)
    yield from details.proofs(summary)
    yield from details.output(summary)
    yield Heading("Table 1: environment")
    yield environment_table(summary)
    yield from details.marks(summary)
    yield from details.warnings(summary)
    if summary.run.command:
        yield Heading("To run it again")
        yield Lines(_shell_lines(printable(summary.run.command)))


def facts(summary: Summary, *, warnings: bool = False) -> Iterator[Block]:
    """The end card; with its ``warnings`` unless a verdict above it says the same."""
    lines = [line for line in card(summary) if warnings or line.kind != "warning"]
    if lines:
        yield Facts([(printable(line.label), printable(line.text), printable(line.more)) for line in lines])


def _title(summary: Summary) -> str:
    run = summary.run
    if run.title:
        return printable(run.title)
    what = printable(run.workload)
    if run.loops:
        what += f", loop count {run.loops:,}"
    elif summary.lasted_s:
        what += f", {numbers.clock(summary.lasted_s)}"
    names = " and ".join(printable(name) for name in summary.sessions) if len(summary.sessions) <= 2 else ""
    return f"{what}: {names}" if names else what


def _warnings(summary: Summary) -> Iterator[str]:
    yield from _clock(summary)
    for name, session in summary.sessions.items():
        if session.arm == "kml" and session.ring == 3:
            yield f"{printable(name)}: not every process ran in ring 0, as its own reading of the code segment shows."
        if session.server_restarts:
            yield f"{printable(name)}: {_restarts(session.server_restarts)}; its counters are summed over its lives."
        if session.state in FINAL_STATES - {"done"}:
            detail = printable(session.detail.strip().partition("\n")[0])
            yield f"{printable(name)}: {session.state}{': ' + detail if detail else ''}"
    seen = {name: session.ticks_seen for name, session in summary.sessions.items() if session.ticks_seen is not None}
    if any(share < 0.95 for share in seen.values()):
        shares = ", ".join(f"{printable(name)} {100 * share:.0f} %" for name, share in seen.items())
        yield (
            f"The kernel's ticks account for only part of the time ({shares}). The others were lost on a crowded or"
            " emulated CPU; times per CPU are too small by that much."
        )
    if summary.environment["differs"]:
        which = ", ".join(printable(key) for key in summary.environment["differs"])
        yield f"The sessions differ in more than their arm: {which} (see Table 1)."
    for name, session in summary.sessions.items():
        if session.clock_wrong:
            ratio = numbers.rate(session.clock_ratio)
            yield f"{printable(name)}: its clock ran {ratio} times as fast as the runner's. All its times are wrong."
    if summary.per_query and summary.compared is not None:
        counted = all(session.queries for session in summary.sessions.values())
        savings = "savings are per query" if counted else "what it took is not compared"
        yield f"The sessions did not do the same amount of work: {savings}."
    if summary.run.newer:
        yield (
            f"The recording was made by a newer kmltui ({printable(summary.run.kmltui)}); what this one does not"
            " understand is left out."
        )
    lost = sum(gap[1] for gap in summary.run.gaps)
    if lost:
        places = f"{len(summary.run.gaps)} places" if len(summary.run.gaps) > 1 else "one place"
        yield (
            f"The recording is damaged: {lost:,} bytes in {places} could not be read. Latencies of that time are"
            " missing; what comes from counters is complete."
        )
    yield from (printable(text) for _, where, text in summary.run.warnings if where == "runner")


_MOST_MOMENTS = 5


def _restarts(moments: Sequence[float]) -> str:
    """How often the server was started again, and when: of many the first and the last."""
    first, *others = map(numbers.moment, moments)
    if not others:
        return f"the server was restarted at {first}"
    if len(moments) > _MOST_MOMENTS:
        return f"the server was restarted {len(moments):,} times, first at {first} and last at {others[-1]}"
    return f"the server was restarted {len(moments)} times: at {', '.join([first, *others[:-1]])} and {others[-1]}"


def _clock(summary: Summary) -> Iterator[str]:
    """What a second is in this run, and how far such times can be trusted."""
    if any(session.instructions for session in summary.sessions.values()):
        yield (
            "The guests were emulated to count their instructions, and their clocks count instructions, too:"
            f" {INSTRUCTION_CLOCK}. Nothing here is a time on hardware."
        )
    elif summary.clock == "instructions":
        yield (
            f"The guests' clocks count instructions: {INSTRUCTION_CLOCK}. CPU time by that clock does not depend on how"
            " busy the host was, latency and rates hardly (while a guest's CPU is idle, time passes as on the host)."
            " None of them are times on hardware."
        )
    elif summary.emulated:
        yield (
            "The guests ran under software emulation (TCG). CPU time there is the emulator's: how two sessions compare"
            " is not how they would on hardware. Counts of system calls are exact all the same."
        )
    if summary.clock != "instructions" and len(summary.sessions) > 1:
        yield f"All times are {clock_name(summary)}."
    if summary.client == "article":
        yield article.CLIENT


def _cpu_time(summary: Summary) -> Iterator[Block]:
    """Table 2."""
    rows: list[list[str]] = []
    separators: set[int] = set()
    sessions = {name: session for name, session in summary.sessions.items() if session.cpu_s is not None}
    if not sessions:
        return
    parts = [("server + client", "cpu_s"), ("server", "server"), ("client", "client")]
    parts = [(label, key) for label, key in parts if any(getattr(session, key) for session in sessions.values())]
    # A single part is the whole.
    parts = parts if len(parts) > 2 else [(parts[-1][0], "cpu_s")]
    # With more than two sessions the parts of each would bury the sums; they are among the differences below. The
    # client's are kept where the article's own figures are shown for comparison.
    if len(sessions) > 2:
        parts = [part for part in parts if part == parts[0] or (summary.run.article and part[1] == "client")]
    for label, key in parts:
        separators.add(len(rows))
        for name, session in sessions.items():
            cpu: CpuSeconds | None = getattr(session, key)
            values = [cpu.total, cpu.user, cpu.system] if cpu else [None] * 3
            rows.append([f"{printable(name)}, {label}", *map(numbers.seconds, values)])
        rows += _saved_rows(summary, key)
    if summary.run.article:
        separators.add(len(rows))
        for name, row in (("Original Linux", article.STOCK), ("Kernel Mode Linux", article.KML)):
            rows.append([f"the article's {name}", *map(numbers.seconds, row)])
        rows.append(["saved in the article", *map(numbers.percent, article.SAVED)])
    runs = f", means of {numbers.pairs(summary.run.pairs)}" if (summary.run.pairs or 0) > 1 else ""
    yield Heading("Table 2: CPU time")
    yield Table(
        ["CPU seconds", "total", "user *", "system *"],
        rows,
        caption=f"{_work(summary)}{runs}",
        notes=[
            f"Times {clock_name(summary)}.",
            _TICKS,
            *_tick_notes(summary),
            *(_article_notes() if summary.run.article else ()),
        ],
        separators=frozenset(separators - {0}),
    )


def _shell_lines(command: str) -> list[str]:
    """A command split over several lines, each short enough for a terminal, which a shell reads as one."""
    lines = [""]
    for word in command.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > 70:
            lines[-1] += " \\"
            lines.append("  ")
        lines[-1] += f" {word}" if lines[-1].strip() else word
    return lines


def _estimate(summary: Summary) -> Iterator[Block]:
    """The estimate, kept apart from everything that was measured."""
    if summary.estimate is None:
        return
    yield Heading("Estimate for hardware")
    yield Paragraph(printable(estimate.sentence(summary.estimate)))
    yield Bullets([printable(note) for note in estimate.notes(summary.estimate)])


def _instructions(summary: Summary) -> Iterator[Block]:
    """Table 2 of exact mode: the actual split into user and system, not what ticks sampled of it."""
    sessions = {name: session for name, session in summary.sessions.items() if session.instructions is not None}
    if not sessions:
        return
    rows = []
    for name, session in sessions.items():
        counted = session.instructions
        assert counted is not None
        rows.append([printable(name), *(numbers.count(n / 1e3) for n in (counted.total, counted.user, counted.system))])
    rows += _saved_rows(summary, "instructions")
    yield Heading("Table 2, exact: instructions")
    yield Table(
        ["thousands of instructions", "total", "user", "kernel"],
        rows,
        caption=_work(summary),
        notes=["Counted one by one by the emulator, as user or kernel by address; the whole system, all processes."],
    )


def _saved_rows(summary: Summary, key: str) -> Iterator[list[str]]:
    for name, comparisons in summary.comparisons.items():
        found = [comparisons.get(f"{key}.{part}") for part in ("total", "user", "system")]
        if not any(found):
            continue
        who = "" if len(summary.comparisons) == 1 else f" by {printable(name)}"
        per = " a query" if summary.per_query else ""
        yield [f"saved{who}{per}", *(numbers.percent(part.saved if part else None) for part in found)]
        if any(part and part.interval for part in found):
            yield ["  95 % interval", *(numbers.interval(part.interval if part else None) for part in found)]


def _work(summary: Summary) -> str:
    run = summary.run
    engine = f", {printable(run.options['engine'])}" if "engine" in run.options else ""
    loops = f", loop count {run.loops:,}" if run.loops else ""
    return f"{printable(run.workload)}{loops}{engine}"


def _tick_notes(summary: Summary) -> Iterator[str]:
    errors = [
        f"{printable(name)} ± {numbers.seconds(session.tick_error_s)} s"
        for name, session in summary.sessions.items()
        if session.tick_error_s is not None
    ]
    if errors:
        yield f"Sampling error of the split alone, 95 %: {', '.join(errors)}; the bias comes on top."
    biases = [
        f"{printable(name)} {100 * session.tick_bias.by_ticks:.0f} % instead of {100 * session.tick_bias.exact:.0f} %"
        for name, session in summary.sessions.items()
        if session.tick_bias is not None
    ]
    if biases:
        yield f"Measured in the sessions, the ticks' system time in a loop of reads and computing: {', '.join(biases)}."
    found = summary.comparisons.get(summary.compared or "", {}).get("cpu_s.system")
    if found is not None and found.within_tick_error:
        yield "The difference in system time is smaller than the ticks' sampling error: it shows nothing."


def _article_notes() -> Iterator[str]:
    yield (
        f"The article: {article.SOURCE}. Its figures: loop count {article.LOOPS:,}, very probably the client's CPU time"
        " alone, no number of runs and no spread given."
    )
