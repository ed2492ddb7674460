# SPDX-License-Identifier: GPL-2.0-or-later
"""Cuts a part of a recording into a recording of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from kmltui.model import End, Environment, Gap, Header, Mark, Phase, Progress, Record, Repeat, Sample, State, Status
from kmltui.recording.errors import RecordingError
from kmltui.recording.reader import Reader
from kmltui.recording.schema import Timed
from kmltui.recording.shapes import INT_MAX
from kmltui.recording.writer import Writer

_LOOK_BACK_NS = 60_000_000_000
"""How far before the cut to search for the last progress and server status."""


def cut(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    from_ns: int,
    to_ns: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the part ``from_ns <= t < to_ns`` of a recording to a new one; None: to the end.

    Times begin at 0 again. Counters stay cumulative, so the part still shows what had been done before it; the
    environment, states, phases and measured interval that it lies in are put at its beginning. The title says that it
    is a cut, and of what. ``progress`` is given the fraction done.

    Raises RecordingError: unreadable, nothing in that range, target exists or cannot be written.
    """
    with Reader.open(source) as reader:
        last_ns = reader.duration_ns
        if from_ns < 0 or (to_ns is not None and to_ns <= from_ns):
            raise RecordingError("a part begins at 0 or later, and ends after it begins")
        if from_ns > last_ns:
            raise RecordingError(
                f"{source} is only {last_ns / 1e9:.1f} s long: nothing to cut from {from_ns / 1e9:.1f} s"
            )
        end_ns = last_ns + 1 if to_ns is None else min(to_ns, last_ns + 1)
        label = f"{from_ns / 1e9:.1f} s to {end_ns / 1e9:.1f} s of {reader.header.run or reader.path.name}"
        title = f"{reader.header.title} (cut: {label})" if reader.header.title else f"cut: {label}"
        with _written(target, msgspec.structs.replace(reader.header, title=title)) as writer:
            for earlier in _before(reader, from_ns):
                writer.append(msgspec.structs.replace(earlier, t_ns=0))
            ended = False
            for record in reader.records(from_ns, end_ns):
                if isinstance(record, Header | Gap):
                    continue
                writer.append(msgspec.structs.replace(record, t_ns=record.t_ns - from_ns))
                ended = ended or isinstance(record, End)
                if progress is not None:
                    progress((record.t_ns - from_ns) / (end_ns - from_ns))
            if not ended:
                end = min(end_ns - from_ns, INT_MAX)
                writer.append(End(t_ns=end, status="stopped", reason=f"this is a cut: {label}"))


@contextmanager
def _written(target: str | os.PathLike[str], header: Header) -> Iterator[Writer]:
    """A recording that is removed again unless it is completed."""
    with Writer.create(target, header) as writer:
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise


def _before(reader: Reader, from_ns: int) -> Iterator[Timed]:
    """What a viewer at the beginning of the part has to know about the time before it, in the order of the run."""
    if from_ns <= 0:
        return
    kept: dict[tuple[str, ...], Timed] = {}
    for record in reader.landmarks():
        if record.t_ns < from_ns and (key := _key(record)) is not None:
            # A later one of the same kind replaces the earlier one, and moves to its own place in the order.
            kept.pop(key, None)
            kept[key] = record
    for recent in reader.records(max(0, from_ns - _LOOK_BACK_NS), from_ns):
        if isinstance(recent, Progress | Status):
            key = (type(recent).__name__, recent.session)
            kept.pop(key, None)
            kept[key] = recent
    yield from kept.values()


def _key(record: Record) -> tuple[str, ...] | None:
    """Which earlier record a record replaces; None for records without meaning outside of their time."""
    match record:
        case Mark() | End() | Header():
            return None
        case Sample():
            # All phases' boundaries belong to the interval that is open; one that has ended begins with the next.
            return ("sample", record.session, record.mark)
        case Phase():
            return ("phase", record.session, record.name, record.event)
        case Environment() | State():
            return (type(record).__name__, record.session)
        case Repeat():
            return ("repeat", record.session, record.event)
        case _:
            return (type(record).__name__, *(str(getattr(record, name, "")) for name in ("session", "name", "subject")))
