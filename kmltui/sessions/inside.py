# SPDX-License-Identifier: GPL-2.0-or-later
"""What a server reports about its own work: kinds of statements, threads, replication. Nothing is ever written to it.

Statement digests come from the performance schema, whose texts contain no literals; nothing else is read about other
people's statements, so none of their values can get into a recording. What an account may not see is left out, and the
grant that would show it is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pymysql

from kmltui.model import MAX_DIGESTS, Digest, Inside, ServerThread, whole
from kmltui.sessions.link import Link

T = TypeVar("T")

PERIOD_S = 10.0
SHARE = 0.005
"""Share of the time that the server may spend on these queries; if necessary they are made less often. It may spend as
much on its counters, so that watching takes a hundredth in all."""

MAX_THREADS = 100
_MAX_TEXT = 400

_DIGESTS = (
    "SELECT DIGEST, SCHEMA_NAME, DIGEST_TEXT, COUNT_STAR, SUM_TIMER_WAIT DIV 1000000, SUM_ROWS_EXAMINED, "
    "SUM_ROWS_SENT, SUM_ERRORS FROM performance_schema.events_statements_summary_by_digest "
    f"WHERE DIGEST IS NOT NULL ORDER BY SUM_TIMER_WAIT DESC LIMIT {MAX_DIGESTS}"
)
_THREADS = (
    "SELECT USER, IFNULL(DB, ''), COMMAND, IFNULL(TIME, 0), IFNULL(STATE, '') FROM information_schema.PROCESSLIST "
    f"WHERE ID <> CONNECTION_ID() AND COMMAND NOT IN ('Daemon', 'Sleep') ORDER BY TIME DESC LIMIT {MAX_THREADS}"
)
_MAY_SEE_THREADS = (
    "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'PROCESS' LIMIT 1"
)
_OWN_STATEMENT = "events_statements_summary_by_digest"

_DENIED = {1044, 1142, 1143, 1227}
_UNKNOWN = {1049, 1064, 1109, 1146}


class Absent(Exception):
    """The server does not report this; the text says why, and what would change that."""


class _Unknown(Absent):
    """The server has no such statement or table, so another version's may be tried."""


class Look:
    """Queries one server repeatedly. Not thread-safe; blocks."""

    def __init__(self, link: Link, account: str) -> None:
        self._link = link
        self._account = account
        self._replica: str | None = None
        self.absent: dict[str, str] = {}
        """What is not reported, by name (``digests``, ``threads``, ``replication``), and why."""
        self.asked = 0
        """Questions so far."""
        self.took_s = 0.0
        """How long the last look took the server, about."""

    @property
    def pause_s(self) -> float:
        """Until the next look."""
        return max(PERIOD_S, self.took_s / SHARE)

    def look(self, t_ns: int, session: str, way_s: float = 0.0) -> Inside:
        """Query everything. ``way_s``: what any answer takes, however little it costs the server.

        Raises what :meth:`Link.ask` raises once the connection is unusable.
        """
        begun, asked = time.monotonic(), self.asked
        digests = self._told("digests", self._digests)
        threads = self._told("threads", self._threads)
        lag_s = self._told("replication", self._lag_s)
        self.took_s = max(time.monotonic() - begun - (self.asked - asked) * way_s, 0.0)
        return Inside(
            t_ns=t_ns,
            session=session,
            digests=digests if digests is not None else [],
            threads=threads if threads is not None else [],
            replica_lag_s=lag_s,
        )

    def _told(self, name: str, ask: Callable[[], T]) -> T | None:
        if name in self.absent:
            return None
        try:
            return ask()
        except Absent as reason:
            self.absent[name] = str(reason)
            return None

    def _rows(self, statement: str, grant: str) -> tuple[list[str], list[tuple[str, ...]]]:
        self.asked += 1
        try:
            return self._link.table(statement)
        except pymysql.MySQLError as error:
            code = error.args[0] if error.args else 0
            if code in _DENIED:
                raise Absent(f"{self._account} may not see it: GRANT {grant} TO that account") from None
            if code in _UNKNOWN:
                raise _Unknown("this server does not have it") from None
            raise

    def _digests(self) -> list[Digest]:
        _, switch = self._rows("SELECT @@performance_schema", "SELECT ON performance_schema.*")
        if switch and switch[0][0] not in ("1", "ON"):
            raise Absent("the performance schema is off: start the server with performance_schema=ON")
        _, rows = self._rows(_DIGESTS, "SELECT ON performance_schema.*")
        found = []
        for digest, schema, text, *numbers in rows:
            if _OWN_STATEMENT in text:
                continue
            calls, time_us, examined, sent, errors = (_whole(number) for number in numbers)
            found.append(Digest(digest, schema, text[:_MAX_TEXT], calls, time_us, examined, sent, errors))
        return found

    def _threads(self) -> list[ServerThread]:
        # Without the privilege there is no error; only the account's own threads are listed.
        if not self._rows(_MAY_SEE_THREADS, "PROCESS ON *.*")[1]:
            raise Absent(f"{self._account} may not see it: GRANT PROCESS ON *.* TO that account")
        _, rows = self._rows(_THREADS, "PROCESS ON *.*")
        return [ServerThread(user, db, command, _whole(age), state) for user, db, command, age, state in rows]

    def _lag_s(self) -> int | None:
        for statement in (self._replica,) if self._replica else ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"):
            try:
                names, rows = self._rows(statement, "REPLICA MONITOR (MySQL: REPLICATION CLIENT) ON *.*")
            except _Unknown:
                if statement == "SHOW SLAVE STATUS" or self._replica:
                    raise
                continue
            self._replica = statement
            for name, value in zip(names, rows[0] if rows else (), strict=False):
                if name in ("Seconds_Behind_Source", "Seconds_Behind_Master"):
                    return whole(value)
            raise Absent("this server is not a replica")
        return None


def _whole(text: str) -> int:
    """Parse a counter; anything that is not one, or is too large, counts as 0."""
    return whole(text.partition(".")[0]) or 0
