# SPDX-License-Identifier: GPL-2.0-or-later
"""A progress bar on standard error for what takes longer than a second; nothing otherwise, or without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmltui.model import Record
    from kmltui.recording import Reader

PATIENCE_S = 1.0
_REDRAW_S = 0.1
_WIDTH = 30


class Bar:
    """Call it with the fraction done, as often as you like."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next_s = time.monotonic() + PATIENCE_S
        self._shown = False
        self._wanted = sys.stderr.isatty()

    def __call__(self, fraction: float) -> None:
        if not self._wanted or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _REDRAW_S
        self._shown = True
        done = round(min(max(fraction, 0.0), 1.0) * _WIDTH)
        bar = "#" * done + "." * (_WIDTH - done)
        print(f"\r{self._what} [{bar}] {100 * done // _WIDTH:3} %", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._shown:
            print(f"\r{' ' * (len(self._what) + _WIDTH + 9)}\r", end="", file=sys.stderr, flush=True)


@contextmanager
def bar(what: str) -> Iterator[Bar]:
    """A bar that disappears afterwards, even if something fails."""
    shown = Bar(what)
    try:
        yield shown
    finally:
        shown.clear()


def records(reader: Reader, what: str) -> Iterator[Record]:
    """Read all records of a recording, with a progress bar."""
    from kmltui.recording import with_progress

    with bar(what) as shown:
        yield from with_progress(reader.records(), reader.duration_ns, shown)
