# SPDX-License-Identifier: GPL-2.0-or-later
"""The home screen, and the form that starts a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_up_run import S
from textual import events
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Label, OptionList, Static
from tui_support import settled

from kmltui import paths
from kmltui.tui.app import HomeApp
from kmltui.tui.controls import Choice, RunRow
from kmltui.tui.form import Offer, Problem, Setting, Values, arguments, command_line
from kmltui.tui.screens.form import FormScreen
from kmltui.tui.screens.home import ReportScreen
from kmltui.tui.widgets.keybar import key_sign, unique_bindings

DAY = 86_400 * S
OFFERS = (
    Offer(
        name="wisconsin", title="The article's benchmark", description="Ten selects on three tables.",
        loops=100, duration_s=60.0,
        settings=(
            Setting("--engine", "MyISAM", "the tables' storage engine", ("MyISAM", "InnoDB")),
            Setting("--net-buffer-length", "16384", "the server's send buffer, bytes"),
        ),
    ),
    Offer(name="syscalls", title="What a system call costs", bound="loops", loops=20),
    Offer(name="command", title="Any program", bound="loops", loops=1, takes_command=True),
)  # fmt: skip


class Shelf:
    """A library in memory."""

    def __init__(self, rows: Sequence[RunRow]) -> None:
        self.rows = list(rows)
        self.kept = Values()
        self.written: list[tuple[str, str, str]] = []

    def list_runs(self) -> Sequence[RunRow]:
        return self.rows

    def outcome(self, path: Path) -> str:
        return "99.9 % of calls direct, 3.9 % CPU saved" if path.name == "a.kmlrec" else ""

    def rename(self, path: Path, name: str) -> Path:
        if name == "taken":
            raise FileExistsError(f"there is a recording {name} already")
        at = next(i for i, row in enumerate(self.rows) if row.path == path)
        self.rows[at] = RunRow(path=path.with_stem(name), name=name, created_unix_ns=self.rows[at].created_unix_ns)
        return self.rows[at].path

    def delete(self, path: Path) -> None:
        self.rows = [row for row in self.rows if row.path != path]

    def export(self, path: Path, target: Path, format: str) -> None:
        self.written.append((path.name, target.name, format))

    def cut(self, path: Path, target: Path, from_ns: int, to_ns: int) -> None:
        self.written.append((path.name, target.name, f"{from_ns // S}-{to_ns // S}"))

    def report_text(self, path: Path, width: int, progress: Callable[[float], object]) -> str:
        progress(0.5)
        return f"KML saved 3.4 %\n\nTable 2\nof {path.name}"

    def comparison_text(self, left: Path, right: Path, width: int) -> str:
        return f"{left.name} against {right.name}"

    def offers(self) -> Sequence[Offer]:
        return OFFERS

    def check(self, arguments: Sequence[str]) -> Problem | None:
        words = list(arguments)
        if "--engine" in words and words[words.index("--engine") + 1] not in ("MyISAM", "InnoDB"):
            return Problem("--engine is one of MyISAM, InnoDB", "--engine")
        if "--name" in words and words[words.index("--name") + 1] == "taken":
            return Problem("there is a run of that name")
        return None

    def expected(self, arguments: Sequence[str]) -> str:
        return "about 1 min 20 s"

    def values_of(self, path: Path) -> Values:
        return Values(workload="wisconsin", how="exact", pairs="5", settings={"--engine": "InnoDB"})

    def remembered(self) -> Values:
        return self.kept

    def remember(self, values: Values) -> None:
        self.kept = values


def shelf() -> Shelf:
    common: dict[str, Any] = {"sessions": "stock, kml", "size_bytes": 412_000}
    return Shelf(
        [
            RunRow(
                path=Path("/r/a.kmlrec"), name="20261121-101500-wisconsin", created_unix_ns=20_413 * DAY,
                workload="wisconsin", result="done", duration_ns=312 * S, **common,
            ),
            RunRow(
                path=Path("/r/b.kmlrec"), name="20261122-180000-syscalls", created_unix_ns=20_414 * DAY,
                workload="syscalls", result="lost", duration_ns=21 * S, **common,
            ),
            RunRow(
                path=Path("/r/c.kmlrec"), name="evil\x1b[2J", created_unix_ns=20_412 * DAY,
                workload="wisconsin", result="live", duration_ns=61 * S, **common,
            ),
            RunRow(
                path=Path("/s/point-select.kmlrec"), name="point-select", created_unix_ns=20_400 * DAY,
                workload="oltp_point_select", result="done", duration_ns=75 * S, shipped=True, **common,
            ),
        ]
    )  # fmt: skip


def names(app: HomeApp) -> list[str]:
    table = app.screen.query_one("#runs", DataTable)
    return [str(table.get_row_at(row)[0]).strip() for row in range(table.row_count)]


def text_of(app: HomeApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def text_on(app: HomeApp) -> str:
    """All that the screen shows."""
    rows = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in rows)


async def ready(pilot: Pilot[Any]) -> None:
    """What reads has read, and what it brought is shown. (Workers that wait for an answer in a dialog go on.)"""
    for _ in range(500):
        await pilot.pause(0.02)
        if not any(
            w.is_running and w.group in ("list", "outcomes", "check", "start", "report") for w in pilot.app.workers
        ):
            break
    await settled(pilot)


async def open_form(pilot: Pilot[Any]) -> dict[str | None, Input]:
    """Its fields by their names."""
    await ready(pilot)
    await pilot.press("s")
    await ready(pilot)
    return {box.name: box for box in pilot.app.screen.query(".field").results(Input)}


async def checked(pilot: Pilot[Any], *, wrong: bool = False) -> None:
    """The form shows what was found about what is in it: that it is wrong, or what it would take."""
    for _ in range(500):
        await ready(pilot)
        if pilot.app.screen.query(".wrong") if wrong else text_of(pilot.app, "#expected"):
            return
    raise AssertionError("the form was never checked")


def app_with(library: Shelf) -> HomeApp:
    return HomeApp(library, theme="kmltui-dark")


def burst(app: HomeApp, *keys: str) -> None:
    """Press keys faster than they are dealt with, as over a slow connection."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def to_list(pilot: Pilot[Any], row: int = 0) -> None:
    await ready(pilot)
    table = pilot.app.screen.query_one("#runs", DataTable)
    table.focus()
    table.move_cursor(row=row)
    await pilot.pause()


