# SPDX-License-Identifier: GPL-2.0-or-later
"""A program's output: all of it where that is reasonable, a bounded part of it where it is not."""

import asyncio
import os
import signal
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmltui.machine import output
from kmltui.machine.output import Lines, abridged
from kmltui.sessions.local_process import LocalProcess


async def taken(lines: Lines) -> list[tuple[str, str]]:
    return [line async for line in lines]


@given(st.lists(st.binary(max_size=20)))
def test_lines_are_the_same_however_they_come_in_pieces(pieces: list[bytes]) -> None:
    async def main() -> None:
        lines = Lines()
        for piece in pieces:
            lines.feed("stdout", piece)
        lines.end()
        whole = b"".join(pieces).split(b"\n")
        expected = whole if whole[-1] else whole[:-1]
        assert [text for _, text in await taken(lines)] == [line.decode(errors="replace") for line in expected]

    asyncio.run(main())


async def test_streams_do_not_mix() -> None:
    lines = Lines()
    for stream, data in [("stdout", b"a"), ("stderr", b"x\ny"), ("stdout", b"b\n"), ("stderr", b"")]:
        lines.feed(stream, data)
    lines.end()
    assert await taken(lines) == [("stderr", "x"), ("stdout", "ab"), ("stderr", "y")]


async def test_a_line_without_an_end_is_cut_and_costs_no_memory() -> None:
    lines = Lines()
    tracemalloc.start()
    for _ in range(400):
        lines.feed("stdout", b"x" * 65536)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    lines.end()
    ((_, text),) = await taken(lines)
    assert text.startswith("xxx") and text.endswith(f"… ({400 * 65536 - output.MAX_LINE_BYTES} bytes left out)")
    assert peak < 1 << 20


async def test_what_nobody_reads_is_counted_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_WAITING_BYTES", 1000)
    lines = Lines()
    lines.feed("stdout", b"0123456789\n" * 1000)
    lines.end()
    found = await taken(lines)
    kept = len(found) - 1
    assert 5 < kept < 20
    assert found[-1] == ("stderr", f"… {1000 - kept} lines left out, which came too fast")


async def test_of_a_long_output_the_first_and_the_last_lines_are_kept() -> None:
    async def numbers(count: int):
        for number in range(count):
            yield "stdout", str(number)

    assert [text async for _, text in abridged(numbers(5), 3, 2)] == ["0", "1", "2", "3", "4"]
    assert [text async for _, text in abridged(numbers(9), 3, 2)] == ["0", "1", "2", "… 4 lines left out …", "7", "8"]


async def start(script: str) -> LocalProcess:
    return await LocalProcess.start(["/bin/sh", "-c", script], env={}, stdin=False, ended=lambda pid: None)


async def test_a_program_does_not_wait_for_whoever_reads_its_output() -> None:
    process = await start("seq 900000")
    async with asyncio.timeout(60):
        assert await process.wait() == 0, "nobody has read a line yet"
    lines = [line async for line in process.lines()]
    assert lines[0] == ("stdout", "1")
    assert lines[-1][1].endswith("lines left out, which came too fast")


async def test_a_program_that_leaves_a_daemon_behind_has_ended_when_it_has_ended() -> None:
    process = await start("echo here; setsid sleep 60 & echo $!")
    async with asyncio.timeout(30):
        lines = [text async for _, text in process.lines()]
        assert await process.wait() == 0
    assert lines[0] == "here"
    os.kill(int(lines[1]), signal.SIGKILL)
