# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread between a recording and the screen: it reads records, updates the state, and posts one frame per tick."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from kmltui.tui.player import Frame, Player

Command = Callable[[Player], object]
Post = Callable[[Frame], None]

_SLOWEST_S = 8.0


class Feed:
    """Ticks a player, entirely outside the event loop: reading never delays a key."""

    def __init__(
        self, player: Player, post: Post, *, fps: float | None, lagging: Callable[[], bool] = lambda: False
    ) -> None:
        """``fps`` None: at the samples' rate, at most twice a second (over SSH once), less while the terminal lags."""
        self.player = player
        self._post = post
        self._lagging = lagging
        shortest = 1.0 if "SSH_CONNECTION" in os.environ else 0.5
        period = max(player.source.header.sample_period_ns / 1e9, shortest) if fps is None else 1 / fps
        self._period_s = self._current_s = period
        self._fixed = fps is not None
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._wake = threading.Event()
        self._stopped = False
        self._taken = threading.Event()
        self._taken.set()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    @property
    def fps(self) -> float:
        """The current number of frames per second."""
        return 1 / self._current_s

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def do(self, command: Command) -> None:
        """Let the player do something, and show the result at once."""
        self._commands.put(command)
        self._wake.set()

    @property
    def shown(self) -> bool:
        """The screen has shown the last frame."""
        return self._taken.is_set()

    def taken(self) -> None:
        """The screen has shown the last frame and is ready for another."""
        self._taken.set()

    def pump(self, now_ns: int) -> None:
        """One tick: the user's requests, then what is new in the recording."""
        if self.player.at_rest:
            self.player.wake(now_ns)
        try:
            while True:
                self._commands.get_nowait()(self.player)
        except Empty:
            pass
        frame = self.player.tick(now_ns)
        self._taken.clear()
        self._post(frame)

    def _run(self) -> None:
        while not self._stopped:
            begin = time.monotonic()
            told = False
            if self.shown and not self._lagging():
                try:
                    self.pump(time.monotonic_ns())
                except Exception as error:  # whatever is wrong with the source: the screen stays and says so
                    self.player.lose(str(error) or type(error).__name__)
                    self._post(self.player.frame())
                told = True
                if not self._fixed:
                    self._current_s = max(self._current_s / 1.5, self._period_s)
            elif not self._fixed:
                self._current_s = min(self._current_s * 1.5, _SLOWEST_S)
            self._read_on(begin + self._current_s, told)

    def _read_on(self, until: float, told: bool) -> None:
        """Wait for the next tick or request; only for a request if everything was ``told`` and nothing will change.

        What is left to be read is read meanwhile, in slices, between which the event loop gets its turn.
        """
        incomplete = self.player.incomplete
        reading = True
        while reading and self.player.incomplete == incomplete:
            reading = self.player.reading
            at_rest = told and self.player.at_rest
            if self._wake.wait(0.01 if reading else None if at_rest else max(until - time.monotonic(), 0.02)):
                self._wake.clear()
                self._taken.wait(0.2)
                return
            if reading:
                try:
                    self.player.read()
                except Exception as error:
                    self.player.lose(str(error) or type(error).__name__)
                reading = time.monotonic() < until
