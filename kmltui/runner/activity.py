# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run does while it is recorded: one small object for each kind of run."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from kmltui import workloads
from kmltui.runner.bench import InTurn
from kmltui.runner.monitor import Watching
from kmltui.runner.plan import Bench, Monitor, Once, Plan
from kmltui.runner.side_by_side import SideBySide
from kmltui.runner.work import SessionSource, Work
from kmltui.sessions import create_session
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session


class Activity(Protocol):
    """The part of a run between its first record and its last."""

    async def perform(self, journal: Journal) -> None:
        """Start the sessions, work in them, stop them; on return, or when cancelled, nothing of them is left.

        Raises SessionError or WorkloadError: a session or the work in it failed; the message says which and why.
        """
        ...

    def session(self, name: str) -> Session | None:
        """The session of this name that files can be put into, while it is up."""
        ...


def activity_for(plan: Plan) -> Activity:
    """The activity for ``plan``. Raises :class:`UsageError` if there is no such workload."""
    match plan.how:
        case Monitor(login=login):
            return Watching(plan, login)
        case Bench(pairs=pairs):
            # What a boot leaves to chance is to be there anew in each bench.
            source = SessionSource(create=partial(create_session, fresh=True))
            return InTurn(Work(plan, workloads.of(plan.workload), source), pairs)
        case Once():
            return SideBySide(Work(plan, workloads.of(plan.workload)))
