# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures that are shown together are of the same instant: a part is never larger than the whole."""

from __future__ import annotations

import re

from made_up_run import S, run
from tui_support import MemorySource

from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.pages.calls import CallsPage
from kmltui.tui.pages.live import LivePage
from kmltui.tui.player import Player
from kmltui.tui.text import plain

CANVAS = Canvas(160, 48, UNICODE, call_name)


def number(text: str) -> float:
    found = re.match(r"([\d,.]+)(k?)", text)
    assert found is not None, text
    return float(found[1].replace(",", "")) * (1000 if found[2] else 1)


def of_stock(page: LivePage, player: Player, now_ns: int) -> tuple[float, dict[str, float]]:
    """The session's traps a second, in all and by name, as the left pane has them."""
    lines = [plain(line)[:79] for line in page.draw(player.tick(now_ns), CANVAS)]
    head = next(index for index, text in enumerate(lines) if text.startswith("syscalls/s"))
    found = re.search(r"trap +(\S+)", lines[head])
    assert found is not None
    rows = [text.split() for text in lines[head + 1 : head + 11]]
    return number(found[1]), {row[0]: number(row[1]) for row in rows if len(row) > 1 and row[1][0].isdigit()}


def test_while_it_runs_the_names_of_calls_add_up_to_the_total_above_them() -> None:
    source = MemorySource(run(120), live=True, now_s=20)
    player, page = Player(source), LivePage()
    for step in range(12):
        source.write_until(20 + step / 2)
        total, names = of_stock(page, player, step * S // 2)
        assert len(names) >= 6
        assert 0.95 * total <= sum(names.values()) <= 1.02 * total, (step, total, names)


def test_where_it_is_paused_both_pages_have_the_same_rates() -> None:
    player, page = Player(MemorySource(run(120)), at_ns=40 * S, replay=True), LivePage()
    for moment in range(3):  # it plays on for a moment before it is paused, so that the names are of just before
        of_stock(page, player, moment * S // 2)
    player.paused = True
    names = of_stock(page, player, 3 * S // 2)[1]
    table = "\n".join(plain(line) for line in CallsPage().draw(player.tick(3 * S // 2), CANVAS))
    for name, rate in names.items():
        row = re.search(rf"{name} +(\S+)", table)
        assert row is not None and number(row[1]) == rate, name
