# SPDX-License-Identifier: GPL-2.0-or-later
"""What a watched server says of its own work, and what is said where it says nothing."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest

from kmltui.sessions import inside
from kmltui.sessions.inside import Look

Answer = tuple[list[str], list[tuple[str, ...]]]
DIGEST = ("abc", "shop", "SELECT * FROM `orders` WHERE `id` = ?", "200", "139713", "10000", "200", "0")


class Server:
    """Answers by the first words that a statement has in common with a known one."""

    def __init__(self, **answers: Answer | Exception) -> None:
        self.answers = {
            "@@performance_schema": (["@@performance_schema"], [("1",)]),
            "events_statements": (["DIGEST"], [DIGEST]),
            "USER_PRIVILEGES": (["PRIVILEGE_TYPE"], [("PROCESS",)]),
            "PROCESSLIST": (["USER"], [("app", "shop", "Query", "3", "Sending data")]),
            "REPLICA STATUS": (["Seconds_Behind_Source"], [("7",)]),
            "SLAVE STATUS": ([], []),
        } | {name.replace("_STATUS", " STATUS"): answer for name, answer in answers.items()}
        self.asked: list[str] = []

    def table(self, statement: str) -> Answer:
        self.asked.append(statement)
        for words, answer in self.answers.items():
            if words in statement:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(statement)


def look_at(server: Server) -> tuple[Look, Any]:
    look = Look(server, "watcher")  # type: ignore[arg-type]
    return look, look.look(1, "local")


def test_digests_threads_and_the_replicas_lag_are_told() -> None:
    look, seen = look_at(Server())
    assert (seen.digests[0].text, seen.digests[0].calls, seen.digests[0].time_us) == (DIGEST[2], 200, 139_713)
    assert (seen.threads[0].user, seen.threads[0].time_s) == ("app", 3)
    assert seen.replica_lag_s == 7
    assert look.absent == {}


def test_nothing_is_asked_that_could_hold_anybodys_values_or_that_writes() -> None:
    server = Server()
    look_at(server)
    for statement in server.asked:
        assert statement.startswith(("SELECT ", "SHOW "))
        assert "INFO" not in statement.upper().replace("INFORMATION_SCHEMA", "")
        assert "SAMPLE_TEXT" not in statement.upper()


@pytest.mark.parametrize(
    ("answers", "what", "words"),
    [
        (
            {"events_statements": pymysql.OperationalError(1142, "denied")},
            "digests",
            "GRANT SELECT ON performance_schema.*",
        ),
        ({"@@performance_schema": (["x"], [("0",)])}, "digests", "performance_schema=ON"),
        ({"USER_PRIVILEGES": (["x"], [])}, "threads", "GRANT PROCESS"),
        ({"REPLICA_STATUS": (["x"], [])}, "replication", "is not a replica"),
        ({"REPLICA_STATUS": pymysql.OperationalError(1227, "denied")}, "replication", "GRANT REPLICA MONITOR"),
    ],
)
def test_what_cannot_be_seen_is_absent_with_what_would_show_it(answers: Any, what: str, words: str) -> None:
    look, seen = look_at(Server(**answers))
    assert words in look.absent[what]
    assert seen.digests or seen.threads, "the rest is told all the same"


def test_what_is_absent_is_not_asked_for_again() -> None:
    server = Server(events_statements=pymysql.OperationalError(1142, "denied"))
    look, _ = look_at(server)
    before = len(server.asked)
    look.look(2, "local")
    assert not any("events_statements" in statement for statement in server.asked[before:])


def test_an_old_server_is_asked_in_the_old_words() -> None:
    server = Server(
        REPLICA_STATUS=pymysql.ProgrammingError(1064, "syntax"), SLAVE_STATUS=(["Seconds_Behind_Master"], [("0",)])
    )
    look, seen = look_at(server)
    assert seen.replica_lag_s == 0
    look.look(2, "local")
    assert sum("REPLICA STATUS" in statement for statement in server.asked) == 1


def test_a_broken_connection_is_no_absence() -> None:
    server = Server(events_statements=pymysql.OperationalError(2013, "Lost connection"))
    with pytest.raises(pymysql.OperationalError):
        look_at(server)


def test_numbers_that_are_none_count_as_nothing() -> None:
    odd = (*DIGEST[:3], "x", "-5", "1e9", "9" * 30, "12.5")
    _, seen = look_at(Server(events_statements=(["DIGEST"], [odd])))
    digest = seen.digests[0]
    assert (digest.calls, digest.time_us, digest.rows_examined, digest.rows_sent, digest.errors) == (0, 0, 0, 0, 12)


def test_a_server_that_takes_long_to_tell_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    look, _ = look_at(Server())
    assert look.pause_s == inside.PERIOD_S
    look.took_s = 0.5
    assert look.took_s / look.pause_s <= inside.SHARE
