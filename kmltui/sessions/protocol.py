"""What the runner knows of a session: the protocol that guest and local sessions implement.

A session is a Linux system in which a workload's server and client run and whose counters can be sampled. The
runner drives it in this order: ``start``, any number of ``spawn`` and ``sample``, ``stop``. ``stop`` may come at any
moment, also while ``start`` is under way, and leaves no process behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from kmltui.model import Record, SessionSpec

Emit = Callable[[Record], None]
"""Takes a record for the recording. Called in the event loop; never blocks."""

Clock = Callable[[], int]
"""The run's clock: nanoseconds since the run began."""


class SessionError(Exception):
    """The session cannot go on. The message says what happened, to what, and what to do.

    ``state`` is the final state the session is in: ``failed``, ``panicked``, ``server-died``, ``hung``.
    """

    def __init__(self, message: str, state: str = "failed") -> None:
        super().__init__(message)
        self.state = state


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

    async def start(self, emit: Emit, clock: Clock) -> None:
        """Bring it up; return once the agent answers. Emits State, Environment, Log and, from then on, Samples.

        Raises :class:`SessionError`.
        """
        ...

    async def sample(self, mark: str) -> None:
        """Take a sample now and emit it with ``mark``; returns when it has been emitted."""
        ...

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        group: str = "client",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        elevated: bool = True,
    ) -> Process:
        """Start a program in the cgroup ``group``; in ring 0 if the session's arm is ``kml`` and ``elevated``."""
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
        """Wait until the session fails by itself (panic, hang, QEMU gone); return why, last console lines included."""
        ...

    async def stop(self) -> None:
        """End it. Idempotent; never raises for a session that is already gone."""
        ...
