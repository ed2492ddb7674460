# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording shown from mark to mark, with their notes as subtitles."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

from made_up_run import S, run
from tui_support import MemorySource

from kmltui import paths
from kmltui.live.views import Landmark
from kmltui.model import Mark, Record
from kmltui.recording import Reader
from kmltui.tui.app import ViewerApp
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.player import Frame, Player
from kmltui.tui.tour import LEAST_STAY_S, LONGEST_PART_S, opening_ns

NOTES = {10: "Both kernels run the same queries.", 70: "On the right, system calls are jumps."}


def records() -> list[Record]:
    marks: list[Record] = [Mark(t_ns=t * S, note=note) for t, note in NOTES.items()]
    return sorted([*run(95), *marks, Mark(t_ns=80 * S)], key=lambda record: getattr(record, "t_ns", 0))


def frames(player: Player, seconds: float) -> list[Frame]:
    return [player.tick(round(step * S / 10)) for step in range(round(seconds * 10))]


def touring() -> Player:
    return Player(MemorySource(records()), replay=True, tour=True)


def test_each_note_stays_for_as_long_as_it_takes_to_read_over_a_picture_that_goes_on() -> None:
    seen = frames(touring(), 40)
    for note in NOTES.values():
        times = [frame.view.t_ns for frame in seen if frame.subtitle == note]
        assert len(times) / 10 >= LEAST_STAY_S
        before_the_end = [t_ns for t_ns in times if t_ns < seen[-1].duration_ns]
        assert all(earlier < later for earlier, later in pairwise(before_the_end))


def test_what_lies_between_is_played_in_a_few_seconds_and_it_ends_at_the_end() -> None:
    seen = frames(touring(), 40)
    between = [frame for frame in seen if 10 * S < frame.view.t_ns < 70 * S]
    assert len(between) / 10 <= LONGEST_PART_S + 1
    assert seen[-1].view.t_ns == seen[-1].duration_ns
    assert seen[-1].paused


def test_a_short_part_is_slowed_down_only_after_its_first_picture() -> None:
    close = [Mark(t_ns=t_ns, note=NOTES[10]) for t_ns in (20 * S, 22 * S)]
    player = Player(MemorySource([*run(95), *close]), replay=True, tour=True)
    player.tick(0)
    player.seek(20 * S)
    seen = [frame.view.t_ns / S - 20 for frame in frames(player, 4.5)]
    assert seen[10] >= 1.0, "after a second, it has played a second"
    assert 1.9 < seen[39] < 2.0 <= seen[44], "and it takes as long as the note"


def test_the_tour_that_ships_shows_what_it_speaks_of() -> None:
    """After each note has stood for two seconds, the picture under it is of its own part."""
    with Reader.open(paths.data_dir("recordings") / "tour.kmlrec") as reader:
        seen = frames(Player(reader, replay=True, tour=True), 90)
    by_note = {note: list(part) for note, part in groupby(seen, key=lambda frame: frame.subtitle)}
    parts = [(note[:20], part[20].view.sessions) for note, part in list(by_note.items())[:-1]]
    assert [
        (note, {session.phases[-1].name for session in sessions if session.phases}) for note, sessions in parts
    ] == [
        ("Two virtual machines", set()),
        ("First, dd copies sin", {"dd"}),
        ("Then single system c", {"calls"}),
        ("The shorter the call", {"calls"}),
        ("Now a real database:", {"select"}),
        ("Both do the same que", {"select"}),
        ("Below: the CPU time ", {"select"}),
    ]
    assert not any(session.state.state == "booting" for session in parts[0][1])
    for _, (stock, kml) in parts[1:]:
        assert stock.trap and kml.direct
    assert seen[-1].paused and seen[-1].view.status and seen[-1].subtitle.startswith("The end card")


def test_it_begins_at_its_first_picture_but_passes_over_no_note() -> None:
    def begins(*notes: int) -> int:
        return opening_ns([Landmark(t_ns, "mark", "x") for t_ns in notes], 30)

    assert (begins(10, 40), begins(50), begins()) == (30, 30, 30)
    assert begins(10, 20, 40) == 10


def test_before_the_first_note_and_without_a_tour_there_is_no_subtitle() -> None:
    player = touring()
    player.seek(5 * S)
    assert player.tick(0).subtitle == ""
    plain = Player(MemorySource(records()), replay=True, at_ns=75 * S)
    assert plain.tick(0).subtitle == ""


def test_going_back_by_hand_goes_on_from_there() -> None:
    player = touring()
    frames(player, 40)
    player.seek(5 * S)
    player.paused = False
    seen = [player.tick(40 * S + round(step * S / 10)) for step in range(150)]
    assert seen[0].subtitle == "" and any(frame.subtitle == NOTES[10] for frame in seen)


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
