# SPDX-License-Identifier: GPL-2.0-or-later
"""The MariaDB server of a session: starts it, waits until it answers, follows its counters, notices its death.

The client in the guest reaches it as root over the Unix socket (``unix_socket`` authentication, no password). The
runner reaches it over the forwarded loopback port as ``kmltui`` with a password made for this run, which exists in
the runner's memory and, until the server has read it, in a mode 0600 file of the guest; never in an argument list.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence

from kmltui.counters import select_status
from kmltui.model import SERVER, LogLevel, Status
from kmltui.sessions.journal import Journal
from kmltui.sessions.link import Link
from kmltui.sessions.mysql import Address, Login, MysqlError
from kmltui.sessions.protocol import Command, Process, Session, SessionError
from kmltui.sessions.tls import Tls

USER = "kmltui"
PROGRAM = "/usr/sbin/mariadbd"
INIT_FILE = "/run/kmltui-init.sql"
START_LIMIT_S = 300.0
"""Enough for a guest under emulation on a machine that is busy with two of them."""
ANSWER_LIMIT_S = 30.0
"""In all, for the login and for each question: what runs in a guest may have taken the server's place."""

_SETTINGS = (
    "--no-defaults",
    "--user=root",
    "--datadir=/var/lib/mysql",
    "--socket=/run/mysqld/mysqld.sock",
    "--pid-file=/run/mysqld/mysqld.pid",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--innodb-use-native-aio=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-method=fsync",
    f"--init-file={INIT_FILE}",
)
"""The same in every session. No native AIO and no O_DIRECT: the guest's files are in memory, which has neither."""


class Server:
    """One running MariaDB server."""

    def __init__(self, session: Session, journal: Journal) -> None:
        self._session = session
        self._journal = journal
        self._password = secrets.token_urlsafe(24)
        self._process: Process | None = None
        self._tail: list[str] = []
        self._link: Link | None = None
        self._own_queries = 0
        # One connection, so one query at a time: the periodic poll and the boundaries' polls take turns.
        self._polling = asyncio.Lock()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._died: asyncio.Future[SessionError] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """Its process id in the session."""
        assert self._process is not None, "the server has not been started"
        return self._process.pid

    async def start(self, settings: Sequence[str] = ()) -> None:
        """Start it with ``settings`` beyond the common ones; return when it answers.

        Raises SessionError: it ended or did not answer in time; its last messages are in the text.
        """
        statement = f"CREATE OR REPLACE USER '{USER}'@'%' IDENTIFIED BY '{self._password}';\n"
        await self._session.put(INIT_FILE, statement.encode(), 0o600)
        # On the host itself it has a socket in a private directory and nothing else.
        network = "--skip-networking" if isinstance(self._session.mysql_address(), str) else "--bind-address=0.0.0.0"
        argv = [PROGRAM, *_SETTINGS, network, *settings]
        self._process = await self._session.spawn(Command(argv, group=SERVER))
        self._tasks = [asyncio.create_task(self._follow_log()), asyncio.create_task(self._watch())]
        deadline = time.monotonic() + START_LIMIT_S
        while not self._died.done():
            try:
                self._link = await asyncio.to_thread(self._login().connect, ANSWER_LIMIT_S)
                await self._session.put(INIT_FILE, b"", 0o600)
                return
            except MysqlError as error:
                if time.monotonic() > deadline:
                    raise SessionError(self._story(f"did not answer within {START_LIMIT_S:.0f} s ({error})")) from None
                await asyncio.sleep(0.1)
        raise self._died.result()

    async def died(self) -> SessionError:
        """Wait until it ends unexpectedly."""
        return await asyncio.shield(self._died)

    async def follow_status(self, period_s: float = 1.0) -> None:
        """Emit a Status record each period until cancelled. A poll that fails is a gap, not the run's end."""
        while True:
            with contextlib.suppress(SessionError):
                await self.poll_status()
            await asyncio.sleep(period_s)

    async def poll_status(self) -> None:
        """Emit one Status record now. Raises :class:`SessionError` when the server does not answer."""
        async with self._polling:
            try:
                rows = await asyncio.to_thread(self._query_status)
            except MysqlError as error:
                raise SessionError(self._story(f"no longer answers ({error})")) from error
        own = dict.fromkeys(("Questions", "Queries", "Com_show_status"), self._own_queries)
        name = self._session.spec.name
        counters = select_status((variable, value) for variable, value in rows)
        self._journal.emit(Status(t_ns=self._journal.now(), session=name, counters=counters, own=own))

    async def stop(self) -> None:
        """Stop it cleanly, or kill it after a few seconds; the guest is thrown away anyway."""
        self._stopping = True
        if self._link is not None:
            # A poll may still be waiting for its answer, in a thread of its own.
            self._link.abort()
        if self._process is not None:
            with contextlib.suppress(SessionError, ConnectionError, TimeoutError):
                async with asyncio.timeout(10):
                    await self._process.kill(15)
                    await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _login(self) -> Login:
        where = self._session.mysql_address()
        if isinstance(where, str):
            address = Address(user=USER, socket=where)
        else:
            address = Address(user=USER, host=where[0], port=where[1])
        return Login(address, self._password.encode(), Tls("disabled"))

    def _query_status(self) -> list[tuple[str, ...]]:
        """Raises :class:`MysqlError`."""
        if self._link is None or not self._link.open:
            self._link = self._login().connect(ANSWER_LIMIT_S)
        self._own_queries += 1
        try:
            return self._link.ask("SHOW GLOBAL STATUS", 2, ANSWER_LIMIT_S)
        except Exception as error:
            raise self._login().explain(error) from None

    async def _follow_log(self) -> None:
        assert self._process is not None
        async for _, text in self._process.lines():
            self._tail = [*self._tail[-19:], text]
            level: LogLevel = "error" if "[ERROR]" in text else "warning" if "[Warning]" in text else "info"
            self._journal.log(self._session.spec.name, "server", text, level)

    async def _watch(self) -> None:
        assert self._process is not None
        try:
            status = await self._process.wait()
        except (SessionError, ConnectionError):
            return  # the whole session is gone; its own watcher says why
        if not self._stopping and not self._died.done():
            how = f"was ended by signal {status - 128}" if status > 128 else f"exited with status {status}"
            self._died.set_result(SessionError(self._story(how), "server-died"))

    def _story(self, what: str) -> str:
        lines = "\n".join(self._tail[-8:])
        return f"{self._session.spec.name}: mariadbd {what}" + (f"; its last messages:\n{lines}" if lines else "")
