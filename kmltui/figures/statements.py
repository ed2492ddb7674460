# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls a query for each of a workload's statements, by name, trapped and direct.

Wisconsin's client reads the kernel's counters at each statement's beginning and end (:class:`StatementCount`). Where
nothing was read there, as in a run that is bounded by time, it still says when it goes on to the next statement: the
counts at that moment are interpolated between the samples around it, a few of which come each second, so they are off
by a fraction of a sampling period at either end. A statement that lasts only a few periods is then left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import Struct, structs

from kmltui.model import END, Progress, Record, Sample, StatementCount

LEAST_SAMPLES = 10
"""Within a statement: both ends together are then off by less than a tenth."""


class Calls(Struct, frozen=True):
    """Of one system call, for one query."""

    trap: float
    direct: float


NO_CALLS = Calls(0.0, 0.0)

Counts = dict[int, tuple[float, float]]
"""Of each system call by its number how often it trapped and was direct."""


@dataclass
class _Session:
    """One session as its records are read."""

    last: Sample | None = None
    at: int = 0
    """The statement that it is at; 0: none."""
    queries: int = 0
    """How many its client had counted when that began."""
    begun: Counts = field(default_factory=dict)
    samples: int = 0
    """How many have come since then."""
    changes: list[Progress] = field(default_factory=list)
    """Since the last sample, each the first report of another statement."""
    newest: Progress | None = None
    found: dict[int, tuple[int, Counts]] = field(default_factory=dict)
    """Of each statement that lasted long enough the queries and their calls."""
    counted: dict[int, tuple[int, Counts]] = field(default_factory=dict)
    """The same of each statement that was counted from its beginning to its end."""


class StatementCalls:
    """Listens to the records of a run."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}

    def listening(self, records: Iterable[Record]) -> Iterator[Record]:
        """Pass the records on, having listened to them."""
        for record in records:
            self.hear(record)
            yield record

    def hear(self, record: Record) -> None:
        """Take the next record."""
        match record:
            case Progress():
                session = self._sessions.setdefault(record.session, _Session())
                at = session.changes[-1].statement if session.changes else session.at
                if record.statement != at:
                    session.changes.append(record)
                session.newest = record
            case StatementCount() if record.queries > 0:
                session = self._sessions.setdefault(record.session, _Session())
                calls = [(nr, (float(trap), float(direct))) for nr, trap, direct in _both(record.trap, record.direct)]
                _add(session.counted, record.statement, record.queries, calls)
            case Sample() if record.kml is not None:
                session = self._sessions.setdefault(record.session, _Session())
                for change in session.changes:
                    _changed(session, change, _counts_at(session.last, record, change.t_ns))
                if record.mark == END and session.newest is not None:
                    _changed(session, structs.replace(session.newest, statement=0), _counts(record))
                session.changes.clear()
                session.last = record
                session.samples += 1
            case _:
                pass

    def a_query(self, session: str) -> dict[int, dict[int, Calls]]:
        """By statement and by the number of the call."""
        known = self._sessions.get(session)
        found = known.found | known.counted if known else {}
        return {
            statement: {nr: Calls(trap / queries, direct / queries) for nr, (trap, direct) in counts.items()}
            for statement, (queries, counts) in sorted(found.items())
        }


def _changed(session: _Session, change: Progress, counts: Counts) -> None:
    """The session has gone on to another statement, or has come to its end."""
    queries = change.queries - session.queries
    if session.at and session.samples >= LEAST_SAMPLES and queries > 0:
        calls = []
        for nr, (trap, direct) in counts.items():
            was = session.begun.get(nr, (0.0, 0.0))
            calls.append((nr, (max(trap - was[0], 0.0), max(direct - was[1], 0.0))))
        _add(session.found, session.at, queries, calls)
    session.at, session.queries, session.begun, session.samples = change.statement, change.queries, counts, 0


def _add(
    found: dict[int, tuple[int, Counts]], statement: int, queries: int, calls: Iterable[tuple[int, tuple[float, float]]]
) -> None:
    """Add what a statement's ``queries`` more executions have called."""
    before, sums = found.get(statement, (0, {}))
    for nr, (trap, direct) in calls:
        so_far = sums.get(nr, (0.0, 0.0))
        sums[nr] = (so_far[0] + trap, so_far[1] + direct)
    found[statement] = (before + queries, sums)


def _both(trap: Mapping[int, int], direct: Mapping[int, int]) -> Iterator[tuple[int, int, int]]:
    """By number how often a system call trapped and was direct."""
    return ((nr, trap.get(nr, 0), direct.get(nr, 0)) for nr in trap.keys() | direct.keys())


def _counts(sample: Sample) -> Counts:
    assert sample.kml is not None
    both = _both(sample.kml.trap_nr, sample.kml.direct_nr)
    return {nr: (float(trap), float(direct)) for nr, trap, direct in both}


def _counts_at(before: Sample | None, after: Sample, t_ns: int) -> Counts:
    """The counts between two samples, as if they grew evenly; a guest that has booted meanwhile began at 0."""
    later = _counts(after)
    if before is None or before.t_ns >= t_ns or before.mono_ns > after.mono_ns:
        return later
    part = min((t_ns - before.t_ns) / (after.t_ns - before.t_ns), 1.0)
    earlier = _counts(before)
    result = {}
    for nr, (trap, direct) in later.items():
        was = earlier.get(nr, (0.0, 0.0))
        result[nr] = (was[0] + (trap - was[0]) * part, was[1] + (direct - was[1]) * part)
    return result
