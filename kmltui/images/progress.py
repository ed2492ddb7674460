"""Telling how long work goes on: a step's name, how much of it is done, and since when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct


class Progress(Struct, frozen=True):
    """``step`` is under way since ``elapsed_s`` seconds; ``fraction`` of it (0 to 1) is done, None if not known.

    ``ended``: the step is over, and took ``elapsed_s``.
    """

    step: str
    fraction: float | None
    elapsed_s: float
    ended: bool = False


Report = Callable[[Progress], None]
"""Takes progress; called from the thread that does the work."""


def silent(_progress: Progress) -> None:
    """For callers that do not want to know."""


class Step:
    """One step under way; :meth:`at` reports its fraction."""

    def __init__(self, name: str, report: Report) -> None:
        self.name = name
        self._report = report
        self._begun = time.monotonic()
        self.at(None)

    def at(self, fraction: float | None) -> None:
        self._report(Progress(self.name, fraction, time.monotonic() - self._begun))

    def end(self) -> None:
        self._report(Progress(self.name, 1.0, time.monotonic() - self._begun, ended=True))


@contextmanager
def step(name: str, report: Report) -> Iterator[Step]:
    """The step ``name``, reported from its begin to its end; a step that raises has no end."""
    current = Step(name, report)
    yield current
    current.end()
