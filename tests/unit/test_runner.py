# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run promises whatever happens in it: an outcome, a closed recording that tells the story, nothing left."""

import asyncio
import os
import resource
import signal
import time

import pytest

from kmltui import workloads
from kmltui.model import End, Log, Mark, Sample, SessionSpec, State, WorkloadSpec
from kmltui.recording import Reader
from kmltui.runner import control, registry
from kmltui.runner.plan import Plan
from kmltui.runner.run import Run
from kmltui.runner.side_by_side import SideBySide
from kmltui.runner.work import SessionSource, Work
from kmltui.sessions.protocol import SessionError


class FakeSession:
    """A session without a guest: it samples on demand and can be made to fail."""

    def __init__(self, spec, period_ns):
        self.spec = spec
        self.stopped = 0
        self.failure = asyncio.get_running_loop().create_future()

    async def start(self, journal):
        self.journal = journal
        journal.state(self.spec.name, "booting")

    async def get(self, path: str) -> bytes:
        raise FileNotFoundError(path)

    async def sample(self, mark):
        self.journal.emit(Sample(t_ns=self.journal.now(), session=self.spec.name, mono_ns=1, mark=mark))

    async def failed(self):
        return await asyncio.shield(self.failure)

    async def stop(self):
        await asyncio.sleep(0)
        self.stopped += 1


class Probe(workloads.Workload):
    """A workload that waits for the test to let it end."""

    name = "probe"
    title = description = "a workload for tests"
    bound = "itself"

    def __init__(self):
        self.running = asyncio.Event()
        self.go_on = asyncio.Event()
        self.error = None
        self.begun = 0

    async def run(self, ctx):
        self.begun += 1
        self.running.set()
        await self.go_on.wait()
        if self.error:
            raise self.error


async def no_image_needed(sessions, journal):
    pass


class World:
    """A run of :class:`Probe` on two fake sessions."""

    def __init__(self, tmp_path):
        self.workload = Probe()
        self.sessions = {}
        self.records = []
        plan = Plan(
            workload=WorkloadSpec(name="probe"),
            sessions=[SessionSpec(name="stock", kind="local"), SessionSpec(name="kml", kind="local", arm="kml")],
            name="r1",
            out=tmp_path / "r1.kmlrec",
        )

        def create(spec, period_ns):
            return self.make(spec, period_ns)

        work = Work(plan, self.workload, SessionSource(no_image_needed, create))
        self.run = Run(plan, SideBySide(work), [self.records.append])

    def make(self, spec, period_ns):
        self.sessions[spec.name] = FakeSession(spec, period_ns)
        return self.sessions[spec.name]

    def recorded(self):
        with Reader.open(self.run.path) as reader:
            return list(reader.records())

    def check_clean(self):
        """Both sessions stopped once, the recording ends with End, the control socket is gone."""
        assert [session.stopped for session in self.sessions.values()] == [1] * len(self.sessions)
        assert isinstance(self.recorded()[-1], End)
        assert not registry.socket_path("r1").exists()


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))

    async def make():
        return World(tmp_path)

    return make


async def test_a_run_brackets_the_workload_with_samples_in_both_sessions(world):
    w = await world()
    w.workload.go_on.set()
    outcome = await w.run.execute()
    assert outcome.status == "done"
    marks = [(record.session, record.mark) for record in w.recorded() if isinstance(record, Sample)]
    assert sorted(marks) == [("kml", "end"), ("kml", "start"), ("stock", "end"), ("stock", "start")]
    w.check_clean()


async def test_the_runs_clock_begins_at_the_time_of_its_creation(world, monkeypatch):
    """What has to be found out about the machine first may take seconds (a compiler runs)."""
    known = []

    def slow_facts():
        known.append(time.time_ns())
        return {}

    monkeypatch.setattr("kmltui.runner.run.trap_facts", slow_facts)
    w = await world()
    w.workload.go_on.set()
    await w.run.execute()
    assert known[0] <= w.recorded()[0].created_unix_ns


async def test_no_session_begins_before_every_session_is_ready(world):
    w = await world()
    slow = asyncio.Event()
    make = w.make

    def delayed(spec, period_ns):
        session = make(spec, period_ns)
        if spec.name == "kml":
            start = session.start

            async def late(journal):
                await slow.wait()
                await start(journal)

            session.start = late
        return session

    w.make = delayed
    task = asyncio.create_task(w.run.execute())
    await asyncio.sleep(0.6)
    assert w.workload.begun == 0
    slow.set()
    w.workload.go_on.set()
    assert (await task).status == "done"
    assert w.workload.begun == 2


async def test_a_panic_of_one_session_fails_the_run_and_says_which(world):
    w = await world()
    task = asyncio.create_task(w.run.execute())
    await w.workload.running.wait()
    w.sessions["kml"].failure.set_result(SessionError("kml: Kernel panic: not syncing", "panicked"))
    outcome = await asyncio.wait_for(task, 10)
    assert outcome.status == "failed"
    assert "Kernel panic" in outcome.reason
    states = {record.session: record.state for record in w.recorded() if isinstance(record, State)}
    assert states == {"kml": "panicked", "stock": "stopped"}
    w.check_clean()


async def test_a_wrong_result_fails_the_run(world):
    w = await world()
    w.workload.error = workloads.WorkloadError("statement 3 returned 2 rows, not 1")
    w.workload.go_on.set()
    outcome = await w.run.execute()
    assert outcome.status == "failed"
    assert "statement 3" in outcome.reason
    w.check_clean()


async def test_the_watcher_s_reason_wins_over_a_lost_connection(world):
    """A dying guest is first noticed as a broken connection; people want to read about the panic."""
    w = await world()
    w.workload.error = SessionError("connection lost")
    task = asyncio.create_task(w.run.execute())
    await w.workload.running.wait()
    w.workload.go_on.set()
    await asyncio.sleep(0.05)
    w.sessions["stock"].failure.set_result(SessionError("stock: panic", "panicked"))
    w.sessions["kml"].failure.set_result(SessionError("kml: panic", "panicked"))
    assert "panic" in (await asyncio.wait_for(task, 10)).reason


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_run_in_order(world, number):
    w = await world()
    task = asyncio.create_task(w.run.execute())
    await w.workload.running.wait()
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    outcome = await asyncio.wait_for(task, 10)
    assert outcome.status == "stopped"
    w.check_clean()


async def test_stop_and_mark_through_the_control_socket(world):
    w = await world()
    task = asyncio.create_task(w.run.execute())
    await w.workload.running.wait()
    await control.request(registry.socket_path("r1"), "mark", note="look here", author="me")
    await control.request(registry.socket_path("r1"), "stop")
    assert (await asyncio.wait_for(task, 10)).status == "stopped"
    (mark,) = [record for record in w.recorded() if isinstance(record, Mark)]
    assert (mark.note, mark.author) == ("look here", "me")
    w.check_clean()


async def test_a_full_disk_ends_the_recording_and_not_the_run(world):
    w = await world()
    task = asyncio.create_task(w.run.execute())
    await w.workload.running.wait()
    limit = w.run.path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for _ in range(100):
            await w.sessions["stock"].sample("")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, before)
    w.workload.go_on.set()
    outcome = await asyncio.wait_for(task, 10)
    assert outcome.status == "done"
    warnings = [r.text for r in w.records if isinstance(r, Log) and r.level == "warning"]
    assert len(warnings) == 1
    assert "the run goes on" in warnings[0]
    assert any(isinstance(record, State) for record in w.recorded())
