# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples as the agent sends them."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmltui.counters import CounterError
from kmltui.images.errors import GuestError
from kmltui.machine.agent import Agent, decode
from kmltui.model import HardwareCounts

MAGIC = 0x534C4D4B
STAT = "cpu  3 0 4 5\ncpu0 3 0 4 5 0 0 0 0\nintr 77 1 2\nctxt 99\n"
GROUP = "usage_usec 30\nuser_usec 20\nsystem_usec 10\n"
HARDWARE = "cycles 3000\ninstructions 2000\ntlb_misses 7\n"
KML = "kml 1 kml\ncpus 0\ntrap 0 5\ndirect 0 50\nelevation 2\nrewind 0\nattached 1\n"


def frame(
    stat: str = STAT,
    server: str = GROUP,
    client: str = GROUP,
    kml: str = KML,
    mark: str = "",
    hardware: tuple[str, str] = (HARDWARE, ""),
) -> bytes:
    body = mark.encode()
    for text in (stat, server, client, kml, *hardware):
        body += struct.pack("<I", len(text)) + text.encode()
    header = struct.pack("<IIQQQQI", MAGIC, 44 + len(body), 123, 4, 555, 66, len(mark.encode()))
    return header + body


def test_a_sample_holds_what_was_read() -> None:
    sample = decode(frame(mark="phase:load"), "kml", 1000)
    assert (sample.t_ns, sample.session, sample.mono_ns, sample.mark) == (1000, "kml", 123, "phase:load")
    assert sample.cpus[0].user == 3 and sample.interrupts == 77 and sample.context_switches == 99
    assert sample.groups["server"].usage_us == 30 and sample.groups["client"].system_us == 10
    assert sample.kml is not None and sample.kml.direct_nr == {0: 50}
    assert sample.agent is not None and (sample.agent.cpu_ns, sample.agent.syscalls) == (555, 66)
    assert sample.hardware == {"server": HardwareCounts(3000, 2000, 7)}


def test_a_processor_may_count_cycles_alone() -> None:
    assert decode(frame(hardware=("", "cycles 5\n")), "kml", 0).hardware == {"client": HardwareCounts(5)}
    assert not decode(frame(hardware=("", "")), "kml", 0).hardware


def test_what_could_not_be_read_is_absent() -> None:
    sample = decode(frame(kml="", client=""), "stock", 0)
    assert sample.kml is None and set(sample.groups) == {"server"}


def test_texts_that_are_not_understood_are_told() -> None:
    with pytest.raises(CounterError):
        decode(frame(kml="nonsense"), "stock", 0)
    with pytest.raises(CounterError):
        decode(frame(hardware=("instructions 5\n", "")), "stock", 0)


@given(st.integers(0, len(frame()) - 1))
def test_a_sample_that_is_cut_short_is_told(size: int) -> None:
    with pytest.raises(GuestError):
        decode(frame()[:size], "stock", 0)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    whole = struct.pack("<II", MAGIC, 8 + len(data)) + data
    for candidate in (data, whole):
        with contextlib.suppress(GuestError, CounterError):
            decode(candidate, "stock", 0)


async def received(data: bytes) -> bytes:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await Agent(reader, None).receive()  # type: ignore[arg-type]


async def test_samples_are_cut_from_the_stream() -> None:
    assert await received(frame() + frame(mark="x")) == frame()


async def test_a_stream_that_is_none_is_told() -> None:
    with pytest.raises(GuestError):
        await received(b"not an agent at all")
    with pytest.raises(GuestError):
        await received(struct.pack("<II", MAGIC, 1 << 31))


async def test_a_stream_that_ends_in_a_sample() -> None:
    with pytest.raises(EOFError):
        await received(frame()[:-3])


@pytest.mark.parametrize("mark", ["two\nlines", "x" * 256])
async def test_marks_that_no_sample_can_have(mark: str) -> None:
    with pytest.raises(ValueError):
        await Agent(None, None).ask(mark)  # type: ignore[arg-type]
