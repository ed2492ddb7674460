# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows an existing server from outside: its counters, its process, and its coming and going."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from kmltui.counters import select_status
from kmltui.counters.mysql import KEPT
from kmltui.model import SERVER, LogLevel, Status
from kmltui.sessions.apart import apart
from kmltui.sessions.inside import SHARE, Look
from kmltui.sessions.journal import Journal
from kmltui.sessions.link import Link
from kmltui.sessions.local import LocalSession
from kmltui.sessions.mysql import Login, MysqlError, Peer, find_peer
from kmltui.sessions.protocol import SessionError

_STATUS = f"SHOW GLOBAL STATUS WHERE Variable_name IN ({', '.join(map(repr, sorted(KEPT)))})"
"""Sending all of the variables, more than 400, takes the server several times as long."""

PERIOD_S = 1.0
"""Between two answers with the server's counters, or longer where they take it more than :data:`SHARE` of the time: it
adds them up over all its connections."""
_TELLING = 3
"""Answers, before the time that they took says how often the server may be asked."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
"""Between attempts to reach a server that is gone."""

_CONNECT_QUERIES = 1
"""What logging in costs on the server's own count of questions: SET NAMES."""

_CLOCK_ERROR_S = 2.5
"""A server reports its uptime in whole seconds, by a clock that may be set."""

_MAX_VERSION = 200
"""Of what a server says of itself (characters)."""


