# SPDX-License-Identifier: GPL-2.0-or-later
"""What the runner knows about a session: the protocol that guest and local sessions implement.

A session is a Linux system in which a workload's server and client run and whose counters can be sampled. The
runner drives it in this order: ``start``, any number of ``spawn`` and ``sample``, ``stop``. ``stop`` may come at any
moment, even during ``start``, and leaves no process behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from kmltui.model import CLIENT, SessionSpec
from kmltui.sessions.journal import Journal

ErrorState = Literal["failed", "panicked", "server-died", "hung"]
"""The final states of a session that ended by an error."""


class SessionError(Exception):
    """The session cannot continue. The message says what happened, to what, and what to do.

    ``state`` is the final state the session is in.
    """

    def __init__(self, message: str, state: ErrorState = "failed") -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class Command:
    """A program to start in a session."""

    argv: Sequence[str]
    group: str = CLIENT
    """The cgroup that it runs in."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment that every program of the session has."""
    stdin: bool = False
    """Whether :meth:`Process.write` can feed it; otherwise its standard input is empty."""


class Process(Protocol):
    """A process in a session, started by :meth:`Session.spawn`."""

    pid: int

    def lines(self) -> AsyncIterator[tuple[str, str]]:
        """Its output as it comes, line by line: ``("stdout" | "stderr", text without newline)``."""
        ...

    async def wait(self) -> int:
        """Exit status; 128 + n when signal n ended it."""
        ...

    async def write(self, data: bytes) -> None:
        """Feed its standard input (only with ``stdin=True``)."""
        ...

    async def close_stdin(self) -> None: ...

    async def kill(self, signal: int = 15) -> None: ...


class Session(Protocol):
    spec: SessionSpec

    async def start(self, journal: Journal) -> None:
        """Bring it up; return once the agent answers. Emits State, Environment, Log and, from then on, Samples.

        Raises :class:`SessionError`.
        """
        ...

    async def sample(self, mark: str) -> None:
        """Take a sample now and emit it with ``mark``; returns when it has been emitted."""
        ...

    async def spawn(self, command: Command) -> Process:
        """Start a program. Raises :class:`SessionError` if that is not possible."""
        ...

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in the session."""
        ...

    async def get(self, path: str) -> bytes:
        """Read a file of the session. Raises FileNotFoundError."""
        ...

    def mysql_address(self) -> tuple[str, int] | str:
        """Where the session's MySQL server is reached from here: (host, port) on loopback, or a socket's path."""
        ...

    async def failed(self) -> SessionError:
        """Wait until the session fails by itself (panic, hang, QEMU gone); return why, with the last console lines."""
        ...

    async def stop(self) -> None:
        """End it. Idempotent; never raises for a session that is already gone."""
        ...
