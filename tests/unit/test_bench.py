# SPDX-License-Identifier: GPL-2.0-or-later
"""A bench: who works when, and what is recorded of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from kmltui import clients, workloads
from kmltui.figures.stats import TICK_BIAS
from kmltui.figures.summarise import summarise
from kmltui.model import (
    GroupCpu,
    Header,
    Measure,
    Phase,
    Repeat,
    Sample,
    SessionSpec,
    WorkloadSpec,
)
from kmltui.recording import Reader
from kmltui.report import render
from kmltui.runner.bench import InTurn, schedule
from kmltui.runner.plan import Bench, Plan
from kmltui.runner.run import Run
from kmltui.runner.work import SessionSource, Work
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import SessionError


class TestSchedule:
    def test_every_other_pair_is_turned_round(self) -> None:
        rows: dict[int, list[str]] = {}
        for turn in schedule(["stock", "kml"], 3):
            rows.setdefault(turn.pair, []).append(turn.session)
        assert rows == {0: ["stock", "kml"], 1: ["stock", "kml"], 2: ["kml", "stock"], 3: ["stock", "kml"]}

    def test_every_session_has_every_pair_once_whatever_their_number(self) -> None:
        turns = schedule(["a", "b", "c", "d"], 5)
        assert [turn.order for turn in turns] == list(range(24))
        assert len({(turn.pair, turn.session) for turn in turns}) == 24


class FakeSession:
    def __init__(self, spec: SessionSpec, period_ns: int) -> None:
        self.spec = spec
        self.never = asyncio.get_running_loop().create_future()

    async def start(self, journal: Journal) -> None:
        self.journal = journal
        journal.state(self.spec.name, "booting")

    async def get(self, path: str) -> bytes:
        raise FileNotFoundError(path)

    async def sample(self, mark: str) -> None:
        self.journal.emit(Sample(t_ns=self.journal.now(), session=self.spec.name, mono_ns=1, mark=mark))

    async def failed(self) -> SessionError:
        return await asyncio.shield(self.never)

    async def stop(self) -> None: ...


class Counted(workloads.Workload):
    """Fails the test if two sessions work at once."""

    name = "counted"
    title = description = "A workload for tests."
    bound = "itself"

    def __init__(self) -> None:
        self.working = 0
        self.story: list[str] = []
        self.fail_at = -1

    async def prepare(self, ctx: workloads.Context) -> None:
        self.story.append(f"prepare {ctx.name}")

    async def run(self, ctx: workloads.Context) -> None:
        self.working += 1
        await asyncio.sleep(0)
        assert self.working == 1, "two sessions worked at the same time"
        self.story.append(f"run {ctx.name}")
        self.working -= 1
        if len(self.story) > self.fail_at >= 0:
            raise workloads.WorkloadError("it went wrong")

    async def check(self, ctx: workloads.Context) -> None:
        self.story.append(f"check {ctx.name}")


@pytest.fixture
def workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    return Counted()


async def no_image_needed(sessions: Sequence[SessionSpec], journal: Journal) -> None: ...


def bench(tmp_path: Path, workload: Counted, pairs: int) -> Run:
    plan = Plan(
        workload=WorkloadSpec(name="counted"),
        sessions=[SessionSpec(name="stock", kind="local"), SessionSpec(name="kml", kind="local", arm="kml")],
        name="b1",
        out=tmp_path / "b1.kmlrec",
        how=Bench(pairs),
    )
    source = SessionSource(no_image_needed, FakeSession)  # type: ignore[arg-type]
    return Run(plan, InTurn(Work(plan, workload, source, settle_s=0.0), pairs))


class TestBench:
    async def test_sessions_take_turns_and_each_repetition_is_bracketed(
        self, tmp_path: Path, workload: Counted
    ) -> None:
        run = bench(tmp_path, workload, 2)
        assert (await run.execute()).status == "done"
        runs = [line for line in workload.story if line.startswith("run")]
        assert runs == ["run stock", "run kml", "run stock", "run kml", "run kml", "run stock"]
        assert {"check kml", "check stock"} <= set(workload.story)
        with Reader.open(run.path) as reader:
            seen = [
                (r.session, r.event if isinstance(r, Repeat) else r.mark)
                for r in reader.records()
                if isinstance(r, Repeat | Sample)
            ]
        for name in ("stock", "kml"):
            own = [what for session, what in seen if session == name]
            assert own == ["begin", "start", "end", "end"] * 3

    async def test_what_is_prepared_is_prepared_for_every_repetition(self, tmp_path: Path, workload: Counted) -> None:
        await bench(tmp_path, workload, 1).execute()
        assert workload.story.count("prepare kml") == 2

    async def test_a_failure_in_one_session_ends_the_bench(self, tmp_path: Path, workload: Counted) -> None:
        workload.fail_at = 5
        outcome = await asyncio.wait_for(bench(tmp_path, workload, 10).execute(), 20)
        assert outcome.status == "failed" and "it went wrong" in outcome.reason


def test_the_report_tells_how_far_off_the_ticks_are() -> None:
    group = GroupCpu(5_000_000, 4_000_000, 1_000_000)
    session = SessionSpec(name="stock")
    summary = summarise(
        [
            Header(workload=WorkloadSpec(name="wisconsin", loops=1), sessions=[session]),
            Measure(t_ns=1, session="stock", name=TICK_BIAS, unit="%", values={"exact": 48.3, "by ticks": 37.7}),
            Sample(t_ns=1, session="stock", mono_ns=1, mark="start"),
            Sample(t_ns=4, session="stock", mono_ns=4, mark="end", groups={"server": group}),
        ]
    )
    text = " ".join(render(summary, "text").split())
    assert "in a loop of reads and computing: stock 38 % instead of 48 %" in text
    assert "Measured by the workload" not in text


def test_the_measure_of_the_ticks_is_called_what_the_report_looks_for() -> None:
    source = (clients.DIRECTORY / "tickbias.c").read_text(encoding="utf-8")
    assert f'\\"{TICK_BIAS}\\"' in source


def test_marked_instructions_leave_out_what_lies_between_phases() -> None:
    counts = {"0": (100, 50)}
    records = [
        Header(workload=WorkloadSpec(name="wisconsin", loops=1), sessions=[SessionSpec(name="stock", exact=True)]),
        Sample(t_ns=1, session="stock", mono_ns=1, mark="start", instructions={"0": (0, 0)}),
        Sample(t_ns=2, session="stock", mono_ns=2, mark="phase:select", instructions={"0": (900, 900)}),
        Phase(t_ns=3, session="stock", name="select", event="end", instructions=counts),
        Sample(t_ns=4, session="stock", mono_ns=4, mark="end", instructions={"0": (5000, 5000)}),
    ]
    session = summarise(records).sessions["stock"]
    assert session.instructions is not None and session.phases is not None
    assert (session.instructions.user, session.instructions.system) == (100, 50)
    assert session.phases[0].instructions == session.instructions
