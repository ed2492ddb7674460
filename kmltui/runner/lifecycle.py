# SPDX-License-Identifier: GPL-2.0-or-later
"""A session from start to stop, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kmltui.model import SessionState
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session, SessionError
from kmltui.workloads import WorkloadError

T = TypeVar("T")
S = TypeVar("S", bound=Session)


async def live(session: S, journal: Journal, work: Callable[[S], Awaitable[None]]) -> None:
    """Start ``session``, await ``work`` in it, stop it; its states are recorded.

    Raises SessionError or WorkloadError: what ended it early. It is stopped then, too.
    """
    name = session.spec.name
    try:
        await session.start(journal)
        await until(session.failed(), work(session))
        journal.state(name, "done")
    except (SessionError, WorkloadError) as error:
        state: SessionState = error.state if isinstance(error, SessionError) else "failed"
        journal.state(name, state, str(error))
        raise
    finally:
        await finish(session.stop())


async def until(failure: Awaitable[SessionError], work: Awaitable[T]) -> T:
    """The result of ``work``, unless ``failure`` comes first: then that is raised and the work cancelled."""
    watching = asyncio.ensure_future(failure)
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done() and not working.done():
            raise watching.result()
        return working.result()
    except SessionError:
        # The workload often notices a dying guest first, through a lost connection; the watcher knows the reason.
        with contextlib.suppress(TimeoutError):
            raise await asyncio.wait_for(asyncio.shield(watching), 2.0) from None
        raise
    finally:
        for task in (watching, working):
            task.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def finish(ending: Awaitable[None]) -> None:
    """Await clean-up to its end even when this task is being cancelled (again)."""
    task = asyncio.ensure_future(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    await task
