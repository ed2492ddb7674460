# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a run is going to take is said before it begins, and how much of it is left while it goes on."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence

import pytest
from msgspec import structs
from recording_samples import HEADER, SECOND

from kmltui import workloads
from kmltui.machine import accel
from kmltui.model import END, START, End, Environment, Progress, Record, Repeat, Sample, SessionSpec, State
from kmltui.runner import expectation
from kmltui.runner.narrator import Narrator
from kmltui.runner.plan import Bench, Monitor, Once, Plan

GUESTS = [SessionSpec(name=arm, arm=arm, accel="tcg", clock="instructions") for arm in ("stock", "kml")]


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    (tmp_path / "state").mkdir()
    monkeypatch.setattr("os.cpu_count", lambda: 2)


def expected(name: str, how: Once | Bench | None = None, sessions: Sequence[SessionSpec] = GUESTS, **spec) -> float:
    plan = Plan(workload=workloads.get(name).spec(**spec), sessions=sessions, how=how or Once())
    found = expectation.expected(plan)
    assert found is not None
    assert found.seconds == found.without_kvm, "it is known that these guests are emulated"
    return found.seconds


def learn(pace: float, clock: str = "instructions") -> None:
    meter = expectation.PaceMeter()
    header = HEADER.__class__(workload=HEADER.workload, sessions=GUESTS)
    run: list[Record] = [header]
    for spec in GUESTS:
        run.append(Environment(t_ns=1, session=spec.name, facts={"clock": clock}))
        run.append(Sample(t_ns=SECOND, session=spec.name, mono_ns=0, mark=START))
        run.append(Sample(t_ns=11 * SECOND, session=spec.name, mono_ns=round(10 * pace * SECOND), mark=END))
    for record in [*run, End(t_ns=12 * SECOND, status="done")]:
        meter.hear(record)


def test_twice_the_work_takes_twice_as_long_but_for_the_start() -> None:
    once, twice = expected("wisconsin", loops=1000), expected("wisconsin", loops=2000)
    assert twice - once == pytest.approx(once - expected("wisconsin", loops=1), rel=0.01)


def test_a_bench_takes_every_turn_one_after_the_other() -> None:
    start = expectation.START_S[True]
    each = expected("syscalls") - start
    assert expected("syscalls", Bench(3)) - start == pytest.approx(8 * each)


def test_a_duration_is_the_sessions_own_time() -> None:
    by_wall = [SessionSpec(name=arm, arm=arm, accel="tcg") for arm in ("stock", "kml")]
    start = expectation.START_S[True]
    assert expected("wisconsin", sessions=by_wall, duration_s=60) == start + 60
    learn(0.25)
    assert expected("wisconsin", duration_s=60) == pytest.approx(start + 240)


def test_the_pace_is_that_of_the_last_run_here() -> None:
    before = expected("wisconsin")
    learn(expectation.EMULATED_PACE / 10)
    assert expected("wisconsin") > 5 * before
    learn(1.0, clock="wall")
    assert expected("wisconsin") > 5 * before, "under KVM the clock is no measure of an emulator"


def test_an_image_that_is_missing_is_built_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def builds(how: Once | Monitor) -> bool:
        plan = Plan(workload=workloads.get("wisconsin").spec(), sessions=GUESTS, how=how)
        return expectation.builds_an_image(plan)

    assert builds(Once()) and not builds(Monitor())
    monkeypatch.setattr(expectation, "read_manifest", lambda _spec: object())
    assert not builds(Once())


def test_of_a_program_that_nobody_knows_nothing_is_said() -> None:
    plan = Plan(workload=workloads.get("command").spec(command=["true"]), sessions=GUESTS)
    assert expectation.expected(plan) is None
    assert "depends on the program" in expectation.unknown(plan)
    assert "6 times in each session" in expectation.unknown(dataclasses.replace(plan, how=Bench(5)))
    assert expectation.unknown(dataclasses.replace(plan, how=Monitor())) == ""


@pytest.mark.parametrize(
    ("there", "tried", "said"),
    [
        (False, None, r"about \d+ min here"),
        (True, False, r"about \d+ min here"),
        (True, True, r"about \d+ s here"),
        (True, None, r"about \d+ s if KVM works here, else about \d+ min"),
    ],
)
def test_what_is_said_does_not_rest_on_a_kvm_that_was_never_tried(
    monkeypatch: pytest.MonkeyPatch, there: bool, tried: bool | None, said: str
) -> None:
    monkeypatch.setattr(accel.os, "access", lambda *_: there)  # type: ignore[attr-defined]
    monkeypatch.setattr(accel, "remembered", lambda: None if tried is None else (tried, ""))
    plan = Plan(
        workload=workloads.get("wisconsin").spec(loops=500),
        sessions=[structs.replace(spec, accel="auto") for spec in GUESTS],
    )
    assert re.fullmatch(said, str(expectation.expected(plan)))


@pytest.mark.parametrize(("seconds", "words"), [(3, "5 s"), (72, "70 s"), (200, "3 min"), (9000, "2.5 h")])
def test_it_is_said_in_round_figures(seconds: float, words: str) -> None:
    assert expectation.words(seconds) == words


def narrated(turns: int, *records: Record) -> str:
    out = io.StringIO()
    narrator = Narrator(out, turns)
    for record in records:
        narrator.hear(record)
    return out.getvalue()


def at(t: float, session: str, fraction: float) -> Progress:
    return Progress(t_ns=round(t * SECOND), session=session, phase="select", fraction=fraction)


RUNNING = State(t_ns=10 * SECOND, session="stock", state="running")


def test_what_is_left_is_that_of_the_slower_session() -> None:
    text = narrated(1, RUNNING, at(11, "stock", 0.01), at(12, "kml", 0.25), at(40, "stock", 0.5), at(41, "kml", 0.6))
    assert "25 % is done, about 90 s left" in text and text.count("left") == 1


def test_the_clock_and_the_clients_way_of_reading_are_named() -> None:
    workload = workloads.get("demo").spec()
    up = Environment(t_ns=1, session="kml", facts={"accelerator": "TCG", "clock": "instructions"})
    text = narrated(1, HEADER.__class__(workload=workload, sessions=GUESTS), up)
    assert "1 s = 10⁹ instructions · TCG" in text and "as the article's did" in text
    wall = Environment(t_ns=1, session="kml", facts={"accelerator": "KVM", "clock": "wall"})
    assert "instructions" not in narrated(1, wall)


def test_what_is_left_of_a_bench_counts_its_turns() -> None:
    over = Repeat(t_ns=40 * SECOND, session="stock", pair=0, event="end")
    assert "38 % is done, about 65 s left" in narrated(4, RUNNING, over, at(50, "kml", 0.5))
