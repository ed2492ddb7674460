# SPDX-License-Identifier: GPL-2.0-or-later
"""The estimate for hardware: plain arithmetic on counts and the cost of a trap, absent where one of them is."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from run_samples import two_sessions

from kmltui.figures import article
from kmltui.figures.estimate import (
    TrapCost,
    _from_instructions,
    estimate,
    native_seconds,
    notes,
    page_table_isolation,
    saved_by_a_call,
    sentence,
    trap_cost,
)
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Range
from kmltui.machine import trapcost
from kmltui.model import End, Environment, HardwareCounts, Header, Record, Sample, SessionSpec

COST = TrapCost(Range(100.0, 120.0), Range(250.0, 300.0), 1.5, "A processor", "meltdown:Not affected", False)


def recorded(cost: TrapCost | None = COST, **facts: str) -> list[Record]:
    """A run of 41,010 queries and 99,000 direct calls, whose stock session took 150 CPU seconds."""
    header, *rest = two_sessions()
    assert isinstance(header, Header)
    host = {"cpu": "A processor", **(cost.facts() if cost else {})}
    up = [Environment(t_ns=1, session=name, facts={"accelerator": "KVM", **facts}) for name in ("stock", "kml")]
    return [msgspec.structs.replace(header, host=host), *rest, *up]


def test_a_timing_survives_the_recording_s_header() -> None:
    found = trap_cost({"cpu": "A processor", **COST.facts()})
    assert found == COST
    assert trap_cost({"cpu": "A processor"}) is None and trap_cost({**COST.facts(), "trap_ns": "fast"}) is None


def test_a_timing_on_a_busy_machine_says_so_wherever_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("busy" in note for note in notes(summarise(recorded()).estimate))
    busy = msgspec.structs.replace(COST, busy="load 9.3 on 2 CPUs")
    assert trap_cost({"cpu": "A processor", **busy.facts()}) == busy
    assert [note for note in notes(summarise(recorded(busy)).estimate) if "busy (load 9.3 on 2 CPUs)" in note]
    for load, said in ((0.4, ""), (1.6, "load 1.6 on 2 CPUs")):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        assert trapcost._busy() == said


def test_what_a_direct_call_saves_is_never_less_than_nothing() -> None:
    likely, bounds = saved_by_a_call(COST)
    assert (likely, bounds) == (Range(70, 90), Range(40, 105))
    cheap = msgspec.structs.replace(COST, ns=Range(20.0, 25.0))
    assert saved_by_a_call(cheap) == (Range(0, 0), Range(0, 10))


def test_under_kvm_the_stock_guest_s_cpu_time_is_the_processor_s() -> None:
    summary = summarise(recorded())
    found, kml = summary.estimate, summary.sessions["kml"]
    assert found is not None and kml.syscalls is not None and kml.queries
    calls = kml.syscalls.direct / kml.queries
    assert found.calls_per_query == pytest.approx(calls)
    assert found.native_us is not None and found.native_us.low == found.native_us.high
    a_query_s = 150 / kml.queries
    assert found.likely is not None and found.saved is not None
    assert found.likely.low == pytest.approx(calls * 70e-9 / a_query_s)
    assert found.saved.low == pytest.approx(calls * 40e-9 / a_query_s)
    assert found.saved.low < found.likely.low < found.likely.high < found.saved.high


def counted(records: list[Record], saved_cycles: int) -> list[Record]:
    """With the processor's counters: 300·10⁹ cycles in stock's 150 CPU seconds, 2 a nanosecond."""

    def seen(record: Record) -> Record:
        if not isinstance(record, Sample) or record.mark not in ("start", "end"):
            return record
        took = 300 * 10**9 - (saved_cycles if record.session == "kml" else 0)
        cycles = took if record.mark == "end" else 0
        return msgspec.structs.replace(record, hardware={"server": HardwareCounts(cycles)})

    return [seen(record) for record in records]


CALLS = 99_000
"""The direct calls of the run."""


def test_cycles_that_the_processor_counted_are_told_and_do_not_pass_for_certain() -> None:
    plain = summarise(recorded()).estimate
    found = summarise(counted(recorded(), CALLS * 160)).estimate
    assert found is not None and plain is not None and found.counted_ns == pytest.approx(80)
    assert found.likely == plain.likely, "one difference of two runs has no interval"
    assert any("saved 80 ns" in note for note in notes(found))


@pytest.mark.parametrize(("cycles_a_call", "low", "high"), [(400, 40, 200), (20, 10, 105), (-50, 0, 105)])
def test_the_bounds_hold_what_was_counted(cycles_a_call: int, low: float, high: float) -> None:
    found = summarise(counted(recorded(), CALLS * cycles_a_call)).estimate
    assert found is not None and found.saved is not None
    assert found.saved.low == pytest.approx(CALLS * low * 1e-9 / 150, abs=1e-12)
    assert found.saved.high == pytest.approx(CALLS * high * 1e-9 / 150)


def test_of_counted_instructions_the_bounds_are_wider() -> None:
    counted = summarise(recorded(accelerator="TCG", clock="instructions")).estimate
    assert counted is not None and counted.native_us is not None
    assert 2.8 < counted.native_us.high / counted.native_us.low < 2.0 / 0.7, "the traps in it are timed, not assumed"
    assert "instructions a cycle" in counted.assumed


@pytest.mark.parametrize("instructions", [330.0, 600.0])
def test_a_program_of_nothing_but_calls_saves_no_more_than_its_traps_cost(instructions: float) -> None:
    calls = 200_000.0
    native = _from_instructions(calls * instructions, calls, COST)
    assert native.low >= calls * COST.ns.low / 1e9 and native.low <= native.high
    saved = saved_by_a_call(COST)[1]
    assert calls * saved.low / 1e9 / native.high < calls * saved.high / 1e9 / native.low <= 1.06


def test_by_the_wall_clock_of_an_emulator_no_share_is_known_until_it_is_measured_natively() -> None:
    summary = summarise(recorded(accelerator="TCG"))
    assert summary.estimate is not None and summary.estimate.saved is None and summary.estimate.saved_us.low > 0
    native = estimate(summary, Range(0.001, 0.001))
    assert native is not None and native.saved is not None
    assert native.saved.high == pytest.approx(native.saved_us.high / 1000)
    assert "µs of CPU time a query" in sentence(summary.estimate)


@pytest.mark.parametrize(
    "run",
    [recorded(None), [r for r in recorded() if not isinstance(r, End) and getattr(r, "mark", "") != "end"]],
    ids=["the trap was not timed", "the workload was not completed"],
)
def test_what_cannot_be_known_is_absent(run: list[Record]) -> None:
    assert summarise(run).estimate is None


@pytest.mark.parametrize("arm", ["stock", "kml"])
def test_a_control_saves_no_call_so_it_has_no_estimate(arm: str) -> None:
    header, *rest = recorded()
    assert isinstance(header, Header)
    specs = [msgspec.structs.replace(spec, arm=arm) for spec in header.sessions]
    assert summarise([msgspec.structs.replace(header, sessions=specs), *rest]).estimate is None


def test_the_line_says_that_nothing_was_measured_and_what_it_rests_on() -> None:
    found = summarise(recorded()).estimate
    assert found is not None
    text = sentence(found)
    assert text.startswith("Estimate, not measured: on the recording machine's processor (A processor)")
    assert "calls a query without a trap of 100 to 120 ns" in text
    assert any("about 30 ns" in note for note in notes(found))
    assert any("isolation is off" in note for note in notes(found))
    assert not any("Mitigations" in note and "meltdown" in note for note in notes(found))


def test_the_mitigations_are_listed_as_in_table_1() -> None:
    listed = "meltdown:Not affected\nspectre_v1:Mitigation: swapgs barriers\nmds:Not affected"
    found = summarise(recorded(msgspec.structs.replace(COST, mitigations=listed))).estimate
    assert found is not None
    assert "Mitigations there: spectre_v1: Mitigation: swapgs barriers; not affected by 2 others." in notes(found)


def test_page_table_isolation_is_told_by_the_kernel_or_unknown() -> None:
    assert page_table_isolation("meltdown:Mitigation: PTI\nmds:Not affected") is True
    assert page_table_isolation("meltdown:Not affected") is False
    assert page_table_isolation("") is None


def test_counting_calls_is_no_part_of_the_native_cpu_time() -> None:
    header, *rest = two_sessions()
    assert isinstance(header, Header)
    own = [r for r in rest if getattr(r, "session", "stock") == "stock"]
    local = summarise([msgspec.structs.replace(header, sessions=[SessionSpec(name="stock", kind="local")]), *own])
    native, queries = native_seconds(local), local.sessions["stock"].queries
    assert native is not None and queries
    assert native.high == pytest.approx(150 / queries)
    assert native.low == pytest.approx((150 - 100_000 * 150e-9) / queries)


def test_the_model_agrees_with_the_article() -> None:
    # 30,830 reads a loop by MySQL 4.1's client; what they saved of system time is 63 ns each, so a trap cost 93.
    reads = 30_830 * article.LOOPS
    saved_s = article.STOCK.system - article.KML.system
    assert 1e9 * saved_s / reads == pytest.approx(63, abs=0.5)
    likely, bounds = saved_by_a_call(TrapCost(Range(93.0, 93.0), Range(223.0, 223.0), 2.0, "Opteron 850", "", False))
    assert reads * likely.low / 1e9 == pytest.approx(saved_s, rel=0.01)
    assert reads * bounds.low / 1e9 < saved_s < reads * bounds.high / 1e9


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_trap_costs_more_than_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    cost = trapcost.measure("here", "", virtual=False)
    assert 0 < cost.call_ns < cost.ns.low <= cost.ns.high and 0.1 < cost.ghz < 10


def test_without_a_compiler_there_is_no_timing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(trapcost.TimingError, match="gcc"):
        trapcost.measure("here", "", virtual=False)
