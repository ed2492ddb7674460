# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key does what the help says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from made_up_run import S, run
from textual.widgets import Input
from tui_support import MemorySource, MockControls, viewer

from kmltui.model import Mark, Record
from kmltui.tui import themes
from kmltui.tui.app import ViewerApp
from kmltui.tui.controls import ViewerResult
from kmltui.tui.pages.live import LivePage
from kmltui.tui.screens.dialogs import Ask, Prompt
from kmltui.tui.screens.help import HelpScreen
from kmltui.tui.text import plain
from kmltui.tui.widgets.body import Body
from kmltui.tui.widgets.lines import Lines
from kmltui.tui.widgets.timeline import Timeline


def records() -> list[Record]:
    found = list(run(90, finish=True))
    at = next(i for i, record in enumerate(found) if getattr(record, "t_ns", 0) >= 50 * S)
    found.insert(at, Mark(t_ns=50 * S, note="warm"))
    return found


@asynccontextmanager
async def shown(app: ViewerApp, size: tuple[int, int] = (120, 40)) -> Any:
    async with app.run_test(size=size) as pilot:
        app.pump(0)
        await pilot.pause()
        yield pilot


def head(app: ViewerApp) -> str:
    return plain(app.main.query_one("#head", Lines).lines[0])


def position_s(app: ViewerApp) -> float:
    return app.feed.player.position_ns / S


class TestTransport:
    async def test_space_pauses_and_goes_on(self) -> None:
        app = viewer(records(), at_s=30)
        async with shown(app) as pilot:
            app.pump(1 * S)
            assert position_s(app) == 30
            await pilot.press("space")
            app.pump(3 * S)
            assert position_s(app) == 32

    async def test_arrows_step_by_five_seconds_and_with_shift_by_a_minute(self) -> None:
        app = viewer(records(), at_s=30)
        async with shown(app) as pilot:
            for key, expected in (("right", 35), ("left", 30), ("shift+right", 90), ("shift+left", 30)):
                await pilot.press(key)
                assert position_s(app) == expected

    async def test_comma_and_full_stop_step_by_a_sample(self) -> None:
        app = viewer(records(), at_s=30)
        async with shown(app) as pilot:
            await pilot.press("full_stop", "full_stop")
            assert position_s(app) == 31
            await pilot.press("comma")
            assert position_s(app) == 30.5

    async def test_brackets_jump_to_phases_and_marks(self) -> None:
        app = viewer(records(), at_s=45)
        async with shown(app) as pilot:
            await pilot.press("right_square_bracket")
            assert position_s(app) == 50
            await pilot.press("left_square_bracket", "left_square_bracket")
            assert position_s(app) < 30

    async def test_plus_and_minus_change_the_speed_within_its_limits(self) -> None:
        app = viewer(records(), at_s=30)
        async with shown(app) as pilot:
            await pilot.press(*["plus"] * 9)
            assert app.feed.player.speed == 64
            await pilot.press(*["minus"] * 12)
            assert app.feed.player.speed == 0.25
            assert "×0.25" in head(app)

    async def test_home_and_end_go_to_the_ends(self) -> None:
        app = viewer(records(), at_s=30)
        async with shown(app) as pilot:
            await pilot.press("end")
            assert position_s(app) == 96
            await pilot.press("home")
            assert position_s(app) == 0

    @pytest.mark.parametrize(("text", "expected"), [("1:10", 70), ("45", 45), ("50%", 48), ("1m", 60)])
    async def test_g_goes_to_a_time(self, text: str, expected: float) -> None:
        app = viewer(records(), at_s=30)
        async with shown(app) as pilot:
            await pilot.press("g")
            app.screen.query_one(Input).value = text
            await pilot.press("enter")
            await pilot.pause()
            assert position_s(app) == expected

    async def test_dragging_over_the_timeline_scrubs(self) -> None:
        app = viewer(records(), at_s=30)
        async with shown(app) as pilot:
            await pilot.mouse_down(Timeline, offset=(60, 0))
            await pilot.pause()
            first = position_s(app)
            await pilot.hover(Timeline, offset=(90, 0))
            await pilot.pause()
            assert 40 < first < position_s(app) < 90
            await pilot.mouse_up(Timeline, offset=(90, 0))