def test_recordings_are_listed_live_ones_first_and_samples_last(snap_compare: Any) -> None:
    assert snap_compare(app_with(shelf()), terminal_size=(110, 24), run_before=ready)


def test_at_80x24_what_a_run_showed_has_room(snap_compare: Any) -> None:
    assert snap_compare(app_with(shelf()), terminal_size=(80, 24), run_before=ready)


def test_a_terminal_that_is_too_small_says_what_it_takes(snap_compare: Any) -> None:
    assert snap_compare(app_with(shelf()), terminal_size=(30, 6), run_before=ready)


def test_at_the_first_start_it_says_what_can_be_begun(snap_compare: Any) -> None:
    assert snap_compare(app_with(Shelf([])), terminal_size=(80, 24), run_before=ready)


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_the_help_names_every_key_and_all_that_it_does(width: int) -> None:
    app = app_with(shelf())
    async with app.run_test(size=(width, 60)) as pilot:
        await ready(pilot)
        told = [binding for binding in unique_bindings(app.screen) if binding.tooltip]
        assert {binding.action for binding in told} >= {"again", "cut", "rename", "page", "export", "compare"}
        await pilot.press("question_mark")
        await settled(pilot)
        shown = " ".join(text_on(app).partition("╭")[2].partition("╰")[0].replace("│", " ").split())
        assert "…" not in shown
        assert all(f"{key_sign(binding)} " in shown for binding in told)
        assert all(word in shown for binding in told for word in binding.tooltip.split())


@pytest.mark.parametrize("size", [(60, 20), (80, 24)])
async def test_the_last_line_names_the_help(size: tuple[int, int]) -> None:
    app = app_with(shelf())
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        assert "? help" in text_on(app)


