# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen says no more than the report would: when figures are compared, and what is left of them at the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest
from made_up_run import S, run
from test_callcost import watched
from test_never_a_void import text
from test_one_session import drawn, monitor
from test_pictures import benched, timed_calls
from tui_support import MemorySource

from kmltui import paths
from kmltui.figures import card
from kmltui.figures.card import CardLine
from kmltui.figures.statements import Calls, StatementCalls
from kmltui.figures.summarise import summarise
from kmltui.live.recent import RATE_WINDOW_NS
from kmltui.live.views import LatencyView, Seconds, Snapshot
from kmltui.model import (
    END,
    Environment,
    KmlCounters,
    Latency,
    Progress,
    Record,
    Sample,
    State,
    StatementCount,
    WorkloadSpec,
)
from kmltui.recording import Reader
from kmltui.tui.draw import bars, endcard, header, judging
from kmltui.tui.draw.judging import counted_phases
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.pages.calls import CallsPage
from kmltui.tui.pages.live import SINGLE_CALLS, LivePage
from kmltui.tui.pages.projector import ProjectorPage
from kmltui.tui.pages.queries import QueriesPage
from kmltui.tui.pages.report import make_outcome
from kmltui.tui.player import Frame, Player
from kmltui.tui.text import ABSENT, done, plain, width

CHANGE = re.compile(r"[\d.]+ % (more|less)")


def frame(records: list[Record]) -> Frame:
    return Player(MemorySource(records, live=True)).tick(0)


def on_hardware(records: list[Record]) -> list[Record]:
    """As under KVM, where a second is a second."""
    return [
        msgspec.structs.replace(each, facts={**each.facts, "accelerator": "KVM"})
        if isinstance(each, Environment)
        else each
        for each in records
    ]


def shipped(name: str, at: float) -> Frame:
    """A recording that comes with kmltui, at a part of its duration."""
    with Reader.open(paths.data_dir("recordings") / f"{name}.kmlrec") as reader:
        player = Player(reader, replay=True)
        player.seek(int(player.duration_ns * at))
        return player.tick(0)


