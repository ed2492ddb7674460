"""What the screen can ask of the program around it. It is given this, and imports nothing that could do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class ViewerResult(Enum):
    """Why a viewer ended."""

    LEFT = "left"
    """The user quit; a live run goes on."""
    STOP = "stop"
    """The user quit and wants the live run stopped; the viewer has asked for it already if it could."""
    ENDED = "ended"
    """The user quit after the run had ended, or a recording."""
    TERMINAL_GONE = "terminal-gone"
    """The terminal was closed or the connection lost; a live run goes on."""


class Controls(Protocol):
    """Of one live run."""

    can_stop: bool
    can_mark: bool

    async def stop(self) -> None:
        """Ask the runner to end the run. Raises an exception whose text says why that failed."""
        ...

    async def mark(self, note: str) -> None:
        """Put a mark into the recording, now. Raises an exception whose text says why that failed."""
        ...


class RunRow(Struct, frozen=True, kw_only=True):
    """A recording or a live run in the picker."""

    path: Path
    name: str
    created_unix_ns: int = 0
    workload: str = ""
    sessions: str = ""
    result: str = ""
    """``live``, ``done``, ``failed``, ``stopped``, ``lost``, ``unreadable``, or empty."""
    duration_ns: int = 0
    size_bytes: int = 0


class Choice(Struct, frozen=True, kw_only=True):
    """What the user chose in the picker."""

    action: str
    """``watch``, ``replay``, ``report`` or ``start``."""
    path: Path | None = None
    workload: str = ""
    loops: int | None = None


class Library(Protocol):
    """The recordings of this machine, for the picker. All calls may take a while; they are made in a thread."""

    def list_runs(self) -> Sequence[RunRow]: ...

    def workloads(self) -> Sequence[tuple[str, str]]:
        """Names and one-line descriptions of what can be started; empty where no run can be started."""
        ...

    def rename(self, path: Path, name: str) -> Path: ...

    def delete(self, path: Path) -> None: ...

    def report_text(self, path: Path, width: int, progress: Callable[[float], object]) -> str:
        """For a screen of so many columns; ``progress`` hears the fraction of the recording that has been read."""
        ...
