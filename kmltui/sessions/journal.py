# SPDX-License-Identifier: GPL-2.0-or-later
"""Where all parts of a run write what happens: one clock, one stream of records."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kmltui.model import Log, LogLevel, LogSource, Record, SessionState, State


@dataclass(frozen=True)
class Journal:
    """The clock of a run and the way into its recording, passed to everything that records something."""

    now: Callable[[], int]
    """Nanoseconds since the run began: the ``t_ns`` of a record that is made now."""
    emit: Callable[[Record], None]
    """Takes a record for the recording. Called in the event loop; never blocks."""

    @classmethod
    def begin(cls, emit: Callable[[Record], None]) -> Journal:
        """A journal whose clock starts at 0 now."""
        begin_ns = time.monotonic_ns()
        return cls(lambda: time.monotonic_ns() - begin_ns, emit)

    def state(self, session: str, state: SessionState, detail: str = "", fraction: float | None = None) -> None:
        """Record that ``session`` is in ``state`` now. ``detail`` is for people; ``fraction`` is 0 to 1."""
        self.emit(State(t_ns=self.now(), session=session, state=state, detail=detail, fraction=fraction))

    def log(self, session: str, source: LogSource, text: str, level: LogLevel = "info") -> None:
        """Record a line of text now; ``session`` is empty for the run itself."""
        self.emit(Log(t_ns=self.now(), session=session, source=source, text=text, level=level))
