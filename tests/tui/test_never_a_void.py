# SPDX-License-Identifier: GPL-2.0-or-later
"""Every view has something to show, and shows nothing that there is not."""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec
import pytest
from made_up_run import S, run
from test_callcost import watched
from test_one_session import drawn, monitor
from test_pictures import benched
from textual.events import Resize
from textual.geometry import Size
from tui_support import MemorySource, viewer

from kmltui.live.history import History
from kmltui.live.views import CPU_SYSTEM, CPU_TICKS, CPU_USER, Landmark
from kmltui.model import (
    Contention,
    Environment,
    Header,
    Latency,
    Progress,
    Record,
    Repeat,
    Sample,
    SessionSpec,
    Status,
    WorkloadSpec,
)
from kmltui.tui import themes
from kmltui.tui.draw import bars, timeline
from kmltui.tui.draw.chart import ChartColumns, Rates, Window
from kmltui.tui.glyphs import ASCII, CONSOLE, UNICODE, Glyphs
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas, Page
from kmltui.tui.pages.calls import CallsPage
from kmltui.tui.pages.cpus import CpusPage
from kmltui.tui.pages.environment import EnvironmentPage
from kmltui.tui.pages.live import LivePage
from kmltui.tui.pages.queries import QueriesPage
from kmltui.tui.player import Frame, Player
from kmltui.tui.text import plain, short
from kmltui.tui.widgets.keybar import unique_bindings


def frame(records: list[Record], vcpus: int) -> Frame:
    source = MemorySource(records, live=True)
    sessions = [SessionSpec(name=name, arm=name, vcpus=vcpus) for name in ("stock", "kml")]  # type: ignore[arg-type]
    source.header = Header(run="r", workload=WorkloadSpec(name="wisconsin", loops=1000), sessions=sessions)
    return Player(source).tick(0)


def text(page: Page, shown: Frame, size: tuple[int, int] = (80, 22)) -> str:
    return "\n".join(plain(line) for line in page.draw(shown, Canvas(*size, UNICODE, call_name)))


def braille(shown: str) -> int:
    return sum("⠀" < character <= "⣿" for character in shown)


def test_a_single_cpu_leaves_the_only_chart_to_the_calls() -> None:
    assert "system calls/s  " in text(LivePage(), frame(list(run(95, cpus=1)), 1))
    assert "CPU %  " in text(LivePage(), frame(list(run(95, cpus=2)), 2))


class TestCpus:
    def test_each_has_its_course(self) -> None:
        one, many = (text(CpusPage(), frame(list(run(95, cpus=cpus)), cpus), (120, 40)) for cpus in (1, 8))
        assert braille(one) > 100 and braille(many) > 100

    def test_the_course_is_that_of_the_samples(self) -> None:
        shown = frame(list(run(30)), 2).view.sessions[0]
        for cpu, series in shown.cpu_history:
            last, before = series.last, series.first
            assert last is not None and before is not None
            everything = last[CPU_TICKS] - before[CPU_TICKS]
            mean = (last[CPU_USER] - before[CPU_USER]) / everything
            assert 0 < mean < 1 and last[CPU_SYSTEM] >= before[CPU_SYSTEM], cpu

    def test_a_boot_takes_nothing_back(self) -> None:
        first = [record for record in run(20) if isinstance(record, Sample) and record.session == "stock"]
        later = [
            Sample(t_ns=each.t_ns + 30_000_000_000, session="stock", mono_ns=each.mono_ns % 10**9, cpus=each.cpus)
            for each in first[:3]
        ]
        shown = frame([*first, *later], 2).view.sessions[0]
        for cpu, series in shown.cpu_history:
            points = list(series)
            assert points[0][0] == first[0].t_ns and points[-1][0] == later[-1].t_ns, cpu
            assert all(b[CPU_TICKS] >= a[CPU_TICKS] for a, b in pairwise(points)), cpu


class TestAMonitor:
    def test_without_a_server_it_has_no_rows_of_queries(self) -> None:
        alone = [record for record in monitor(30) if not isinstance(record, Status)]
        live = drawn(LivePage(), alone, (120, 44))
        assert "queries/s" not in live and "latency" not in live
        assert "no server is watched" in drawn(QueriesPage(), alone)

    @pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 36), (160, 48)])
    def test_one_with_a_server_stands_beside_one_without(self, size: tuple[int, int]) -> None:
        shown = watched(list(monitor(30)))
        view = shown.view
        served = view.sessions[0]
        alone = msgspec.structs.replace(served, name="other", server=(), statements=(), latency=None, progress=None)
        header = msgspec.structs.replace(view.header, sessions=[view.header.sessions[0], SessionSpec(name="other")])
        for pair in ((served, alone), (alone, served)):
            both = msgspec.structs.replace(view, header=header, sessions=pair)
            rows = text(LivePage(), msgspec.structs.replace(shown, view=both), size).splitlines()
            assert len(rows) == size[1]

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_without_a_server_the_cpu_seconds_are_the_machines(self, width: int) -> None:
        alone = [
            msgspec.structs.replace(record, groups={}) if isinstance(record, Sample) else record
            for record in monitor(30)
            if not isinstance(record, Status)
        ]
        samples = [record for record in alone if isinstance(record, Sample)]
        ticks = [cpu.since(samples[0].cpus[number]) for number, cpu in samples[-1].cpus.items()]
        user, system = (sum(each[kind] for each in ticks) / 100 for kind in (0, 1))
        live = drawn(LivePage(), alone, (width, 30))
        row = next(line for line in live.splitlines() if line.startswith(" machine"))
        assert [float(word) for word in row.split()[1:]] == pytest.approx([user + system, user, system], abs=0.06)
        assert "no server is watched (--mysql)" in live

    def test_calls_that_are_not_counted_have_no_chart(self) -> None:
        assert "system calls/s  " not in drawn(LivePage(), monitor(30, counted=False), (160, 60)).split("log")[0]


