# SPDX-License-Identifier: GPL-2.0-or-later
"""The end card: what everybody should know of a run, the same wherever it is shown."""

from __future__ import annotations

import msgspec
from run_samples import bench, two_sessions

from kmltui.figures.card import CardLine, card
from kmltui.figures.summarise import summarise
from kmltui.model import Environment, Header, Measure, Record


def lines(run: list[Record], *, article: bool = False) -> dict[str, CardLine]:
    header, *rest = run
    assert isinstance(header, Header)
    workload = msgspec.structs.replace(header.workload, article=article)
    return {line.kind: line for line in card(summarise([msgspec.structs.replace(header, workload=workload), *rest]))}


def by_instructions(run: list[Record]) -> list[Record]:
    facts = {"accelerator": "TCG (software emulation)", "clock": "instructions"}
    up: list[Record] = [Environment(t_ns=1, session=name, facts=facts) for name in ("stock", "kml")]
    return [run[0], *up, *(record for record in run[1:] if not isinstance(record, Environment))]


def test_calls_without_a_trap_are_never_all_of_them_where_one_trapped() -> None:
    line = lines(two_sessions())["calls"]
    assert line.text.endswith("of 100,000 system calls") and not line.text.startswith("100")


def test_one_call_by_trap_and_directly() -> None:
    run = two_sessions()
    run[1:1] = [
        Measure(t_ns=1, session="stock", name="getppid", unit="ns", values={"trap": 400.0}),
        Measure(t_ns=1, session="kml", name="getppid", unit="ns", values={"trap": 420.0, "direct": 100.0}),
    ]
    assert lines(run)["call"].text == "getppid, 400 ns by trap, 100 directly: 4.0 times as fast"
    assert "400 instructions by trap" in lines(by_instructions(run))["call"].text


def test_what_was_measured_has_its_interval_and_its_clock() -> None:
    line = lines(bench(10))["measured"]
    assert line.text == "KML saved 3.0 % of CPU time, 95 % interval 3.0 to 3.0 %"
    assert line.more == "10 pairs of runs; by the wall clock" and line.tone == "good"
    assert lines(bench(10, kml=1.03))["measured"].tone == "bad"


def test_only_what_the_report_calls_a_difference_has_a_colour() -> None:
    assert lines(two_sessions(90))["measured"].tone == "plain", "one run each by the wall clock"
    assert lines(by_instructions(two_sessions(90)))["measured"].tone == "good"
    assert lines(by_instructions(two_sessions(99.9)))["measured"].tone == "plain", "within what the clock repeats to"
    assert "1 s = 10⁹ instructions" in lines(by_instructions(two_sessions(90)))["measured"].more


def test_by_the_wall_clock_of_an_emulator_nothing_was_measured() -> None:
    run = two_sessions(90)
    run[1] = Environment(t_ns=1, session="stock", facts={"accelerator": "TCG (software emulation)"})
    line = lines(run)["measured"]
    assert line.text == "no verdict on time" and "software emulation" in line.more and line.tone == "plain"


def test_the_article_is_there_beside_its_own_benchmark_and_with_the_client_s_figure() -> None:
    assert "article" not in lines(two_sessions())
    assert "the client here saved 10.0 %" in lines(two_sessions(90), article=True)["article"].text


def test_a_run_without_a_result_says_so_first() -> None:
    found = list(lines(two_sessions(status="stopped")).values())
    assert found[0].kind == "warning" and "stopped before its end" in found[0].text
    assert "measured" not in {line.kind for line in found}
