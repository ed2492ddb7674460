"""One run from start to end: boot the sessions, start their servers, run the workload in all of them at once,
write down everything, and leave nothing behind.

The order of things in each session: image, boot, server, the workload's preparation; then, when every session is
ready, the workload between a sample marked ``start`` and one marked ``end``.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from kmltui import __version__, paths, workloads
from kmltui.model import (
    FINAL_STATES,
    End,
    Header,
    Mark,
    Proof,
    Record,
    RunStatus,
    SessionSpec,
    SessionState,
    State,
    WorkloadSpec,
)
from kmltui.recording import RecordingError, Writer
from kmltui.runner import images, registry
from kmltui.runner.control import ControlServer
from kmltui.runner.server import Server
from kmltui.runner.traps import record_traps
from kmltui.sessions import create_session
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session, SessionError

T = TypeVar("T")
Listener = Callable[[Record], None]
BOUNDARY_SETTLE_S = 0.3
"""Between the servers' last start-up work and the sample marked ``start``."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, where, and where to write it."""

    workload: WorkloadSpec
    sessions: Sequence[SessionSpec]
    name: str = ""
    out: Path | None = None
    sample_period_ns: int = 500_000_000
    title: str = ""
    pairs: int = 0
    """More than 0: a bench of so many repetitions, one session at a time."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: RunStatus
    reason: str
    recording: Path


def run_name(workload: str) -> str:
    """A name for a run that begins now: sorts by time, reads well, unique on this machine."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{workload}"
    taken = {entry.name for entry in registry.entries()}
    name, number = stem, 2
    while name in taken or (paths.runs_dir() / f"{name}.kmlrec").exists():
        name, number = f"{stem}-{number}", number + 1
    return name


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
        "python": platform.python_version(),
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


