# SPDX-License-Identifier: GPL-2.0-or-later
"""The viewer without a terminal: what it shows of a recording at a given time, for pictures and screencasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console

from kmltui.tui.app import ViewerApp
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.player import Player, Source
from kmltui.tui.textual_private import full_update
from kmltui.tui.themes import DARK


class Offscreen:
    """A viewer of a recording, ``size`` cells, whose position changes only when it is set."""

    def __init__(self, source: Source, size: tuple[int, int], theme: str) -> None:
        self._player = Player(source, replay=True)
        self.size = size
        self.app = ViewerApp(self._player, theme=theme, glyph_set=UNICODE, threaded=False)
        self.duration_ns = self._player.duration_ns

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[Offscreen]:
        async with self.app.run_test(size=self.size) as pilot:
            self._pilot = pilot
            yield self

    async def show(self, t_ns: int) -> None:
        """Go to a time and draw it."""
        self._player.seek(t_ns)
        self.app.pump(0)
        await self._pilot.pause()
        while self.app.is_running and not self.app.feed.shown:  # on a busy machine the pause may be over before
            await self._pilot.pause()

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)
        await self._pilot.pause()

    def svg(self, title: str) -> str:
        return self.app.export_screenshot(title=title)

    def ansi(self, console: Console) -> str:
        """The whole screen as it would be sent to the terminal."""
        return full_update(self.app.screen, console)


def offscreen(source: Source, size: tuple[int, int], theme: str = "") -> Offscreen:
    """Raises ValueError for a size at which nothing can be shown."""
    if min(size) < 1 or max(size) > 1000:
        raise ValueError(f"{size[0]}x{size[1]}: is no size of a terminal")
    return Offscreen(source, size, theme or DARK)
