# SPDX-License-Identifier: GPL-2.0-or-later
"""The report's remaining tables: what was done, system calls, CPUs, phases, statements, proofs, marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kmltui.figures import article
from kmltui.figures.calls import INLINE, TimedCall, ratio_text
from kmltui.figures.charts import Bars
from kmltui.figures.figures import CpuTime, LatencyFigures, PhaseFigures
from kmltui.figures.summary import SessionFigures, Summary
from kmltui.printable import printable
from kmltui.report import numbers
from kmltui.report.blocks import ABSENT, Block, Bullets, Heading, Lines, Paragraph, Picture, Table

TOP_CALLS = 16
"""System calls shown by name; the others are in the JSON form."""


def _headers(summary: Summary) -> list[str]:
    return [printable(name) for name in summary.sessions]


def _changes(summary: Summary, *keys: str) -> list[str]:
    """How much of a figure the compared session saved."""
    if summary.compared is None:
        return []
    found = summary.comparisons.get(summary.compared, {})
    return [next((numbers.saved(key, found[key].saved) for key in keys if key in found), ABSENT)]


def _latency(field: str) -> Callable[[SessionFigures], str]:
    return lambda session: numbers.microseconds(getattr(session.latency, field) if session.latency else None)


def failure(summary: Summary) -> Iterator[Block]:
    """Why a run failed, in full, with what the runner knew about it, e.g. the last lines of a console."""
    reason = summary.run.reason.strip()
    if summary.run.status == "failed" and "\n" in reason:
        yield Heading("What went wrong")
        yield Lines([printable(line.rstrip()) for line in reason.splitlines()])


def warnings(summary: Summary) -> Iterator[Block]:
    """Warnings from while it ran."""
    if summary.run.warnings:
        rows = [
            [numbers.clock(seconds), printable(where), printable(text.strip())]
            for seconds, where, text in summary.run.warnings
        ]
        yield Heading("Warnings")
        yield Table(["at", "from", "text"], rows, text_columns=True)


IDLE_NOTE = (
    "Duration and queries a second include time in which the CPU was idle and waited for the host; it passes as on the"
    " host, so it differs from run to run. CPU time and instructions do not include it."
)
"""Of times by a clock that counts instructions."""


def work(summary: Summary) -> Iterator[Block]:
    """Work and time."""
    Row = tuple[str, Callable[[SessionFigures], str], tuple[str, ...]]
    wanted: list[Row] = [
        ("duration, s", lambda s: numbers.seconds(s.duration_s), ("duration_s",)),
        ("queries", lambda s: numbers.count(s.queries), ()),
        ("queries a second", lambda s: numbers.rate(s.queries_per_s), ("queries_per_s",)),
        ("rows", lambda s: numbers.count(s.rows), ()),
        ("latency p50", _latency("p50_us"), ("latency.p50_us",)),
        ("latency p95", _latency("p95_us"), ("latency.p95_us",)),
        ("latency p99", _latency("p99_us"), ("latency.p99_us",)),
        ("latency p99.9", _latency("p999_us"), ()),
        ("latency, longest", _latency("max_us"), ()),
        ("context switches", lambda s: numbers.count(s.context_switches), ()),
        ("interrupts", lambda s: numbers.count(s.interrupts), ()),
        ("monitor's agent, CPU s", lambda s: numbers.seconds(s.agent_cpu_s), ()),
    ]
    rows = []
    for label, value, keys in wanted:
        values = [value(session) for session in summary.sessions.values()]
        if any(text != ABSENT for text in values):
            change = _changes(summary, *keys) if keys else ([""] if summary.compared is not None else [])
            rows.append([label, *values, *change])
    if rows:
        yield Heading("Work and time")
        notes = [] if summary.clock == "wall" else [IDLE_NOTE]
        yield Table(["", *_headers(summary), *(["saved"] if summary.compared is not None else [])], rows, notes=notes)


def system_calls(summary: Summary) -> Iterator[Block]:
    """Traps and direct calls, in total and by name."""
    sessions = {name: session for name, session in summary.sessions.items() if session.syscalls is not None}
    partly = [
        f"{printable(name)}: {numbers.count(session.io_calls)} read and write calls"
        f" ({printable(session.io_calls_source) or 'a part of all, from /proc/PID/io'})"
        for name, session in summary.sessions.items()
        if session.syscalls is None and session.io_calls is not None
    ]
    if sessions or partly:
        yield Heading("System calls")
    if partly:
        yield Bullets(partly)
    if not sessions:
        return
    rows = []
    for name, session in sessions.items():
        calls = session.syscalls
        assert calls is not None
        everything = calls.trap + calls.direct
        rate = everything / session.cpu_s.total if session.cpu_s and session.cpu_s.total else None
        ways = [
            numbers.count(calls.direct if session.has_kml else None),
            numbers.percent(session.direct_share),
            numbers.count(session.elevations),
            numbers.count(session.demotions),
        ]
        rows.append(
            [printable(name), numbers.count(calls.trap), *(ways if summary.has_kml else ()), numbers.rate(rate)]
        )
    agents = [session.syscalls.agent for session in sessions.values() if session.syscalls and session.syscalls.agent]
    sources = dict.fromkeys(printable(session.calls_source) for session in sessions.values())
    notes = [f"Counted: {'; '.join(sources)}."]
    if agents:
        notes.append(
            f"The monitor's agent made {numbers.count(max(agents))} more, all by trap, which are not in the figures."
        )
    headers = ["trap", "direct", "direct share", "elevations", "demotions"] if summary.has_kml else ["calls"]
    yield Table(["session", *headers, "calls/CPU s"], rows, notes=notes)
    yield _by_name(sessions)
    yield from _by_program(sessions)


def _by_program(sessions: dict[str, SessionFigures]) -> Iterator[Table]:
    rows = [
        [
            printable(program),
            printable(name),
            numbers.count(calls.trap),
            numbers.count(calls.direct),
            numbers.percent(calls.direct_share) if calls.direct_share is not None else ABSENT,
        ]
        for name, session in sessions.items()
        for program, calls in (session.programs or {}).items()
    ]
    if rows:
        hidden = len(rows) - TOP_CALLS
        notes = [f"{hidden} others are not shown; the JSON report has them all."] if hidden > 0 else []
        yield Table(["by program", "session", "trap", "direct", "direct share"], rows[:TOP_CALLS], notes=notes)


def _by_name(sessions: dict[str, SessionFigures]) -> Table:
    totals: dict[str, int] = {}
    for session in sessions.values():
        assert session.syscalls is not None
        for name, calls in session.syscalls.by_name.items():
            totals[name] = totals.get(name, 0) + calls.trap + calls.direct
    # A session that made no direct call needs no column for them.
    kinds = [
        (name, kind)
        for name, session in sessions.items()
        for kind in ("trap", "direct")
        if kind == "trap" or (session.syscalls and session.syscalls.direct)
    ]
    ordered = sorted(totals, key=lambda name: (-totals[name], name))
    rows = []
    for call in ordered[:TOP_CALLS]:
        row = [printable(call)]
        for name, kind in kinds:
            counts = sessions[name].syscalls
            found = counts.by_name.get(call) if counts else None
            row.append(numbers.count(getattr(found, kind) if found else 0))
        rows.append(row)
    hidden = len(ordered) - len(rows)
    notes = [f"{hidden} others are not shown; the JSON report has them all."] if hidden else []
    headers = [
        "by name",
        *(f"{printable(name)} {kind if sessions[name].has_kml else ''}".rstrip() for name, kind in kinds),
    ]
    return Table(headers, rows, notes=notes)


def cpus(summary: Summary) -> Iterator[Block]:
    """Where each CPU's time went."""
    rows = [
        [
            f"{printable(name)} {cpu_name(cpu)}",
            *(numbers.seconds(value) for value in (cpu.user_s, cpu.system_s, cpu.idle_s, cpu.other_s)),
        ]
        for name, session in summary.sessions.items()
        for cpu in session.per_cpu or []
    ]
    if rows:
        yield Heading("CPUs")
        notes = ["From /proc/stat, sampled at the kernel's tick: the whole system's, the monitor's agent included."]
        yield Table(["seconds", "user *", "system *", "idle", "other"], rows, notes=notes)


