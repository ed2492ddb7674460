# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of guestd's port: programs, files, and the frames they travel in (see ``guestd/wire.h``)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from kmltui.images.errors import GuestError
from kmltui.machine.output import Lines
from kmltui.machine.wire import (
    FRAME_HEADER,
    FRAME_MAX,
    NUMBER,
    PROTOCOL_VERSION,
    SPAWN_HEADER,
    TAKEN_ALL,
    WINDOW_SIZE,
    FrameType,
    SpawnFlag,
)

_UNTAKEN_MAX = 1 << 20
"""How much input may be in flight to a program that has not read it yet."""


class GuestGone(GuestError, ConnectionError):
    """The guest no longer answers: it was stopped, has crashed, or QEMU is gone."""


class GuestProcess:
    """A program in the guest. Its output comes in chunks or, decoded, in lines; use only one of the two."""

    def __init__(self, channel: Channel, number: int) -> None:
        self.pid = 0
        self._channel = channel
        self._number = number
        self._output: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._untaken = 0
        self._takes = True
        self._taken = asyncio.Event()

    def _take(self, kind: int, payload: bytes) -> bool:
        """One frame of the guest's; tells whether it was the last."""
        if kind == FrameType.STDOUT:
            self._output.put_nowait(("stdout", payload))
        elif kind == FrameType.STDERR:
            self._output.put_nowait(("stderr", payload))
        elif kind == FrameType.STARTED:
            (self.pid,) = NUMBER.unpack(payload)
            self._started.set_result(None)
        elif kind == FrameType.TAKEN:
            (count,) = NUMBER.unpack(payload)
            if count == TAKEN_ALL:
                self._takes_no_more()
            self._untaken -= count
            self._taken.set()
        elif kind == FrameType.EXIT:
            self._takes_no_more()
            (status,) = NUMBER.unpack(payload)
            self._status.set_result(128 + (status & 0x7F) if status & 0x7F else status >> 8 & 0xFF)
            self._output.put_nowait(None)
            return True
        elif kind == FrameType.RESULT:
            (error,) = NUMBER.unpack(payload)
            self._started.set_exception(OSError(error, os.strerror(error)))
            return True
        return False

    def _takes_no_more(self) -> None:
        self._takes = False
        self._taken.set()

    def _lose(self, error: GuestGone) -> None:
        self._takes_no_more()
        for future in (self._started, self._status):
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody may be waiting for it
        self._output.put_nowait(None)

    async def chunks(self) -> AsyncIterator[tuple[str, bytes]]:
        """Its output as it comes: ``("stdout" | "stderr", data)``."""
        while (item := await self._output.get()) is not None:
            yield item
        self._output.put_nowait(None)

    async def lines(self) -> AsyncIterator[tuple[str, str]]:
        """Its output line by line, as :class:`Lines` keeps it; what is not UTF-8 in it is replaced."""
        lines = Lines()

        async def cut() -> None:
            async for stream, data in self.chunks():
                lines.feed(stream, data)
            lines.end()

        cutting = asyncio.create_task(cut())
        try:
            async for line in lines:
                yield line
        finally:
            cutting.cancel()

    async def wait(self) -> int:
        """Exit status; 128 + n when signal n ended it. Raises :class:`GuestGone`."""
        return await asyncio.shield(self._status)

    async def write(self, data: bytes) -> None:
        """Feed its standard input; waits while it reads none. Input that it never reads is dropped."""
        for at in range(0, len(data), FRAME_MAX):
            part = data[at : at + FRAME_MAX]
            while self._takes and self._untaken + len(part) > _UNTAKEN_MAX:
                self._taken.clear()
                await self._taken.wait()
            if not self._takes:
                return
            self._untaken += len(part)
            await self._channel.send(FrameType.STDIN, self._number, part)

    async def close_stdin(self) -> None:
        await self._channel.send(FrameType.STDIN, self._number)

    async def kill(self, signal: int = 15) -> None:
        """Send ``signal`` to it and to what it started (its process group). Nothing happens if it has ended."""
        await self._channel.send(FrameType.KILL, self._number, NUMBER.pack(signal))

    async def resize(self, rows: int, columns: int) -> None:
        """Tell it that its terminal was resized."""
        await self._channel.send(FrameType.RESIZE, self._number, WINDOW_SIZE.pack(rows, columns))


class _Transfer:
    """A file transfer: collects what comes, resolves with the guest's result."""

    def __init__(self) -> None:
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.sink: Callable[[bytes], object] = lambda _data: None

    def _take(self, kind: int, payload: bytes) -> bool:
        if kind == FrameType.CONTENT:
            self.sink(payload)
            return False
        if not self.done.done():
            self.done.set_result(NUMBER.unpack(payload)[0])
        return True

    def _lose(self, error: GuestGone) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()