async def test_enter_watches_a_live_run_and_replays_a_finished_one() -> None:
    for downs, expected in ((0, ("watch", "c.kmlrec")), (1, ("replay", "b.kmlrec"))):
        app = app_with(shelf())
        async with app.run_test() as pilot:
            await to_list(pilot)
            await pilot.press(*["down"] * downs, "enter")
        assert isinstance(app.return_value, Choice) and app.return_value.path is not None
        assert (app.return_value.action, app.return_value.path.name) == expected


async def test_the_demonstration_is_one_key_away() -> None:
    app = app_with(Shelf([]))
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("enter")
    assert app.return_value == Choice(action="start", arguments=("demo",))


async def test_a_server_is_monitored_by_its_address() -> None:
    app = app_with(Shelf([]))
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        app.screen.query_one(Input).value = "mysql://"
        await pilot.press("enter")
    assert app.return_value == Choice(action="start", arguments=("monitor", "--mysql", "mysql://"))


async def test_a_program_is_tried_with_its_arguments() -> None:
    app = app_with(Shelf([]))
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("down", "down", "down", "enter")
        await pilot.pause()
        app.screen.query_one(Input).value = "./prog 'a b' -x"
        await pilot.press("enter")
    assert app.return_value == Choice(action="start", arguments=("try", "--", "./prog", "a b", "-x"))


async def test_a_report_is_shown_and_closed() -> None:
    app = app_with(shelf())
    async with app.run_test() as pilot:
        await to_list(pilot)
        await pilot.press("r")
        await ready(pilot)
        report = app.screen.query_one("#report", OptionList)
        assert "KML saved" in str(report.get_option_at_index(0).prompt)
        await pilot.press("q")
        await pilot.pause()
        assert names(app)


async def test_two_are_selected_and_compared() -> None:
    app = app_with(shelf())
    async with app.run_test() as pilot:
        await to_list(pilot)
        await pilot.press("c")
        assert names(app)  # one message, and still here
        await pilot.press("down", "space", "down", "space", "c")
        await ready(pilot)
        report = app.screen.query_one("#report", OptionList)
        assert str(report.get_option_at_index(0).prompt) == "b.kmlrec against a.kmlrec"


async def test_home_and_end_go_to_the_first_and_last_recording() -> None:
    app = app_with(shelf())
    async with app.run_test() as pilot:
        await to_list(pilot)
        table = app.screen.query_one("#runs", DataTable)
        for key, row in (("end", 3), ("home", 0)):
            await pilot.press(key)
            await pilot.pause()
            assert table.cursor_row == row


async def test_what_a_filter_hides_stays_selected() -> None:
    library = shelf()
    app = app_with(library)
    async with app.run_test() as pilot:
        for wanted in ("syscalls", "wisconsin"):
            await to_list(pilot)
            await pilot.press("slash")
            await pilot.pause()
            app.screen.query_one(Input).value = wanted
            await pilot.press("enter")
            await ready(pilot)
            await to_list(pilot, 1 if wanted == "wisconsin" else 0)
            await pilot.press("space")
        assert "2 selected" in text_of(app, "#home-note")
        await pilot.press("d")
        await pilot.pause()
        assert "20261121-101500-wisconsin" in text_on(app) and "20261122-180000-syscalls" in text_on(app)
        await pilot.press("y")
        await ready(pilot)
        assert [row.path.name for row in library.rows] == ["c.kmlrec", "point-select.kmlrec"]


async def test_a_monitor_is_run_again_with_its_server() -> None:
    row = RunRow(path=Path("/r/m.kmlrec"), name="m", workload="monitor", server="mysql://me@db:3307", result="done")
    app = app_with(Shelf([row]))
    async with app.run_test() as pilot:
        await to_list(pilot)
        await pilot.press("a")
        await pilot.pause()
        await pilot.press("enter")
    assert app.return_value == Choice(action="start", arguments=("monitor", "--mysql", "mysql://me@db:3307"))


async def test_renaming_and_what_prevents_it() -> None:
    app = app_with(shelf())
    async with app.run_test() as pilot:
        await to_list(pilot)
        await pilot.press("down", "n")
        await pilot.pause()
        app.screen.query_one(Input).value = "taken"
        await pilot.press("enter")
        await pilot.pause()
        assert "there is a recording taken already" in str(app.screen.query_one("#hint", Label).render())
        app.screen.query_one(Input).value = "better"
        await pilot.press("enter")
        await ready(pilot)
        assert "better" in names(app) and "taken" not in names(app)


