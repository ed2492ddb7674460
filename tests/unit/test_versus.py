# SPDX-License-Identifier: GPL-2.0-or-later
"""Two recordings against each other: first what is not the same around them, then what is not the same in them."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from recording_samples import HEADER
from run_samples import bench, two_sessions

from kmltui import paths
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.figures.versus import compare_recordings
from kmltui.model import Environment, Header, Record, WorkloadSpec
from kmltui.recording import Reader
from kmltui.report import FORMATS, render_versus


def on(kernel: str, run: list[Record]) -> Summary:
    header, *rest = run
    facts = {"kernel": kernel, "accelerator": "KVM", "libc": "2.36"}
    return summarise([header, *(Environment(t_ns=1, session=s, facts=facts) for s in ("stock", "kml")), *rest[1:]])


def test_differences_of_the_environment_come_first() -> None:
    versus = compare_recordings(on("6.1", bench(5)), on("6.12", bench(5)))
    assert [(item.what, item.left, item.right) for item in versus.environment] == [("kernel", "6.1", "6.12")]
    report = render_versus(versus)
    assert report.index("What differs in the environment") < report.index("Session stock")
    assert max(map(len, report.splitlines())) <= 80


def test_figures_are_compared_with_an_interval_where_there_are_runs_enough() -> None:
    noisy = bench(8, noise=0.01)
    versus = compare_recordings(summarise(noisy), summarise(bench(8, kml=0.8, noise=0.01)))
    total = next(change for change in versus.sessions["kml"] if change.figure == "cpu_s.total")
    assert total.change == pytest.approx(0.8 / 0.97 - 1, abs=0.001)
    assert total.interval is not None and total.interval[0] <= total.change <= total.interval[1] < 0 and total.shown
    assert "kml took 17.5 % less CPU time on the right" in versus.verdict
    assert "stock: no difference in CPU time is shown" in versus.verdict
    assert "KML saved 3.0 % on the left and 20.0 % on the right" in versus.verdict
    assert render_versus(versus).count("of CPU time *") == 2


def test_single_runs_have_no_interval() -> None:
    versus = compare_recordings(summarise(two_sessions(90)), summarise(two_sessions(80)))
    total = next(change for change in versus.sessions["kml"] if change.figure == "cpu_s.total")
    assert total.change == pytest.approx(80 / 90 - 1) and total.interval is None and total.shown is None


WISCONSIN = HEADER.workload


@pytest.mark.parametrize(
    "headers",
    [
        (HEADER, replace(HEADER, workload=WorkloadSpec(name="wisconsin", loops=7))),
        (HEADER, replace(HEADER, workload=replace(WISCONSIN, script={"command": "something else"}))),
        (replace(HEADER, kind="monitor"), replace(HEADER, kind="monitor")),
    ],
    ids=["other settings", "another script of that name", "only watched"],
)
def test_sums_of_different_work_are_not_compared(headers: tuple[Header, Header]) -> None:
    left, right = (summarise([header, *two_sessions()[1:]]) for header in headers)
    versus = compare_recordings(left, right)
    assert not versus.same_work and "different work" in versus.verdict
    assert not any(change.figure.startswith("cpu_s") for change in versus.sessions["stock"])


def test_nothing_in_common_is_said() -> None:
    assert (
        "no completed session in common" in compare_recordings(summarise(two_sessions()), summarise([HEADER])).verdict
    )


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_it(form: str) -> None:
    report = render_versus(compare_recordings(summarise(two_sessions()), summarise(two_sessions(80))), form)
    assert "kml" in report and report.endswith("\n")
    if form == "json":
        assert json.loads(report)["sessions"]["kml"][0]["figure"] == "cpu_s.total"


def test_what_was_saved_of_counted_instructions_is_not_called_cpu_time() -> None:
    made = []
    for name in ("bench-exact-point-select", "point-select"):
        with Reader.open(paths.data_dir("recordings") / f"{name}.kmlrec") as reader:
            made.append(summarise(reader.records()))
    report = render_versus(compare_recordings(*made))
    left, right = (
        next(row for row in report.splitlines() if row.startswith(f"{side}, of")) for side in ("left", "right")
    )
    assert "instructions" in left and "1.4 %" in left and "6.4 %" in left
    assert "CPU time *" in right and "1.5 %" in right


def test_the_text_is_as_wide_as_the_screen() -> None:
    long = " ".join(["option=on"] * 20)
    versus = compare_recordings(on(long, bench(5)), on("6.12", bench(5)))
    assert max(map(len, render_versus(versus, "text", 60).splitlines())) <= 60
