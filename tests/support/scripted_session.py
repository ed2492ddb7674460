# SPDX-License-Identifier: GPL-2.0-or-later
"""A session whose one program is scripted, for tests of what workloads do with a client's output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from kmltui.model import Arm, SessionSpec
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command, Process


class ScriptedProcess:
    """A client that prints given lines; after each phase's beginning it waits to be told to go on."""

    pid = 4711

    def __init__(self, lines: Sequence[str | tuple[str, str]], status: int = 0) -> None:
        self._lines = [line if isinstance(line, tuple) else ("stdout", line) for line in lines]
        self._status = status
        self.started = False
        self.waiting = False
        self.killed = False
        self.fed = bytearray()
        self.fed_whole = False

    async def lines(self) -> AsyncIterator[tuple[str, str]]:
        self.started = True
        for stream, line in self._lines:
            assert not self.waiting, "the client was not told to go on"
            self.waiting = '"event":"begin"' in line
            yield stream, line

    async def wait(self) -> int:
        await asyncio.sleep(0)
        return self._status

    async def write(self, data: bytes) -> None:
        assert self.waiting == bool(self._lines) and data.endswith(b"\n")
        self.fed += data
        self.waiting = False

    async def close_stdin(self) -> None:
        self.fed_whole = True

    async def kill(self, signal: int = 15) -> None:
        self.killed = True


class ScriptedSession:
    """A session whose one program is scripted; keeps what it was asked for."""

    def __init__(self, process: ScriptedProcess, arm: Arm = "stock") -> None:
        self.spec = SessionSpec(name=arm, arm=arm)
        self.process = process
        self.files: dict[str, bytes] = {}
        self.argv: list[str] = []
        self.env: dict[str, str] = {}
        self.marks: list[str] = []

    async def start(self, journal: Journal) -> None: ...

    async def sample(self, mark: str) -> None:
        assert self.process.waiting or not self.process.started, "the boundary was sampled while the client was running"
        self.marks.append(mark)

    async def spawn(self, command: Command) -> Process:
        self.argv, self.env = list(command.argv), dict(command.env or {})
        return self.process

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self.files[path] = data

    async def get(self, path: str) -> bytes:
        return self.files[path]

    def mysql_address(self) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    async def failed(self) -> Exception:
        raise NotImplementedError

    async def stop(self) -> None: ...


def message(text: str) -> str:
    return "kmltui " + text


def phase(name: str) -> list[str]:
    return [
        message(f'{{"type":"phase","name":"{name}","event":"begin","mono_ns":5}}'),
        message(f'{{"type":"phase","name":"{name}","event":"end","mono_ns":9}}'),
    ]