class Follower:
    """Follows one server until cancelled. A server that is gone is a gap in the figures, never the run's end."""

    def __init__(self, session: LocalSession, login: Login, journal: Journal) -> None:
        self._session = session
        self._login = login
        self._journal = journal
        self._link: Link | None = None
        self._look: Look | None = None
        self._next_look_s = 0.0
        self._way_s = 0.0
        """What an answer takes that costs the server nothing: the way to it, and this machine's own part."""
        self._took_s: deque[float] = deque(maxlen=5)
        """The server's own part of the last answers with its counters, about."""
        self._own: dict[str, int] = {"Questions": 0, "Queries": 0, "Com_select": 0}
        self._sent = 0
        self._pid: int | None = None
        self._lost = False
        self._life = 1
        self._met = False
        self._began_s: float | None = None
        """When the server began, by this machine's monotonic clock."""

    async def follow(self) -> None:
        """Emit a Status record each period; say so when the server goes and when it is back."""
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                try:
                    await self._poll()
                    pause_s = FIRST_PAUSE_S
                    await asyncio.sleep(self._pause_s)
                except MysqlError as error:
                    self._disconnect()
                    self._say_lost(error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            self._disconnect()

    @property
    def _pause_s(self) -> float:
        """Until the next counters. The fastest of the last answers counts: what others took longer, on a busy machine
        or a slow line, was not the server's work. The first ones alone may all have been held up."""
        took_s = min(self._took_s) if len(self._took_s) >= _TELLING else 0.0
        return max(PERIOD_S, took_s / SHARE)

    async def _poll(self) -> None:
        if self._link is None:
            self._link = await apart(self._login.connect)
            self._count(_CONNECT_QUERIES)
            await self._meet(self._link)
            self._look, self._next_look_s = Look(self._link, self._login.where), 0.0
            self._met = True
        begun = time.monotonic()
        rows = await self._ask(self._link, _STATUS)
        self._took_s.append(max(time.monotonic() - begun - self._way_s, 0.0))
        counters = select_status((name, value) for name, value in rows)
        # The answer's own rows are counted when it has been sent.
        self._own["Rows_sent"] = self._sent
        self._sent += len(rows)
        name, t_ns = self._session.spec.name, self._journal.now()
        self._notice_restart(counters)
        self._journal.emit(Status(t_ns=t_ns, session=name, counters=counters, own=dict(self._own), life=self._life))
        await self._look_inside(name)

    async def _look_inside(self, name: str) -> None:
        """Record the server's reports about its own work; less often than its counters, since they take longer."""
        look, link = self._look, self._link
        if look is None or link is None or time.monotonic() < self._next_look_s:
            return
        await self._version(link)  # the way to another machine changes
        asked, known = look.asked, dict(look.absent)
        try:
            self._journal.emit(await apart(look.look, self._journal.now(), name, self._way_s))
        except asyncio.CancelledError:
            if self._link is not None:
                self._link.abort()
            raise
        except Exception as error:
            raise self._login.explain(error) from None
        finally:
            self._count(look.asked - asked)
        if look.absent != known:
            self._session.add_facts({f"absent {what}": why for what, why in look.absent.items()})
        self._next_look_s = time.monotonic() + look.pause_s

    def _notice_restart(self, counters: dict[str, int]) -> None:
        """Only a new connection can lead to another life of the server's: a clock that was set does not begin one."""
        began_s = time.monotonic() - counters.get("Uptime", 0)
        if self._met and self._began_s is not None and began_s > self._began_s + _CLOCK_ERROR_S:
            self._life += 1
            self._log("the server was restarted: it counts from 0, and its earlier counts are added", "warning")
        if self._met or self._began_s is None:
            self._began_s = began_s
        self._met = False

    async def _meet(self, link: Link) -> None:
        """Identify a new server, and its process on this machine."""
        try:
            version = await self._version(link)
            peer = await apart(find_peer, link)
        except OSError as error:  # gone again already
            raise self._login.explain(error) from None
        self._took_s.clear()
        if not peer.local:
            self._session.hide_host()
        facts = {"mariadb": version[:_MAX_VERSION], "mysql": self._login.where, "server": await self._watched(peer)}
        self._session.add_facts(facts)
        if self._lost:
            self._lost = False
            self._log("the server is back: " + facts["mariadb"], "info")
            self._state("")

    async def _version(self, link: Link) -> str:
        """What the server calls itself: asked, or as in its greeting where it does not answer that. Takes its time for
        the way's."""
        begun = time.monotonic()
        try:
            ((version, comment),) = (await self._ask(link, "SELECT VERSION(), @@version_comment"))[:1]
        except MysqlError:
            if not link.open:
                raise
            return link.server_version
        finally:
            self._way_s = time.monotonic() - begun
        self._own["Com_select"] += 1
        self._sent += 1
        return f"{version} ({comment})"

    async def _watched(self, peer: Peer) -> str:
        """Watch the server's process, where it is one of this machine that can be seen; returns what is the case."""
        if not peer.local:
            return "on another machine: its CPU time and system calls cannot be seen from here"
        if peer.pid is None:
            return "its process cannot be found from here: its CPU time and system calls are not counted"
        if not peer.is_server:
            return (
                f"reached through {peer.program} (process {peer.pid}), which is no MySQL or MariaDB server: CPU time "
                "and system calls of the server itself cannot be seen from here"
            )
        try:
            if peer.pid != self._pid:
                await self._session.watch(SERVER, peer.pid)
            self._pid = peer.pid
        except SessionError as error:
            return str(error)
        return f"{peer.program}, process {peer.pid}"

    async def _ask(self, link: Link, statement: str) -> list[tuple[str, ...]]:
        self._count(1)
        try:
            return await apart(link.ask, statement, 2)
        except asyncio.CancelledError:
            link.abort()  # it may be in the middle of an answer that never ends
            raise
        except Exception as error:  # a connection that breaks in the middle of an answer has many ways to fail
            raise self._login.explain(error) from None

    def _count(self, queries: int) -> None:
        self._own["Questions"] += queries
        self._own["Queries"] += queries

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _say_lost(self, error: MysqlError) -> None:
        if not self._lost:
            self._lost = True
            self._log(f"{error}; trying again", "warning")
            self._state("the server does not answer; trying again")

    def _log(self, text: str, level: LogLevel) -> None:
        self._journal.log(self._session.spec.name, "runner", text, level)

    def _state(self, detail: str) -> None:
        self._journal.state(self._session.spec.name, "running", detail)
