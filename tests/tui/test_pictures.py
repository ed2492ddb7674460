# SPDX-License-Identifier: GPL-2.0-or-later
"""What people see, one picture a story."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from made_up_run import S, boot, run
from msgspec.structs import replace
from textual.pilot import Pilot
from tui_support import MemorySource, MockControls, Picture, viewer

from kmltui.model import End, Gap, GroupCpu, Log, Mark, Measure, Phase, Progress, Record, Repeat, Sample, State
from kmltui.tui.app import ViewerApp
from kmltui.tui.glyphs import ASCII, COLOURLESS, CONSOLE
from kmltui.tui.player import Player


def until(records: Iterable[Record], seconds: float) -> list[Record]:
    return [record for record in records if getattr(record, "t_ns", 0) <= seconds * S]


class TestBothSessionsRun:
    @pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
    def test_at_every_size_the_room_is_used(self, picture: Picture, size: tuple[int, int]) -> None:
        assert picture(viewer(run(95), live=True), size=size)

    def test_on_60x20_it_says_what_is_left_out(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True), size=(60, 20))

    def test_in_a_smaller_terminal_it_says_what_it_needs(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True), size=(44, 10))

    def test_many_cpus_share_a_row(self, picture: Picture) -> None:
        assert picture(viewer(run(30, cpus=12), live=True))

    def test_the_charts_show_queries_first(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True), "c", "c", size=(80, 24))


class TestBeforeTheWorkload:
    def test_not_started(self, picture: Picture) -> None:
        records = [State(t_ns=0, session=name, state="waiting") for name in ("stock", "kml")]
        assert picture(viewer(records, live=True), size=(80, 24))

    def test_building_the_image_has_a_step_a_bar_and_a_time(self, picture: Picture) -> None:
        records: list[Record] = []
        for t, fraction in ((0, 0.0), (9, 0.37)):
            records += [
                State(
                    t_ns=t * S, session=name, state="image", detail="unpacking mariadb-server-core", fraction=fraction
                )
                for name in ("stock", "kml")
            ]
        assert picture(viewer(records, live=True), size=(80, 24))

    def test_booting_shows_the_console(self, picture: Picture) -> None:
        assert picture(viewer(until(boot(), 2.5), live=True), size=(80, 24))

    def test_loading_tables(self, picture: Picture) -> None:
        assert picture(viewer(until(boot(), 4.5), live=True))


def timed_calls() -> list[Record]:
    """Ten calls timed in both sessions, as the demonstration begins."""
    records = [record for record in run(2) if not isinstance(record, Progress | Phase)]
    times = {"getppid": (1204, 641), "read 1 byte": (1890, 1312), "write 1 byte": (1754, 1190), "stat": (4810, 4260)}
    times |= {"open, close": (9120, 8001), "futex wake": (1402, 820), "poll": (1733, 1145), "sched_yield": (1990, 1402)}
    times |= {"pipe, threads": (61_200, 60_100), "pipe, processes": (88_000, 86_900)}
    for session in ("stock", "kml"):
        records.append(Progress(t_ns=8 * S, session=session, phase="calls", loop=3, loops=20, fraction=0.15))
        for name, (trap, direct) in times.items():
            way, value = ("trap", float(trap)) if session == "stock" else ("direct", float(direct))
            values = {way: value, f"inline {way}": 0.8 * value}
            records.append(Measure(t_ns=8 * S, session=session, name=name, unit="ns", values=values))
    return records


class TestSingleCalls:
    def test_each_is_timed_by_trap_and_by_direct_call(self, picture: Picture) -> None:
        assert picture(viewer(timed_calls(), live=True))

    def test_on_80x24_they_take_the_charts_place(self, picture: Picture) -> None:
        assert picture(viewer(timed_calls(), live=True), size=(80, 24))


def benched(pairs: int, planned: int = 0) -> list[Record]:
    """Repetitions in the order A B B A: a warm-up and then ``pairs`` of them, a little different each time."""
    records = until(run(1), 7)
    t = 8.0
    counts = {"stock": 0.0, "kml": 0.0}
    for pair in range(pairs + 1):
        for order, name in enumerate(("stock", "kml") if pair % 2 else ("kml", "stock")):
            used = (10.0 + 0.1 * (pair * 7 % 5)) * (1.0 if name == "stock" else 0.967 + 0.004 * (pair * 3 % 4))
            for offset, mark in ((0.0, "start"), (4.0, "end")):
                if mark == "start":
                    turn = Repeat(
                        t_ns=int(t * S), session=name, pair=pair, event="begin", order=2 * pair + order, pairs=planned
                    )
                    records.append(turn)
                counts[name] += used * 1e6 if mark == "end" else 0
                total = int(counts[name])
                cpu = GroupCpu(total, int(total * 0.81), int(total * 0.19))
                at = int((t + offset) * S)
                sample = Sample(t_ns=at, session=name, mono_ns=at + 90 * S, mark=mark, groups={"server": cpu})
                records.append(sample)
            t += 4.5
            records.append(replace(turn, t_ns=int(t * S), event="end"))
    return records


class TestBench:
    def test_intervals_narrow_as_pairs_come_in(self, picture: Picture) -> None:
        assert picture(viewer(benched(6), live=True))

    def test_who_waits_for_its_turn_has_no_rates_of_the_last_one(self, picture: Picture) -> None:
        records = benched(6, planned=10)
        while not (isinstance(records[-1], Repeat) and records[-1].event == "begin"):
            records.pop()
        assert picture(viewer(records, live=True))

    def test_one_pair_has_no_interval(self, picture: Picture) -> None:
        assert picture(viewer(benched(1), live=True), size=(80, 24))


class TestTheEnd:
    def test_one_side_is_done_first(self, picture: Picture) -> None:
        assert picture(viewer(run(60, finish=True), live=True, now_s=63))

    def test_both_done_is_table_2_beside_the_articles(self, picture: Picture) -> None:
        assert picture(viewer(run(60, finish=True)))

    def test_both_done_on_80x24(self, picture: Picture) -> None:
        assert picture(viewer(run(60, finish=True)), size=(80, 24))


def failed(state: Any, detail: str, lines: Iterable[str]) -> list[Record]:
    records = list(run(30))
    t_ns = 36 * S + 1
    records += [Log(t_ns=t_ns, session="kml", source="console", text=text) for text in lines]
    records.append(State(t_ns=t_ns, session="kml", state=state, detail=detail))
    records.append(End(t_ns=t_ns + 1, status="failed", reason=f"kml: {detail}"))
    return records


class TestWhatGoesWrong:
    def test_a_guest_panics_and_its_last_lines_are_there(self, picture: Picture) -> None:
        lines = [
            "[   36.104412] BUG: unable to handle page fault for address: ffffc90000a3fff8",
            "[   36.104419] Oops: 0002 [#1] PREEMPT SMP NOPTI",
            "[   36.104425] RIP: 0010:asm_exc_page_fault+0x5/0x30",
            "[   36.104431] Kernel panic - not syncing: Fatal exception in interrupt",
        ]
        assert picture(viewer(failed("panicked", "Kernel panic - not syncing: Fatal exception in interrupt", lines)))

    def test_the_server_dies(self, picture: Picture) -> None:
        lines = ["mariadbd: got signal 11", "\x1b[31mred\x1b[0m and \x07 are shown, not obeyed"]
        records = failed("server-died", "mariadbd ended with signal 11", lines)
        assert picture(viewer(records), size=(80, 24))

    def test_the_connection_is_lost(self, picture: Picture) -> None:
        source = MemorySource(run(40), live=True, now_s=30)
        app = ViewerApp(Player(source), theme="kmltui-dark", threaded=False)

        async def lose(pilot: Pilot[Any]) -> None:
            source.fail = OSError("the stream ended before the run did")
            app.pump(1)

        assert picture(app, then=lose)

    def test_the_runner_was_killed(self, picture: Picture) -> None:
        assert picture(viewer(run(40)), size=(80, 24))

    def test_a_torn_recording_shows_the_gap(self, picture: Picture) -> None:
        records = [record for record in run(60) if not 40 * S < getattr(record, "t_ns", 0) < 52 * S]
        at = next(i for i, record in enumerate(records) if getattr(record, "t_ns", 0) >= 52 * S)
        records.insert(at, Gap(t_ns=46 * S, lost_bytes=21_300, reason="checksum mismatch"))
        assert picture(viewer(records, live=True, now_s=60))

    def test_a_warning_of_the_runner_is_in_sight(self, picture: Picture) -> None:
        warning = Log(
            t_ns=35 * S, session="", source="runner", text="the disk is full: recording ended", level="warning"
        )
        assert picture(viewer([*until(run(40), 35), warning], live=True), size=(80, 24))

    def test_no_sample_for_a_while(self, picture: Picture) -> None:
        late = Log(t_ns=55 * S, session="stock", source="console", text="INFO: task blocked for more than 10 seconds")
        assert picture(viewer([*until(run(60), 40), late], live=True), size=(80, 24))

    def test_no_sample_within_a_phase_that_is_counted_exactly(self, picture: Picture) -> None:
        source = MemorySource(
            [*until(run(60), 40), Progress(t_ns=55 * S, session="kml", phase="select", loop=3, loops=5)], live=True
        )
        exact = [replace(spec, exact=True) for spec in source.header.sessions]
        source.header = replace(source.header, sessions=exact)
        assert picture(ViewerApp(Player(source), theme="kmltui-dark", threaded=False), size=(100, 24))


class TestReplay:
    def records(self) -> list[Record]:
        records = list(run(90, finish=True))
        at = next(i for i, record in enumerate(records) if getattr(record, "t_ns", 0) >= 50 * S)
        records.insert(at, Mark(t_ns=50 * S, note="the cache is warm", author="anna"))
        return records

    def test_paused_in_the_middle(self, picture: Picture) -> None:
        assert picture(viewer(self.records(), at_s=48))

    def test_jumped_to_the_mark_and_faster(self, picture: Picture) -> None:
        assert picture(viewer(self.records(), at_s=45), "right_square_bracket", "plus", "plus")

    def test_gone_back_in_a_live_run(self, picture: Picture) -> None:
        assert picture(viewer(self.records(), live=True, now_s=70), "left", "left", "left", size=(80, 24))

    def test_paused_in_a_live_run(self, picture: Picture) -> None:
        app = viewer(self.records(), live=True, now_s=60)

        async def pause_and_wait(pilot: Pilot[Any]) -> None:
            await pilot.press("space")
            source = app.source
            assert isinstance(source, MemorySource)
            source.write_until(70)
            app.pump(10 * S)

        assert picture(app, then=pause_and_wait, size=(80, 24))


class TestViews:
    def test_system_calls(self, picture: Picture) -> None:
        assert picture(viewer(run(60), live=True), "t", size=(140, 30))

    def test_system_calls_sorted_by_name_and_filtered(self, picture: Picture) -> None:
        async def only_send(pilot: Pilot[Any]) -> None:
            await pilot.press("slash", "r", "e", "enter")

        assert picture(viewer(run(60), live=True), "t", "S", then=only_send, size=(80, 24))

    def test_sixteen_cpus(self, picture: Picture) -> None:
        assert picture(viewer(run(30, cpus=16), live=True), "3", size=(100, 24))

    def test_queries_by_statement(self, picture: Picture) -> None:
        assert picture(viewer(run(90), live=True), "4")

    def test_log(self, picture: Picture) -> None:
        assert picture(viewer(run(60), live=True), "5", size=(80, 24))

    def test_environment_beside_the_articles(self, picture: Picture) -> None:
        assert picture(viewer(run(60), live=True), "6")

    def test_report(self, picture: Picture) -> None:
        assert picture(viewer(run(60, finish=True)), "r")


class TestQuestions:
    def test_help_names_every_key(self, picture: Picture) -> None:
        assert picture(viewer(run(30), live=True), "question_mark", size=(110, 44))

    def test_a_mark_asks_for_a_note(self, picture: Picture) -> None:
        assert picture(viewer(run(30), live=True, controls=MockControls()), "m", size=(80, 24))

    def test_quitting_a_live_run_asks_what_becomes_of_it(self, picture: Picture) -> None:
        assert picture(viewer(run(30), live=True, controls=MockControls()), "q", size=(80, 24))

    def test_a_time_that_is_none_is_explained(self, picture: Picture) -> None:
        assert picture(viewer(run(60, finish=True), at_s=20), "g", "x", "enter", size=(80, 24))


class TestLooks:
    def test_light(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True, theme="kmltui-light"))

    def test_high_contrast(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True, theme="kmltui-contrast"))

    def test_the_terminals_own_16_colours(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True, theme="kmltui-ansi"))

    def test_the_linux_console(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True, theme="kmltui-ansi", glyphs=CONSOLE), size=(80, 24))

    def test_no_unicode(self, picture: Picture) -> None:
        assert picture(viewer(run(95), live=True, glyphs=ASCII), size=(80, 24))

    def test_no_colour(self, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        assert picture(viewer(run(95), live=True, theme="kmltui-ansi", glyphs=COLOURLESS), size=(80, 24))