def test_the_environment_says_in_one_number_what_the_processor_is_not_affected_by() -> None:
    lines = "\n".join(f"{name}: Not affected" for name in ("gds", "l1tf", "mds", "srbds"))
    host = {"mitigations": f"{lines}\nspectre_v1: Mitigation: usercopy"}
    shown = text(EnvironmentPage(), watched([Environment(t_ns=1, session="local", facts={})], host=host), (80, 40))
    assert "not affected by 4 others" in shown and "Not affected" not in shown


class TestBars:
    @pytest.mark.parametrize("glyphs", [UNICODE, CONSOLE, ASCII], ids=lambda glyphs: glyphs.name)
    def test_less_than_a_cell_is_a_mark_and_nothing_is_nothing(self, glyphs: Glyphs) -> None:
        def bar(value: float) -> str:
            return plain(bars.stacked((value, 0.0), 251_000, 18, glyphs, roles=("trap", "direct"), fine=False))

        assert bar(1_362) == glyphs.sliver + " " * 17
        assert bar(0) == " " * 18
        assert bar(251_000) == glyphs.full * 18


class TestWhatOneChose:
    async def test_chart_and_length_are_there_again_at_the_next_start(self) -> None:
        async with (app := viewer(run(95), live=True, theme=None)).run_test(size=(80, 24)) as pilot:
            app.pump(0)
            await pilot.press("c", "w", "T")
        kept = themes.remembered()
        assert kept.chart == "calls" and kept.window_s is not None and kept.theme == app.theme
        again = viewer(run(95), live=True, theme=None)
        async with again.run_test(size=(80, 24)):
            live = again.main.pages["live"]
            assert isinstance(live, LivePage) and (live.chart, live.window_s) == (kept.chart, kept.window_s)

    async def test_a_table_is_sorted_as_it_was(self) -> None:
        async with (app := viewer(run(95), live=True, theme=None)).run_test(size=(80, 24)) as pilot:
            app.pump(0)
            await pilot.press("t", "s", "S")
            calls = app.main.pages["calls"]
            assert isinstance(calls, CallsPage)
            sorted_by = calls.chosen
        again = viewer(run(95), live=True, theme=None)
        async with again.run_test(size=(80, 24)) as pilot:
            again.pump(0)
            calls = again.main.pages["calls"]
            await pilot.press("t")
            assert isinstance(calls, CallsPage) and calls.chosen == sorted_by == ("second", False)
            assert calls.columns[calls.sort].key == "second" and not calls.descending

    async def test_the_palette_holds_every_command(self) -> None:
        app = viewer(run(95), live=True)
        async with app.run_test(size=(80, 24)):
            said = {command.title.lower() for command in app.get_system_commands(app.screen)}
            wanted = [each for each in unique_bindings(app.main) if each.tooltip and "palette" not in each.action]
            assert {binding.tooltip.lower() for binding in wanted} <= said
            assert len(wanted) > 25


class TestByTheClockThatCountsInstructions:
    """The server is not asked while it works: there is no rate of queries."""

    def test_what_has_been_done_is_said_in_its_place(self) -> None:
        records = [record for record in run(95) if not isinstance(record, Status)]
        shown = frame(records, 2)
        assert "queries/s" not in text(LivePage(), shown).replace("queries/s  0", "")
        assert "queries  " in text(LivePage(), shown)
        assert "queries in all" in text(QueriesPage(), shown)

    def test_sides_at_different_statements_are_not_compared_as_a_whole(self) -> None:
        late = [
            each for each in run(95) if not (isinstance(each, Latency) and each.session == "kml" and each.t_ns > 6e10)
        ]
        shown = text(QueriesPage(), frame(late, 2)).splitlines()
        every = next(line for line in shown if "all statements" in line)
        assert "–" in every and "%" not in every


@pytest.mark.parametrize(("waited", "disturbed"), [(0.005, False), (0.2, True)])
def test_a_host_that_is_busy_with_something_else_is_said_to_be(waited: float, disturbed: bool) -> None:
    records: list[Record] = []
    for record in run(95):
        match record:
            case Sample():
                ran = record.t_ns // 2
                records.append(msgspec.structs.replace(record, contention=Contention(ran, int(ran * waited))))
            case Environment():
                records.append(msgspec.structs.replace(record, facts={**record.facts, "accelerator": "KVM"}))
            case _:
                records.append(record)
    assert ("the host is busy" in text(LivePage(), frame(records, 2))) is disturbed


