# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording shown from mark to mark, with their notes as subtitles."""

from __future__ import annotations

from typing import Any

from made_up_run import S, run
from tui_support import MemorySource

from kmltui.model import Mark, Record
from kmltui.tui.app import ViewerApp
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.player import Frame, Player
from kmltui.tui.tour import LEAST_STAY_S, LONGEST_GAP_S

NOTES = {10: "Both kernels run the same queries.", 70: "On the right, system calls are jumps."}


def records() -> list[Record]:
    marks: list[Record] = [Mark(t_ns=t * S, note=note) for t, note in NOTES.items()]
    return sorted([*run(95), *marks, Mark(t_ns=80 * S)], key=lambda record: getattr(record, "t_ns", 0))


def frames(player: Player, seconds: float) -> list[Frame]:
    return [player.tick(round(step * S / 10)) for step in range(round(seconds * 10))]


def touring() -> Player:
    return Player(MemorySource(records()), replay=True, tour=True)


def test_it_stays_at_each_note_for_as_long_as_that_takes_to_read() -> None:
    seen = frames(touring(), 40)
    for t, note in NOTES.items():
        there = [frame for frame in seen if frame.view.t_ns == t * S]
        assert len(there) / 10 >= LEAST_STAY_S
        assert all(frame.subtitle == note for frame in there)


def test_what_lies_between_is_played_in_a_few_seconds_and_it_ends_at_the_end() -> None:
    seen = frames(touring(), 40)
    between = [frame for frame in seen if 10 * S < frame.view.t_ns < 70 * S]
    assert len(between) / 10 <= LONGEST_GAP_S + 1
    assert seen[-1].view.t_ns == seen[-1].duration_ns
    assert seen[-1].paused


def test_before_the_first_note_and_without_a_tour_there_is_no_subtitle() -> None:
    assert frames(touring(), 0.2)[0].subtitle == ""
    plain = Player(MemorySource(records()), replay=True, at_ns=75 * S)
    assert plain.tick(0).subtitle == ""


def test_going_back_by_hand_goes_on_from_there() -> None:
    player = touring()
    frames(player, 40)
    player.seek(5 * S)
    player.paused = False
    seen = [player.tick(40 * S + round(step * S / 10)) for step in range(150)]
    assert any(frame.view.t_ns == 10 * S and frame.subtitle == NOTES[10] for frame in seen)


def test_a_subtitle_on_the_screen(snap_compare: Any) -> None:
    player = Player(MemorySource(records()), replay=True, at_ns=75 * S, tour=True)
    player.paused = True
    app = ViewerApp(player, theme="kmltui-dark", glyph_set=UNICODE, threaded=False)

    async def shown(pilot: Any) -> None:
        app.pump(0)
        await pilot.pause()
        app.pump(1)
        await pilot.pause()

    assert snap_compare(app, terminal_size=(100, 30), run_before=shown)
