"""The list of recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Label, OptionList
from tui_records import S

from kmltui.tui.app import PickerApp
from kmltui.tui.controls import Choice, RunRow

DAY = 86_400 * S


class Shelf:
    """A library in memory."""

    def __init__(self, rows: Sequence[RunRow]) -> None:
        self.rows = list(rows)

    def list_runs(self) -> Sequence[RunRow]:
        return self.rows

    def workloads(self) -> Sequence[tuple[str, str]]:
        return [("syscalls", "What a system call costs"), ("wisconsin", "The article's benchmark")]

    def rename(self, path: Path, name: str) -> Path:
        if name == "taken":
            raise FileExistsError(f"there is a recording {name} already")
        at = next(i for i, row in enumerate(self.rows) if row.path == path)
        self.rows[at] = RunRow(path=path.with_stem(name), name=name, created_unix_ns=self.rows[at].created_unix_ns)
        return self.rows[at].path

    def delete(self, path: Path) -> None:
        self.rows = [row for row in self.rows if row.path != path]

    def report_text(self, path: Path, width: int, progress: Callable[[float], object]) -> str:
        progress(0.5)
        return f"KML saved 3.4 %\n\nTable 2\nof {path.name}"


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
        ]
    )  # fmt: skip


def names(app: PickerApp) -> list[str]:
    table = app.screen.query_one("#runs", DataTable)
    return [str(table.get_row_at(row)[-1]) for row in range(table.row_count)]


async def ready(pilot: Pilot[Any]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def test_recordings_are_listed_live_ones_first(snap_compare: Any) -> None:
    assert snap_compare(PickerApp(shelf(), theme="kmltui-dark"), terminal_size=(110, 20), run_before=ready)


def test_a_terminal_that_is_too_small_says_what_it_takes(snap_compare: Any) -> None:
    assert snap_compare(PickerApp(shelf(), theme="kmltui-dark"), terminal_size=(30, 6), run_before=ready)


def test_without_any_it_says_how_to_begin(snap_compare: Any) -> None:
    assert snap_compare(PickerApp(Shelf([]), theme="kmltui-dark"), terminal_size=(80, 12), run_before=ready)


async def test_enter_watches_a_live_run_and_replays_a_finished_one() -> None:
    for downs, expected in ((0, ("watch", "c.kmlrec")), (1, ("replay", "b.kmlrec"))):
        app = PickerApp(shelf(), theme="kmltui-dark")
        async with app.run_test() as pilot:
            await ready(pilot)
            await pilot.press(*["down"] * downs, "enter")
        assert isinstance(app.return_value, Choice) and app.return_value.path is not None
        assert (app.return_value.action, app.return_value.path.name) == expected


async def test_a_report_is_shown_and_closed() -> None:
    app = PickerApp(shelf(), theme="kmltui-dark")
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("r")
        await pilot.pause(0.2)
        report = app.screen.query_one("#report", OptionList)
        assert "KML saved" in str(report.get_option_at_index(0).prompt)
        await pilot.press("q")
        await pilot.pause()
        assert names(app)


async def test_renaming_and_what_prevents_it() -> None:
    app = PickerApp(shelf(), theme="kmltui-dark")
    async with app.run_test() as pilot:
        await ready(pilot)
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


async def test_deleting_asks_first_and_spares_live_runs() -> None:
    app = PickerApp(shelf(), theme="kmltui-dark")
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("d")
        assert len(names(app)) == 3
        for answer, left in (("n", 3), ("y", 2)):
            await pilot.press("down", "d")
            await pilot.pause()
            await pilot.press(answer)
            await ready(pilot)
            assert len(names(app)) == left


async def test_a_run_is_started_from_the_list_of_workloads() -> None:
    app = PickerApp(shelf(), theme="kmltui-dark")
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("s")
        await pilot.pause()
        await pilot.press("down", "enter")
    assert app.return_value == Choice(action="start", workload="wisconsin")