def cpu_name(cpu: CpuTime) -> str:
    """The CPU's number; if it was not there all the time, also from when, until when, and how long it was offline."""
    parts = [
        f"{word} {int(seconds) // 60:02}:{int(seconds) % 60:02}"
        for word, seconds in (("from", cpu.since_s), ("to", cpu.until_s))
        if seconds is not None
    ]
    gone = f"offline for {numbers.seconds(cpu.offline_s)} s" if cpu.offline_s is not None else ""
    return ", ".join(filter(None, (f"cpu{cpu.cpu}", " ".join(parts), gone)))


def hardware(summary: Summary) -> Iterator[Block]:
    """What the processor's own counters counted of server and client."""
    found = {name: session.hardware for name, session in summary.sessions.items() if session.hardware}
    if not found:
        return
    rows = []
    for name, each in found.items():
        a_cycle = f"{each.instructions / each.cycles:.2f}" if each.instructions and each.cycles else ABSENT
        counts = (each.cycles, each.instructions, each.tlb_misses)
        rows.append([printable(name), *(numbers.count(count) for count in counts), a_cycle])
    notes = ["Of the processes of server and client, in user and kernel mode. TLB misses: of loads, in the data TLB."]
    yield Heading("The processor's counters")
    yield Table(["", "cycles", "instructions", "TLB misses", "instructions a cycle"], rows, notes=notes)


