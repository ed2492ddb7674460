# SPDX-License-Identifier: GPL-2.0-or-later
"""Benches of the same plan, made on several machines or by a scheduler, as one recording."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from kmltui.model import End, Environment, Gap, Header, Log, Repeat
from kmltui.recording.errors import RecordingError
from kmltui.recording.reader import Reader
from kmltui.recording.writer import Writer

_PER_RUN = {"clocksource", "cmdline"}
"""Facts that may differ from boot to boot on one machine."""


def merge(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the pairs of all ``sources`` to one recording, one after the other.

    Pairs are numbered on; each says on which machine it was measured. What the machines differ in is told by warnings
    at the beginning, and the environment holds all of their values. ``progress`` is told the fraction done.

    Raises RecordingError: unreadable, not benches, of different plans, target exists or cannot be written.
    """
    if len(sources) < 2:
        raise RecordingError("merge takes two recordings or more")
    with ExitStack() as opened:
        readers = [opened.enter_context(Reader.open(source)) for source in sources]
        if len({reader.path.resolve() for reader in readers}) < len(readers):
            raise RecordingError("merge: a recording is named twice; its pairs would count twice")
        for reader in readers:
            _check(reader, readers[0])
        names = _machines(readers)
        with Writer.create(target, _header(readers, names)) as writer:
            for index, text in enumerate(_differences(readers, names)):
                writer.append(Log(t_ns=index, session="", source="runner", level="warning", text=text))
            for environment in _environments(readers):
                writer.append(environment)
            whole = sum(reader.duration_ns for reader in readers) or 1
            start_ns, pairs = 0, 0
            ends: list[End] = []
            for reader, machine in zip(readers, names, strict=True):
                most = 0
                for record in reader.records():
                    match record:
                        case Header() | Gap() | Environment():
                            continue
                        case End():
                            ends.append(record)
                            continue
                        case Repeat():
                            most = max(most, record.pair)
                            pair = record.pair + pairs if record.pair else 0
                            moved = replace(record, t_ns=record.t_ns + start_ns, pair=pair, machine=machine)
                            writer.append(moved)
                        case _:
                            writer.append(replace(record, t_ns=record.t_ns + start_ns))
                    if progress is not None:
                        progress(min((start_ns + record.t_ns) / whole, 1.0))
                pairs += most
                start_ns += reader.duration_ns + 1
            done = len(ends) == len(readers) and all(end.status == "done" for end in ends)
            reason = "" if done else "not all of the merged benches were completed"
            writer.append(End(t_ns=start_ns, status="done" if done else "stopped", reason=reason))


def _check(reader: Reader, first: Reader) -> None:
    """Raises RecordingError for what cannot be one with the first recording."""
    where, header = reader.path.name, reader.header
    if header.kind != "bench" and not any(isinstance(record, Repeat) for record in reader.landmarks()):
        raise RecordingError(f"{where}: is not a bench; merge puts the pairs of benches together")
    if any(isinstance(record, Repeat) and record.machine for record in reader.landmarks()):
        raise RecordingError(f"{where}: is merged already; merge the recordings that it was made of")
    for what, own, other in (
        ("workload", header.workload, first.header.workload),
        ("sessions", header.sessions, first.header.sessions),
    ):
        if own != other:
            raise RecordingError(f"{where}: its {what} are not those of {first.path.name}: only equal plans are merged")


def _machines(readers: Sequence[Reader]) -> list[str]:
    """What each recording's machine is called; recordings of the same machine have the same name."""
    return [reader.header.host.get("name") or Path(reader.path).stem for reader in readers]


def _header(readers: Sequence[Reader], names: Sequence[str]) -> Header:
    first = min((reader.header for reader in readers), key=lambda header: header.created_unix_ns)
    machines = len(set(names))
    title = f"{len(readers)} benches of {machines} machine{'s' if machines > 1 else ''}"
    keys = dict.fromkeys(key for reader in readers for key in reader.header.host)
    host = {key: _joined([reader.header.host.get(key, "") for reader in readers]) for key in keys}
    return replace(first, kind="bench", title=f"{first.title} ({title})" if first.title else title, host=host)


def _joined(values: Sequence[str]) -> str:
    return " / ".join(dict.fromkeys(value for value in values if value))


def _facts(reader: Reader) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for record in reader.landmarks():
        if isinstance(record, Environment):
            found.setdefault(record.session, {}).update(record.facts)
    return found


def _environments(readers: Sequence[Reader]) -> Iterator[Environment]:
    every = [_facts(reader) for reader in readers]
    for session in dict.fromkeys(session for facts in every for session in facts):
        own = [facts.get(session, {}) for facts in every]
        keys = dict.fromkeys(key for facts in own for key in facts)
        facts = {key: _joined([each.get(key, "") for each in own]) for key in keys}
        yield Environment(t_ns=0, session=session, facts=facts)


def _differences(readers: Sequence[Reader], names: Sequence[str]) -> Iterator[str]:
    """What the machines and their sessions differ in, a line each."""
    for key in dict.fromkeys(key for reader in readers for key in reader.header.host if key != "name"):
        yield from _difference(f"host {key}", [reader.header.host.get(key, "–") for reader in readers], names)
    every = [_facts(reader) for reader in readers]
    for session in dict.fromkeys(session for facts in every for session in facts):
        own = [facts.get(session, {}) for facts in every]
        for key in dict.fromkeys(key for facts in own for key in facts if key not in _PER_RUN):
            yield from _difference(f"{session} {key}", [facts.get(key, "–") for facts in own], names)


def _difference(what: str, values: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    if len(set(values)) > 1:
        each = dict(zip(names, values, strict=True))
        told = "; ".join(f"{name}: {' '.join(value.split())}" for name, value in each.items())
        yield f"the machines differ in {what}: {told}"