class Channel:
    """guestd, over its port. After :meth:`hello` or :meth:`resume` it accepts requests, many at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._open: dict[int, GuestProcess | _Transfer] = {}
        self._gone: GuestGone | None = None
        self._task: asyncio.Task[None] | None = None

    async def hello(self) -> dict[str, list[str]]:
        """Wait for the guest's report: its words by the first of each line. Raises :class:`GuestGone`."""
        try:
            kind, _, payload = await self._receive()
        except (asyncio.IncompleteReadError, OSError) as error:
            raise GuestGone("the guest ended before it was up") from error
        report: dict[str, list[str]] = {}
        for line in payload.decode(errors="replace").splitlines():
            word, _, rest = line.partition(" ")
            report.setdefault(word, []).append(rest)
        if kind != FrameType.HELLO or report.get("protocol") != [str(PROTOCOL_VERSION)]:
            raise GuestError(
                "the guest image belongs to another version of kmltui: rebuild it with `kmltui guest build`"
            )
        self.resume()
        return report

    def resume(self) -> None:
        """Begin, with a guest that has sent its report before."""
        self._task = asyncio.create_task(self._serve())

    async def _receive(self) -> tuple[int, int, bytes]:
        size, kind, number = FRAME_HEADER.unpack(await self._reader.readexactly(FRAME_HEADER.size))
        if size > FRAME_MAX:
            raise GuestError("the guest sent a frame that is too long")
        return kind, number, await self._reader.readexactly(size)

    async def _serve(self) -> None:
        try:
            while True:
                kind, number, payload = await self._receive()
                request = self._open.get(number)
                if request is not None and request._take(kind, payload):
                    del self._open[number]
        except (asyncio.IncompleteReadError, OSError, GuestError, struct.error):
            self._lose()

    def _lose(self) -> None:
        self._gone = GuestGone("the guest is gone")
        for request in self._open.values():
            request._lose(self._gone)
        self._open.clear()

    async def send(self, kind: FrameType, number: int, payload: bytes = b"") -> None:
        if self._gone:
            raise self._gone
        self._writer.write(FRAME_HEADER.pack(len(payload), kind, number) + payload)
        try:
            await self._writer.drain()
        except OSError as error:
            raise GuestGone("the guest is gone") from error

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        group: str = "other",
        env: Mapping[str, str] | None = None,
        directory: str = "",
        flags: SpawnFlag = SpawnFlag.NONE,
        window: tuple[int, int] = (24, 80),
    ) -> GuestProcess:
        """Start a program; ``window`` is a terminal's rows and columns.

        Raises OSError as the guest's kernel gave it (FileNotFoundError, …), :class:`GuestGone`, or ValueError for
        words that no command can have.
        """
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        strings = b"".join(text.encode() + b"\0" for text in (group, directory, *argv, *settings))
        payload = SPAWN_HEADER.pack(flags, 0, *window, len(argv), len(settings)) + strings
        if len(payload) > FRAME_MAX or not argv or strings.count(b"\0") != 2 + len(argv) + len(settings):
            raise ValueError("a command with no words, too many, or with NUL in them")
        number = next(self._numbers)
        process = self._open[number] = GuestProcess(self, number)
        await self.send(FrameType.SPAWN, number, payload)
        try:
            await process._started
        except GuestGone:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, argv[0]) from None
        return process

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file. Raises OSError as the guest's kernel gave it."""
        number = next(self._numbers)
        transfer = self._open[number] = _Transfer()
        await self.send(FrameType.PUT, number, NUMBER.pack(mode) + path.encode() + b"\0")
        for at in range(0, len(data), FRAME_MAX):
            await self.send(FrameType.DATA, number, data[at : at + FRAME_MAX])
        await self.send(FrameType.DATA, number)
        await _check(transfer, path)

    async def get(self, path: str, sink: Callable[[bytes], object]) -> None:
        """Read a file into ``sink``, piece by piece. Raises OSError as the guest's kernel gave it."""
        number = next(self._numbers)
        transfer = self._open[number] = _Transfer()
        transfer.sink = sink
        await self.send(FrameType.GET, number, path.encode() + b"\0")
        await _check(transfer, path)

    async def close(self) -> None:
        """Close the port; pending requests raise :class:`GuestGone`."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._lose()


async def _check(transfer: _Transfer, path: str) -> None:
    error = await transfer.done
    if error:
        raise OSError(error, os.strerror(error), path)
