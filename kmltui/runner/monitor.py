"""A run without a workload: this host, and a server that is there already, watched and recorded."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from kmltui.model import SessionSpec, WorkloadSpec
from kmltui.runner.follow import Follower
from kmltui.runner.run import Plan, Run
from kmltui.sessions import host
from kmltui.sessions.local import LocalSession
from kmltui.sessions.mysql import Login
from kmltui.sessions.protocol import Session

WORKLOAD = "monitor"
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
            name=WORKLOAD, duration_s=duration_s, options={"mysql": login.where} if login is not None else {}
        ),
        sessions=[local],
        name=name,
        out=out,
        sample_period_ns=sample_period_ns,
        title=title,
    )


@dataclass
class Monitor(Run):
    """Ends when its time is over or when it is stopped; both are an end in order."""

    login: Login | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.make_session = self._session

    def _session(self, spec: SessionSpec, sample_period_ns: int) -> Session:
        return LocalSession(spec, sample_period_ns, programs=False, whole_host=self.login is None)

    async def _prepare(self) -> None:
        """Nothing is started, so no image is needed."""

    async def _work(self, session: Session, barrier: asyncio.Barrier) -> None:
        assert isinstance(session, LocalSession)
        self._state(session.spec, "running")
        await session.sample("start")
        try:
            async with asyncio.timeout(self.plan.workload.duration_s):
                if self.login is None:
                    await asyncio.Event().wait()
                else:
                    await Follower(session, self.login, self.journal).follow()
        except TimeoutError:
            pass  # as long as it was to last
        await session.sample("end")
