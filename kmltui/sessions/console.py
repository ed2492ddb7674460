# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one command or one shell in a guest, on the caller's terminal."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager

from kmltui.machine.channel import GuestProcess
from kmltui.machine.wire import SpawnFlag
from kmltui.model import CLIENT, Log, Record, SessionSpec
from kmltui.printable import printable
from kmltui.sessions.guest import GuestSession
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command, SessionError


@asynccontextmanager
async def _session(spec: SessionSpec) -> AsyncIterator[GuestSession]:
    """A guest that samples nothing; alarms on its console go to standard error."""

    def emit(record: Record) -> None:
        if isinstance(record, Log) and record.source == "console" and record.level == "error":
            print(f"{spec.name}: {printable(record.text)}", file=sys.stderr)

    session = GuestSession(spec, 0)
    try:
        await session.start(Journal.begin(emit))
        yield session
    finally:
        await session.stop()


async def _wait(session: GuestSession, process: GuestProcess) -> int:
    """The exit status, or the session's failure if that comes first."""
    waiting = asyncio.ensure_future(process.wait())
    failing = asyncio.ensure_future(session.failed())
    try:
        await asyncio.wait({waiting, failing}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            raise failing.result()
        return waiting.result()
    except ConnectionError:
        raise await failing from None
    finally:
        for task in (waiting, failing):
            task.cancel()


Prepare = Callable[[GuestSession], Awaitable[None]]
"""What to do in the guest first, e.g. put files into it."""


async def run_command(spec: SessionSpec, command: Command, prepare: Prepare, *, stdin: int | None = None) -> int:
    """Boot a guest, run ``command`` in it, stop the guest; returns the exit status (128 + n after signal n).

    The program's output goes to this process's standard output and error. ``stdin`` is a file descriptor to feed it
    from; None: it has no input. Raises :class:`SessionError`.
    """
    async with _session(spec) as session:
        await prepare(session)
        process = await session.spawn(dataclasses.replace(command, stdin=stdin is not None))
        if stdin is not None:
            _feed(process, stdin)
        streams = {"stdout": sys.stdout, "stderr": sys.stderr}
        async for stream, data in process.chunks():
            _write(streams[stream].fileno(), data)
        return await _wait(session, process)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _feed(process: GuestProcess, descriptor: int) -> None:
    """Forward what comes from ``descriptor``. In a thread: files cannot be awaited, and a read may never return."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError, ConnectionError, OSError):  # the guest or the loop has ended meanwhile
            while data := os.read(descriptor, 65536):
                asyncio.run_coroutine_threadsafe(process.write(data), loop).result()
            asyncio.run_coroutine_threadsafe(process.close_stdin(), loop).result()

    threading.Thread(target=read, daemon=True).start()


async def run_shell(spec: SessionSpec, prepare: Prepare) -> int:
    """Boot a guest and give its shell this terminal until it exits; returns its exit status.

    In a session of arm ``kml`` the shell and what it starts run in ring 0. Raises :class:`SessionError`, also when
    standard input is no terminal.
    """
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise SessionError("a shell needs a terminal; for a single command there is `kmltui guest exec -- COMMAND`")
    async with _session(spec) as session:
        await prepare(session)
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        env = {"TERM": os.environ.get("TERM", "vt100")}
        process = await session.channel.spawn(
            ["/bin/sh", "-l"],
            group=CLIENT,
            env=env,
            directory="/root",
            flags=SpawnFlag.TERMINAL,
            window=(rows, columns),
        )
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()

        def start(coroutine: Coroutine[object, object, None]) -> None:
            task = asyncio.create_task(coroutine)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def typed() -> None:
            if data := os.read(sys.stdin.fileno(), 4096):
                start(process.write(data))

        def resized() -> None:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
            start(process.resize(rows, columns))

        with _raw_terminal():
            loop.add_reader(sys.stdin.fileno(), typed)
            loop.add_signal_handler(signal.SIGWINCH, resized)
            try:
                async for _, data in process.chunks():
                    _write(sys.stdout.fileno(), data)
                return await _wait(session, process)
            finally:
                loop.remove_reader(sys.stdin.fileno())
                loop.remove_signal_handler(signal.SIGWINCH)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Send every key to the guest, Ctrl-C too; the terminal is restored afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
