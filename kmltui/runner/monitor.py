# SPDX-License-Identifier: GPL-2.0-or-later
"""A run without a workload: watches and records this host, and a server that is already running."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from kmltui.model import END, MONITOR, START, SessionSpec, WorkloadSpec
from kmltui.runner.follow import Follower
from kmltui.runner.lifecycle import live
from kmltui.runner.plan import Monitor, Plan
from kmltui.sessions import host
from kmltui.sessions.journal import Journal
from kmltui.sessions.local import LocalSession
from kmltui.sessions.mysql import Login

MAX_DURATION_S = 7 * 86_400.0


def plan(
    login: Login | None,
    *,
    name: str,
    duration_s: float,
    sample_period_ns: int,
    out: Path | None = None,
    title: str = "",
) -> Plan:
    """The plan of a monitor's run. The recording's size is bounded by its duration."""
    cpus = os.cpu_count() or 1
    local = SessionSpec(name="local", kind="local", vcpus=cpus)
    if host.kml_loaded():
        local = SessionSpec(name="local-kml", kind="local-kml", arm="kml", vcpus=cpus)
    return Plan(
        workload=WorkloadSpec(
            name=MONITOR, duration_s=duration_s, options={"mysql": login.where} if login is not None else {}
        ),
        sessions=[local],
        how=Monitor(login),
        name=name,
        out=out,
        sample_period_ns=sample_period_ns,
        title=title,
    )


@dataclass(frozen=True)
class Watching:
    """Watches this machine until the plan's time is over or it is cancelled; both are clean ends."""

    plan: Plan
    login: Login | None = None

    def session(self, name: str) -> None:
        """There is none that files could be put into."""

    async def perform(self, journal: Journal) -> None:
        (spec,) = self.plan.sessions
        session = LocalSession(spec, self.plan.sample_period_ns, programs=False, whole_host=self.login is None)

        async def watch(session: LocalSession) -> None:
            journal.state(spec.name, "running")
            await session.sample(START)
            try:
                async with asyncio.timeout(self.plan.workload.duration_s):
                    if self.login is None:
                        await asyncio.Event().wait()
                    else:
                        await Follower(session, self.login, journal).follow()
            except TimeoutError:
                pass  # as long as it was to last
            await session.sample(END)

        await live(session, journal, watch)
