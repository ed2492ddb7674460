# SPDX-License-Identifier: GPL-2.0-or-later
"""Suites: several benches, one table; what is recorded already is not measured again."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from run_samples import bench

from kmltui import cli
from kmltui.cli import suite as suites
from kmltui.figures.suite import suite_row
from kmltui.figures.summarise import summarise
from kmltui.model import End, Header, Record
from kmltui.recording import Writer
from kmltui.report.suite import render_suite
from kmltui.runner.expectation import Expected
from kmltui.workloads import UsageError
from kmltui.workloads.suites import Part, Suite, suite

TWO = Suite("two", (Part("dd", 1), Part("dd", 2, {"bytes": "5"}, "five bytes")))


def recorded(unit: str = "byte", status: str = "done") -> list[Record]:
    header, *rest = bench(6, kml=0.9)
    assert isinstance(header, Header)
    workload = msgspec.structs.replace(header.workload, unit=unit, units_per_loop=100, loops=10)
    ended = [msgspec.structs.replace(r, status=status) if isinstance(r, End) else r for r in rest]
    return [msgspec.structs.replace(header, workload=workload), *ended]


def write(records: list[Record], path: Path) -> int:
    with Writer.create(path, records[0]) as writer:  # type: ignore[arg-type]
        for record in records[1:]:
            writer.append(record)
    return 0


class TestRows:
    def test_a_row_has_what_was_saved_and_the_calls_for_a_unit_of_the_work(self) -> None:
        summary = summarise(recorded())
        row = suite_row(summary, "dd", "by others")
        assert row.problem == "" and row.pairs == 6 and not row.exact
        assert row.saved["total"].fraction == pytest.approx(0.1, abs=0.02)
        calls = summary.sessions["kml"].syscalls
        assert calls is not None and row.calls_per_unit == (calls.trap + calls.direct) / 1000

    def test_a_run_that_failed_has_its_reason_and_no_figures(self) -> None:
        row = suite_row(summarise(recorded(status="failed")), "dd")
        assert row.problem and not row.saved

    @pytest.mark.parametrize("format", ["text", "markdown", "html"])
    def test_the_table_names_units_and_what_others_report(self, format: str) -> None:
        rows = [suite_row(summarise(recorded("request")), "dd", "Privbox reports 2.2")]
        text = render_suite("peers", rows, format)
        assert "request" in text and "Privbox reports 2.2" in text and "10." in text

    def test_json_has_the_figures_as_they_are(self) -> None:
        row = suite_row(summarise(recorded()), "dd")
        found = json.loads(render_suite("peers", [row], "json"))
        assert found["rows"][0]["saved"]["total"]["fraction"] == row.saved["total"].fraction

    def test_rows_that_were_not_measured_alike_are_told_apart(self) -> None:
        row = suite_row(summarise(recorded()), "dd")
        text = render_suite("peers", [row, msgspec.structs.replace(row, exact=not row.exact)])
        assert "not all measured in the same way" in " ".join(text.split())


def unknown(_part: Part, _out: Path) -> None:
    """How long a bench takes."""


class TestRunning:
    def test_it_says_first_how_long_what_is_missing_takes(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        suites.run(
            TWO, tmp_path, "text", lambda _, out: write(recorded(), out), lambda _part, _out: Expected(300.0, 300.0)
        )
        assert "all 2 will take about 10 min here" in capsys.readouterr().err
        suites.run(TWO, tmp_path, "text", lambda _part, _out: 1, lambda _part, _out: Expected(300.0, 300.0))
        assert "will take" not in capsys.readouterr().err

    def test_or_that_nobody_can_know_it(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        suites.run(TWO, tmp_path, "text", lambda _, out: write(recorded(), out), unknown)
        said = capsys.readouterr().err
        assert "how long all 2 take depends on the programs" in said and "will take" not in said

    def test_what_is_complete_is_not_measured_again(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        measured: list[str] = []

        def measure(part: Part, out: Path) -> int:
            measured.append(part.name)
            print("the card of a bench")
            return write(recorded(), out)

        assert suites.run(TWO, tmp_path, "text", measure, unknown) == 0
        assert suites.run(TWO, tmp_path, "text", measure, unknown) == 0
        assert measured == ["dd", "dd-five bytes"]
        told = capsys.readouterr()
        assert told.out.count("Suite two") == 2 and "the card" not in told.out and "the card" in told.err

    def test_what_was_interrupted_is_measured_again_and_kept(self, tmp_path: Path) -> None:
        write(recorded(status="stopped"), tmp_path / "two-dd.kmlrec")
        assert suites.run(TWO, tmp_path, "text", lambda _, out: write(recorded(), out), unknown) == 0
        assert (tmp_path / "two-dd.unfinished").exists()

    def test_one_that_fails_does_not_keep_the_others_from_being_measured(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def measure(part: Part, out: Path) -> int:
            return write(recorded(status="failed" if part.name == "dd" else "done"), out)

        assert suites.run(TWO, tmp_path, "text", measure, unknown) == 1
        told = capsys.readouterr().out
        assert "Not measured" in told and "five bytes" in told

    def test_who_stops_a_bench_stops_the_suite(self, tmp_path: Path) -> None:
        measured: list[str] = []

        def measure(part: Part, out: Path) -> int:
            measured.append(part.name)
            return write(recorded(status="stopped"), out)

        assert suites.run(TWO, tmp_path, "text", measure, unknown) == 1
        assert measured == ["dd"]

    def test_a_file_is_no_place_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Exception, match="name a directory"):
            suites.run(TWO, tmp_path / "file", "text", lambda _part, _out: 0, unknown)


def test_every_part_of_every_suite_can_be_run_as_it_is_declared() -> None:
    from kmltui import workloads

    peers = suite("peers")
    names = [part.name for part in peers.parts]
    assert len(set(names)) == len(names)
    for part in peers.parts:
        spec = workloads.get(part.workload).spec(loops=part.loops, options=part.options)
        assert spec.unit and spec.units_per_loop > 0
    assert {"redis-server", "sqlite3"} <= set(peers.packages)
    with pytest.raises(UsageError, match="there are: peers"):
        suite("pears")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "pears"], "there is no suite 'pears'"),
        (["--suite", "peers", "--workload", "dd"], "says itself which workloads"),
        (["--suite", "peers", "--name", "x"], "leave out --name"),
    ],
)
def test_what_cannot_be_a_suite_is_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    assert cli.run(["bench", "--exact", *arguments]) == 2
    assert message in capsys.readouterr().err