class TestWhileTheyWork:
    def test_rates_are_compared_after_a_full_window_in_the_same_statement_on_both_sides(self) -> None:
        source = MemorySource(on_hardware(list(run(60))), live=True)
        player, page = Player(source), LivePage()
        since: dict[str, tuple[tuple[str, int] | None, int]] = {}
        compared = {True: 0, False: 0}
        for step in range(30, 120):
            source.write_until(step / 2)
            shown = player.tick(step * S // 2)
            text_now = text(page, shown, (120, 40))
            for session in shown.view.sessions:
                part = (session.progress.phase, session.progress.statement) if session.progress else None
                if since.get(session.name, (None, 0))[0] != part or session.name not in since:
                    since[session.name] = (part, shown.view.t_ns)
            (a, a_ns), (b, b_ns) = since["stock"], since["kml"]
            abreast = a == b and shown.view.t_ns - max(a_ns, b_ns) >= RATE_WINDOW_NS
            compared[abreast] += 1
            queries = next(line for line in text_now.splitlines() if line.startswith("queries/s"))
            assert bool(CHANGE.search(queries)) == abreast, (step, a, b, queries)
        assert compared[True] > 5 and compared[False] > 5

    def test_what_comes_before_the_last_timed_calls_does_not_count(self) -> None:
        demo = WorkloadSpec(name="demo", phases=["dd", "calls", "select", "change"], timing_phases=["calls"])
        assert counted_phases(demo) == ["select", "change"]
        assert counted_phases(WorkloadSpec(name="wisconsin", phases=["create", "select"])) == ["create", "select"]

    def test_nothing_is_compared_before_both_are_past_the_warm_up(self) -> None:
        ahead = Progress(t_ns=9 * S, session="kml", phase="select", statement=1, queries=50, fraction=0.2)
        shown = text(LivePage(), frame([*timed_calls(), ahead]))
        assert "Warming up" in shown
        assert "saved" not in shown[shown.index("CPU seconds") :]

    @pytest.mark.parametrize("name", ["bench-exact-wisconsin", "wisconsin"])
    @pytest.mark.parametrize("at", [0.3, 0.6, 0.65, 0.9, 1.0])
    def test_where_instructions_are_the_clock_there_are_no_queries_by_the_wall_s(self, name: str, at: float) -> None:
        shown = shipped(name, at)
        for page in (LivePage(), QueriesPage(), ProjectorPage()):
            assert "queries/s" not in text(page, shown, (160, 48))

    @pytest.mark.parametrize(
        ("name", "span"), [("bench-exact-wisconsin", "in this repetition"), ("wisconsin", "in all")]
    )
    def test_it_is_said_which_queries_are_counted(self, name: str, span: str) -> None:
        assert f"queries {span}  " in text(QueriesPage(), shipped(name, 1.0), (160, 48))

    def test_latencies_are_compared_once_both_have_some_of_the_same_statement(self) -> None:
        records = [each for each in on_hardware(list(run(60))) if getattr(each, "t_ns", 0) <= 19.5 * S]
        shown = frame(records)
        (at,) = {session.progress.statement for session in shown.view.sessions if session.progress}
        assert at and "p50 saved" in text(LivePage(), shown, (120, 28))
        assert re.search(r"saved  +p50 +\S+ %  p95 +\S+ %  p99 +\S+ %", text(LivePage(), shown, (120, 40)))
        late = [
            each
            for each in records
            if not (isinstance(each, Latency) and each.session == "stock" and each.statement == at)
        ]
        for height in (28, 40):
            rows = text(LivePage(), frame(late), (120, height)).splitlines()
            (first,) = (number for number, row in enumerate(rows) if row.startswith("latency"))
            assert "saved" not in "".join(rows[first : first + 2])

    def test_the_tail_of_latencies_is_judged_as_the_median_is(self) -> None:
        page, shown = QueriesPage(), frame(on_hardware(list(run(95))))
        text(page, shown, (160, 40))
        titles = [column.title for column in page.columns]
        rows = page.rows(shown, Canvas(160, 40, UNICODE, call_name))
        judged = {row.cells[titles.index(f"saved {which}")][1] for row in rows for which in ("p50", "p95", "p99")}
        assert judged <= {"muted", "faint"}, "what the report gives no verdict on has no colour"
        for row in rows:
            told = [row.cells[titles.index(f"saved {which}")][0] for which in ("p50", "p95", "p99")]
            assert len({each == ABSENT for each in told}) == 1

    def test_the_time_that_is_left_stands_beside_what_is_done(self) -> None:
        shown = frame(list(run(60))[: len(list(run(60))) // 2])
        assert re.search(r"%  about \d+ (s|min) left", text(LivePage(), shown, (120, 40)))

    @pytest.mark.parametrize("at_s", [None, 20])
    def test_nothing_is_left_of_a_run_whose_runner_was_killed(self, at_s: int | None) -> None:
        building = State(t_ns=S, session="stock", state="image", detail="unpacking", fraction=0.3, left_s=90.0)
        for records in (list(run(40)), benched(6, planned=10)[:-1], [building]):
            player = Player(MemorySource(records), replay=at_s is not None)
            if at_s is not None:
                player.seek(at_s * S)
            shown = text(LivePage(), player.tick(0), (120, 40))
            assert " left" not in shown
            assert " left" in text(LivePage(), Player(MemorySource(records, live=True)).tick(0), (120, 40))

    def test_of_a_bench_the_calls_page_has_totals_because_only_one_session_works(self) -> None:
        records = benched(6, planned=10)[:-1]
        shown = text(CallsPage(), frame(records), (120, 30)).splitlines()
        assert "/s" not in " ".join(shown[:2]) and "fewer" not in shown[1]

    def test_a_split_of_few_ticks_is_not_compared(self) -> None:
        def saved(user: tuple[float, float]) -> str:
            seconds = [Seconds(1.0, each, 1.0 - each) for each in user]
            view = frame(list(run(60))).view
            return "yes" if judging.splits_differ(view, seconds[:1], seconds[1:]) else "no"

        assert saved((0.80, 0.82)) == "no", "200 ticks tell a share to some points"
        assert saved((0.60, 0.90)) == "yes"
        early = text(LivePage(), shipped("tour", 0.565))
        rows = {line.split()[0]: line.split() for line in early.splitlines() if line[:7].strip() in ("total", "user")}
        assert rows["total"][3] != ABSENT and rows["user"][3] == ABSENT


class TestAtTheEnd:
    @pytest.mark.parametrize("name", ["wisconsin", "point-select", "syscalls", "tour"])
    def test_the_strip_compares_what_the_report_compares(self, name: str) -> None:
        with Reader.open(paths.data_dir("recordings") / f"{name}.kmlrec") as reader:
            saved = summarise(reader.records()).saved
        strip = text(LivePage(), shipped(name, 1.0))
        total = next((line for line in strip.splitlines() if line.startswith(" total")), None)
        if saved is None or saved.total is None or "Not compared" in strip:
            assert total is None
        else:
            assert total is not None and total.split()[3] == f"{100 * saved.total:.1f}".replace("-", "−")

    def test_single_calls_stay_one_key_away_when_their_phase_is_over(self) -> None:
        later = [
            Progress(t_ns=20 * S, session=session, phase="select", statement=1, queries=90, fraction=0.3)
            for session in ("stock", "kml")
        ]
        shown, page = frame([*timed_calls(), *later]), LivePage()
        assert "getppid" not in text(page, shown)
        for _ in range(6):
            page.next_chart()
            if page.chart == SINGLE_CALLS:
                break
        assert "getppid" in text(page, shown)

    def test_calls_are_totals_and_sorted_by_them(self) -> None:
        page = CallsPage()
        shown = text(page, frame(list(run(60, finish=True))), (120, 30))
        assert "/s" not in shown
        assert page.columns[page.sort].key == "first" and page.descending
        counts = [int(line.split()[1].replace(",", "")) for line in shown.splitlines()[3:] if line.strip()]
        assert counts == sorted(counts, reverse=True) and len(counts) > 3

    @pytest.mark.parametrize("width", [60, 80, 96, 120, 160])
    def test_while_it_runs_rates_and_totals_are_told_apart_and_nothing_is_compared(self, width: int) -> None:
        page = CallsPage()
        head = text(page, frame(list(run(60))), (width, 30)).splitlines()[1]
        assert "stock/s" in head and "stock in all" in head and "kml in all" in head
        assert "fewer" not in head, "only totals of the same work are compared"
        assert "fewer" in text(page, frame(list(run(60, finish=True))), (width, 30)).splitlines()[1]

    def test_the_card_is_shown_whole_on_80x24(self) -> None:
        page = LivePage()
        page.card = [
            CardLine("calls", "Without a trap", "99.8 % of 45,491 system calls", "73 trapped; counted, each one"),
            CardLine("call", "One call", "getppid, 339 instructions by trap, 99 directly: 3.4 times as many"),
            CardLine("measured", "Measured", "KML saved 19.07 % of instructions, 95 % interval 18.99 to 19.15 %"),
            CardLine("estimate", "Estimate", "19.5 to 44.1 % of CPU time (14.1 to 49.5), not measured", "x" * 200),
        ]
        shown = " ".join(text(page, frame(list(run(60, finish=True)))).split())
        for line in page.card:
            assert f"{line.label} {line.text}" in shown

    @pytest.mark.parametrize("rows", range(4, 9))
    def test_a_line_of_the_card_that_is_cut_says_so(self, rows: int) -> None:
        card = [
            CardLine("calls", "Without a trap", "one " * 20),
            CardLine("call", "One call", "two " * 20),
            CardLine("estimate", "Estimate", "21.1 to 53.3 % of CPU time (16.0 to 58.4), " + "not measured " * 4),
        ]
        last = [plain(line).rstrip() for line in endcard.draw(card, 60, rows, UNICODE)][rows]
        assert last.endswith("…") == (rows in (5, 6)), "the lines take two, two and three rows"

    @pytest.mark.parametrize("name", ["wisconsin", "syscalls", "bench-exact-wisconsin"])
    def test_on_60x20_an_estimate_is_not_shown_without_saying_that_it_is_one(self, name: str) -> None:
        page = LivePage()
        with Reader.open(paths.data_dir("recordings") / f"{name}.kmlrec") as reader:
            page.card = card.card(summarise(reader.records()))
        shown = " ".join(text(page, shipped(name, 1.0), (60, 17)).split())
        assert "Estimate" in shown and "not measured" in shown

    def test_the_panels_count_the_same_calls_as_the_card(self) -> None:
        with Reader.open(paths.data_dir("recordings") / "point-select.kmlrec") as reader:
            outcome = make_outcome(reader)
            kml = summarise(reader.records()).sessions["kml"].syscalls
        assert kml is not None and kml.agent and kml.agent > kml.trap > 0, "without the agent's own there are far fewer"
        raw = shipped("point-select", 1.0)
        panel = outcome.settle(raw).view.sessions[-1]
        before = raw.view.sessions[-1]
        assert before.trap is not None and before.trap > kml.agent
        assert (panel.trap, panel.direct) == (kml.trap, kml.direct)
        assert (sum(each.trap for each in panel.calls), sum(each.direct for each in panel.calls)) == (
            kml.trap,
            kml.direct,
        )
        page = CallsPage()
        shown = text(page, outcome.settle(raw), (120, 40))
        assert f"→ {kml.trap:,} " in shown.splitlines()[0] and f"{kml.trap:,} trapped" in " ".join(
            f"{each.text} {each.more}" for each in outcome.card
        )
        running = shipped("point-select", 0.5)
        assert outcome.settle(running) is running, "while it works, what the samples say is shown"

    def test_single_calls_of_a_bench_are_the_report_s_means_at_its_end(self) -> None:
        with Reader.open(paths.data_dir("recordings") / "bench-exact-syscalls.kmlrec") as reader:
            outcome, means = make_outcome(reader), summarise(reader.records()).sessions["kml"].measures
        shown = outcome.settle(shipped("bench-exact-syscalls", 1.0)).view
        values = {each.name: {"unit": means[each.name]["unit"], **each.values} for each in shown.measures
                  if each.session == "kml"}  # fmt: skip
        assert values == means and "open and close" in values

    def test_both_large_numbers_have_the_same_size(self) -> None:
        shown = text(ProjectorPage(), shipped("wisconsin", 1.0)).splitlines()
        left, right = ({len(run) for run in re.findall("█+", "".join(row[a:b] for row in shown[3:8]))}
                       for a, b in ((0, 38), (41, 80)))  # fmt: skip
        assert min(left) == min(right) == 1


class TestWithoutQueries:
    """Single calls are timed, or a program runs: nothing is asked of a server."""

    @pytest.mark.parametrize(("name", "queries"), [("syscalls", False), ("peers-dd", False), ("wisconsin", True)])
    def test_no_queries_are_announced_while_it_boots(self, name: str, queries: bool) -> None:
        soon = " ".join(text(LivePage(), shipped(name, 0.03), (120, 40)).replace("│", " ").split())
        assert "To be seen" in soon and ("latency" in soon) == queries

    @pytest.mark.parametrize("name", ["syscalls", "peers-dd"])
    def test_there_are_no_empty_rows_and_no_empty_page(self, name: str) -> None:
        shown = shipped(name, 1.0)
        live = text(LivePage(), shown)
        assert "queries" not in live and "latency" not in live
        assert "makes no queries" in text(QueriesPage(), shown)

    def test_only_this_machine_is_watched(self) -> None:
        shown = drawn(LivePage(), [each for each in monitor() if not hasattr(each, "counters")], (80, 22))
        assert "queries" not in shown


class TestCallsByStatement:
    """Two statements of 20 s and one of a second; a query a second; stock traps 10 times a query, KML once."""

    @staticmethod
    def records() -> list[Record]:
        result: list[Record] = []
        for session, trap, direct in (("stock", 10, 0), ("kml", 1, 9)):
            for half in range(83):
                t = half / 2
                statement = 1 if t < 20 else 2 if t < 21 else 3
                kml = KmlCounters(trap_nr={0: int(trap * t)}, direct_nr={0: int(direct * t)})
                mark = END if half == 82 else ""
                at = int(t * S)
                result.append(Sample(t_ns=at + 2, session=session, mono_ns=at + 2, mark=mark, kml=kml))
                result.append(
                    Progress(t_ns=at + 1, session=session, phase="select", statement=statement, queries=int(t))
                )
        return sorted(result, key=lambda each: each.t_ns)  # type: ignore[union-attr]

    def test_they_are_those_between_its_beginning_and_its_end(self) -> None:
        calls = StatementCalls()
        assert len(list(calls.listening(self.records()))) == len(self.records())
        stock, kml = calls.a_query("stock"), calls.a_query("kml")
        assert set(stock) == set(kml) == {1, 3}, "the second is too short"
        assert stock[1][0].trap == pytest.approx(10, rel=0.05) and stock[1][0].direct == 0
        assert kml[3][0].trap == pytest.approx(1, rel=0.1) and kml[3][0].direct == pytest.approx(9, rel=0.1)

    def test_what_the_client_has_counted_is_taken_however_short_the_statement(self) -> None:
        counts = [
            StatementCount(t_ns=S, session="kml", statement=1, queries=4, trap={0: 2}, direct={0: 10, 17: 8}),
            StatementCount(t_ns=2 * S, session="kml", statement=2, queries=1, direct={44: 3}),
            StatementCount(t_ns=3 * S, session="kml", statement=1, queries=1, direct={0: 3}),
            StatementCount(t_ns=4 * S, session="kml", statement=9, queries=0, direct={0: 3}),
        ]
        calls = StatementCalls()
        for record in [*self.records(), *counts]:
            calls.hear(record)
        kml = calls.a_query("kml")
        assert set(kml) == {1, 2, 3}
        assert kml[1] == {0: Calls(2 / 5, 13 / 5), 17: Calls(0, 8 / 5)} and kml[2] == {44: Calls(0, 3)}

    def test_the_page_has_them_when_the_run_is_over(self) -> None:
        page, shown = QueriesPage(), shipped("wisconsin", 1.0)
        with Reader.open(paths.data_dir("recordings") / "wisconsin.kmlrec") as reader:
            page.calls = calls = StatementCalls()
            for record in reader.records():
                calls.hear(record)
        lines = text(page, shown, (120, 60)).splitlines()
        at = next(index for index, line in enumerate(lines) if "calls a query, by statement" in line)
        assert lines[at + 1].split()[0] == "read"
        assert re.match(r"  2  1000 rows by unique1 +2,0\d\d → \d", lines[at + 3])
        assert re.match(r" 24  update of a key 6 +2\.0 → 0", lines[at + 25]), "counted, however short it is"

    def test_while_it_runs_the_page_has_those_that_have_come_to_their_end(self) -> None:
        def rows(shown: Frame, page: QueriesPage) -> dict[str, str]:
            lines = text(page, shown, (120, 60)).splitlines()
            at = next((n for n, line in enumerate(lines) if "calls a query, by statement" in line), len(lines))
            return {row[:38]: row[38:74] for row in lines[at + 2 :] if re.match(r" {1,2}\d+  ", row)}

        assert not rows(shipped("wisconsin", 0.05), QueriesPage()), "the first has only begun"
        running, over = (shipped("wisconsin", part) for part in (0.45, 1.0))
        page = QueriesPage()
        with Reader.open(paths.data_dir("recordings") / "wisconsin.kmlrec") as reader:
            page.calls = StatementCalls()
            for record in reader.records():
                page.calls.hear(record)
        so_far, at_the_end = rows(running, QueriesPage()), rows(over, page)
        assert len(so_far) == 6 and "the other 18 have not come to their end" in text(QueriesPage(), running, (120, 60))
        assert all(at_the_end[statement] == figures for statement, figures in so_far.items())
        assert rows(running, page) == so_far, "also in a replay, whose end is known"


class TestAWatchedServer:
    def test_the_estimate_is_a_line_of_the_live_view(self) -> None:
        shown = text(LivePage(), watched(monitor()), (110, 30))
        assert re.search(r"Estimate, not measured: ring 0 would save 0\.0\d+ to 0\.0?\d+ % of the server's CPU", shown)


class TestAGuestThatBoots:
    def test_silence_is_no_alarm_and_time_goes_on(self) -> None:
        records: list[Record] = [
            State(t_ns=S, session=name, state="booting", detail="Debian") for name in ("stock", "kml")
        ]
        player = Player(MemorySource(records, live=True))
        player.tick(0)
        shown = player.tick(16 * S)
        assert shown.view.t_ns == 17 * S
        assert "00:16" in text(LivePage(), shown)
        assert header.banner(shown, 80, UNICODE) is None
        assert "WAITING" not in "".join(each for each, _ in header.draw(shown, 80, UNICODE))

    def test_after_minutes_it_is(self) -> None:
        player = Player(MemorySource([State(t_ns=S, session="kml", state="booting")], live=True))
        player.tick(0)
        assert header.banner(player.tick(200 * S), 80, UNICODE) is not None


@pytest.mark.parametrize(("number", "compared"), [(1, 0), (10, 1), (20, 2), (100, 3)])
def test_a_percentile_of_a_few_queries_is_compared_with_nothing(number: int, compared: int) -> None:
    before, after = (LatencyView(us, us, us, us, us, number) for us in (1000, 900))
    told = judging.latency_saved(before, after)
    assert told == tuple(pytest.approx(0.1) if place < compared else None for place in range(3))
    assert judging.latency_saved(before, None) == judging.latency_saved(None, after) == (None, None, None)


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0.0, "  0 %"),
        (0.999, " 99 %"),
        (1.0, "100 %"),
        (float("nan"), "  0 %"),
        (float("inf"), "100 %"),
        (-3.0, "  0 %"),
    ],
)
def test_how_much_is_done_is_100_only_at_the_end_and_a_percentage_whatever_is_recorded(
    fraction: float, said: str
) -> None:
    assert done(fraction) == said
    assert width(bars.progress(fraction, 20, UNICODE)) == 20


