# SPDX-License-Identifier: GPL-2.0-or-later
"""What the screen paints itself is what Textual would have drawn, and nothing that lies over it is painted over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from made_up_run import S, run
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot
from tui_support import MockControls, viewer

from kmltui.tui.app import ViewerApp
from kmltui.tui.glyphs import COLOURLESS, UNICODE
from kmltui.tui.terminal import Row, Screen

SIZE = (100, 32)


class Terminal:
    """What a terminal would show of an app, and how many rows the app has painted itself."""

    def __init__(self, app: ViewerApp, pilot: Pilot[Any], cells: Screen) -> None:
        self.app, self._pilot, self._cells = app, pilot, cells
        self.painted = 0

    def rows(self) -> list[tuple[list[str], list[str]]]:
        return [(list(row.texts), list(row.styles)) for row in self._grid]

    @property
    def _grid(self) -> list[Row]:
        return self._cells._wanted

    def paint(self, x: int, y: int, cells: Iterable[tuple[str, str]]) -> None:
        self._cells.paint(x, y, cells)
        self.painted += 1

    async def frames(self, number: int) -> int:
        """Show some more frames, a second apart; the number of rows that were painted for them."""
        before = self.painted
        player = self.app.feed.player
        for _ in range(number):
            player.seek(player.frame().view.t_ns + S)
            self.app.pump(0)
            await self._pilot.pause()
        return self.painted - before

    async def is_as_drawn_anew(self) -> bool:
        shown = self.rows()
        self.app.screen.refresh()
        await self._pilot.pause()
        return self.rows() == shown


@asynccontextmanager
async def shown(app: ViewerApp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Terminal, Pilot[Any]]]:
    """The app in a terminal of cells, to which Textual writes as well."""
    cells = Screen(*SIZE)
    terminals: list[Terminal] = []
    monkeypatch.setattr(HeadlessDriver, "is_headless", False)
    monkeypatch.setattr(HeadlessDriver, "write", lambda _, data: cells.write(data))
    monkeypatch.setattr(HeadlessDriver, "paint", lambda _, *args: terminals[0].paint(*args), raising=False)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        terminals.append(Terminal(app, pilot, cells))
        app.pump(0)
        await pilot.pause()
        yield terminals[0], pilot


def replay() -> ViewerApp:
    return viewer(run(95), at_s=20)


@pytest.mark.parametrize("theme", ["kmltui-dark", "kmltui-light", "kmltui-contrast", "kmltui-ansi"])
async def test_each_page_in_each_theme(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(viewer(run(95), at_s=20, theme=theme), monkeypatch) as (terminal, pilot):
        for key in ["", *"tpuelzv"]:
            await pilot.press(*key)
            await pilot.pause()
            assert await terminal.frames(3) or key in ("e", "l")
            assert await terminal.is_as_drawn_anew(), key


async def test_a_theme_that_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(replay(), monkeypatch) as (terminal, pilot):
        for _ in range(4):
            await pilot.press("T")
            await pilot.pause()
            assert await terminal.frames(2)
            assert await terminal.is_as_drawn_anew()


async def test_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with shown(viewer(run(95), at_s=20, theme="kmltui-ansi", glyphs=COLOURLESS), monkeypatch) as (terminal, _):
        assert await terminal.frames(3)
        assert await terminal.is_as_drawn_anew()


async def test_a_size_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(replay(), monkeypatch) as (terminal, pilot):
        for width, height in ((80, 24), (60, 20), (100, 30), (40, 10), (90, 32)):
            await pilot.resize_terminal(width, height)
            await terminal.frames(2)
            assert await terminal.is_as_drawn_anew(), f"{width}×{height}"


async def test_a_notice_stays_over_what_changes_below(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(replay(), monkeypatch) as (terminal, pilot):
        terminal.app.notify("something to read", timeout=60)
        await pilot.pause(0.3)
        await terminal.frames(3)
        text = "".join("".join(texts) for texts, _ in terminal.rows())
        assert "something to read" in text
        assert await terminal.is_as_drawn_anew()
        terminal.app.clear_notifications()
        await pilot.pause(0.3)
        assert await terminal.frames(3)
        assert await terminal.is_as_drawn_anew()


@pytest.mark.parametrize(("key", "said"), [("g", "Go to"), ("question_mark", "scroll up"), ("q", "leave it running")])
async def test_a_dialog_stays_over_what_changes_below(key: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = viewer(run(95), live=True, now_s=60, controls=MockControls(), glyphs=UNICODE)
    async with shown(app, monkeypatch) as (terminal, pilot):
        app.feed.player.seek(20 * S)
        assert await terminal.frames(2), "what lies below changes"
        await pilot.press(key)
        await pilot.pause(0.2)
        assert not await terminal.frames(2)
        assert said in "\n".join("".join(texts) for texts, _ in terminal.rows())
        assert await terminal.is_as_drawn_anew()
        await pilot.press("escape")
        await pilot.pause(0.2)
        assert await terminal.is_as_drawn_anew()


async def test_a_warning_that_comes_and_goes_moves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    app = viewer(run(95), live=True, now_s=20)
    async with shown(app, monkeypatch) as (terminal, pilot):
        app.feed.player.lose("the other end hung up")
        app.pump(0)
        await pilot.pause()
        assert "hung up" in "".join("".join(texts) for texts, _ in terminal.rows())
        assert await terminal.is_as_drawn_anew()