class TestLiveRun:
    async def test_pausing_freezes_the_display_not_the_collection(self) -> None:
        app = viewer(records(), live=True, now_s=40)
        source = app.source
        assert isinstance(source, MemorySource)
        async with shown(app) as pilot:
            await pilot.press("space")
            source.write_until(60)
            app.pump(20 * S)
            await pilot.pause()
            assert "00:40" in head(app) and "00:20 behind" in head(app)
            assert app.feed.player.frame().head.t_ns == 60 * S
            await pilot.press("space")
            await pilot.pause()
            assert "REC 01:00" in head(app)

    async def test_going_back_plays_from_there_and_end_is_live_again(self) -> None:
        app = viewer(records(), live=True, now_s=40)
        async with shown(app) as pilot:
            await pilot.press("left", "left")
            app.pump(2 * S)
            await pilot.pause()
            assert "BEHIND 00:32" in head(app)
            await pilot.press("end")
            await pilot.pause()
            assert "REC 00:40" in head(app)

    async def test_on_past_the_end_is_live_again(self) -> None:
        app = viewer(records(), live=True, now_s=40)
        async with shown(app) as pilot:
            await pilot.press("left", "right")
            await pilot.pause()
            assert "REC" in head(app)

    async def test_m_puts_a_mark_with_its_note_into_the_recording(self) -> None:
        controls = MockControls()
        app = viewer(records(), live=True, now_s=40, controls=controls)
        async with shown(app) as pilot:
            await pilot.press("m", *"here", "enter")
            await pilot.pause()
            assert controls.marks == ["here"]
            await pilot.press("m", "x", "escape")
            assert controls.marks == ["here"]

    async def test_a_finished_run_takes_no_mark(self) -> None:
        app = viewer(records(), controls=MockControls())
        async with shown(app) as pilot:
            await pilot.press("m")
            assert not isinstance(app.screen, Prompt)


class TestLeaving:
    async def test_a_recording_is_left_at_once(self) -> None:
        app = viewer(records(), at_s=10)
        async with shown(app) as pilot:
            await pilot.press("q")
        assert app.return_value is ViewerResult.ENDED

    @pytest.mark.parametrize(
        ("key", "result", "stopped"), [("l", ViewerResult.LEFT, False), ("s", ViewerResult.STOP, True)]
    )
    async def test_of_a_live_run_it_asks(self, key: str, result: ViewerResult, stopped: bool) -> None:
        controls = MockControls()
        app = viewer(records(), live=True, now_s=40, controls=controls)
        async with shown(app) as pilot:
            await pilot.press("q")
            await pilot.pause()
            assert isinstance(app.screen, Ask)
            await pilot.press(key)
            await pilot.pause()
        assert app.return_value is result
        assert controls.stopped is stopped

    async def test_a_run_that_ended_while_it_asked_has_ended_already(self) -> None:
        controls = MockControls()
        app = viewer(records(), live=True, now_s=40, controls=controls)
        source = app.source
        assert isinstance(source, MemorySource)
        async with shown(app) as pilot:
            await pilot.press("q")
            await pilot.pause()
            source.write_until(10_000)
            source.close()
            app.pump(20 * S)
            await pilot.pause()
            await pilot.press("s")
            await pilot.pause()
            assert [told.message for told in app._notifications] == ["the run has already ended"]
            assert app.is_running and not controls.stopped

    async def test_escape_goes_on_watching(self) -> None:
        app = viewer(records(), live=True, now_s=40, controls=MockControls())
        async with shown(app) as pilot:
            await pilot.press("q", "escape")
            await pilot.pause()
            assert app.screen is app.main

    async def test_who_only_watches_leaves_without_a_question(self) -> None:
        app = viewer(records(), live=True, now_s=40)
        async with shown(app) as pilot:
            await pilot.press("q")
        assert app.return_value is ViewerResult.LEFT


