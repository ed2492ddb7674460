# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports progress: the step in progress, how much of the work is done, and how long the rest will take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct

from kmltui.printable import time_left

BEAT_S = 1.0
"""Something is reported at least this often, so that long work does not look hung."""

_PRIOR_S = 10.0
"""So much work counts as done on schedule when the remaining time is estimated: the first second says little."""


class Progress(Struct, frozen=True):
    """``step`` has run for ``elapsed_s`` seconds; ``fraction`` (0 to 1) of all the work is done, None if unknown.

    ``ended``: the step is over, and took ``elapsed_s``. ``left_s``: an estimate for the rest of all the work, seconds.
    """

    step: str
    fraction: float | None
    elapsed_s: float
    ended: bool = False
    left_s: float | None = None

    @property
    def left(self) -> str:
        """The time left in words; empty if unknown."""
        return "" if self.left_s is None else time_left(self.left_s)


Report = Callable[[Progress], None]
"""Receives progress; called from the threads that do the work and from another one, never concurrently."""


def silent(_progress: Progress) -> None:
    """Ignores progress."""


class Step:
    """One step in progress; :meth:`at` reports its fraction."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.begun = time.monotonic()
        self.fraction: float | None = None
        self._work = work

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.begun

    def at(self, fraction: float | None) -> None:
        self.fraction = fraction
        self._work.tell(self)


class Work:
    """Several steps, one after another or at the same time, reported as one piece of work.

    ``expected_s``: how long each step takes on an idle machine with two CPUs, seconds. Steps that are not in it are
    reported without a fraction.
    """

    def __init__(self, report: Report, expected_s: Mapping[str, float] | None = None) -> None:
        self._report = report
        self._expected = dict(expected_s or {})
        self._begun = time.monotonic()
        self._done_s = 0.0
        self._running: list[Step] = []
        self._refused: BaseException | None = None
        # Reentrant: a listener may end the work while it hears of a step, and that is reported too.
        self._lock = threading.RLock()

    def without(self, *names: str) -> None:
        """Leave these steps out: they are not needed."""
        with self._lock:
            for name in names:
                self._expected.pop(name, None)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Report the step ``name`` from its beginning to its end; a step that raises has no end."""
        current = Step(name, self)
        with self._lock:
            self._running.append(current)
        try:
            self.tell(current)
            yield current
            with self._lock:
                self._done_s += self._expected.get(name, 0.0)
                self._running.remove(current)
            self.tell(current, ended=True)
        finally:
            with self._lock:
                if current in self._running:
                    self._running.remove(current)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """While this is open, the step that has run for longest is reported regularly, even without news."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S):
                with self._lock:
                    if self._running and not over.is_set():
                        try:
                            self.tell(self._running[0])
                        except BaseException as refused:  # tells the working thread to stop
                            self._refused = refused
                            return

        beating = threading.Thread(target=beat, name="progress", daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()

    def tell(self, step: Step, *, ended: bool = False) -> None:
        """Report the end of ``step``, or what it stands for: the step that has run for longest, so that of several only
        one is told of at a time. Raises what the report raises, now or when it last heard of the work."""
        with self._lock:
            if self._refused is not None:
                raise self._refused
            if not ended and self._running:
                step = self._running[0]
            fraction, left_s = self._estimate(step)
            self._report(Progress(step.name, fraction, step.elapsed_s, ended, left_s))

    def _estimate(self, step: Step) -> tuple[float | None, float | None]:
        """How much of the work is done, and how long the rest will take."""
        if step.name not in self._expected:
            return step.fraction, None
        # Assume that the machine stays as slow as it has been so far.
        now = time.monotonic() - self._begun
        slower = (now + _PRIOR_S) / (self._done_s + sum(map(self._guess, self._running)) + _PRIOR_S)
        done_s = self._done_s
        for running in self._running:
            expected = self._expected.get(running.name, 0.0)
            by_time = min(running.elapsed_s / (expected * max(slower, 1.0)), 0.95) if expected else 0.0
            done_s += expected * (running.fraction if running.fraction is not None else by_time)
        whole_s = sum(self._expected.values())
        return min(done_s / whole_s, 1.0), max(whole_s - done_s, 0.0) * max(slower, 0.2)

    def _guess(self, step: Step) -> float:
        expected = self._expected.get(step.name, 0.0)
        return expected * step.fraction if step.fraction is not None else min(step.elapsed_s, expected)


@contextmanager
def step(name: str, report: Report) -> Iterator[Step]:
    """A piece of work that is one step."""
    work = Work(report)
    with work.reporting(), work.step(name) as current:
        yield current
