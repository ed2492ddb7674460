# SPDX-License-Identifier: GPL-2.0-or-later
"""A run of a workload in all sessions at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kmltui.runner.work import Work, Workplace
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session


@dataclass(frozen=True)
class SideBySide:
    """Every session prepares itself; when all are ready, the workload begins in all of them at once."""

    work: Work

    def session(self, name: str) -> Session | None:
        return self.work.up.get(name)

    async def perform(self, journal: Journal) -> None:
        barrier = asyncio.Barrier(len(self.work.plan.sessions))

        async def drive(place: Workplace) -> None:
            place.state("loading", "preparing the workload")
            await place.prepare()
            place.state("ready", "waiting for the other session")
            await barrier.wait()
            await place.settle()
            place.state("running")
            await place.measure()
            await place.check()

        await self.work.everywhere(journal, drive)
