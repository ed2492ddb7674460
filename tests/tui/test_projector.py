# SPDX-License-Identifier: GPL-2.0-or-later
"""The view for an audience."""

from __future__ import annotations

import re

import pytest
from made_up_run import Side, run
from test_one_session import drawn, monitor
from tui_support import MemorySource, Picture, viewer

from kmltui.figures.card import CardLine
from kmltui.model import Record
from kmltui.tui.draw import bigtext
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.pages.projector import ProjectorPage
from kmltui.tui.player import Player
from kmltui.tui.text import plain


class TestOnTheScreen:
    def test_while_it_runs(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True), "b", size=(80, 24))

    def test_in_a_hall(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True), "b", size=(160, 48))

    @pytest.mark.parametrize("width", range(60, 130, 3))
    def test_both_numbers_are_told_in_the_same_words(self, width: int) -> None:
        canvas = Canvas(width, 24, UNICODE, call_name)
        shown = ProjectorPage().draw(Player(MemorySource(run(60, finish=True))).tick(0), canvas)
        left, right = plain(shown[1]).split("STOCK")[1].split("KML")
        assert left.strip() == right.strip() != ""

    async def test_the_same_key_leads_back(self) -> None:
        app = viewer(run(95), live=True)
        async with app.run_test(size=(80, 24)) as pilot:
            app.pump(0)
            await pilot.press("b")
            assert app.main.page.name == "projector"
            await pilot.press("b")
            assert app.main.page.name == "live"


class TestWhatItSays:
    @staticmethod
    def text(records: list[Record], *card: CardLine) -> str:
        page = ProjectorPage()
        page.card = card
        frame = Player(MemorySource(records, live=True)).tick(0)
        return "\n".join(plain(line) for line in page.draw(frame, Canvas(120, 36, UNICODE, call_name)))

    def test_while_it_runs_only_what_was_counted(self) -> None:
        card = CardLine("measured", "Measured", "KML saved 3 % of CPU time")
        text = self.text(list(run(95)), card)
        assert re.search(r"kml has made 9\d\.\d+ % of [\d,]+ system calls without a trap", text)
        assert "Measured" not in text

    def test_a_warning_comes_before_what_was_counted(self) -> None:
        counted = CardLine("calls", "Without a trap", "99.9 % of 1,000 system calls")
        warning = CardLine("warning", "No result", "the runs differ in their work", tone="warning")
        text = self.text(list(run(60, finish=True)), counted, warning)
        assert "No result: the runs differ in their work" in text
        assert "99.9 %" not in text

    def test_traps_under_the_name_of_kml_are_no_success(self) -> None:
        sides = [Side(name, direct=0.0) for name in ("stock", "kml")]
        text = self.text(list(run(60, both=sides)))
        assert "this is not Kernel Mode Linux" in text and "without a trap" not in text

    def test_a_watched_server_has_its_queries_and_calls(self) -> None:
        text = drawn(ProjectorPage(), monitor(30))
        assert "queries a second" in text and "8.0 system calls a query" in text


@pytest.mark.parametrize("text", ["0", "9,327", "40.1k", "8.19M", "1.2G", "–", "-154"])
def test_a_number_is_as_large_as_it_fits_and_never_cut(text: str) -> None:
    for cells in range(1, 120):
        for rows in (1, 5, 10):
            drawn_rows = bigtext.draw([text], cells, rows, UNICODE)[0]
            assert len(drawn_rows) in (1, 5, 10) and len(drawn_rows) <= max(rows, 1)
            assert drawn_rows == [text] or max(map(len, drawn_rows)) <= cells