def test_what_starts_commands_does_not_make_them_run_in_ring_3() -> None:
    view = shipped("wisconsin", 1.0).view
    assert judging.not_kml(view) is None

    def with_calls(programs: tuple[int, int] | None) -> Snapshot:
        """As after 100 executions of ``true``."""
        sessions = [
            msgspec.structs.replace(each, trap=4300, direct=1600, programs=programs) if each.arm == "kml" else each
            for each in view.sessions
        ]
        return msgspec.structs.replace(view, sessions=tuple(sessions), measures=())

    assert judging.not_kml(with_calls((100, 1600))) is None
    assert judging.not_kml(with_calls((1600, 100))) is not None
    assert judging.not_kml(with_calls(None)) is not None


def in_ring_3(records: Iterable[Record]) -> list[Record]:
    """The same run, but all calls of the KML session trap."""

    def trapping(record: Record) -> Record:
        if not isinstance(record, Sample) or record.session != "kml" or record.kml is None:
            return record
        both = dict(Counter(record.kml.trap_nr) + Counter(record.kml.direct_nr))
        kml = msgspec.structs.replace(record.kml, trap_nr=both, direct_nr={}, direct_cpu={}, programs={})
        return msgspec.structs.replace(record, kml=kml)

    return [trapping(record) for record in records]


@pytest.mark.parametrize("size", [(60, 18), (80, 22), (160, 46)])
@pytest.mark.parametrize("finish", [False, True])
def test_a_kml_session_in_ring_3_is_said_to_be_so_before_anything_is_compared(
    size: tuple[int, int], finish: bool
) -> None:
    source = MemorySource(in_ring_3(run(60, finish=finish)), live=not finish)
    page = LivePage()
    page.card = make_outcome(source).card if finish else None
    shown = text(page, Player(source).tick(0), size)
    assert re.search(r"(kml|KML) (runs|ran) in ring 3: (0 of|none of)", shown), shown
    own = "".join(row for row in shown.splitlines(keepends=True) if "The article" not in row)
    assert not re.search(r"KML saved|saved +\d", own), shown
