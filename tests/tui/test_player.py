# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in a recording the screen is: the same moment looks the same however it was reached."""

from __future__ import annotations

import random

import pytest
from made_up_run import S, header, run
from msgspec.structs import replace
from tui_support import MemorySource

from kmltui import paths
from kmltui.live.store import Store
from kmltui.live.views import Snapshot, equal_work
from kmltui.model import Record, Sample
from kmltui.recording import Reader
from kmltui.tui.player import Player
from kmltui.tui.screens.dialogs import parse_time


def folded(records: list[Record], t_ns: int) -> Snapshot:
    store = Store(header())
    store.extend(record for record in records if getattr(record, "t_ns", 0) <= t_ns)
    return store.at(t_ns)


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


class Long(MemorySource):
    """Gives few records at a time, as a reader does."""

    def poll(self) -> list[Record]:
        self._given, start = min(self._given + 50, self._written), self._given
        return self.all[start : self._given]


def replayed(records: list[Record], at_ns: int | None = None) -> Player:
    """A player whose clock goes on five milliseconds whenever it is asked: the work of one step is some records."""
    times = iter(range(0, 10**15, 5_000_000))
    player = Player(Long(records), at_ns=at_ns, replay=True, clock=lambda: next(times))
    player.paused = True
    return player


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

    @pytest.mark.parametrize("name", ["syscalls", "point-select", "peers-dd", "tour"])
    def test_a_replay_begins_where_the_work_does_and_not_at_the_boot(self, name: str) -> None:
        with Reader.open(paths.data_dir("recordings") / f"{name}.kmlrec") as reader:
            player = Player(reader, replay=True)
            view = player.tick(0).view
            assert not any(session.phases for session in view.sessions)
            assert any(session.phases for session in player.tick(2 * S).view.sessions)
            player.seek(0)
            assert player.tick(2 * S).view.t_ns == 0, "its beginning can still be seen"
            assert Player(reader, at_ns=0, replay=True).position_ns == 0

    def test_without_phases_it_begins_before_the_first_measurement_and_without_one_at_the_beginning(self) -> None:
        samples = [record for record in run(30) if isinstance(record, Sample)]
        assert samples[0].mark == "start"
        assert Player(MemorySource(samples), replay=True).position_ns == samples[0].t_ns - 1.5 * S
        plain = [replace(sample, mark="") for sample in samples]
        assert Player(MemorySource(plain), replay=True).position_ns == 0

    def test_at_the_end_it_stops_and_space_begins_anew(self) -> None:
        player = Player(MemorySource(run(30)), at_ns=35 * S)
        player.tick(0)
        frame = player.tick(10 * S)
        assert frame.paused and frame.view.t_ns == 36 * S
        player.pause()
        assert player.tick(11 * S).view.t_ns == 5.5 * S, "a second after the replay's beginning, before the first phase"

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
            ("9" * 400, None),
            (f"{'9' * 5000}:00:00", None),
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

    def test_a_place_that_was_not_read_is_shown_at_once_and_exactly_later(self) -> None:
        records = list(run(900, period=2.0, finish=True))
        player = replayed(records, 700 * S)
        frame = player.frame()
        assert player.incomplete and frame.reading and frame.view.t_ns == 700 * S
        exact = folded(records, 700 * S)
        for part, whole in zip(frame.view.sessions, exact.sessions, strict=True):
            known = (
                "state",
                "cpus",
                "calls",
                "trap_rate",
                "trap",
                "direct",
                "cpu",
                "groups",
                "queries",
                "query_rate",
                "phases",
            )
            for name in known:
                assert getattr(part, name) == getattr(whole, name), name
            assert part.latency is None and part.statements == ()
            assert list(part.samples) == list(whole.samples)[-len(part.samples) :]
        heads = []
        while player.reading:
            frame = player.tick(0)
            heads.append(frame.head.t_ns)
            assert frame.view.t_ns == 700 * S
        assert len(heads) > 5 and heads == sorted(heads), "it was read in slices"
        assert not player.incomplete and essence(frame.view) == essence(exact)

    def test_what_is_not_known_yet_is_absent_and_never_wrong(self) -> None:
        records = list(run(900, period=2.0, finish=True))
        for t_ns in range(200 * S, 906 * S, 47 * S):
            player = replayed(records, t_ns)
            frame = player.frame()
            exact = folded(records, t_ns)
            assert player.incomplete
            for part, whole in zip(frame.view.sessions, exact.sessions, strict=True):
                for name in part.__struct_fields__:
                    if name not in ("samples", "work", "console", "cpu_history"):
                        assert getattr(part, name) in (None, (), getattr(whole, name)), name
                courses = dict(whole.cpu_history)
                for cpu, series in part.cpu_history:
                    assert list(series) == list(courses[cpu])[-len(series) :], cpu
            known, work = (equal_work(*view.pair) for view in (frame.view, exact) if view.pair)
            if known is not None and work is not None:
                assert (known.queries, known.left.total) == (work.queries, pytest.approx(work.left.total))

    def test_it_plays_and_steps_on_before_everything_is_read(self) -> None:
        records = list(run(900, period=2.0))
        player = replayed(records, 500 * S)
        player.step(5 * S)
        player.pause()
        for now_s in (0, 2, 2, 2):
            frame = player.tick(now_s * S)
        assert player.incomplete and frame.view.t_ns == 507 * S
        assert [s.cpus for s in frame.view.sessions] == [s.cpus for s in folded(records, 507 * S).sessions]
        player.pause()
        player.seek(20 * S)
        while player.incomplete:
            player.read()
        frame = player.frame()
        assert frame.reading and essence(frame.view) == essence(folded(records, 20 * S))

    def test_any_jump_is_whole_once_all_is_read_and_never_of_another_time(self) -> None:
        records = list(run(900, period=2.0))
        player = replayed(records)
        while player.reading:
            player.tick(0)
        dice = random.Random(5)
        for _ in range(6):
            t_ns = dice.randrange(0, 906 * S)
            player.seek(t_ns)
            view = player.frame().view
            assert view.t_ns == t_ns and essence(view) == essence(folded(records, t_ns))

    def test_all_landmarks_can_be_jumped_to_before_everything_is_read(self) -> None:
        records = list(run(900, period=2.0))
        player = replayed(records, 880 * S)
        found = player.frame().landmarks
        assert {landmark.text for landmark in found} == {"create", "insert", "delete", "select"}
        while player.reading:
            player.tick(0)
        assert player.frame().landmarks == found

    def test_a_source_that_fails_on_the_way_is_lost_and_what_is_known_stays(self) -> None:
        player = replayed(list(run(900, period=2.0)), 500 * S)
        player.tick(0)
        source = player.source
        assert isinstance(source, Long)
        source.fail = OSError("gone")
        source.poll = lambda: MemorySource.poll(source)  # type: ignore[method-assign]
        frame = player.tick(0)
        assert frame.lost == "gone" and not player.reading and frame.view.t_ns == 500 * S


@pytest.mark.parametrize("faster", [0, 3])
def test_going_back_while_it_plays_reaches_the_landmark_before(faster: int) -> None:
    player = Player(MemorySource(run(600, period=2.0)), at_ns=590 * S, replay=True)
    player.tick(0)
    player.set_speed(faster)
    reached = []
    for press in range(1, 4):
        player.jump(-1)
        reached.append(player.position_ns)
        player.tick(press * 800_000_000)  # the time until the next press
    assert reached == sorted(set(reached), reverse=True)
