"""An existing server, followed from outside: its counters, its process, and its coming and going."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pymysql

from kmltui.counters import select_status
from kmltui.model import LogLevel, Status
from kmltui.sessions.journal import Journal
from kmltui.sessions.local import LocalSession
from kmltui.sessions.mysql import Login, MysqlError, is_local, server_pid
from kmltui.sessions.protocol import SessionError

PERIOD_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
"""Between attempts to reach a server that is gone."""

_CONNECT_QUERIES = 1
"""What logging in costs on the server's own count of questions: SET NAMES."""


class Follower:
    """Follows one server until cancelled. A server that is gone is a gap in the figures, never the run's end."""

    def __init__(self, session: LocalSession, login: Login, journal: Journal) -> None:
        self._session = session
        self._login = login
        self._journal = journal
        self._connection: pymysql.Connection[Any] | None = None
        self._own: dict[str, int] = {"Questions": 0, "Queries": 0, "Com_select": 0}
        self._sent = 0
        self._pid: int | None = None
        self._lost = False

    async def follow(self) -> None:
        """Emit a Status record each period; say so when the server goes and when it is back."""
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                try:
                    await self._poll()
                    pause_s = FIRST_PAUSE_S
                    await asyncio.sleep(PERIOD_S)
                except MysqlError as error:
                    self._disconnect()
                    self._say_lost(error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            self._disconnect()

    async def _poll(self) -> None:
        if self._connection is None:
            self._connection = await asyncio.to_thread(self._login.connect)
            self._count(_CONNECT_QUERIES)
            await self._meet(self._connection)
        rows = await self._query("SHOW GLOBAL STATUS")
        counters = select_status((row[0], row[1]) for row in rows)
        # The answer's own rows are counted when it has been sent.
        self._own["Rows_sent"] = self._sent
        self._sent += len(rows)
        name, t_ns = self._session.spec.name, self._journal.now()
        self._journal.emit(Status(t_ns=t_ns, session=name, counters=counters, own=dict(self._own)))

    async def _meet(self, connection: pymysql.Connection[Any]) -> None:
        """A server that was not there before: which it is, and which process of this machine."""
        self._count(1)
        self._own["Com_select"] += 1
        self._sent += 1
        version = (await self._query("SELECT VERSION(), @@version_comment", counted=False))[0]
        facts = {"mariadb": f"{version[0]} ({version[1]})", "mysql": self._login.where}
        try:
            local, pid = is_local(connection), await asyncio.to_thread(server_pid, connection)
        except OSError as error:  # gone again already
            raise self._login.explain(error) from None
        if not local:
            self._session.hide_host()
            facts["server"] = "on another machine: its CPU time and system calls cannot be seen from here"
        elif pid is None:
            facts["server"] = "its process cannot be found from here: its CPU time and system calls are not counted"
        else:
            try:
                if pid != self._pid:
                    await self._session.watch("server", pid)
                self._pid = pid
                facts["server"] = f"process {pid}"
            except SessionError as error:
                facts["server"] = str(error)
        self._session.add_facts(facts)
        if self._lost:
            self._lost = False
            self._log("the server is back: " + facts["mariadb"], "info")
            self._state("")

    async def _query(self, statement: str, *, counted: bool = True) -> list[tuple[Any, ...]]:
        connection = self._connection
        assert connection is not None
        if counted:
            self._count(1)

        def run() -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())

        try:
            return await asyncio.to_thread(run)
        except Exception as error:  # a connection that breaks in the middle of an answer has many ways to fail
            raise self._login.explain(error) from None

    def _count(self, queries: int) -> None:
        self._own["Questions"] += queries
        self._own["Queries"] += queries

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                self._connection.close()
            self._connection = None

    def _say_lost(self, error: MysqlError) -> None:
        if not self._lost:
            self._lost = True
            self._log(f"{error}; trying again", "warning")
            self._state("the server does not answer; trying again")

    def _log(self, text: str, level: LogLevel) -> None:
        self._journal.log(self._session.spec.name, "runner", text, level)

    def _state(self, detail: str) -> None:
        self._journal.state(self._session.spec.name, "running", detail)
