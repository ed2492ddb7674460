# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``kmltui try`` ends with: a card that says what ring 0 did for a program, as text and as a picture."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from run_samples import bench

from kmltui import cli, paths
from kmltui.cli.options import RecordingOptions
from kmltui.figures.figures import CallCounts, ProgramFigures, direct_share
from kmltui.figures.program import ProgramCard, Row, program_card
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.recording import Reader
from kmltui.report import program


@pytest.fixture(scope="module")
def counted() -> Summary:
    with Reader.open(paths.data_dir("recordings") / "bench-exact-point-select.kmlrec") as reader:
        return summarise(reader.records())


def rows(card: ProgramCard) -> dict[str, Row]:
    return {row.label: row for row in card.rows}


def test_calls_are_those_of_the_report(counted: Summary) -> None:
    calls = counted.sessions["kml"].syscalls
    assert calls is not None
    found = rows(program_card(counted))["System calls"]
    assert f"{calls.trap + calls.direct:,} a run" in found.text and "100.0 %" not in found.text
    assert f"{calls.direct:,} direct, {calls.trap:,} trapped" in found.more


def test_what_it_took_has_an_interval_where_there_are_enough_pairs(counted: Summary) -> None:
    found = rows(program_card(counted))["Instructions"]
    comparison = counted.comparisons["kml"]["instructions.total"]
    assert comparison.saved is not None
    assert f"saved {100 * comparison.saved:.2f} %, 95 % interval" in found.text


def test_it_carries_the_proof_of_ring_0(counted: Summary) -> None:
    found = rows(program_card(counted))["Proof"]
    assert "ring 0" in found.text


def test_a_program_that_says_nothing_of_its_ring_is_proved_by_its_direct_calls(counted: Summary) -> None:
    silent = msgspec.structs.replace(
        counted, sessions={name: msgspec.structs.replace(each, ring=None) for name, each in counted.sessions.items()}
    )
    calls = counted.sessions["kml"].syscalls
    assert calls is not None
    found = rows(program_card(silent))["Proof"]
    assert f"{calls.direct:,} times, which only ring 0 can" in found.text and "stock: 0 times" in found.more


def test_calls_that_are_in_the_total_and_no_program_s_are_said_to_be(counted: Summary) -> None:
    def told(*shares: tuple[int, int]) -> Row:
        kml = counted.sessions["kml"]
        of_the_programs = {f"p{n}": ProgramFigures(*both, direct_share(*both)) for n, both in enumerate(shares)}
        calls = CallCounts(47, 553, {})
        session = msgspec.structs.replace(kml, syscalls=calls, programs=of_the_programs, direct_share=553 / 600)
        changed = msgspec.structs.replace(counted, sessions={**counted.sessions, "kml": session})
        return rows(program_card(changed))["By program"]

    started = told((1, 452), (2, 101))
    assert started.text == "p0 99.8 %, p1 98.1 %"
    assert started.more == (
        "in the total alone: 44 calls, all by trap, of the guest's own daemon, which starts the programs"
    )
    assert told((44, 452), (2, 101)).more == "", "a single call would not be missed"


def test_more_instructions_are_called_more() -> None:
    text = program.as_text(program_card(summarise(bench(5, kml=1.03))))
    assert "saved −3.0" in text


class TestThePicture:
    def test_it_is_whole_and_says_what_the_text_says(self, counted: Summary) -> None:
        card = program_card(counted)
        words = " ".join("".join(element.itertext()) for element in ET.fromstring(program.as_svg(card)))
        for row in card.rows:
            assert " ".join(row.text.split()[:4]) in " ".join(words.split())

    def test_what_a_program_is_called_cannot_break_out_of_it(self) -> None:
        hostile = ProgramCard('./a "<script>x</script>" \x1b[2J & more', [Row("<b>", "</text>\x07")], [("<i>", 1, 0)])
        root = ET.fromstring(program.as_svg(hostile))
        assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "rect", "text"}
        assert "\x1b" not in program.as_svg(hostile) and "\x1b" not in program.as_text(hostile)


class TestTheCommand:
    def test_without_a_program_it_says_how_one_is_given(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run(["try"]) != 0
        assert "kmltui try -- ./prog" in capsys.readouterr().err

    def test_a_picture_that_is_there_is_not_written_over(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        there = tmp_path / "card.svg"
        there.write_text("mine")
        assert cli.run(["try", "--svg", str(there), "--", "true"]) != 0
        assert "exists already" in capsys.readouterr().err and there.read_text() == "mine"

    def test_as_json_nothing_else_is_on_standard_output(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def made(*command: str, recording: RecordingOptions, **_: object) -> int:
            assert recording.out is not None
            shutil.copy(paths.data_dir("recordings") / "bench-exact-point-select.kmlrec", recording.out)
            print("a card")
            return 0

        monkeypatch.setattr("kmltui.cli.bench.bench", made)
        picture = tmp_path / "card.svg"
        words = ["try", "--json", "--svg", str(picture), "-o", str(tmp_path / "a.kmlrec"), "--", "true"]
        assert cli.run(words) == 0
        told = json.loads(capsys.readouterr().out)
        assert {row["label"] for row in told["rows"]} >= {"Proof", "System calls", "Instructions"}
        assert ET.fromstring(picture.read_text()).tag.endswith("svg")
