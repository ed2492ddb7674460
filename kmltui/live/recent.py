# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest records of a session, which rates are computed from."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from kmltui.counters.lives import restarted
from kmltui.model import Inside, Progress, Record, Sample, State, Status

RATE_WINDOW_NS = 2_000_000_000
"""Rates are over the last two seconds: a tick is 10 ms, and a shorter window would show the ticks' noise."""

_MOST = 64

T = TypeVar("T")


class Window(Generic[T]):
    """Records from the one that lies :data:`RATE_WINDOW_NS` before the last, by a clock of theirs."""

    __slots__ = ("_items", "whole")

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        """No record before the oldest one here is missing."""
        self._items: deque[tuple[int, T]] = deque(maxlen=_MOST)

    def add(self, clock_ns: int, item: T) -> None:
        items = self._items
        items.append((clock_ns, item))
        while len(items) > 2 and clock_ns - items[1][0] >= RATE_WINDOW_NS:
            items.popleft()

    def restart(self) -> None:
        """Start over: what comes next is unrelated to what came before."""
        self._items.clear()
        self.whole = True

    @property
    def last(self) -> T | None:
        return self._items[-1][1] if self._items else None

    @property
    def first(self) -> T | None:
        """What rates are counted from; None if that is not known."""
        items = self._items
        if len(items) < 2 or not (self.whole or self.covered):
            return None
        return items[0][1]

    @property
    def covered(self) -> bool:
        """The oldest record lies a whole window before the last."""
        return bool(self._items) and self._items[-1][0] - self._items[0][0] >= RATE_WINDOW_NS


class Recent:
    """The window of one session."""

    __slots__ = ("_watched", "insides", "progress", "samples", "statuses")

    def __init__(self, *, watched: bool, whole: bool) -> None:
        """``watched``: its server is used by others. ``whole``: all records from the run's beginning will come."""
        self._watched = watched
        self.samples: Window[Sample] = Window(whole)
        self.statuses: Window[Status] = Window(whole)
        self.progress: Progress | None = None
        self.insides: deque[Inside] = deque(maxlen=2)
        """The last two answers of a watched server about its own work; they are seconds apart."""

    def add(self, record: Record) -> None:
        """Take the next record of the session; most kinds have nothing to do with rates."""
        match record:
            case Sample():
                last = self.samples.last
                if last is not None and record.mono_ns < last.mono_ns:  # booted again: its clock starts anew
                    self.samples.restart()
                self.samples.add(record.mono_ns, record)
            case Status():
                if (before := self.statuses.last) and restarted(before, record):
                    self.statuses.restart()
                self.statuses.add(record.t_ns, record)
            case Progress():
                self.progress = record
            case Inside():
                self.insides.append(record)
            case State(state="running") if self._watched and record.detail:
                self.statuses.restart()  # the server is gone, and its last figures are no longer true
                self.insides.clear()
            case _:
                pass