class TestViews:
    @pytest.mark.parametrize(
        ("keys", "name"),
        [
            (("2", "t"), "calls"),
            (("3", "p"), "cpus"),
            (("4", "u"), "queries"),
            (("5", "o"), "log"),
            (("6", "e"), "environment"),
            (("7", "r"), "report"),
            (("1", "l", "escape"), "live"),
        ],
    )
    async def test_number_and_letter_show_it(self, keys: tuple[str, ...], name: str) -> None:
        for key in keys:
            app = viewer(records(), at_s=60)
            async with shown(app) as pilot:
                if name == "live":
                    await pilot.press("t")
                await pilot.press(key)
                assert app.main.page.name == name

    async def test_c_shows_the_next_chart_and_w_a_longer_time(self) -> None:
        app = viewer(records(), at_s=60)
        async with shown(app, size=(80, 24)) as pilot:
            live = app.main.pages["live"]
            assert isinstance(live, LivePage)
            await pilot.press("c")
            assert live.chart == "calls"
            await pilot.press("w")
            assert live.window_s == 120
            await pilot.press("W", "W")
            assert live.window_s == 30

    async def test_tables_are_sorted_turned_round_and_filtered(self) -> None:
        app = viewer(records(), at_s=60)

        def names() -> list[str]:
            return [plain(line).split()[0] for line in app.main.query_one(Body).lines[3:] if plain(line).strip()]

        async with shown(app) as pilot:
            await pilot.press("t")
            assert names()[0] == "pread64"
            await pilot.press("S")
            assert names()[0] == "mmap"
            await pilot.press("slash", *"recv", "enter")
            await pilot.pause()
            assert names() == ["recvfrom"]
            await pilot.press("s")
            assert names() == ["recvfrom"]

    async def test_a_click_on_a_column_sorts_by_it(self) -> None:
        app = viewer(records(), at_s=60)
        async with shown(app) as pilot:
            await pilot.press("t")
            await pilot.click(Body, offset=(3, 1))
            assert app.main.page.sort == 0  # type: ignore[attr-defined]

    @pytest.mark.parametrize("keys", [("down", "up"), ("j", "k"), ("pagedown", "pageup")])
    async def test_long_views_scroll(self, keys: tuple[str, str]) -> None:
        app = viewer(records(), at_s=60)
        async with shown(app, size=(80, 24)) as pilot:
            await pilot.press("e")
            top = app.main.query_one(Body).lines[2]
            await pilot.press(keys[0])
            assert app.main.query_one(Body).lines[2] != top
            await pilot.press(keys[1])
            assert app.main.query_one(Body).lines[2] == top

    @pytest.mark.parametrize("key", ["question_mark", "f1"])
    async def test_help_opens_and_any_key_closes_it(self, key: str) -> None:
        app = viewer(records(), at_s=60)
        async with shown(app) as pilot:
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, HelpScreen)
            await pilot.press("down", "up", "x")
            await pilot.pause()
            assert app.screen is app.main

    async def test_a_click_on_a_key_presses_it(self) -> None:
        app = viewer(records(), at_s=60)
        async with shown(app) as pilot:
            line = plain(app.main.query_one("#keys", Lines).lines[0])
            await pilot.click("#keys", offset=(line.index("calls"), 0))
            await pilot.pause()
            assert app.main.page.name == "calls"


class TestSettings:
    async def test_t_switches_the_theme_and_it_is_remembered(self) -> None:
        app = viewer(records(), at_s=60, theme=None)
        async with shown(app) as pilot:
            before = app.theme
            await pilot.press("T")
            assert app.theme != before
        assert themes.remembered().theme == app.theme
        again = viewer(records(), at_s=60, theme=None)
        assert again.theme == app.theme

    @pytest.mark.parametrize("key", ["P", "f12"])
    async def test_a_picture_is_saved(self, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        app = viewer(records(), at_s=60)
        async with shown(app) as pilot:
            await pilot.press(key)
        assert "STOCK" in _only_picture(tmp_path)

    async def test_the_palette_leads_to_every_view(self) -> None:
        app = viewer(records(), at_s=60)
        async with shown(app) as pilot:
            await pilot.press("ctrl+p")
            await pilot.pause()
            await pilot.press(*"queries")
            await pilot.pause(0.5)
            await pilot.press("enter", "enter")
            await pilot.pause(0.2)
            assert app.main.page.name == "queries"


class TestResizing:
    async def test_in_any_order_the_lines_fit_the_screen(self) -> None:
        app = viewer(records(), at_s=60)
        async with shown(app) as pilot:
            for width, height in _sizes():
                await pilot.resize_terminal(width, height)
                app.pump(0)
                await pilot.pause()
                body = app.main.query_one(Body)
                if app.main.has_class("too-small"):
                    continue
                assert len(body.lines) == body.size.height
                assert "quit" in plain(app.main.query_one("#keys", Lines).lines[0])


def _only_picture(directory: Path) -> str:
    [picture] = directory.glob("*.svg")
    return picture.read_text()


def _sizes() -> Iterator[tuple[int, int]]:
    seed = 7
    for _ in range(40):
        seed = (seed * 1103515245 + 12345) % (1 << 31)
        yield 20 + seed % 220, 5 + seed // 1000 % 70
