# SPDX-License-Identifier: GPL-2.0-or-later
"""The home screen: keys act in order, the cursor stays on its recording, and all is there again after a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up_run import S
from msgspec.structs import replace
from test_home import Shelf, app_with, burst, names, ready, shelf, text_of, text_on, to_list
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Label

from kmltui.tui import themes
from kmltui.tui.app import HomeApp
from kmltui.tui.controls import Choice, Place, Problem, RunRow
from kmltui.tui.screens import home
from kmltui.tui.screens.dialogs import Prompt


def under_cursor(app: HomeApp) -> str:
    table = app.screen.query_one("#runs", DataTable)
    return names(app)[table.cursor_row]


def listed(app: HomeApp) -> list[str]:
    """The names of the recordings in sight."""
    return [line.split()[0] for line in text_on(app).splitlines() if line.startswith("  run-")]


def told(app: HomeApp) -> list[str]:
    return [notification.message for notification in app._notifications]


class TestKeysActInTheirOrder:
    async def test_enter_after_two_arrows_begins_what_these_went_to(self) -> None:
        app = app_with(shelf())
        async with app.run_test() as pilot:
            await ready(pilot)
            app.screen.query_one("#actions").focus()
            await pilot.pause()
            burst(app, "down", "down", "enter")
            await ready(pilot)
            assert isinstance(app.screen, Prompt)
            assert "Monitor" in text_on(app)

    async def test_enter_after_arrows_opens_the_recording_that_these_went_to(self) -> None:
        app = app_with(shelf())
        async with app.run_test() as pilot:
            await to_list(pilot)
            burst(app, "down", "down", "down", "enter")
            await ready(pilot)
        assert isinstance(app.return_value, Choice)
        assert app.return_value.path == Path("/s/point-select.kmlrec")

    async def test_a_report_is_that_of_the_recording_where_its_key_was_pressed(self) -> None:
        app = app_with(shelf())
        async with app.run_test() as pilot:
            await to_list(pilot)
            burst(app, "down", "r")
            await ready(pilot)
            assert "20261122-180000-syscalls" in app.screen.query_one("#report").border_title


class TestTheCursor:
    async def test_after_a_cut_it_is_on_the_same_recording(self) -> None:
        library = shelf()
        cut = library.cut

        def add(path: Path, target: Path, from_ns: int, to_ns: int) -> None:
            cut(path, target, from_ns, to_ns)
            library.rows.insert(0, RunRow(path=target, name=target.stem, created_unix_ns=2**62, result="done"))

        library.cut = add  # type: ignore[method-assign]
        app = app_with(library)
        async with app.run_test(size=(100, 24)) as pilot:
            await to_list(pilot, 2)
            await pilot.press("x")
            await pilot.pause()
            app.screen.query_one(Input).value = "1:00 - 5:00"
            await pilot.press("enter")
            await ready(pilot)
            assert names(app)[1] == "20261121-101500-wisconsin-cut"
            assert under_cursor(app) == "20261121-101500-wisconsin"

    async def test_it_goes_with_its_recording_when_that_is_renamed_and_the_list_sorted(self) -> None:
        app = app_with(shelf())
        async with app.run_test() as pilot:
            await to_list(pilot, 1)
            await pilot.press("space", "n")
            await pilot.pause()
            app.screen.query_one(Input).value = "zebra"
            await pilot.press("enter")
            await ready(pilot)
            await pilot.press("o")
            assert under_cursor(app) == "*zebra" == names(app)[2]

    async def test_a_long_list_is_not_scrolled_by_what_comes_into_it(self) -> None:
        library = Shelf([RunRow(path=Path(f"/r/{i}"), name=f"run-{i:02}", created_unix_ns=100 - i) for i in range(60)])
        app = app_with(library)
        async with app.run_test(size=(80, 24)) as pilot:
            await to_list(pilot, 40)
            await pilot.press("up", "up", "up", "up", "up")
            before = listed(app)
            library.rows.insert(0, RunRow(path=Path("/r/new"), name="new", created_unix_ns=200))
            await pilot.press("f5")
            await ready(pilot)
            assert under_cursor(app) == "run-35"
            assert listed(app) == before

    @pytest.mark.parametrize("theme", [*themes.load(), None])
    async def test_its_row_is_reversed_in_every_theme_and_without_colours(
        self, theme: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if theme is None:
            monkeypatch.setenv("NO_COLOR", "1")
        app = HomeApp(shelf(), theme=theme)
        async with app.run_test() as pilot:
            await ready(pilot)
            for selector, row in (("#actions", 2), ("#runs", 2)):
                app.screen.query_one(selector).focus()
                await pilot.press("home", "down", "down")
                await pilot.pause()
                first = app.screen.query_one(selector).region.y
                assert reversed_rows(app) == [first + row + (selector == "#runs")]


def reversed_rows(app: App[Any]) -> list[int]:
    rows = enumerate(app.screen._compositor.render_strips())
    return [y for y, strip in rows if any(each.style and each.style.reverse and each.text.strip() for each in strip)]


class TestComingBack:
    async def test_filter_sort_selection_and_cursor_are_there_again(self) -> None:
        place = Place()
        app = HomeApp(shelf(), place, theme="kmltui-dark")
        async with app.run_test() as pilot:
            await to_list(pilot, 1)
            await pilot.press("o", "space", "slash")
            await pilot.pause()
            app.screen.query_one(Input).value = "s"
            await pilot.press("enter")
            await to_list(pilot, 1)
            await pilot.press("enter")
        assert app.return_value is not None and app.return_value.action == "replay"
        chosen = app.return_value.path
        again = HomeApp(shelf(), place, theme="kmltui-dark")
        async with again.run_test() as pilot:
            await ready(pilot)
            assert "with 's', by name, 1 selected" in text_of(again, "#home-note")
            await pilot.press("enter")
        assert again.return_value == Choice(action="replay", path=chosen)

    async def test_what_was_begun_last_is_at_hand_again(self) -> None:
        place = Place()
        for keys in (("down", "down", "enter", "enter"), ("enter", "enter")):
            app = HomeApp(Shelf([]), place, theme="kmltui-dark")
            async with app.run_test() as pilot:
                await ready(pilot)
                for key in keys:
                    await pilot.press(key)
                    await pilot.pause()
            assert app.return_value == Choice(action="start", arguments=("monitor",))

    async def test_escape_first_takes_back_the_filter(self) -> None:
        app = app_with(shelf())
        async with app.run_test() as pilot:
            await to_list(pilot)
            await pilot.press("slash")
            await pilot.pause()
            app.screen.query_one(Input).value = "syscalls"
            await pilot.press("enter")
            await ready(pilot)
            assert len(names(app)) == 1
            await pilot.press("escape")
            assert len(names(app)) == 4
            assert app.is_running
            await pilot.press("escape")
            await pilot.pause()
        assert app.return_value is None


class TestTheListGoesOn:
    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(home, "_READ_AGAIN_S", 0.05)
        monkeypatch.setattr(home, "_READING_SHARE", 1.0)  # a busy machine takes long to read even these

    async def until(self, pilot: Pilot[Any], text: str) -> None:
        for _ in range(200):
            await pilot.pause(0.02)
            if text in text_on(pilot.app):
                return
        raise AssertionError(f"{text!r} never came:\n{text_on(pilot.app)}")

    async def test_a_live_run_goes_on_ends_and_says_what_it_showed(self) -> None:
        library = shelf()
        app = app_with(library)
        async with app.run_test(size=(110, 24)) as pilot:
            await ready(pilot)
            library.rows[2] = replace(library.rows[2], duration_ns=3599 * S)
            await self.until(pilot, "59:59")
            library.outcome = lambda path: f"all of {path.stem}"  # type: ignore[method-assign]
            library.rows[2] = replace(library.rows[2], result="done")
            await self.until(pilot, "all of c")
            library.rows.append(RunRow(path=Path("/r/new"), name="come-since", result="live"))
            await self.until(pilot, "come-since")

    async def test_where_nothing_changes_nothing_is_drawn(self) -> None:
        library = shelf()
        app = app_with(library)
        async with app.run_test() as pilot:
            await to_list(pilot, 1)
            taken: list[object] = []
            screen = app.screen
            assert isinstance(screen, home.HomeScreen)
            screen._take = lambda *_: taken.append(1)  # type: ignore[method-assign]
            await pilot.pause(0.4)
            assert not taken


class TestWhatIsSaid:
    @pytest.mark.parametrize("width", [60, 80, 120])
    async def test_the_whole_hint_of_a_question_can_be_read(self, width: int) -> None:
        app = app_with(Shelf([]))
        async with app.run_test(size=(width, 24)) as pilot:
            await ready(pilot)
            await pilot.press("down", "down", "enter")
            await ready(pilot)
            shown = " ".join(text_on(app).partition("╭")[2].partition("╰")[0].replace("│", " ").split())
            assert "its address, or nothing: this machine alone" in shown

    async def test_a_program_that_cannot_be_tried_is_told_where_it_was_typed(self) -> None:
        library = Shelf([])
        library.check = lambda words: Problem("./nope cannot be read") if "./nope" in words else None  # type: ignore[method-assign]
        app = app_with(library)
        async with app.run_test() as pilot:
            await ready(pilot)
            await pilot.press("down", "down", "down", "enter")
            await pilot.pause()
            for typed, said in (
                ("", "a program is needed"),
                ("./prog 'a", "No closing quotation"),
                ("./nope -x", "read"),
            ):
                app.screen.query_one(Input).value = typed
                await pilot.press("enter")
                await pilot.pause()
                assert said in str(app.screen.query_one("#hint", Label).render())
                assert app.screen.query_one(Input).value == typed
            app.screen.query_one(Input).value = "./prog 'a b'"
            await pilot.press("enter")
        assert app.return_value == Choice(action="start", arguments=("try", "--", "./prog", "a b"))

    @pytest.mark.parametrize("key", ["d", "space", "n", "x", "r"])
    async def test_a_key_for_recordings_says_so_elsewhere(self, key: str) -> None:
        app = app_with(Shelf([]))
        async with app.run_test() as pilot:
            await ready(pilot)
            await pilot.press(key)
            await pilot.pause()
            assert any("this is for recordings" in text for text in told(app))

    @pytest.mark.parametrize("key", ["d", "n"])
    async def test_samples_are_neither_deleted_nor_renamed(self, key: str) -> None:
        app = app_with(shelf())
        async with app.run_test() as pilot:
            await to_list(pilot, 3)
            await pilot.press(key)
            await pilot.pause()
            assert told(app) == ["samples that came with kmltui stay"]
            assert isinstance(app.screen, home.HomeScreen)
