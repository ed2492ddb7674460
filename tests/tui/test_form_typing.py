# SPDX-License-Identifier: GPL-2.0-or-later
"""The start form, typed in: the focus stays on a field, what was typed stays, and what is wrong can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from test_home import Shelf, app_with, burst, checked, open_form, ready, shelf, text_of, text_on
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from kmltui.tui.app import HomeApp
from kmltui.tui.controls import Choice
from kmltui.tui.form import Offer, Problem, Setting, Values

LONG = (
    "--left 'stock,image=bla': 'bla' does not name an image: you have named none; 'kmltui guest build --name bla "
    "--package …' makes it, and others are written SUITE/KERNEL, for example bookworm/6.1"
)


def focused(app: HomeApp) -> Input:
    assert isinstance(app.focused, Input)
    return app.focused


def in_sight(app: HomeApp, text: str) -> bool:
    """It can be read as a whole, over as many lines as it needs."""
    return "".join(text.split()) in "".join(text_on(app).split())


def with_many_settings() -> Shelf:
    library = shelf()
    settings = tuple(Setting(f"--setting-{number}", "", "is one of many") for number in range(20))
    library.offers = lambda: (Offer(name="wisconsin", title="Many", settings=settings),)  # type: ignore[method-assign]
    return library


async def go_to(pilot: Pilot[Any], box: Input) -> None:
    box.focus()
    await pilot.pause()


class TestWaysToMeasure:
    async def test_a_bench_that_is_typed_has_pairs(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            fields = await open_form(pilot)
            await go_to(pilot, fields["how"])
            assert "pairs" not in text_on(app)
            await pilot.press(*"bench", "down", "down", "down")
            await ready(pilot)
            assert focused(app).name == "pairs"
            await pilot.press("7")
            await checked(pilot)
            assert text_of(app, "#command") == "kmltui bench --workload wisconsin --pairs 7"

    async def test_a_run_that_is_typed_over_a_bench_has_none_and_all_else_stays(self) -> None:
        library = shelf()
        library.kept = Values(workload="command", command="ls -l", how="bench", pairs="3")
        app = app_with(library)
        async with app.run_test(size=(80, 24)) as pilot:
            fields = await open_form(pilot)
            await go_to(pilot, fields["how"])
            await pilot.press(*"run")
            await ready(pilot)
            assert "pairs" not in text_on(app)
            assert focused(app) is fields["how"]
            await pilot.press("x")
            assert (fields["how"].value, fields["command"].value) == ("runx", "ls -l")


class TestTheFocus:
    @pytest.mark.parametrize("size", [(60, 20), (80, 24)])
    async def test_arrows_go_through_all_fields_also_where_they_do_not_fit(self, size: tuple[int, int]) -> None:
        app = app_with(with_many_settings())
        async with app.run_test(size=size) as pilot:
            fields = list((await open_form(pilot)).values())
            shown = [box for box in fields if box.name != "pairs"]
            await pilot.press("enter")
            for key, order in (("down", shown), ("up", [shown[0], *reversed(shown[1:])]), ("enter", shown)):
                for box in order:
                    assert focused(app) is box
                    await pilot.press(key)
                assert focused(app) is shown[0]

    async def test_after_the_defaults_typing_goes_on_in_the_same_field(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            fields = await open_form(pilot)
            fields["--engine"].value = "InnoDB"
            await go_to(pilot, fields["loops"])
            burst(app, "4", "f4", "5", "0")
            await checked(pilot)
            assert focused(app) is fields["loops"]
            assert text_of(app, "#command") == "kmltui run --workload wisconsin --loops 50"

    async def test_the_arrows_and_what_is_typed_act_in_their_order(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            fields = await open_form(pilot)
            await go_to(pilot, fields["loops"])
            burst(app, "4", "down", "9", "s", "up", "f2")
            await ready(pilot)
        words = ("run", "--workload", "wisconsin", "--loops", "4", "--duration", "9s")
        assert app.return_value == Choice(action="start", arguments=words)

    async def test_in_the_list_the_arrows_choose_the_workload(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            await open_form(pilot)
            await pilot.press("down", "down", "enter")
            await ready(pilot)
            assert app.screen.query_one("#offers", OptionList).highlighted == 2
            assert focused(app).name == "command"


class TestWhatIsWrong:
    @pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
    @pytest.mark.parametrize("problem", [Problem(LONG, "--left"), Problem("--loops: '12x' is no number", "--loops")])
    async def test_it_can_be_read_as_a_whole(self, size: tuple[int, int], problem: Problem) -> None:
        library = shelf()

        def check(_: Sequence[str]) -> Problem:
            return problem

        library.check = check  # type: ignore[method-assign]
        app = app_with(library)
        async with app.run_test(size=size) as pilot:
            await open_form(pilot)
            await checked(pilot, wrong=True)
            assert in_sight(app, problem.text)
            await pilot.press("enter", "f2")
            await ready(pilot)
            assert in_sight(app, problem.text) and app.is_running
            await pilot.press("down", "down")
            assert focused(app).name == "duration"

    async def test_the_field_that_is_typed_in_stays_in_sight(self) -> None:
        library = with_many_settings()
        library.check = lambda _: Problem(LONG, "--left")  # type: ignore[method-assign]
        app = app_with(library)
        async with app.run_test(size=(60, 20)) as pilot:
            fields = await open_form(pilot)
            for name in ("--setting-3", "--setting-19"):
                await go_to(pilot, fields[name])
                await pilot.press("1")
                await checked(pilot, wrong=True)
                await ready(pilot)
                assert name.removeprefix("--") in text_on(app)

    async def test_a_program_that_is_missing_is_asked_for_in_the_forms_own_words(self) -> None:
        library = shelf()
        library.kept = Values(workload="command")
        app = app_with(library)
        async with app.run_test(size=(80, 24)) as pilot:
            await open_form(pilot)
            await checked(pilot, wrong=True)
            assert text_of(app, "#problem").startswith("which program?")
            assert "dashes" not in text_of(app, "#problem")

    @pytest.mark.parametrize("size", [(60, 20), (80, 24)])
    async def test_the_help_of_a_session_names_its_settings(self, size: tuple[int, int]) -> None:
        app = app_with(shelf())
        async with app.run_test(size=size) as pilot:
            fields = await open_form(pilot)
            for name in ("left", "right"):
                await go_to(pilot, fields[name])
                await ready(pilot)
                assert all(in_sight(app, f"{key}=") for key in ("kernel", "cpus", "accel", "image"))
            assert in_sight(app, "or local")
