# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of queries says what system calls come with them, and what they cost a server that is watched."""

from __future__ import annotations

import re

import pytest
from made_up_run import Side, run
from msgspec import structs
from test_one_session import monitor
from tui_support import MemorySource

from kmltui.figures.servercost import server_cost
from kmltui.model import (
    MONITOR,
    Environment,
    Header,
    KmlCounters,
    Progress,
    Record,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.pages.queries import QueriesPage
from kmltui.tui.player import Frame, Player
from kmltui.tui.text import plain

S = 1_000_000_000
TRAP = {"trap_ns": "100.0 to 200.0", "trap_cycles": "250 to 500", "call_ns": "1.00"}
OF_PROCESSES = "exact, of the session's processes, by a tracepoint"


def watched(records: list[Record], *, host: dict[str, str] = TRAP, calls: str = OF_PROCESSES) -> Frame:
    facts = Environment(t_ns=0, session="local", facts={"calls": calls})
    source = MemorySource([facts, *records], live=True)
    spec = SessionSpec(name="local", kind="local", vcpus=2)
    source.header = Header(run="m", workload=WorkloadSpec(name=MONITOR), sessions=[spec], kind="monitor", host=host)
    return Player(source).tick(0)


def shown(frame: Frame, page: QueriesPage | None = None) -> str:
    return "\n".join(plain(line) for line in (page or QueriesPage()).draw(frame, Canvas(100, 44, UNICODE, call_name)))


class TestAWatchedServer:
    """400 calls a second at 50 queries, 300 of them of one name; 0.3 of a CPU; a trap takes 100 to 200 ns."""

    def test_the_bound_is_calls_times_what_a_trap_takes_more_than_a_direct_call(self) -> None:
        frame = watched(monitor(30))
        found = server_cost(frame.view.sessions[0], TRAP)
        assert found is not None and found.share is not None
        assert found.per_s == pytest.approx(400) and found.per_query == pytest.approx(8)
        assert found.cores.high == pytest.approx(400 * (200 - 15) / 1e9)
        assert found.cores.low == pytest.approx(400 * (100 - 60) / 1e9)
        # Counting may have been part of the server's CPU time: without it the same is a greater part.
        assert found.share.high == pytest.approx(found.cores.high / (0.3 - 400 * 150 / 1e9))
        assert found.share.low == pytest.approx(found.cores.low / 0.3)

    def test_once_a_query_spares_what_is_made_oftener(self) -> None:
        found = server_cost(watched(monitor(30)).view.sessions[0], TRAP)
        assert found is not None
        assert found.names[0].per_query == pytest.approx(6)
        assert found.names[0].fewer_cores == pytest.approx((300 - 50) * 200 / 1e9)

    def test_it_is_on_the_screen_with_its_bounds_and_what_is_assumed(self) -> None:
        text = shown(watched(monitor(30)))
        assert "what system calls cost this server" in text
        assert re.search(r"400 calls a second, 8\.0 a query; here a trap takes 100 to 200 ns", text)
        assert "at most" in text and "at least" in text and "assumed: a direct call takes 15 to 60 ns" in text
        assert re.search(r"read +300 +6\.00", text)

    @pytest.mark.parametrize("width", [60, 80, 100, 160])
    def test_its_columns_never_touch_and_names_are_whole_where_there_is_room(self, width: int) -> None:
        rare = [
            structs.replace(
                each, kml=KmlCounters(trap_nr={0: 300 * (at := each.t_ns // S), 204: at, 203: (at + 1) // 2})
            )
            if isinstance(each, Sample)
            else each
            for each in monitor(30)
        ]
        lines = QueriesPage().draw(watched(rare), Canvas(width, 44, UNICODE, call_name))
        table = [plain(line) for line in lines][-44:]
        head = next(index for index, text in enumerate(table) if "at most" in text and "calls/s" in text)
        rows = [re.findall(r"\S+(?: %)?", text) for text in table[head + 1 : head + 4]]
        assert [len(row) for row in rows] == [5, 4, 4], rows
        assert [row[0] for row in rows] == ["read", "sched_getaffinity", "sched_setaffinity"] or width == 60

    def test_at_the_end_calls_and_queries_are_averages_of_the_whole_time(self) -> None:
        records = monitor(30)
        last = next(each for each in reversed(records) if isinstance(each, Sample))
        records[records.index(last)] = structs.replace(last, mark="end")
        text = shown(watched([*records, State(t_ns=30 * S, session="local", state="stopped")]))
        assert "queries/s 50 on average" in text
        assert "400 calls a second, 8.0 a query on average" in text and re.search(r"read +300 +6\.00", text)

    def test_calls_of_the_whole_machine_are_no_share_of_the_servers_time(self) -> None:
        text = shown(watched(monitor(30), calls="exact, of the whole host, by the KML module"))
        assert "cores" in text and "of its CPU time" not in text

    def test_without_a_server_it_is_the_machine_and_there_is_nothing_about_queries(self) -> None:
        text = shown(watched([record for record in monitor(30) if not isinstance(record, Status)]))
        assert "what system calls cost this machine" in text and "at most" in text
        assert "a query" not in text and "server" not in text.split("no server is watched")[1]

    def test_where_no_trap_was_timed_nothing_is_claimed(self) -> None:
        assert "cost this server" not in shown(watched(monitor(30), host={}))

    def test_why_no_trap_was_timed_is_said(self) -> None:
        text = shown(watched(monitor(30), host={"trap_untimed": "another run was going on"}))
        assert "what system calls cost is unknown" in text and "no trap was timed: another run was going on" in text

    def test_where_calls_are_not_counted_nothing_is_claimed(self) -> None:
        assert "cost this server" not in shown(watched(monitor(30, counted=False)))


class TestAWorkload:
    def test_calls_a_query_by_trap_and_directly_once_a_statement_has_lasted(self) -> None:
        sides = [Side("stock"), Side("kml", direct=0.99)]
        records = list(run(95, both=sides))
        source = MemorySource(records, live=True, now_s=64)
        player, page = Player(source), QueriesPage()
        assert "calls a query, just now" not in shown(player.tick(0), page), "it may have begun just now"
        source.write_until(67)
        text = shown(player.tick(3 * S), page)
        assert "calls a query, just now" in text
        row = re.search(r"pread64 +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)", text)
        assert row is not None
        stock_trap, stock_direct, kml_trap, kml_direct = map(float, row.groups())
        assert stock_direct == 0 and kml_direct > 50 * kml_trap
        assert stock_trap == pytest.approx(kml_trap + kml_direct, rel=0.1)

    def test_a_client_that_reports_seldom_is_counted_from_one_report_to_the_next(self) -> None:
        sides = [Side("stock"), Side("kml", direct=0.99)]
        seldom = [
            record
            for record in run(900, both=sides)
            if not isinstance(record, Status) and not (isinstance(record, Progress) and record.t_ns % (25 * S))
        ]
        source = MemorySource(seldom, live=True, now_s=376)
        player, page = Player(source), QueriesPage()
        shown(player.tick(0), page)
        source.write_until(430)
        text = shown(player.tick(3 * S), page)
        row = re.search(r"pread64 +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)", text)
        assert row is not None
        stock_trap, _, kml_trap, kml_direct = map(float, row.groups())
        assert stock_trap == pytest.approx(kml_trap + kml_direct, rel=0.1)

    def test_before_the_first_report_the_page_says_what_is_missing(self) -> None:
        player = Player(MemorySource(run(95), live=True, now_s=5))
        assert "no query has been reported yet" in shown(player.tick(0), QueriesPage())
