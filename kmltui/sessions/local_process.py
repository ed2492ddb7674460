# SPDX-License-Identifier: GPL-2.0-or-later
"""A process of a local session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from signal import SIGKILL, pidfd_send_signal
from typing import IO, Any

from kmltui.machine.output import Lines

_PIECE_BYTES = 64 << 10

_DRAIN_LIMIT_S = 0.5
"""How long to wait for output after a program has ended: its children may hold its pipes open forever."""


class LocalProcess:
    """Leads a process group of its own; when it ends, the rest of the group is killed."""

    def __init__(self, popen: subprocess.Popen[bytes], ended: Callable[[int], None]) -> None:
        self.pid = popen.pid
        self._popen = popen
        # Refers to this very process even after it has ended and its number was reused.
        self._pidfd = os.pidfd_open(popen.pid)
        self._ended = ended
        self._output = Lines()
        self._readers: list[asyncio.Task[None]] = []
        self._waiter: asyncio.Task[int] | None = None
        self._collector: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bool,
        ended: Callable[[int], None],
        inherited: Sequence[int] = (),
    ) -> LocalProcess:
        """Start it. ``ended`` is called with its number once it has ended, while its counters can still be read;
        ``inherited`` are file descriptors that it keeps.

        Raises OSError: there is no such program, or it cannot be started.
        """
        popen = subprocess.Popen(  # noqa: ASYNC220  (returns as soon as the program is executed)
            argv,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            pass_fds=inherited,
            start_new_session=True,
        )
        process = cls(popen, ended)
        assert popen.stdout is not None and popen.stderr is not None
        process._readers = [
            asyncio.create_task(process._read("stdout", popen.stdout)),
            asyncio.create_task(process._read("stderr", popen.stderr)),
        ]
        process._waiter = asyncio.create_task(process._wait())
        process._collector = asyncio.create_task(process._read_all())
        return process

    @property
    def over(self) -> bool:
        """It has ended, and nothing is left of its group."""
        return self._pidfd < 0

    async def lines(self) -> AsyncIterator[tuple[str, str]]:
        async for line in self._output:
            yield line

    async def wait(self) -> int:
        assert self._waiter is not None
        return await asyncio.shield(self._waiter)

    async def write(self, data: bytes) -> None:
        if self._popen.stdin is None:
            raise ValueError("the process was started without standard input")
        await asyncio.to_thread(self._feed, data)

    async def close_stdin(self) -> None:
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()

    async def kill(self, signal: int = 15) -> None:
        """Signal the process alone, as ``kill`` does. Nothing happens if it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                pidfd_send_signal(self._pidfd, signal)

    async def end(self) -> None:
        """End it and its group. Idempotent."""
        await self.kill(SIGKILL)
        await self.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if self._collector is not None:
            await self._collector
        await self.close_stdin()

    def _feed(self, data: bytes) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(data)
        self._popen.stdin.flush()

    async def _read(self, name: str, pipe: IO[bytes]) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while data := await reader.read(_PIECE_BYTES):
                self._output.feed(name, data)
        finally:
            transport.close()

    async def _read_all(self) -> None:
        """Both streams, until they end, or until the program has ended and nothing more comes."""
        # The end of the program, or of both streams, which it may have closed itself.
        exited: asyncio.Future[Any] = asyncio.create_task(self.wait())
        closed: asyncio.Future[Any] = asyncio.gather(*self._readers, return_exceptions=True)
        await asyncio.wait({exited, closed}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(self._readers, timeout=_DRAIN_LIMIT_S)
        for reader in self._readers:
            reader.cancel()
        self._output.end()

    async def _wait(self) -> int:
        loop = asyncio.get_running_loop()
        exited = asyncio.Event()
        loop.add_reader(self._pidfd, exited.set)
        try:
            await exited.wait()
        finally:
            loop.remove_reader(self._pidfd)
        # Now a zombie: its counters can be read a last time, and no other group can have its number yet.
        await asyncio.to_thread(self._ended, self.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, SIGKILL)
        status = self._popen.wait()
        os.close(self._pidfd)
        self._pidfd = -1
        return 128 - status if status < 0 else status
