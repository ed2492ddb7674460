# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of guestd's port, against a guest that is played here."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kmltui.images.errors import GuestError
from kmltui.machine.channel import Channel, GuestGone, GuestProcess
from kmltui.machine.wire import FrameType, SpawnFlag

HEADER = struct.Struct("<III")


class Player:
    """The guest's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, kind: int, number: int, payload: bytes = b"") -> None:
        self.writer.write(HEADER.pack(len(payload), kind, number) + payload)

    async def receive(self) -> tuple[int, int, bytes]:
        size, kind, number = HEADER.unpack(await self.reader.readexactly(HEADER.size))
        return kind, number, await self.reader.readexactly(size)

    def hello(self, text: str = "protocol 1\narm kml\nproblem one thing\nproblem another\n") -> None:
        self.send(FrameType.HELLO, 0, text.encode())


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[tuple[Channel, Player]]:
    ours, theirs = socket.socketpair()
    channel = Channel(*await asyncio.open_connection(sock=ours))
    player = Player(*await asyncio.open_connection(sock=theirs))
    yield channel, player
    await channel.close()
    player.writer.close()


async def started(channel: Channel, player: Player, argv: list[str] | None = None) -> tuple[GuestProcess, int]:
    task = asyncio.create_task(channel.spawn(argv or ["program"], group="client"))
    kind, number, _ = await player.receive()
    assert kind == FrameType.SPAWN
    player.send(FrameType.STARTED, number, struct.pack("<I", 42))
    return await task, number


async def test_the_report_is_read_by_its_words(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    report = await channel.hello()
    assert report["arm"] == ["kml"] and report["problem"] == ["one thing", "another"]


async def test_a_guest_of_another_version_is_refused(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello("protocol 99\n")
    with pytest.raises(GuestError, match="guest build"):
        await channel.hello()


async def test_a_guest_that_ends_before_it_is_up(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.writer.close()
    with pytest.raises(GuestGone):
        await channel.hello()


async def test_a_program_is_described_in_one_frame(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    task = asyncio.create_task(
        channel.spawn(
            ["a", "b c"], group="server", env={"X": "1"}, directory="/tmp", flags=SpawnFlag.TERMINAL, window=(3, 4)
        )
    )
    _, number, payload = await player.receive()
    assert struct.unpack_from("<BBHHHH", payload) == (2, 0, 3, 4, 2, 1)
    assert payload[10:].split(b"\0") == [b"server", b"/tmp", b"a", b"b c", b"X=1", b""]
    player.send(FrameType.STARTED, number, struct.pack("<I", 7))
    assert (await task).pid == 7


async def test_lines_are_put_together_from_pieces(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    process, number = await started(channel, player)
    for kind, data in [
        (FrameType.STDOUT, b"one\ntw"),
        (FrameType.STDERR, b"problem\n"),
        (FrameType.STDOUT, b"o\n\xff\xfe\nlast"),
    ]:
        player.send(kind, number, data)
    player.send(FrameType.EXIT, number, struct.pack("<I", 7 << 8))
    lines = [line async for line in process.lines()]
    assert lines == [("stdout", "one"), ("stderr", "problem"), ("stdout", "two"), ("stdout", "��"), ("stdout", "last")]
    assert await process.wait() == 7
    assert await process.wait() == 7, "it may be asked again"


@pytest.mark.parametrize(("raw", "status"), [(0, 0), (255 << 8, 255), (9, 137), (11 | 0x80, 139)])
async def test_wait_statuses(ends: tuple[Channel, Player], raw: int, status: int) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    process, number = await started(channel, player)
    player.send(FrameType.EXIT, number, struct.pack("<I", raw))
    assert await process.wait() == status


async def test_input_waits_for_a_program_that_does_not_take_it(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    process, number = await started(channel, player)
    writing = asyncio.create_task(process.write(bytes(3 << 20)))
    received = 0
    while received < 1 << 20:
        received += len((await player.receive())[2])
    await asyncio.sleep(0.05)
    assert not writing.done() and received == 1 << 20
    player.send(FrameType.TAKEN, number, struct.pack("<I", 1 << 19))
    while received < 3 << 19:
        received += len((await player.receive())[2])
    assert not writing.done()
    player.send(FrameType.TAKEN, number, struct.pack("<I", 0xFFFFFFFF))
    await asyncio.wait_for(writing, 5)


async def test_a_program_that_cannot_be_started(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    task = asyncio.create_task(channel.spawn(["nothing"]))
    _, number, _ = await player.receive()
    player.send(FrameType.RESULT, number, struct.pack("<I", errno.ENOENT))
    with pytest.raises(FileNotFoundError, match="nothing"):
        await task


@pytest.mark.parametrize("argv", [[], ["a\0b"], ["x" * 70000]])
async def test_words_that_no_command_can_have(ends: tuple[Channel, Player], argv: list[str]) -> None:
    with pytest.raises(ValueError):
        await ends[0].spawn(argv)


async def test_a_file_goes_in_pieces(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    data = bytes(range(256)) * 600
    task = asyncio.create_task(channel.put("/tmp/x", data, 0o600))
    kind, number, payload = await player.receive()
    assert kind == FrameType.PUT and payload == struct.pack("<I", 0o600) + b"/tmp/x\0"
    received = b""
    while True:
        kind, _, payload = await player.receive()
        assert kind == FrameType.DATA
        if not payload:
            break
        received += payload
    assert received == data
    player.send(FrameType.RESULT, number, struct.pack("<I", errno.ENOSPC))
    with pytest.raises(OSError, match="No space") as caught:
        await task
    assert caught.value.filename == "/tmp/x"


async def test_a_file_comes_in_pieces(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    got = bytearray()
    task = asyncio.create_task(channel.get("/etc/x", got.extend))
    _, number, _ = await player.receive()
    for part in (b"abc", b"def"):
        player.send(FrameType.CONTENT, number, part)
    player.send(FrameType.RESULT, number, struct.pack("<I", 0))
    await task
    assert got == b"abcdef"


async def test_whoever_waits_learns_that_the_guest_is_gone(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    process, _ = await started(channel, player)
    reading = asyncio.create_task(channel.get("/x", lambda data: None))
    await player.receive()
    player.writer.close()
    with pytest.raises(GuestGone):
        await process.wait()
    with pytest.raises(ConnectionError):
        await reading
    assert [item async for item in process.lines()] == []
    with pytest.raises(GuestGone):
        await channel.spawn(["more"])


async def test_a_frame_that_is_too_long_ends_the_connection(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    process, number = await started(channel, player)
    player.writer.write(HEADER.pack(1 << 30, FrameType.STDOUT, number))
    with pytest.raises(GuestGone):
        await process.wait()


async def test_answers_to_what_nobody_asked_are_passed_over(ends: tuple[Channel, Player]) -> None:
    channel, player = ends
    player.hello()
    await channel.hello()
    player.send(FrameType.STDOUT, 999, b"?")
    process, number = await started(channel, player)
    player.send(FrameType.EXIT, number, struct.pack("<I", 0))
    assert await process.wait() == 0