def contention(summary: Summary) -> Iterator[Block]:
    """How much CPU time the host gave the guests' CPUs."""
    found = {name: session.contention for name, session in summary.sessions.items() if session.contention}
    if not found:
        return
    with_mhz = any(each.mhz is not None for each in found.values())
    rows = []
    for name, each in found.items():
        row = [printable(name), *(numbers.seconds(value) for value in (each.run_s, each.wait_s))]
        row += [f"{100 * each.run_share:.1f} %", f"{each.load:.2f}", numbers.seconds(each.steal_s)]
        rows.append([*row, *([numbers.count(round(each.mhz)) if each.mhz is not None else ABSENT] if with_mhz else [])])
    headers = ["of the host's seconds", "ran", "waited", "run share", "load", "stolen"]
    notes = ["Ran, waited: the time that the guest's vCPU threads were on a host CPU, or ready to run without one."]
    if summary.clock == "instructions":
        notes.append("A guest whose clock counts instructions takes longer if it waits, but its figures stay the same.")
    else:
        notes.append("A guest counts the waiting as CPU time of whatever it was executing.")
    yield Heading("The host meanwhile")
    yield Table([*headers, *(["MHz"] if with_mhz else [])], rows, notes=notes)


def phases(summary: Summary) -> Iterator[Block]:
    """Time and calls by phase of the workload."""
    sessions = {name: session for name, session in summary.sessions.items() if session.phases}
    if not sessions:
        return
    rows = []
    names = dict.fromkeys(phase.name for session in sessions.values() for phase in session.phases or [])
    for phase_name in names:
        for name, session in sessions.items():
            found = next((phase for phase in session.phases or [] if phase.name == phase_name), None)
            if found is not None:
                ways = [numbers.count(found.trap), *([numbers.count(found.direct)] if summary.has_kml else ())]
                rows.append([printable(phase_name), printable(name), *_phase_cells(found), *ways])
    yield Heading("Phases")
    agent = any(session.syscalls and session.syscalls.agent for session in sessions.values())
    notes = ["Traps of phases include those of the monitor's agent, which other tables leave out."] if agent else []
    ways = ["trap", "direct"] if summary.has_kml else ["calls"]
    yield Table(["phase", "session", "seconds", "CPU s", "system * s", "queries", *ways], rows, notes=notes)


