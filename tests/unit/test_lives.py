# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that is started again counts from 0: what is shown of it goes on."""

import pytest

from kmltui.counters.lives import Lives, query_count
from kmltui.model import Status


def status(second: int, queries: int, uptime: int, *, own: int = 0, life: int = 0, **others: int) -> Status:
    counters = {"Queries": queries, "Uptime": uptime, "Threads_running": 7, **others}
    return Status(t_ns=second * 10**9, session="local", counters=counters, own={"Queries": own}, life=life)


def summed(*statuses: Status) -> list[int]:
    lives = Lives()
    return [lives.add(one).counters["Queries"] for one in statuses]


def test_counters_are_summed_over_lives_without_the_watchers_share() -> None:
    found = summed(
        status(0, 1000, 60, own=2), status(1, 1011, 61, own=3), status(9, 5, 3, own=6), status(10, 25, 4, own=7)
    )
    assert found == [998, 1008, 1010, 1029]


def test_a_restart_is_one_although_the_new_count_has_passed_the_old() -> None:
    assert summed(status(0, 100, 60), status(60, 5000, 50)) == [100, 5100]
    assert summed(status(0, 100, 3, life=1), status(60, 5000, 50, life=2)) == [100, 5100]


def test_a_clock_that_was_set_back_is_no_restart() -> None:
    assert summed(status(0, 100, 60, life=1), status(1, 110, 2, life=1)) == [100, 110]


def test_nothing_ever_falls() -> None:
    found = summed(status(0, 1000, 60, own=50), status(1, 2, 1, own=54), status(2, 1, 0, own=60))
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("again", "second"),
    [
        (status(60, 5, 20), 40),
        (status(60, 5, 59), 9),  # by a clock that was set: it was last seen alive at 9
        (status(60, 5, -7), 60),
    ],
)
def test_a_restart_was_as_long_ago_as_the_server_has_been_up(again: Status, second: int) -> None:
    lives = Lives()
    lives.add(status(9, 100, 70))
    lives.add(again)
    assert lives.restarts == [second * 10**9]


def test_gauges_mean_the_moment() -> None:
    lives = Lives()
    lives.add(status(0, 100, 60))
    counters = lives.add(status(1, 5, 1)).counters
    assert counters["Uptime"] == 1 and counters["Threads_running"] == 7
    assert len(lives.restarts) == 1


@pytest.mark.parametrize(
    ("counters", "count"), [({"Queries": 3, "Questions": 1}, 3), ({"Questions": 1}, 1), ({"Uptime": 1}, None)]
)
def test_there_is_one_count_of_queries(counters: dict[str, int], count: int | None) -> None:
    assert query_count(counters) == count
