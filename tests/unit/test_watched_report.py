# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a server that was watched tells what was recorded of it, and nothing of a KML that was not there."""

from __future__ import annotations

import json

import pytest
from run_samples import MONITORED, watched

from kmltui.figures.servercost import server_cost
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.live.store import Store
from kmltui.model import (
    MAX_DIGESTS,
    Digest,
    Inside,
    Record,
    Sample,
    Status,
)
from kmltui.report import render
from kmltui.report.playable.frames import course

S = 1_000_000_000


def digest(name: str, calls: int) -> Digest:
    return Digest(name, "shop", f"SELECT {name}", calls, calls * 1000, calls * 3, calls, 0)


def said(summary: Summary, form: str) -> str:
    return " ".join(render(summary, form).split())


class TestItsSystemCalls:
    def test_calls_that_began_to_count_after_the_beginning_are_all_told_by_name(self) -> None:
        summary = summarise(watched())
        calls = summary.sessions["local"].syscalls
        assert calls is not None and calls.trap == 19 * 400
        assert {name: each.trap for name, each in calls.by_name.items()} == {"read": 19 * 300, "write": 19 * 100}
        assert "7,600" in said(summary, "text") and "5,700" in said(summary, "text")

    @pytest.mark.parametrize("form", ["text", "markdown", "html"])
    def test_what_they_cost_is_in_every_form_with_bounds_and_assumptions(self, form: str) -> None:
        text = said(summarise(watched()), form)
        assert "What system calls cost this server" in text
        assert "400 calls a second, 8.0 a query on average, where a trap takes 100 to 200 ns" in text
        assert "at least" in text and "at most" in text and "Assumed: a direct call takes 15 to 60 ns" in text

    def test_programs_get_the_same_figures(self) -> None:
        cost = json.loads(render(summarise(watched()), "json"))["server_cost"]
        assert cost["per_s"] == pytest.approx(400) and cost["per_query"] == pytest.approx(8)
        assert cost["cores"]["high"] == pytest.approx(400 * (200 - 15) / 1e9)
        assert cost["share"]["low"] == pytest.approx(400 * (100 - 60) / 1e9 / 0.3)
        assert [each["name"] for each in cost["names"]] == ["read", "write"]
        assert cost["names"][0]["fewer_cores"] == pytest.approx((300 - 50) * 200 / 1e9)

    def test_the_time_before_its_server_was_found_is_not_averaged_over(self) -> None:
        cost = summarise(watched(found_s=10)).server_cost
        assert cost is not None and cost.per_s == pytest.approx(400)

    def test_at_the_end_the_screen_has_the_report_s_averages(self) -> None:
        records = watched()
        store = Store(MONITORED)
        store.extend(records)
        (view,) = store.at().sessions
        shown, told = server_cost(view, MONITORED.host), summarise(records).server_cost
        assert view.query_rate is None and shown is not None and told is not None
        assert (shown.per_s, shown.per_query, shown.names) == (told.per_s, told.per_query, told.names)
        assert shown.share is not None and told.share is not None
        assert shown.share.high == pytest.approx(told.share.high)

    def test_a_call_made_as_often_as_queries_has_nothing_to_spare(self) -> None:
        records = watched()
        often = [
            Status(t_ns=each.t_ns, session="local", counters={"Queries": 98 * each.t_ns // S})
            if isinstance(each, Status)
            else each
            for each in records
        ]
        cost = summarise(often).server_cost
        assert cost is not None and [each.fewer_cores is None for each in cost.names] == [False, True]

    def test_the_estimate_relates_calls_to_the_queries_of_the_same_time(self) -> None:
        estimate = summarise(watched(300)).estimate
        assert estimate is not None and estimate.calls_per_query == pytest.approx(8, rel=0.01)

    def test_where_nothing_is_counted_nothing_is_claimed(self) -> None:
        uncounted = [
            Sample(t_ns=each.t_ns, session="local", mono_ns=each.mono_ns, mark=each.mark)
            if isinstance(each, Sample)
            else each
            for each in watched()
        ]
        summary = summarise(uncounted)
        assert summary.server_cost is None and "What system calls cost" not in said(summary, "text")


class TestWithoutKml:
    @pytest.mark.parametrize("form", ["text", "markdown"])
    def test_nothing_is_said_of_direct_calls_and_rings(self, form: str) -> None:
        calls = render(summarise(watched()), form).partition("System calls")[2].partition("What system calls")[0]
        assert "7,600" in calls
        assert not any(word in calls for word in ("direct", "elevations", "demotions", "trap"))

    def test_programs_are_told_that_there_is_no_figure(self) -> None:
        session = json.loads(render(summarise(watched()), "json"))["sessions"]["local"]
        assert [session[name] for name in ("direct_share", "elevations", "demotions", "rewinds")] == [None] * 4

    def test_the_page_that_plays_knows_that_there_is_one_way_into_the_kernel(self) -> None:
        (session,) = course(watched(), 20 * S)["sessions"]
        assert session["kml"] is False

    def test_a_rate_is_absent_until_calls_have_been_counted_for_a_while_and_never_0(self) -> None:
        (session,) = course(watched(), 20 * S)["sessions"]
        known = [rate for rate in session["trap"] if rate is not None]
        assert len(known) > 10 and set(known) == {400}

    def test_the_page_counts_the_queries_that_the_server_counted(self) -> None:
        (session,) = course(watched(), 20 * S)["sessions"]
        assert session["done"][-1] == 19 * 50


class TestItsStatements:
    def records(self, first: list[Digest], last: list[Digest]) -> list[Record]:
        told = [Inside(t_ns=t * S, session="local", digests=digests) for t, digests in ((2, first), (18, last))]
        return sorted([*watched()[1:], *told], key=lambda record: getattr(record, "t_ns", 0))

    def test_they_are_counted_from_its_first_answer_to_its_last(self) -> None:
        records = self.records([digest("a", 100)], [digest("a", 150), digest("new", 7)])
        found = summarise([MONITORED, *records]).sessions["local"].digests
        assert found is not None and [(each.text, each.calls) for each in found] == [
            ("SELECT a", 50),
            ("SELECT new", 7),
        ]
        assert "shop: SELECT a 50 0.05 1.0 ms" in said(summarise([MONITORED, *records]), "text")

    def test_one_that_was_not_among_those_that_it_told_of_is_left_out(self) -> None:
        first = [digest(str(number), 100) for number in range(MAX_DIGESTS)]
        found = summarise([MONITORED, *self.records(first, [digest("0", 101), digest("rare", 90)])])
        assert [each.text for each in found.sessions["local"].digests or []] == ["SELECT 0"]


def test_a_title_says_how_long_it_was_watched_not_how_long_it_might_have_been() -> None:
    assert render(summarise(watched(163))).startswith("monitor, 2:43 min: local\n")
    assert "24:00:00" not in render(summarise(watched(163)))
    assert render(summarise(watched(163, status="done"))).startswith("monitor, 24:00:00 h: local\n")


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_there_is_nothing_of_the_article_which_watched_no_server(form: str) -> None:
    text = said(summarise(watched()), form)
    assert "Table 1: environment" in text and "this run" in text
    assert "the article" not in text.lower()
