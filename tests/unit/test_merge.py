# SPDX-License-Identifier: GPL-2.0-or-later
"""Benches of several machines as one recording, and what its report says of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from msgspec.structs import replace
from recording_samples import write
from run_samples import bench, two_sessions

from kmltui import cli
from kmltui.figures.machines import combine
from kmltui.figures.stats import mean_interval
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.model import Environment, Header, Log, Repeat
from kmltui.recording import Reader, RecordingError
from kmltui.recording.merging import merge
from kmltui.report import render


def recorded(path: Path, machine: str, kml: float = 0.97, pairs: int = 4, cpu: str = "EPYC") -> Path:
    header, *records = bench(pairs, kml)
    assert isinstance(header, Header)
    header = replace(header, kind="bench", host={"name": machine, "cpu": cpu})
    facts = Environment(t_ns=0, session="stock", facts={"kernel": "6.1", "cpu": cpu})
    write(path, [facts, *records], header)
    return path


def merged(tmp_path: Path, *sources: Path) -> tuple[list[object], Summary]:
    merge(sources, tmp_path / "all.kmlrec")
    with Reader.open(tmp_path / "all.kmlrec") as reader:
        records = list(reader.records())
        return records, summarise(reader.records())


def test_all_pairs_are_there_each_with_its_machine(tmp_path: Path) -> None:
    sources = [recorded(tmp_path / f"{name}.kmlrec", name, pairs=3) for name in "abc"]
    records, summary = merged(tmp_path, *sources)
    begun = [(r.pair, r.machine) for r in records if isinstance(r, Repeat) and r.event == "begin" and r.pair]
    assert sorted(set(begun)) == [(pair, "abc"[(pair - 1) // 3]) for pair in range(1, 10)]
    assert summary.run.pairs == 9 and summary.run.complete and summary.run.status == "done"


def test_what_was_merged_is_printed_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [str(recorded(tmp_path / f"{name}.kmlrec", name)) for name in "ab"]
    out = tmp_path / "all.kmlrec"
    assert cli.run(["merge", *sources, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recording"] == str(out)


def test_the_interval_is_over_machines_and_their_differences_are_told(tmp_path: Path) -> None:
    sources = [
        recorded(tmp_path / f"{name}.kmlrec", name, kml) for name, kml in (("a", 0.97), ("b", 0.90), ("c", 0.94))
    ]
    _, summary = merged(tmp_path, *sources)
    total = summary.comparisons["kml"]["cpu_s.total"]
    assert total.machines == pytest.approx({"a": 0.03, "b": 0.10, "c": 0.06}, abs=0.002)
    assert total.heterogeneity is not None and total.heterogeneity > 0.9
    # As wide as three machines ask for: t(2) times the spread of their effects, not that of twelve pairs.
    assert total.interval is not None and total.interval[0] < 0 < 0.14 < total.interval[1]
    assert total.shown is False
    text = render(summary, "text")
    assert "By machine" in text and "exceeds the scatter of their pairs" in " ".join(text.split())


def test_machines_that_agree_are_said_to(tmp_path: Path) -> None:
    sources = [recorded(tmp_path / f"{name}.kmlrec", name) for name in "abc"]
    _, summary = merged(tmp_path, *sources)
    total = summary.comparisons["kml"]["cpu_s.total"]
    assert total.heterogeneity == 0 and total.shown
    assert "The machines agree" in render(summary, "text")


def test_several_benches_of_one_machine_are_one_block(tmp_path: Path) -> None:
    sources = [recorded(tmp_path / f"{number}.kmlrec", "a", pairs=3) for number in range(2)]
    _, summary = merged(tmp_path, *sources)
    assert summary.run.pairs == 6
    assert summary.comparisons["kml"]["cpu_s.total"].machines is None


def test_what_the_machines_differ_in_comes_first(tmp_path: Path) -> None:
    sources = [recorded(tmp_path / "a.kmlrec", "a"), recorded(tmp_path / "b.kmlrec", "b", cpu="Xeon")]
    records, summary = merged(tmp_path, *sources)
    assert isinstance(records[1], Log)
    assert records[1].text == "the machines differ in host cpu: a: EPYC; b: Xeon"
    assert summary.environment["host"]["cpu"] == "EPYC / Xeon"


def test_an_unfinished_bench_is_said_to_be_one(tmp_path: Path) -> None:
    header, *records = bench(3)
    assert isinstance(header, Header)
    write(tmp_path / "a.kmlrec", records[:-1], replace(header, kind="bench", host={"name": "a"}))
    _, summary = merged(tmp_path, tmp_path / "a.kmlrec", recorded(tmp_path / "b.kmlrec", "b"))
    assert summary.run.status == "stopped" and "not all" in summary.run.reason


class TestWhatIsNotMerged:
    def refused(self, tmp_path: Path, *sources: Path) -> str:
        with pytest.raises(RecordingError) as caught:
            merge(sources, tmp_path / "all.kmlrec")
        assert not (tmp_path / "all.kmlrec").exists()
        return str(caught.value)

    def test_one_alone(self, tmp_path: Path) -> None:
        assert "two recordings" in self.refused(tmp_path, recorded(tmp_path / "a.kmlrec", "a"))

    def test_the_same_twice(self, tmp_path: Path) -> None:
        path = recorded(tmp_path / "a.kmlrec", "a")
        assert "named twice" in self.refused(tmp_path, path, path)

    def test_a_run_that_is_no_bench(self, tmp_path: Path) -> None:
        header, *records = two_sessions()
        assert isinstance(header, Header)
        write(tmp_path / "b.kmlrec", records, header)
        assert "is not a bench" in self.refused(tmp_path, recorded(tmp_path / "a.kmlrec", "a"), tmp_path / "b.kmlrec")

    def test_another_plan(self, tmp_path: Path) -> None:
        header, *records = bench(3, arms=("stock", "stock+libc"))
        assert isinstance(header, Header)
        write(tmp_path / "b.kmlrec", records, replace(header, kind="bench"))
        told = self.refused(tmp_path, recorded(tmp_path / "a.kmlrec", "a"), tmp_path / "b.kmlrec")
        assert "its sessions are not those of a.kmlrec" in told

    def test_what_was_merged_already(self, tmp_path: Path) -> None:
        sources = [recorded(tmp_path / f"{name}.kmlrec", name) for name in "abc"]
        merge(sources[:2], tmp_path / "two.kmlrec")
        assert "is merged already" in self.refused(tmp_path, sources[2], tmp_path / "two.kmlrec")


class TestOverMachines:
    def test_by_hand(self) -> None:
        # Two machines of two pairs: means 1 and 3, pooled variance 0.02, so each mean has a variance of 0.01.
        found = combine({"a": [0.9, 1.1], "b": [2.9, 3.1]})
        assert found.mean == pytest.approx(2.0)
        assert found.between**2 == pytest.approx(2 - 0.01)  # the means' variance less that of their own error
        assert found.heterogeneity == pytest.approx(1 - 1 / 200)  # Q = 2·1²/0.01
        assert found.interval.high - 2 == pytest.approx(12.706 * 1.0, rel=1e-3)

    def test_with_a_pair_on_each_it_is_the_t_interval_of_the_machines(self) -> None:
        values = {"a": [0.1], "b": [0.3], "c": [0.2], "d": [0.35]}
        wanted = mean_interval([value for group in values.values() for value in group])
        found = combine(values).interval
        assert wanted is not None and (found.low, found.high) == pytest.approx((wanted.low, wanted.high))

    def test_equal_values_have_no_spread(self) -> None:
        found = combine({"a": [0.1, 0.1], "b": [0.1, 0.1]})
        assert (found.mean, found.p, found.heterogeneity) == (pytest.approx(0.1), 0.0, 0.0)

    @pytest.mark.parametrize("between", [0.0, 1.0, 3.0])
    def test_it_holds_the_truth_as_often_as_it_says(self, between: float) -> None:
        chance = random.Random(7)
        held = 0
        for _ in range(1000):
            effects = [chance.gauss(5.0, between) for _ in range(5)]
            groups = {str(i): [chance.gauss(effect, 1.0) for _ in range(4)] for i, effect in enumerate(effects)}
            held += 5.0 in combine(groups).interval
        assert held >= 930

    @pytest.mark.parametrize("groups", [{}, {"a": [1.0, 2.0]}, {"a": [1.0], "b": []}])
    def test_it_takes_two_machines_with_pairs(self, groups: dict[str, list[float]]) -> None:
        with pytest.raises(ValueError, match="two of them"):
            combine(groups)
