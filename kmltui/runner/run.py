# SPDX-License-Identifier: GPL-2.0-or-later
"""One run from start to end: its recording, its control socket, its signals; it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil

from kmltui import __version__, files, paths
from kmltui.figures.estimate import TRAP_UNTIMED
from kmltui.machine import trapcost
from kmltui.model import (
    FINAL_STATES,
    End,
    Header,
    Mark,
    Record,
    RunStatus,
    SessionState,
    State,
)
from kmltui.recording import RecordingError, Writer
from kmltui.runner import registry
from kmltui.runner.activity import Activity
from kmltui.runner.control import MAX_NOTE_CHARACTERS, ControlError, ControlServer
from kmltui.runner.plan import Monitor, Plan
from kmltui.sessions import host
from kmltui.sessions.explain import explain
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import SessionError
from kmltui.workloads import WorkloadError
from kmltui.workloads.localprogram import bring

T = TypeVar("T")
Listener = Callable[[Record], None]
BOUNDARY_SETTLE_S = 0.3
"""Between the servers' last start-up work and the sample marked ``start``."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: RunStatus
    reason: str
    recording: Path


def host_facts() -> dict[str, str]:
    """The machine that runs the run, for the header."""
    model = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "cores": str(psutil.cpu_count() or ""),
        "memory_bytes": str(psutil.virtual_memory().total),
        "kernel": platform.release(),
        "os": _os_name(),
        "name": platform.node(),
        "python": platform.python_version(),
    }


def trap_facts() -> dict[str, str]:
    """What a trap costs this machine's processor; or why that was not timed."""
    if any(entry.alive for entry in registry.entries()):
        return {TRAP_UNTIMED: "another run was going on"}
    own = host.facts()
    try:
        cost = trapcost.measure(own.get("cpu", ""), own.get("mitigations", ""), "virtual" in own.get("accelerator", ""))
    except trapcost.TimingError as error:
        return {TRAP_UNTIMED: str(error)}
    return cost.facts()


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


class Run:
    """A run in progress: it keeps the recording, answers on the control socket, handles signals. The work itself is its
    activity's. :meth:`execute` does all of it; :meth:`request_stop` may be called at any time.
    """

    def __init__(self, plan: Plan, activity: Activity, listeners: Sequence[Listener] = ()) -> None:
        self.plan = plan
        self.activity = activity
        self.listeners = list(listeners)
        self.name = plan.name or registry.new_name(plan.workload.name)
        self.path = (plan.out or paths.runs_dir() / f"{self.name}.kmlrec").absolute()
        self.journal = Journal.begin(self._record)
        self._writer: Writer | None = None
        self._states: dict[str, SessionState] = {}
        self._main: asyncio.Task[None] | None = None
        self._stop_reason = ""

    def _record(self, record: Record) -> None:
        """Append a record to the recording and tell the listeners. A full disk ends the recording, not the run."""
        if isinstance(record, State):
            self._states[record.session] = record.state
        if self._writer is not None:
            try:
                self._writer.append(record)
            except RecordingError as error:
                # Full: the writer drops samples from here on, keeps what a report rests on, and says so once.
                self.warn(f"{error}; the run goes on")
        for listener in self.listeners:
            listener(record)

    def warn(self, text: str) -> None:
        """Record a warning of the runner and show it to the user."""
        self.journal.log("", "runner", text, "warning")

    def request_stop(self, reason: str = "by the user") -> None:
        """Stop the run cleanly: guests gone, recording closed. Safe to call more than once."""
        if self._main is not None and not self._stop_reason:
            self._stop_reason = reason
            self._main.cancel()

    async def execute(self) -> Outcome:
        """Do the run. Never raises for failures of the run itself: the outcome and the recording report them.

        Raises OSError or RecordingError: the recording cannot be created.
        """
        facts = host_facts() | trap_facts()  # may take seconds, and the run's clock begins below
        created = time.time_ns()
        header = Header(
            run=self.name,
            created_unix_ns=created,
            kmltui_version=__version__,
            workload=self.plan.workload,
            sessions=list(self.plan.sessions),
            sample_period_ns=self.plan.sample_period_ns,
            host=facts,
            title=self.plan.title,
            kind=self.plan.how.kind,
        )
        self.journal = Journal.begin(self._record)
        control = ControlServer(
            registry.socket_path(self.name),
            {"run": self.name, "recording": str(self.path)},
            lambda: self.request_stop("by a viewer or 'kmltui stop'"),
            self._mark,
            partial(explain, self.plan.how.login)
            if isinstance(self.plan.how, Monitor) and self.plan.how.login
            else None,
            self._put,
        )
        if self.plan.out is None:
            files.private_dir(self.path.parent)
        self._writer = Writer.create(self.path, header)
        try:
            registry.register(self.name, self.path, created)
            await control.start()
        except OSError:
            # A run that could not begin leaves nothing that looks like one.
            self._writer.close()
            self.path.unlink(missing_ok=True)
            raise
        for listener in self.listeners:
            listener(header)
        status: RunStatus = "failed"
        reason = ""
        try:
            self._main = asyncio.create_task(self.activity.perform(self.journal))
            with self._signals():
                await self._main
            status = "done"
        except asyncio.CancelledError:
            status, reason = "stopped", self._stop_reason or "cancelled"
        except (SessionError, WorkloadError) as error:
            reason = str(error)
        finally:
            await control.stop()
            self._close_states(status, reason)
            self.journal.emit(End(t_ns=self.journal.now(), status=status, reason=reason))
            if self._writer is not None:
                self._writer.close()
            registry.release(self.name)
        return Outcome(status, reason, self.path)

    def _mark(self, note: str, author: str) -> int:
        mark = Mark(t_ns=self.journal.now(), note=note, author=author)
        self.journal.emit(mark)
        if self._writer is not None:
            self._writer.flush()
        return mark.t_ns

    async def _put(self, session: str, put: dict[str, str], author: str) -> list[str]:
        """Put files into a guest that is up, and a mark into the recording: what is measured may show it."""
        there = self.activity.session(session)
        if there is None or there.spec.kind != "guest":
            names = ", ".join(spec.name for spec in self.plan.sessions if spec.kind == "guest")
            raise ControlError(
                f"there is no guest {session!r} that is up in this run" + (f"; its guests are {names}" if names else "")
            )
        # Before: even if not all of it succeeds, it disturbs what is measured.
        self._mark(f"put into {session}: {', '.join(put)}"[:MAX_NOTE_CHARACTERS], author)
        try:
            return await bring(there, {target: Path(source) for target, source in put.items()})
        except (SessionError, WorkloadError) as error:
            raise ControlError(str(error)) from error

    def _close_states(self, status: RunStatus, reason: str) -> None:
        for spec in self.plan.sessions:
            if self._states.get(spec.name) not in FINAL_STATES:
                if status == "done":
                    self.journal.state(spec.name, "done")
                else:
                    self.journal.state(spec.name, "stopped", reason)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        wanted = {signal.SIGINT: "interrupted (Ctrl-C)", signal.SIGTERM: "terminated", signal.SIGHUP: "terminal closed"}
        for number, reason in wanted.items():
            loop.add_signal_handler(number, self.request_stop, reason)
        try:
            yield
        finally:
            for number in wanted:
                loop.remove_signal_handler(number)