@dataclass
class Run:
    """A run under way. :meth:`execute` does all of it; :meth:`request_stop` may be called at any time."""

    plan: Plan
    listeners: list[Listener] = field(default_factory=list)
    make_session: Callable[[SessionSpec, int], Session] = create_session

    def __post_init__(self) -> None:
        self.name = self.plan.name or run_name(self.plan.workload.name)
        self.path = (self.plan.out or paths.runs_dir() / f"{self.name}.kmlrec").absolute()
        self.journal = Journal.begin(self._record)
        self._writer: Writer | None = None
        self._states: dict[str, SessionState] = {}
        self._proofs: list[Proof] = []
        self._main: asyncio.Task[None] | None = None
        self._stop_reason = ""

    def _record(self, record: Record) -> None:
        """Append a record to the recording and tell the listeners. A full disk ends the recording, not the run."""
        if isinstance(record, State):
            self._states[record.session] = record.state
        if isinstance(record, Proof):
            self._proofs.append(record)
        if self._writer is not None:
            try:
                self._writer.append(record)
            except RecordingError as error:
                # Full: the writer drops samples from here on, keeps what a report rests on, and says so once.
                self.warn(f"{error}; the run goes on")
        for listener in self.listeners:
            listener(record)

    def warn(self, text: str) -> None:
        """A warning of the runner's own, in the recording and before the user's eyes."""
        self.journal.log("", "runner", text, "warning")

    def request_stop(self, reason: str = "by the user") -> None:
        """End the run in order: guests gone, recording closed. Safe to call more than once."""
        if self._main is not None and not self._stop_reason:
            self._stop_reason = reason
            self._main.cancel()

    async def execute(self) -> Outcome:
        """Do the run. Never raises for what goes wrong in it: the outcome and the recording say it.

        Raises:
            OSError, RecordingError: the recording cannot be created.
        """
        created = time.time_ns()
        header = Header(
            run=self.name,
            created_unix_ns=created,
            kmltui_version=__version__,
            workload=self.plan.workload,
            sessions=list(self.plan.sessions),
            sample_period_ns=self.plan.sample_period_ns,
            host=host_facts(),
            title=self.plan.title,
        )
        self.journal = Journal.begin(self._record)
        control = ControlServer(
            registry.socket_path(self.name),
            {"run": self.name, "recording": str(self.path)},
            lambda: self.request_stop("by a viewer or 'kmltui stop'"),
            self._mark,
        )
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
            self._main = asyncio.create_task(self._sessions())
            with self._signals():
                await self._main
            status = "done"
        except asyncio.CancelledError:
            status, reason = "stopped", self._stop_reason or "cancelled"
        except SessionError as error:
            reason = str(error)
        except workloads.WorkloadError as error:
            reason = str(error)
        finally:
            await control.stop()
            self._close_states(status, reason)
            self.journal.emit(End(t_ns=self.journal.now(), status=status, reason=reason))
            if self._writer is not None:
                self._writer.close()
        return Outcome(status, reason, self.path)

    def _mark(self, note: str, author: str) -> int:
        mark = Mark(t_ns=self.journal.now(), note=note, author=author)
        self.journal.emit(mark)
        if self._writer is not None:
            self._writer.flush()
        return mark.t_ns

    def _close_states(self, status: RunStatus, reason: str) -> None:
        for spec in self.plan.sessions:
            if self._states.get(spec.name) not in FINAL_STATES:
                self._state(spec, "done" if status == "done" else "stopped", "" if status == "done" else reason)

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

    async def _prepare(self) -> None:
        """What all sessions need before the first of them is started."""
        await images.prepare(self.plan.sessions, self.journal)

    async def _sessions(self) -> None:
        """All sessions side by side; the first failure ends the run."""
        await self._prepare()
        barrier = asyncio.Barrier(len(self.plan.sessions))
        tasks = [asyncio.create_task(self._one(spec, barrier), name=spec.name) for spec in self.plan.sessions]
        try:
            await asyncio.gather(*tasks)
            if differing := workloads.differing_results(self._proofs):
                raise workloads.WorkloadError("the sessions gave different results: " + "; ".join(differing))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, spec: SessionSpec, barrier: asyncio.Barrier) -> None:
        """One session's life. Whatever happens, it is stopped."""
        session = self.make_session(spec, self.plan.sample_period_ns)
        try:
            await session.start(self.journal)
            await _until(session.failed(), self._work(session, barrier))
            self._state(spec, "done")
        except (SessionError, workloads.WorkloadError) as error:
            state: SessionState = error.state if isinstance(error, SessionError) else "failed"
            self._state(spec, state, str(error))
            raise
        finally:
            await _finish(session.stop())

    async def _work(self, session: Session, barrier: asyncio.Barrier) -> None:
        """What is done in a session that has started."""
        workload = workloads.get(self.plan.workload.name)
        context = workloads.Context(session=session, spec=self.plan.workload, journal=self.journal)
        settings = workload.server_settings(self.plan.workload)
        if settings is None:
            await self._drive(workload, context, barrier)
            return
        server = Server(session, self.journal)
        self._state(session.spec, "loading", "starting MariaDB")
        try:
            await server.start(settings)
            await _until(server.died(), self._drive(workload, context, barrier, server))
        finally:
            await _finish(server.stop())

    async def _drive(
        self,
        workload: workloads.Workload,
        context: workloads.Context,
        barrier: asyncio.Barrier,
        server: Server | None = None,
    ) -> None:
        """The workload, in all sessions at the same time."""
        session = context.session
        self._state(session.spec, "loading", "preparing the workload")
        await workload.prepare(context)
        self._state(session.spec, "ready", "waiting for the other session")
        await barrier.wait()
        await asyncio.sleep(BOUNDARY_SETTLE_S)
        self._state(session.spec, "running")
        await self._measure(workload, context, server)
        await workload.check(context)

    async def _measure(self, workload: workloads.Workload, context: workloads.Context, server: Server | None) -> None:
        """The measured part: between a sample marked ``start`` and one marked ``end``."""
        session = context.session
        # Where instructions are counted, a question to the server would be counted, too.
        follow = server is not None and not session.spec.exact
        follower = asyncio.create_task(server.follow_status()) if server is not None and follow else None
        try:
            if server is not None:
                await server.poll_status()
            await session.sample("start")
            await workload.run(context)
            await session.sample("end")
            await record_traps(session, self.journal)
            if server is not None:
                await server.poll_status()
        finally:
            if follower is not None:
                follower.cancel()
                await asyncio.gather(follower, return_exceptions=True)

    def _state(self, spec: SessionSpec, state: SessionState, detail: str = "") -> None:
        self.journal.state(spec.name, state, detail)


async def _until(failure: Awaitable[SessionError], work: Awaitable[T]) -> T:
    """The result of ``work``, unless ``failure`` comes first: then that is raised and the work cancelled."""
    watching = asyncio.ensure_future(failure)
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done() and not working.done():
            raise watching.result()
        return working.result()
    except SessionError:
        # The workload often notices a dying guest first, by a lost connection; the watcher knows the reason.
        with contextlib.suppress(TimeoutError):
            raise await asyncio.wait_for(asyncio.shield(watching), 2.0) from None
        raise
    finally:
        for task in (watching, working):
            task.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _finish(ending: Awaitable[None]) -> None:
    """Await clean-up to its end even when this task is being cancelled (again)."""
    task = asyncio.ensure_future(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    await task
