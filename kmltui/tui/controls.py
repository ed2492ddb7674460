# SPDX-License-Identifier: GPL-2.0-or-later
"""What the screen can ask of the program around it. These objects are passed to it; it imports nothing that could do
the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from kmltui.tui.form import Offer, Problem, Values


class ViewerResult(Enum):
    """Why a viewer ended."""

    LEFT = "left"
    """The user quit; a live run goes on."""
    STOP = "stop"
    """The user quit and wants the live run stopped; the viewer has already requested that if it could."""
    ENDED = "ended"
    """The user quit a recording, or a run that had ended."""
    TERMINAL_GONE = "terminal-gone"
    """The terminal was closed or the connection lost; a live run goes on."""


class QueryPlan(Struct, frozen=True):
    """A watched server's plan for a statement, as it prints it."""

    columns: list[str]
    rows: list[list[str]]


class Controls(Protocol):
    """Controls of one live run."""

    can_stop: bool
    can_mark: bool
    can_explain: bool

    async def stop(self) -> None:
        """Ask the runner to end the run. Raises an exception whose text says why that failed."""
        ...

    async def mark(self, note: str) -> None:
        """Put a mark into the recording at this instant. Raises an exception whose text says why that failed."""
        ...

    async def explain(self, digest: str, schema: str) -> QueryPlan:
        """Ask the watched server for its plan of a kind of statement; it is not recorded. Raises an exception whose
        text says why there is none."""
        ...


class RunRow(Struct, frozen=True, kw_only=True):
    """A recording or a live run on the home screen."""

    path: Path
    name: str
    created_unix_ns: int = 0
    workload: str = ""
    server: str = ""
    """The address of the server that a monitor watched."""
    sessions: str = ""
    result: str = ""
    """``live``, ``done``, ``failed``, ``stopped``, ``lost``, ``unreadable``, or empty."""
    duration_ns: int = 0
    size_bytes: int = 0
    shipped: bool = False
    """A sample that came with kmltui."""


class Choice(Struct, frozen=True, kw_only=True):
    """The user's choice on the home screen."""

    action: str
    """``watch``, ``replay`` or ``start``."""
    path: Path | None = None
    arguments: tuple[str, ...] = ()
    """For ``start``: the arguments of kmltui's own command line."""


class Place(Struct, kw_only=True):
    """Where the user is on the home screen, so that the next one, after a replay or a run, begins there."""

    action: int = 0
    """The row of what can be started."""
    path: Path | None = None
    """The recording under the cursor; None if the cursor is not in their list."""
    filter: str = ""
    sort: int = 0
    selected: set[Path] = set()


class Library(Protocol):
    """The recordings of this machine and what can be started on it. Calls may take a while: they are made in a thread.

    Where something cannot be done, an exception's text says why.
    """

    def list_runs(self) -> Sequence[RunRow]: ...

    def outcome(self, path: Path) -> str:
        """What a finished recording showed, in a few words; empty if it showed nothing."""
        ...

    def rename(self, path: Path, name: str) -> Path: ...

    def delete(self, path: Path) -> None: ...

    def export(self, path: Path, target: Path, format: str) -> None:
        """Write a recording to a new file as ``csv``, ``jsonl``, ``html`` or ``asciicast``."""
        ...

    def cut(self, path: Path, target: Path, from_ns: int, to_ns: int) -> None: ...

    def report_text(self, path: Path, width: int, progress: Callable[[float], object]) -> str:
        """The report for a screen of so many columns; ``progress`` is called with the fraction of the recording that
        has been read."""
        ...

    def comparison_text(self, left: Path, right: Path, width: int) -> str: ...

    def offers(self) -> Sequence[Offer]:
        """The workloads that can be started; empty if no run can be started."""
        ...

    def check(self, arguments: Sequence[str]) -> Problem | None:
        """What is wrong with a command, checked before it is started."""
        ...

    def expected(self, arguments: Sequence[str]) -> str:
        """How long it will take, in words; empty if that is not known."""
        ...

    def values_of(self, path: Path) -> Values:
        """The form's contents for the run that made a recording."""
        ...

    def remembered(self) -> Values:
        """The form's contents when it last started a run."""
        ...

    def remember(self, values: Values) -> None: ...