def _phase_cells(phase: PhaseFigures) -> list[str]:
    cpu = phase.cpu_s
    return [
        numbers.seconds(phase.duration_s),
        numbers.seconds(cpu.total if cpu else None),
        numbers.seconds(cpu.system if cpu else None),
        numbers.count(phase.queries),
    ]


def statements(summary: Summary) -> Iterator[Block]:
    """Latency of each statement of the workload, session by session."""
    found: dict[int, dict[str, LatencyFigures]] = {}
    titles: dict[int, str] = {}
    for name, session in summary.sessions.items():
        for statement in session.statements or []:
            titles[statement.statement] = f"{statement.statement}. {printable(statement.title)}"
            found.setdefault(statement.statement, {})[name] = statement.latency
    if not found:
        return
    names = [name for name in summary.sessions if any(name in row for row in found.values())]
    kinds = [(name, what) for what in ("p50", "p99") for name in names]
    rows = []
    for number, row in sorted(found.items()):
        counts = dict.fromkeys(numbers.count(row[name].count) if name in row else ABSENT for name in names)
        values = [
            numbers.microseconds(getattr(row[name], f"{what}_us")) if name in row else ABSENT for name, what in kinds
        ]
        rows.append([titles[number], "/".join(counts), *values])
    headers = ["", "count", *(f"{printable(name)} {what}" for name, what in kinds)]
    yield Heading("Latency by statement")
    yield Table(headers, rows)


def digests(summary: Summary) -> Iterator[Block]:
    """The kinds of statements of a watched server, as it counted them itself."""
    for session in summary.sessions.values():
        if not session.digests:
            continue
        rows = []
        for each in session.digests[:TOP_CALLS]:
            text = f"{each.schema}: {each.text}" if each.schema else each.text
            rows.append(
                [
                    cropped(printable(text), _MOST_STATEMENT),
                    numbers.count(each.calls),
                    numbers.seconds(each.time_s),
                    numbers.microseconds(each.time_s * 1e6 / each.calls),
                    numbers.rate(each.rows_examined / each.calls),
                    numbers.count(each.errors),
                ]
            )
        hidden = len(session.digests) - len(rows)
        notes = ["As the server counts them, between its first and its last answer: the monitor's own are among them."]
        notes += [f"{hidden} others are not shown; the JSON report has them all."] if hidden else []
        yield Heading("Statements of the server")
        headers = ["statement, without its values", "calls", "seconds", "a call", "rows a call", "errors"]
        yield Table(headers, rows, notes=notes)


_MOST_STATEMENT = 160
"""Characters of a statement in a table; the JSON report has all that was recorded."""


