# SPDX-License-Identifier: GPL-2.0-or-later
"""Textual's driver for a terminal that may be slow, stalled or gone.

Differences from Textual's own:

* only cells that changed are sent (:mod:`kmltui.tui.terminal`), from a thread that takes the newest frame once the
  terminal has accepted the last one; the event loop never waits for the terminal;
* the end of the terminal (end of file, an I/O error, hang-up) is reported once, and nothing polls it afterwards;
* keys come from the controlling terminal when standard input is a pipe that carries a recording.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual import constants

from kmltui.tui import glyphs
from kmltui.tui.terminal import Screen
from kmltui.tui.textual_private import PrivateDriver

if TYPE_CHECKING:
    from textual.app import App

_CHUNK = 4096
_TICK_MS = 100
_LAST_WORDS_S = 0.5
"""How long a terminal may take to accept the sequences that restore it before it is left as it is."""


class TerminalGone(Exception):
    """There is no terminal (any more)."""


class _ExitEvent(threading.Event):
    """An event that can be waited for together with files."""

    def __init__(self) -> None:
        super().__init__()
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Readable while the event is set."""
        return self._read

    def set(self) -> None:
        if not self.is_set():
            os.write(self._write, b"x")
        super().set()

    def clear(self) -> None:
        super().clear()
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 1)

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)


class DiffDriver(PrivateDriver):
    """Sends differences. ``lagging``: the terminal is still busy with an earlier frame."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self.exit_event: _ExitEvent = _ExitEvent()
        if not self.input_tty:
            self.fileno = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            self.input_tty = True
        self._out = 1 if os.isatty(1) else self.fileno
        width, height = self.terminal_size()
        if size is None:
            # The size that the app would get from the console is a different one if the terminal reports none.
            self.begin_with(width, height)
        self._screen = Screen(width, height, glyphs.detect())
        self._lock = threading.Condition()
        self._wake = False
        self._stop = False
        self._painted = False
        self._busy_since = 0.0
        self._thread: threading.Thread | None = None
        self._told_gone = False
        self.bytes_sent = 0

    @property
    def lagging(self) -> bool:
        """The terminal has not taken the last frame within a tenth of a second."""
        since = self._busy_since
        return bool(since) and time.monotonic() - since > 0.1

    def terminal_size(self) -> tuple[int, int]:
        for fileno in (self.fileno, 1, 2):
            with contextlib.suppress(OSError):
                width, height = os.get_terminal_size(fileno)
                if width > 0 and height > 0:
                    return width, height
        return 80, 24

    def resized(self, width: int, height: int) -> None:
        with self._lock:
            if (width, height) != (self._screen.width, self._screen.height):
                self._screen.resize(width, height)

    def redraw(self) -> None:
        """Send the whole screen again."""
        with self._lock:
            self._screen.invalidate()
        self.flush()

    def write(self, data: str) -> None:
        with self._lock:
            self._screen.write(data)

    def paint(self, x: int, y: int, cells: Iterable[tuple[str, str]]) -> None:
        """Write text with its SGR parameters from a place of the screen on; to be sent once the event loop's turn is
        over."""
        with self._lock:
            self._screen.paint(x, y, cells)
        if not self._painted:
            self._painted = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._painted = False
        with self._lock:
            self._wake = True
            self._lock.notify()

    def start_application_mode(self) -> None:
        self._stop = False
        with self._lock:
            self._screen.invalidate()  # after a suspension the terminal shows something else
        # Textual starts its own writer here, which never gets anything to write.
        self._thread = threading.Thread(target=self._write_on, name="terminal-output", daemon=True)
        self._thread.start()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.flush()

    def close(self) -> None:
        with self._lock:
            self._stop = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(_LAST_WORDS_S)
        super().close()

    def _write_on(self) -> None:
        """The thread: wait for a frame, send what differs, again. Ends with the terminal."""
        try:
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._wake or self._stop)
                    self._wake = False
                    data = self._screen.take().encode("utf-8", "replace")
                    stop = self._stop
                self._busy_since = time.monotonic()
                for start in range(0, len(data), _CHUNK):
                    view = data[start : start + _CHUNK]
                    while view:
                        view = view[os.write(self._out, view) :]
                self.bytes_sent += len(data)
                self._busy_since = 0.0
                if stop:
                    return
        except OSError:
            self._gone()

    def _gone(self) -> None:
        """The terminal is gone: tell the app, once. Runs in a thread."""
        if self._told_gone:
            return
        self._told_gone = True
        self.end_app()

    @property
    def gone(self) -> bool:
        return self._told_gone

    def run_input_thread(self) -> None:
        """Wait for keys without polling; end of file or an error ends the app."""
        parser = self.key_parser()
        decode = getincrementaldecoder("utf-8")("replace").decode
        waiter = select.poll()
        waiter.register(self.fileno, select.POLLIN)
        waiter.register(self.exit_event.fileno(), select.POLLIN)
        # After the last key: by then it is known whether an escape key was one, or the beginning of a sequence.
        ticks_after_key = math.ceil(constants.ESCAPE_DELAY * 1000 / _TICK_MS) + 4
        ticks = 0
        try:
            while not self.exit_event.is_set():
                ready = waiter.poll(_TICK_MS if ticks else None)
                if any(fileno == self.fileno for fileno, _ in ready):
                    data = os.read(self.fileno, _CHUNK)
                    if not data:
                        self._gone()
                        return
                    ticks = ticks_after_key
                    for message in parser.feed(decode(data)):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)
                ticks = max(ticks - 1, 0)
        except OSError:
            self._gone()
        finally:
            parser.end()


def require_terminal() -> None:
    """Raises TerminalGone when there is no terminal to draw on or to take keys from."""
    try:
        if not sys.__stdin__ or not sys.__stdin__.isatty():
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        elif not os.isatty(1) and not os.isatty(0):
            raise TerminalGone
    except (OSError, TerminalGone):
        raise TerminalGone("no terminal: run this in one, or use 'kmltui report' and 'kmltui export'") from None