async def test_deleting_asks_first_and_spares_live_runs_and_samples() -> None:
    library = shelf()
    app = app_with(library)
    async with app.run_test() as pilot:
        await to_list(pilot)
        await pilot.press("d")  # the live one
        await to_list(pilot, 3)
        await pilot.press("d")  # the sample
        assert len(library.rows) == 4
        for answer, left in (("n", 4), ("y", 3)):
            await to_list(pilot, 1)
            await pilot.press("d")
            await pilot.pause()
            await pilot.press(answer)
            await ready(pilot)
            assert len(names(app)) == left


async def test_a_filter_leaves_what_matches() -> None:
    app = app_with(shelf())
    async with app.run_test() as pilot:
        await to_list(pilot)
        await pilot.press("slash")
        await pilot.pause()
        app.screen.query_one(Input).value = "syscalls"
        await pilot.press("enter")
        await pilot.pause()
        assert names(app) == ["20261122-180000-syscalls"]
        assert "1 of 4" in text_of(app, "#home-note")


async def test_a_part_is_cut_out_and_a_page_is_written() -> None:
    library = shelf()
    app = app_with(library)
    async with app.run_test() as pilot:
        await to_list(pilot, 2)
        await pilot.press("x")
        await pilot.pause()
        app.screen.query_one(Input).value = "5:00 - 1:00"
        await pilot.press("enter")
        await pilot.pause()
        assert "is no part" in str(app.screen.query_one("#hint", Label).render())
        app.screen.query_one(Input).value = "1:00 - 5:00"
        await pilot.press("enter")
        await ready(pilot)
        await to_list(pilot, 2)
        await pilot.press("h")
        await pilot.pause()
        await pilot.press("enter")
        await ready(pilot)
    assert library.written == [
        ("a.kmlrec", "20261121-101500-wisconsin-cut.kmlrec", "60-300"),
        ("a.kmlrec", "20261121-101500-wisconsin.html", "html"),
    ]