def cropped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def measures(summary: Summary) -> Iterator[Block]:
    """What the workload itself timed, e.g. single system calls by trap and by direct call, each beside its
    counterpart."""
    columns = dict.fromkeys(
        (name, key)
        for name, session in summary.sessions.items()
        for measure in session.measures.values()
        for key in measure
        if key != "unit"
    )
    if not columns:
        return
    # Each kind with a ratio of its own.
    library = [column for column in columns if not column[1].startswith(INLINE)]
    kinds = [kind for kind in (library, [column for column in columns if column not in library]) if kind]
    first = kinds[0][0]
    has_intervals = any(call.interval for call in summary.timed_calls)
    names = list(dict.fromkeys(name for session in summary.sessions.values() for name in session.measures))
    timed = {call.name: call for call in summary.timed_calls}
    rows = []
    shares: dict[tuple[str, str], list[float | None]] = {column: [] for column in kinds[0]}
    for measure in names:
        found = {name: session.measures.get(measure, {}) for name, session in summary.sessions.items()}
        unit = next(known["unit"] for known in found.values() if known)
        call = timed.get(measure)
        row = [f"{printable(measure)}, {printable(unit)}"]
        for kind, like in zip(kinds, (call, call.inline if call else None), strict=False):
            row += [numbers.rate(found[name].get(key)) for name, key in kind]
            row += _ratio(like, has_intervals)
        rows.append(row)
        before = found[first[0]].get(first[1])
        for (name, key), share in shares.items():
            value = found[name].get(key)
            share.append(None if value is None or not before else max(0.0, 100 * value / before))
    headers = [""]
    for kind in kinds:
        headers += [f"{printable(name)} {printable(key)}" for name, key in kind]
        headers += ["ratio", "95 % interval"] if has_intervals else ["ratio"]
    sides = (printable(summary.baseline or ""), printable(summary.compared or ""))
    notes = [f"Ratio: a trap in {sides[0]} to a direct call in {sides[1]}; above 1 the direct call takes less."]
    if len(kinds) > 1:
        notes.append("Calls go through the C library; those called inline are written into the program itself.")
    if (summary.run.pairs or 1) > 1:
        notes.append(f"Means of {numbers.pairs(summary.run.pairs)}.")
    if any(name.startswith("getp") for name in names):
        notes.append(article.GETPID)
    yield Heading("Measured by the workload")
    if len(kinds[0]) > 1:
        series = {f"{name} {key}": values for (name, key), values in shares.items()}
        yield Picture(Bars("Time of a call", f"% of {' '.join(kinds[0][0])}", names, series))
    yield Table(headers, rows, notes=notes)


def _ratio(call: TimedCall | None, with_interval: bool) -> list[str]:
    interval = f"{call.interval[0]:.2f} to {call.interval[1]:.2f}" if call and call.interval else ABSENT
    return [ratio_text(call.ratio) if call else ABSENT, *([interval] if with_interval else [])]


def proofs(summary: Summary) -> Iterator[Block]:
    """What was checked so that the figures can be trusted."""
    items = []
    for name, session in summary.sessions.items():
        rings = ", ".join(f"{printable(who)} ring {ring}" for who, ring in session.rings.items())
        if rings:
            items.append(f"{printable(name)}: code segment read inside the processes: {rings}")
        items += [
            f"{printable(name)}: {printable(kind)} of {printable(subject)}: {printable(value)}"
            for kind, found in session.proofs.items()
            if kind not in ("ring", "checksum")
            for subject, value in found.items()
        ]
        items += [f"{printable(name)}: FAILED: {printable(proof)}" for proof in session.failed_proofs]
    if summary.checksums is not None:
        checksums = summary.checksums
        if checksums.equal:
            items.append(f"results: the checksums of {checksums.compared} statements are equal in the sessions")
        else:
            items.append(f"results DIFFER between the sessions: {printable(', '.join(checksums.differing))}")
    if items:
        yield Heading("Proofs")
        yield Bullets(items)


def output(summary: Summary) -> Iterator[Block]:
    """What the client printed; only once if it was the same in all sessions."""
    printed = {name: [printable(line) for line in session.output] for name, session in summary.sessions.items()}
    if not any(printed.values()):
        return
    yield Heading("Output of the client")
    if len(set(map(tuple, printed.values()))) == 1:
        yield Lines(next(iter(printed.values())))
        return
    for name, lines in printed.items():
        yield Paragraph(f"{printable(name)}:")
        yield Lines(lines)


def marks(summary: Summary) -> Iterator[Block]:
    """The marks: instants that users singled out."""
    if summary.run.marks:
        rows = [
            [numbers.clock(seconds), printable(note), printable(author)] for seconds, note, author in summary.run.marks
        ]
        yield Heading("Marks")
        yield Table(["at", "note", "by"], rows, text_columns=True)
