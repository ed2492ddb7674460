# SPDX-License-Identifier: GPL-2.0-or-later
"""Exports recordings for other programs: CSV for spreadsheets, JSON Lines for everything else. Streaming."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from kmltui.counters.lives import Lives, query_count
from kmltui.model import CLIENT, SERVER, Header, Progress, Record, Sample, Status

_USER_HZ = 100
_CPU_NUMBERS = 4096
"""So many CPUs can have columns; a damaged recording may claim any number."""
_GROUPS = (SERVER, CLIENT)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def jsonl(records: Iterable[Record]) -> Iterator[str]:
    """Every record as a JSON object on a line of its own, its kind under ``type``; byte strings in base64.

    The output is ASCII, so that no control character reaches a terminal.
    """
    encoder = msgspec.json.Encoder()
    for record in records:
        yield json.dumps(json.loads(encoder.encode(record)), separators=(",", ":")) + "\n"


def cpus_seen(records: Iterable[Record]) -> list[int]:
    """The CPUs that the sessions began with, by the header, and all that any sample has: some may come later."""
    seen: set[int] = set()
    for record in records:
        if isinstance(record, Header):
            seen.update(*(range(spec.vcpus) for spec in record.sessions))
        elif isinstance(record, Sample):
            seen.update(record.cpus)
    return sorted(cpu for cpu in seen if 0 <= cpu < _CPU_NUMBERS)


def csv_lines(records: Iterable[Record], cpus: Sequence[int]) -> Iterator[str]:
    """The samples as a table: one line per sample, with cumulative counters as in the recording.

    ``cpus``: those that have columns, as :func:`cpus_seen` lists them.

    Times are in seconds; what a session does not provide is empty. Queries and rows are the last that the workload's
    client, or a watched server, had reported before the sample, summed over the server's lives. System calls by number
    are only in JSON Lines.
    """
    progress: dict[str, Progress] = {}
    watched: dict[str, Status] = {}
    lives: defaultdict[str, Lives] = defaultdict(Lives)
    yield csv_line(_columns(cpus))
    for record in records:
        if isinstance(record, Progress):
            progress[record.session] = record
        elif isinstance(record, Status):
            watched[record.session] = lives[record.session].add(record)
        elif isinstance(record, Sample):
            work = _work(progress.get(record.session), watched.get(record.session))
            yield csv_line(_row(record, work, cpus))


def _columns(cpus: Sequence[int]) -> list[str]:
    names = ["t_s", "session", "session_clock_s", "mark", "phase", "statement", "loop", "queries", "rows"]
    names += [f"cpu{cpu}_{part}_s" for cpu in cpus for part in ("user", "system", "idle", "other")]
    names += [f"{group}_{part}_s" for group in _GROUPS for part in ("cpu", "user", "system")]
    names += ["traps", "direct_calls", "elevations", "demotions", "interrupts", "context_switches"]
    return [*names, "instructions_user", "instructions_kernel", "agent_cpu_s", "agent_calls"]


def _work(progress: Progress | None, server: Status | None) -> list[Any]:
    """The columns from ``phase`` to ``rows``: from the workload's client, or from the server where there is none."""
    if progress is not None:
        return [_text(progress.phase), progress.statement, progress.loop, progress.queries, progress.rows]
    if server is not None:
        return [None, None, None, query_count(server.counters), server.counters.get("Rows_sent")]
    return [None] * 5


def _row(sample: Sample, work: list[Any], cpus: Sequence[int]) -> list[Any]:
    row: list[Any] = [sample.t_ns / 1e9, _text(sample.session), sample.mono_ns / 1e9, _text(sample.mark)]
    row += work
    for cpu in cpus:
        if (ticks := sample.cpus.get(cpu)) is None:
            row += [None] * 4
            continue
        row += [value / _USER_HZ for value in ticks.by_kind]
    for name in _GROUPS:
        group = sample.groups.get(name)
        row += [None] * 3 if group is None else [us / 1e6 for us in (group.usage_us, group.user_us, group.system_us)]
    kml = sample.kml
    row += (
        [None] * 4
        if kml is None
        else [sum(counts.values()) for counts in (kml.trap_nr, kml.direct_nr, kml.elevations_cpu, kml.demotions_vector)]
    )
    row += [sample.interrupts, sample.context_switches]
    counted = sample.instructions
    row += [None] * 2 if counted is None else [sum(pair[part] for pair in counted.values()) for part in (0, 1)]
    agent = sample.agent
    return [*row, *([None] * 2 if agent is None else [agent.cpu_ns / 1e9, agent.syscalls])]


def _text(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, since names come from what was measured."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_line(row: list[Any]) -> str:
    """One line of CSV, its end included; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue()
