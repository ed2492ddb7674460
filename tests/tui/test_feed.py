# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that makes frames works only while there is something new to show."""

from __future__ import annotations

import time
from queue import Queue

import pytest
from made_up_run import S, run
from tui_support import MemorySource

from kmltui.tui.draw import header
from kmltui.tui.feed import Feed
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.player import Frame, Player
from kmltui.tui.text import plain


class Watched:
    """A feed whose frames are taken at once, sixty a second."""

    def __init__(self, player: Player) -> None:
        self.frames: Queue[Frame] = Queue()
        self.feed = Feed(player, self._post, fps=60)

    def _post(self, frame: Frame) -> None:
        self.frames.put(frame)
        self.feed.taken()

    def __enter__(self) -> Watched:
        self.feed.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.stop()

    def frames_within(self, seconds: float) -> int:
        while not self.frames.empty():
            self.frames.get()
        time.sleep(seconds)
        return self.frames.qsize()


@pytest.fixture
def ended() -> Watched:
    return Watched(Player(MemorySource(run(30, finish=True))))


def test_of_a_run_that_has_ended_one_frame_is_made_and_no_more(ended: Watched) -> None:
    with ended:
        ended.frames.get(timeout=10)
        assert ended.frames_within(0.3) == 0


def test_a_key_wakes_it_and_the_time_of_the_rest_is_not_made_up_for(ended: Watched) -> None:
    with ended:
        ended.frames.get(timeout=10)
        assert ended.frames_within(0.3) == 0
        ended.feed.do(lambda player: player.seek(10 * S))
        assert ended.frames.get(timeout=10).view.t_ns == 10 * S


def test_a_replay_goes_on_by_itself_and_rests_when_it_is_paused(ended: Watched) -> None:
    player = Player(MemorySource(run(30, finish=True)), replay=True)
    with Watched(player) as watched:
        watched.frames.get(timeout=10)
        watched.frames.get(timeout=10)
        watched.feed.do(lambda player: player.pause())
        time.sleep(0.1)
        assert watched.frames_within(0.3) == 0


def test_a_live_run_is_looked_at_again_and_again() -> None:
    with Watched(Player(MemorySource(run(30), live=True))) as watched:
        for _ in range(5):
            watched.frames.get(timeout=10)


@pytest.mark.parametrize(
    ("remote", "words"), [(True, "the connection stalls, or the run does"), (False, "still there")]
)
def test_silence_is_told_as_what_it_is(remote: bool, words: str) -> None:
    player = Player(MemorySource(run(30), live=True), remote=remote)
    player.tick(0)
    banner = header.banner(player.tick(27 * S), 120, UNICODE)
    assert banner is not None and "nothing has come for 00:27: " in plain(banner) and words in plain(banner)
