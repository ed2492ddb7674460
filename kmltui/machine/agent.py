# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of the agent's port: commands to it, samples from it (their format: ``guestd/wire.h``)."""

from __future__ import annotations

import asyncio
import struct

from kmltui.counters import parse_cpu_stat, parse_hardware, parse_kml_counters, parse_proc_stat
from kmltui.images.errors import GuestError
from kmltui.machine.wire import MARK_MAX, NUMBER, SAMPLE_HEADER, SAMPLE_MAGIC, SAMPLE_MAX
from kmltui.model import CLIENT, SERVER, AgentCost, Sample

_GROUPS = (SERVER, CLIENT)
_FILES = ("stat", *_GROUPS, "kml")
"""What a sample holds first, in the agent's order: /proc/stat, cpu.stat of two cgroups, /proc/kml/counters. Then comes,
for either group, what the processor's counters counted."""


def decode(frame: bytes, session: str, t_ns: int) -> Sample:
    """Decode the sample in ``frame``. What the guest could not read is absent.

    Raises :class:`GuestError` for a malformed frame, CounterError for texts that cannot be parsed.
    """
    try:
        magic, size, mono_ns, _late_ns, cpu_ns, calls, mark_size = SAMPLE_HEADER.unpack_from(frame)
        if magic != SAMPLE_MAGIC or size != len(frame):
            raise GuestError("the agent sent something that is not a sample")
        at = SAMPLE_HEADER.size + mark_size
        mark = frame[SAMPLE_HEADER.size : at].decode(errors="replace")
        found: list[str] = []
        for _ in (*_FILES, *_GROUPS):
            (length,) = NUMBER.unpack_from(frame, at)
            at += NUMBER.size
            found.append(frame[at : at + length].decode(errors="replace"))
            at += length
    except struct.error as error:
        raise GuestError("the agent sent a truncated sample") from error
    texts = dict(zip(_FILES, found, strict=False))
    hardware = dict(zip(_GROUPS, found[len(_FILES) :], strict=True))
    stat = parse_proc_stat(texts["stat"])
    return Sample(
        t_ns=t_ns,
        session=session,
        mono_ns=mono_ns,
        mark=mark,
        cpus=stat.cpus,
        interrupts=stat.interrupts,
        context_switches=stat.context_switches,
        groups={name: parse_cpu_stat(texts[name]) for name in _GROUPS if texts[name]},
        kml=parse_kml_counters(texts["kml"]) if texts["kml"] else None,
        agent=AgentCost(cpu_ns, calls),
        hardware={name: parse_hardware(text) for name, text in hardware.items() if text},
    )


class Agent:
    """The agent of one guest."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def set_period(self, period_ns: int) -> None:
        """Sample every ``period_ns`` from now on; 0: only on demand."""
        await self._send(f"period {period_ns}")

    async def ask(self, mark: str) -> None:
        """Ask for a sample with ``mark`` (one line, at most 255 bytes; empty for a periodic one) at once."""
        if "\n" in mark or len(mark.encode()) >= MARK_MAX:
            raise ValueError(f"{mark!r} cannot mark a sample")
        await self._send(f"sample {mark}")

    async def _send(self, line: str) -> None:
        self._writer.write(line.encode() + b"\n")
        await self._writer.drain()

    async def receive(self) -> bytes:
        """The next sample, as sent.

        Raises EOFError or OSError when the guest is gone, :class:`GuestError` for malformed data.
        """
        head = await self._reader.readexactly(8)
        magic, size = struct.unpack("<II", head)
        if magic != SAMPLE_MAGIC or not SAMPLE_HEADER.size <= size <= SAMPLE_MAX:
            raise GuestError("the agent sent something that is not a sample")
        return head + await self._reader.readexactly(size - len(head))