def test_a_name_below_the_timeline_ends_where_the_next_one_begins() -> None:
    shown = frame(list(run(95, cpus=1)), 1)
    marks = (
        Landmark(0, "mark", "a long note that would reach far"),
        Landmark(10 * S, "phase", "load"),
        Landmark(50 * S, "mark", "alone"),
    )
    shown = msgspec.structs.replace(shown, landmarks=marks, live=False, duration_ns=100 * S)
    row = plain(timeline.draw(shown, 116, 2, UNICODE, {})[1])
    assert row.split() == f"{UNICODE.mark}a long no{UNICODE.wall}load {UNICODE.mark}alone".split()


class TestABench:
    """Stock and KML take turns; of ten pairs six are complete, and KML is at work."""

    @staticmethod
    def text(size: tuple[int, int] = (120, 40)) -> str:
        records = benched(6, planned=10)
        while not (isinstance(records[-1], Repeat) and records[-1].event == "begin"):
            records.pop()
        return text(LivePage(), frame(records, 2), size)

    def test_who_waits_says_who_is_at_work_and_what_its_turns_took(self) -> None:
        shown = self.text()
        assert "waits for its turn; stock is at work" in shown
        assert re.search(r"pair +6 +[\d.]+ s █+▒+", shown)

    def test_a_dot_a_pair_and_the_time_that_is_left(self) -> None:
        shown = self.text()
        assert "●●●●●·····" in shown
        # Turns of 4.5 s: of 22 there are 13 over.
        assert "about 45 s left" in shown


class TestCountedExactly:
    """A turn of a bench in exact mode: between its first sample and its last one nothing says how busy it is."""

    @staticmethod
    def frame(later_s: float) -> Frame:
        records = list(run(40, cpus=1))
        newest = max(record.t_ns for record in records)
        records.append(Progress(t_ns=newest + int(later_s * S), session="kml", phase="select", loop=3, loops=5))
        source = MemorySource(records, live=True)
        sessions = [SessionSpec(name=name, arm=name, vcpus=1, exact=True) for name in ("stock", "kml")]  # type: ignore[arg-type]
        source.header = Header(run="r", workload=WorkloadSpec(name="wisconsin", loops=1000), sessions=sessions)
        return Player(source).tick(0)

    def test_cpus_are_absent_once_the_newest_sample_is_old(self) -> None:
        fresh, old = self.frame(1), self.frame(20)
        assert " us " in text(LivePage(), fresh) and " us " not in text(LivePage(), old)
        for shown, absent in ((fresh, False), (old, True)):
            row = next(row for row in text(CpusPage(), shown).splitlines() if "cpu0" in row)
            assert (row.split() == ["cpu0", "–", "–"]) is absent

    def test_calls_are_counts(self) -> None:
        shown = self.frame(20)
        total = shown.view.sessions[0].trap
        assert total is not None
        drawn = text(LivePage(), shown, (120, 36))
        assert "syscalls/s" not in drawn and f"trap {short(total):>7}" in drawn


async def test_a_size_that_the_terminal_no_longer_has_is_not_laid_out() -> None:
    """It may be resized again before the screen gets to it. Both sizes would then take turns, without an end."""
    app = viewer(run(20), live=True, theme=None)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        laid_out: list[object] = []
        app.screen.screen_layout_refresh_signal.subscribe(app.screen, laid_out.append)
        app.screen.post_message(Resize(Size(60, 20), Size(60, 20)))
        await pilot.pause()
        assert not laid_out


def test_a_watched_server_is_not_set_beside_the_articles_machine() -> None:
    assert "the article" not in drawn(EnvironmentPage(), monitor(10), (120, 40))
    assert "the article" in text(EnvironmentPage(), frame(list(run(10)), 1), (120, 40))


def test_a_server_whose_process_is_out_of_sight_is_watched_all_the_same() -> None:
    assert "the server's own is not known" in drawn(LivePage(), monitor(30, remote=True), (80, 24))


def test_the_last_name_on_the_timeline_goes_on_below_the_time() -> None:
    shown = msgspec.structs.replace(frame(list(run(30)), 1), landmarks=[Landmark(59 * S, "phase", "modify")])
    assert plain(timeline.draw(shown, 100, 2, UNICODE, {})[1]).rstrip().endswith("modify")


def test_a_chart_is_drawn_anew_when_all_that_came_before_has_been_read() -> None:
    """A viewer that joins a long run first sees the last half a minute of it."""
    everything, lately = History(), History()
    for second in range(120):
        everything.append((second * S, second * S, 100.0 * second))
        if second >= 90:
            lately.append((second * S, second * S, 100.0 * second))
    columns, window, rates = ChartColumns(), Window(0, 180 * S), Rates((2,), 1, 1e9)
    assert columns.update(lately.series(), window, 18, rates)[:9] == [None] * 9
    assert columns.update(everything.series(), window, 18, rates)[:9] == [(pytest.approx(100.0),)] * 9
