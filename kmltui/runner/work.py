# SPDX-License-Identifier: GPL-2.0-or-later
"""A workload in the sessions of a run: what running it once and repeating it in turn have in common.

The order of things in each session: image, boot, server; then, as the kind of run has it, the workload's preparation
and the workload itself between a sample marked ``start`` and one marked ``end``.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from kmltui.model import END, START, Proof, Record, SessionSpec, SessionState, session_clock
from kmltui.runner import images
from kmltui.runner.lifecycle import finish, live, until
from kmltui.runner.plan import Plan
from kmltui.runner.server import Server
from kmltui.runner.traps import record_traps
from kmltui.sessions import create_session
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session
from kmltui.workloads import Context, Workload, WorkloadError, differing_results
from kmltui.workloads.localprogram import bring

BOUNDARY_SETTLE_S = 0.3
"""Between the servers' last start-up work and the sample marked ``start``."""


@dataclass(frozen=True)
class SessionSource:
    """Where the sessions of a run come from."""

    prepare: Callable[[Sequence[SessionSpec], Journal], Awaitable[None]] = images.prepare
    """Makes ready what they need before the first of them is created."""
    create: Callable[[SessionSpec, int], Session] = create_session
    """A session that is not yet started, by what it is to be and its period of sampling, ns."""


class Workplace:
    """One session that is up, with the workload's server running in it if it needs one."""

    def __init__(self, context: Context, workload: Workload, server: Server | None, settle_s: float) -> None:
        self.context = context
        self.spec = context.session.spec
        self._workload = workload
        self._server = server
        self._settle_s = settle_s

    def state(self, state: SessionState, detail: str = "") -> None:
        """Record the session's state."""
        self.context.journal.state(self.spec.name, state, detail)

    async def prepare(self) -> None:
        """The workload's preparation; not measured. Raises what the workload raises."""
        await self._workload.prepare(self.context)

    async def check(self) -> None:
        """The workload's check of its results; not measured. Raises what the workload raises."""
        await self._workload.check(self.context)

    async def settle(self) -> None:
        """Let the server finish its start-up work."""
        await asyncio.sleep(self._settle_s)

    async def measure(self) -> None:
        """The measured part: the workload, between a sample marked ``start`` and one marked ``end``."""
        session, server = self.context.session, self._server
        # With the instruction clock a query to the server takes session time, and how many there are depends on chance.
        follow = server is not None and session_clock(session.spec, {}) == "wall"
        follower = asyncio.create_task(server.follow_status()) if server is not None and follow else None
        try:
            if server is not None:
                await server.poll_status()
            await session.sample(START)
            await self._workload.run(self.context)
            await session.sample(END)
            await record_traps(session, self.context.journal)
            if server is not None:
                await server.poll_status()
        finally:
            if follower is not None:
                follower.cancel()
                await asyncio.gather(follower, return_exceptions=True)


@dataclass(frozen=True)
class Work:
    """A workload to be run in several sessions."""

    plan: Plan
    workload: Workload
    source: SessionSource = dataclasses.field(default_factory=SessionSource)
    settle_s: float = BOUNDARY_SETTLE_S
    up: dict[str, Session] = dataclasses.field(default_factory=dict)
    """The sessions that are up, by name."""

    async def everywhere(self, journal: Journal, drive: Callable[[Workplace], Awaitable[None]]) -> None:
        """Start all sessions and await ``drive`` in each; the first failure ends them all.

        Raises SessionError or WorkloadError: that failure, or that the sessions' results differ.
        """
        proofs: list[Proof] = []

        def emit(record: Record) -> None:
            if isinstance(record, Proof):
                proofs.append(record)
            journal.emit(record)

        kept = dataclasses.replace(journal, emit=emit)

        async def one(spec: SessionSpec) -> None:
            session = self.source.create(spec, self.plan.sample_period_ns)
            try:
                await live(session, kept, lambda session: self._with_server(session, kept, drive))
            finally:
                self.up.pop(spec.name, None)

        await self.source.prepare(self.plan.sessions, journal)
        tasks = [asyncio.create_task(one(spec), name=spec.name) for spec in self.plan.sessions]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if differing := differing_results(proofs):
            raise WorkloadError("the sessions gave different results: " + "; ".join(differing))

    async def _with_server(
        self, session: Session, journal: Journal, drive: Callable[[Workplace], Awaitable[None]]
    ) -> None:
        self.up[session.spec.name] = session
        spec = self.plan.workload
        context = Context(session=session, spec=spec, journal=journal, input=self.plan.input)
        for told in await bring(session, {f"/{file.name}": file for file in self.plan.files}):
            journal.log(session.spec.name, "runner", told, "warning")
        settings = self.workload.server_settings(spec)
        if settings is None:
            await drive(Workplace(context, self.workload, None, self.settle_s))
            return
        server = Server(session, journal)
        journal.state(session.spec.name, "loading", "starting MariaDB")
        try:
            await server.start(settings)
            await until(server.died(), drive(Workplace(context, self.workload, server, self.settle_s)))
        finally:
            await finish(server.stop())
