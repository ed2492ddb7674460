"""Where in a recording the screen is: the same moment looks the same however it was reached."""

from __future__ import annotations

import random

import pytest
from tui_records import S, header, run
from tui_support import MemorySource

from kmltui.analysis.live import LiveState
from kmltui.analysis.views import Snapshot
from kmltui.model import Record
from kmltui.tui.player import Player
from kmltui.tui.screens.dialogs import parse_time


def folded(records: list[Record], t_ns: int) -> Snapshot:
    state = LiveState(header())
    state.extend(record for record in records if getattr(record, "t_ns", 0) <= t_ns)
    return state.snapshot(t_ns)


def essence(snapshot: Snapshot) -> list[object]:
    """What a snapshot shows, without the objects that are equal only by identity."""
    return [
        (
            s.state,
            s.cpus,
            s.calls,
            s.trap,
            s.direct,
            s.queries,
            s.latency,
            s.cpu,
            s.phases,
            list(s.samples),
            list(s.work),
        )
        for s in snapshot.sessions
    ]


class TestSeeking:
    def test_any_order_of_jumps_gives_what_a_fold_from_the_start_gives(self) -> None:
        records = list(run(200, finish=True))
        player = Player(MemorySource(records), replay=True)
        player.tick(0)
        dice = random.Random(3)
        for _ in range(25):
            t_ns = dice.randrange(0, 206 * S)
            player.seek(t_ns)
            assert essence(player.frame().view) == essence(folded(records, t_ns))

    def test_it_cannot_leave_the_recording(self) -> None:
        player = Player(MemorySource(run(30)), replay=True)
        player.tick(0)
        player.seek(-5 * S)
        assert player.position_ns == 0
        player.seek(500 * S)
        assert player.position_ns == 36 * S

    def test_at_the_end_it_stops_and_space_begins_anew(self) -> None:
        player = Player(MemorySource(run(30)), at_ns=35 * S)
        player.tick(0)
        frame = player.tick(10 * S)
        assert frame.paused and frame.view.t_ns == 36 * S
        player.pause()
        assert player.tick(11 * S).view.t_ns == 1 * S

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("41", 41),
            ("0:41", 41),
            ("1:02:03", 3723),
            ("90s", 90),
            ("1.5m", 90),
            ("50%", 50),
            ("x", None),
            ("1:3m", None),
        ],
    )
    def test_times_are_understood(self, text: str, seconds: float | None) -> None:
        assert parse_time(text, 100 * S) == (None if seconds is None else seconds * S)


class TestLongRecordings:
    def test_the_work_of_one_tick_is_bounded(self) -> None:
        """What one tick cannot read the next ones do; the screen says that it is still reading."""

        class Slow(MemorySource):
            def poll(self) -> list[Record]:
                self._given, start = min(self._given + 50, self._written), self._given
                return self.all[start : self._given]

        times = iter(range(0, 10**15, 15_000_000))
        player = Player(Slow(run(100)), clock=lambda: next(times))
        assert player.tick(0).reading
        for tick in range(1, 60):
            frame = player.tick(tick)
        assert not frame.reading and frame.view.t_ns == 106 * S

    def test_checkpoints_are_few_however_long_it_is(self) -> None:
        player = Player(MemorySource(run(1500, period=2.0)))
        player.tick(0)
        assert len(player._checkpoints) <= 33