class TestTheForm:
    async def test_what_is_chosen_becomes_a_command_and_is_remembered(self) -> None:
        library = shelf()
        app = app_with(library)
        async with app.run_test(size=(80, 24)) as pilot:
            fields = await open_form(pilot)
            fields["loops"].value = "40"
            fields["--engine"].value = "InnoDB"
            await ready(pilot)
            assert "kmltui run --workload wisconsin --loops 40 --engine InnoDB" in text_of(app, "#command")
            await pilot.press("f2")
            await ready(pilot)
        words = ("run", "--workload", "wisconsin", "--loops", "40", "--engine", "InnoDB")
        assert app.return_value == Choice(action="start", arguments=words)
        assert library.kept.settings == {"--engine": "InnoDB"}

    async def test_what_is_typed_after_tab_goes_into_the_next_field_however_fast(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            fields = await open_form(pilot)
            fields["loops"].focus()
            await pilot.pause()
            burst(app, "4", "tab", "9", "s")
            await ready(pilot)
            assert (fields["loops"].value, fields["duration"].value) == ("4", "9s")

    async def test_arrows_go_from_field_to_field(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            await open_form(pilot)
            await pilot.press("enter")
            first = app.focused
            await pilot.press("down")
            assert isinstance(first, Input) and app.focused is not first
            await pilot.press("up")
            assert app.focused is first

    async def test_what_is_wrong_stands_beside_its_field_and_nothing_starts(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            fields = await open_form(pilot)
            fields["--engine"].value = "Aria"
            await pilot.press("f2")
            await ready(pilot)
            wrong = [str(hint.render()) for hint in app.screen.query(".field-help.wrong").results(Label)]
            assert wrong == ["--engine is one of MyISAM, InnoDB"]
            assert app.return_value is None
            fields["--engine"].value = "MyISAM"
            fields["name"].value = "taken"
            await pilot.press("f2")
            await ready(pilot)
            assert "there is a run of that name" in text_of(app, "#problem")
            await pilot.press("escape")
            await ready(pilot)
            assert names(app)

    async def test_a_check_that_ends_late_does_not_take_back_what_is_wrong_now(self) -> None:
        library, go = shelf(), threading.Event()
        check = library.check

        def slow(words: Sequence[str]) -> Problem | None:
            if "Aria" not in words:
                go.wait(10)
            return check(words)

        library.check = slow  # type: ignore[method-assign]
        app = app_with(library)
        async with app.run_test(size=(80, 24)) as pilot:
            await ready(pilot)
            await pilot.press("s")
            while not any(worker.group == "check" for worker in app.workers):
                await pilot.pause(0.02)
            fields = {box.name: box for box in app.screen.query(".field").results(Input)}
            fields["--engine"].value = "Aria"
            await pilot.pause()
            await pilot.press("f2")
            while not app.screen.query(".field-help.wrong"):
                await pilot.pause(0.02)
            go.set()
            await ready(pilot)
            assert app.screen.query(".field-help.wrong")

    async def test_what_was_found_too_late_is_shown_nowhere(self) -> None:
        """While the program ends, a screen's parts go before those who still read something for it."""
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_list(pilot)
            await pilot.press("r")
            await ready(pilot)
            report = app.screen
            assert isinstance(report, ReportScreen)
            await report.remove_children()
            report._show("read")
            await pilot.press("escape", "s")
            await checked(pilot)
            form = app.screen
            assert isinstance(form, FormScreen)
            await form.remove_children()
            form._show_problem(form._values, Problem("is wrong", "name"), "")

    async def test_run_again_fills_the_form_with_what_made_the_recording(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_list(pilot)
            await pilot.press("down", "a")
            await ready(pilot)
            assert "kmltui bench --workload wisconsin --exact --pairs 5 --engine InnoDB" in text_of(app, "#command")

    async def test_the_command_is_copied(self) -> None:
        app = app_with(shelf())
        async with app.run_test(size=(80, 24)) as pilot:
            await open_form(pilot)
            await pilot.press("f3")
            assert app.clipboard == "kmltui run --workload wisconsin"

    def test_it_fits_80x24(self, snap_compare: Any) -> None:
        async def open_form(pilot: Pilot[Any]) -> None:
            await ready(pilot)
            await pilot.press("s")
            await checked(pilot)

        assert snap_compare(app_with(shelf()), terminal_size=(80, 24), run_before=open_form)

    def test_an_error_at_80x24(self, snap_compare: Any) -> None:
        async def wrong(pilot: Pilot[Any]) -> None:
            await ready(pilot)
            await pilot.press("s")
            await checked(pilot)
            next(
                box for box in pilot.app.screen.query(".field").results(Input) if box.name == "--engine"
            ).value = "Aria"
            await pilot.press("f2")
            await checked(pilot, wrong=True)

        assert snap_compare(app_with(shelf()), terminal_size=(80, 24), run_before=wrong)


def test_a_program_is_quoted_as_a_shell_would_have_it() -> None:
    values = Values(workload="command", command="grep -r 'a b' /usr", how="bench", pairs="5")
    assert arguments(values) == ["bench", "--pairs", "5", "--", "grep", "-r", "a b", "/usr"]
    assert command_line(values) == "kmltui bench --pairs 5 -- grep -r 'a b' /usr"


def test_an_open_quotation_mark_is_told_and_no_command() -> None:
    assert "not complete" in command_line(Values(workload="command", command="grep 'a"))


def test_pairs_are_for_benches_alone() -> None:
    assert "--pairs" not in arguments(Values(workload="syscalls", how="run", pairs="5"))


async def test_a_part_of_a_sample_is_the_users_own() -> None:
    library = shelf()
    into: list[Path] = []
    library.cut = lambda path, target, begin, end: into.append(target)  # type: ignore[method-assign]
    app = app_with(library)
    async with app.run_test() as pilot:
        await to_list(pilot, next(index for index, row in enumerate(library.list_runs()) if row.shipped))
        await pilot.press("x")
        await pilot.pause()
        app.screen.query_one(Input).value = "0:10 - 0:20"
        await pilot.press("enter")
        await ready(pilot)
    assert [target.parent for target in into] == [paths.runs_dir()]
