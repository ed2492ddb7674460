# SPDX-License-Identifier: GPL-2.0-or-later
"""What leaves a recording: cuts, CSV, JSON Lines, streams."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import threading
from pathlib import Path

import msgspec
import pytest
from recording_samples import HEADER, SECOND, a_run, write

from kmltui.model import (
    CpuTicks,
    End,
    Environment,
    GroupCpu,
    Header,
    KmlCounters,
    Latency,
    Log,
    Mark,
    Phase,
    Progress,
    Record,
    Sample,
    SessionSpec,
    State,
    Status,
)
from kmltui.recording import Reader, RecordingError, copy_stream, spooled
from kmltui.recording.cutting import cut
from kmltui.recording.export import cpus_seen, csv_lines, jsonl
from kmltui.recording.landmarks import is_landmark


def read(path: Path) -> list[Record]:
    with Reader.open(path) as reader:
        return list(reader.records())


class TestCut:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        run = [
            Environment(t_ns=1, session="kml", facts={"kernel": "6.1"}),
            State(t_ns=2, session="kml", state="booting"),
            State(t_ns=3, session="kml", state="running"),
            Phase(t_ns=4, session="kml", name="select", event="begin"),
            *a_run(200),
        ]
        write(tmp_path / "a.kmlrec", run)
        return tmp_path / "a.kmlrec"

    def test_times_begin_at_zero_and_counters_stay(self, source: Path, tmp_path: Path) -> None:
        cut(source, tmp_path / "b.kmlrec", 100 * SECOND, 120 * SECOND)
        _, *records = read(tmp_path / "b.kmlrec")
        inside = [r for r in a_run(200) if 100 * SECOND <= r.t_ns < 120 * SECOND]
        shifted = [r for r in records if isinstance(r, Sample) and not r.mark]
        originals = [r for r in inside if isinstance(r, Sample)]
        assert [r.t_ns for r in shifted] == [r.t_ns - 100 * SECOND for r in originals]
        assert [r.kml for r in shifted] == [r.kml for r in originals]
        assert [r.mono_ns for r in shifted] == [r.mono_ns for r in originals]

    def test_what_was_before_is_put_at_the_beginning(self, source: Path, tmp_path: Path) -> None:
        cut(source, tmp_path / "b.kmlrec", 100 * SECOND, 120 * SECOND)
        first = [r for r in read(tmp_path / "b.kmlrec")[1:] if r.t_ns == 0 and not isinstance(r, Header)]
        assert Environment(t_ns=0, session="kml", facts={"kernel": "6.1"}) in first
        assert [r.state for r in first if isinstance(r, State)] == ["running"]
        assert {(r.session, r.mark) for r in first if isinstance(r, Sample)} == {
            (session, mark) for session in ("stock", "kml") for mark in ("start", "phase:select")
        }
        assert {r.session: r.queries for r in first if isinstance(r, Progress)} == dict.fromkeys(
            ("stock", "kml"), 99 * 20000 + 99 % 7 * 31
        )
        assert not any(isinstance(r, Mark | Log) for r in first)

    def test_it_says_that_it_is_a_cut_and_that_the_run_went_on(self, source: Path, tmp_path: Path) -> None:
        cut(source, tmp_path / "b.kmlrec", 100 * SECOND, 120 * SECOND)
        header, *_, end = read(tmp_path / "b.kmlrec")
        assert isinstance(header, Header) and "cut: 100.0 s to 120.0 s" in header.title and header.run in header.title
        assert isinstance(end, End) and end.status == "stopped" and end.t_ns == 20 * SECOND and "cut" in end.reason

    def test_to_the_end_keeps_the_run_s_own_end(self, source: Path, tmp_path: Path) -> None:
        told: list[float] = []
        cut(source, tmp_path / "b.kmlrec", 0, None, told.append)
        _, *records = read(tmp_path / "b.kmlrec")
        assert records == read(source)[1:]
        assert told == sorted(told) and told[-1] > 0.99

    def test_impossible_ranges_are_refused_and_leave_nothing(self, source: Path, tmp_path: Path) -> None:
        for begin, end in ((-1, None), (5, 5), (9, 3), (999 * SECOND, None)):
            with pytest.raises(RecordingError):
                cut(source, tmp_path / "b.kmlrec", begin, end)
        assert not (tmp_path / "b.kmlrec").exists()
        with pytest.raises(RecordingError, match="exists already"):
            cut(source, source, 0)


class TestCsv:
    def test_a_line_for_each_sample_with_what_it_has(self) -> None:
        sample = Sample(
            t_ns=1_500_000_000,
            session="kml",
            mono_ns=9_000_000_000,
            mark="start",
            cpus={1: CpuTicks(100, 20, 30, 40, 5, 6, 7, 8)},
            groups={"server": GroupCpu(3_000_000, 2_000_000, 1_000_000)},
            kml=KmlCounters(trap_nr={0: 5, 1: 6}, direct_nr={0: 7}, elevations_cpu={0: 2}, demotions_vector={14: 1}),
            instructions={"0": (10, 20), "1": (1, 2)},
        )
        progress = Progress(t_ns=1, session="kml", phase="=cmd()", queries=4, rows=9)
        text = "".join(csv_lines([HEADER, progress, sample, Mark(t_ns=2)], [0, 1]))
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["t_s"] == "1.5" and row["session_clock_s"] == "9.0" and row["mark"] == "start"
        assert row["phase"] == "'=cmd()" and row["queries"] == "4" and row["rows"] == "9"
        assert (row["cpu1_user_s"], row["cpu1_system_s"], row["cpu1_idle_s"]) == ("1.2", "0.43", "0.4")
        assert row["cpu0_user_s"] == ""
        assert (row["server_cpu_s"], row["client_cpu_s"]) == ("3.0", "")
        assert (row["traps"], row["direct_calls"], row["elevations"], row["demotions"]) == ("11", "7", "2", "1")
        assert (row["instructions_user"], row["instructions_kernel"], row["interrupts"]) == ("11", "22", "")

    def test_a_cpu_that_came_later_has_columns_too(self) -> None:
        def sample(second: int, *cpus: int) -> Sample:
            ticks = {cpu: CpuTicks(100 * cpu + second, 0, 0, 0) for cpu in cpus}
            return Sample(t_ns=second * SECOND, session="local", mono_ns=second, cpus=ticks)

        header = msgspec.structs.replace(HEADER, sessions=[SessionSpec(name="local", kind="local", vcpus=2)])
        run = [header, sample(0, 0), sample(1, 0, 300), sample(2, 1), sample(3, 1 << 40)]
        cpus = cpus_seen(run)
        assert cpus == [0, 1, 300], "the online ones, those that came, and not what no machine has"
        rows = list(csv.DictReader(io.StringIO("".join(csv_lines(run, cpus)))))
        assert [row["cpu300_user_s"] for row in rows] == ["", "300.01", "", ""]
        assert [row["cpu0_user_s"] for row in rows] == ["0.0", "0.01", "", ""]
        assert [row["cpu1_user_s"] for row in rows] == ["", "", "1.02", ""]

    def test_it_streams(self) -> None:
        def endless():
            yield HEADER
            for number in itertools.count():
                yield Sample(t_ns=number, session="kml", mono_ns=number)

        assert len(list(itertools.islice(csv_lines(endless(), [0]), 100))) == 100


def test_json_lines_hold_every_record() -> None:
    run = [
        HEADER,
        Latency(t_ns=1, session="kml", hdr=b"\x00\xff"),
        Log(t_ns=2, session="", source="runner", text="a\nb"),
    ]
    lines = list(jsonl(run))
    assert all(line.count("\n") == 1 for line in lines)
    assert [json.loads(line)["type"] for line in lines] == ["header", "latency", "log"]
    assert json.loads(lines[1])["hdr"] == "AP8=" and json.loads(lines[2])["text"] == "a\nb"


class TestStream:
    def test_a_finished_recording_is_copied_whole(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", a_run(100))
        out = io.BytesIO()
        copy_stream(tmp_path / "a.kmlrec", out)
        assert out.getvalue() == (tmp_path / "a.kmlrec").read_bytes()

    @pytest.mark.parametrize("from_now", [False, True])
    def test_a_live_run_is_followed_to_its_end(self, from_now: bool, tmp_path: Path) -> None:
        run = a_run(200)
        path = tmp_path / "a.kmlrec"
        writer = write(path, run[:700], close=False)
        read_fd, write_fd = os.pipe()

        def send() -> None:
            with os.fdopen(write_fd, "wb") as out:
                copy_stream(path, out, from_now=from_now)

        thread = threading.Thread(target=send)
        thread.start()
        found: list[Record] = []
        with spooled(read_fd, timeout_s=30) as spool, Reader.open(spool) as stream:
            while len(found) < 50:
                found += stream.poll()
            for record in run[700:]:
                writer.append(record)
            writer.close()
            while not stream.ended:
                found += stream.poll()
            found += stream.poll()
            assert stream.header == HEADER and found[0] == HEADER
        thread.join()
        if not from_now:
            assert found == [HEADER, *run]
            return
        past = [r for r in run[:700] if is_landmark(r)]
        assert [r for r in found[1:] if is_landmark(r)] == [*past, *(r for r in run[700:] if is_landmark(r))]
        assert found[-len(run[700:]) :] == run[700:], "everything from now on"
        assert len(found) < len(run), "and not all of the past"

    def test_nobody_reads_any_more(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", a_run(300), close=False)
        read_fd, write_fd = os.pipe()
        os.close(read_fd)
        with os.fdopen(write_fd, "wb", buffering=0) as out:
            copy_stream(tmp_path / "a.kmlrec", out)


def test_a_watched_servers_queries_and_rows_are_in_the_table_and_never_fall() -> None:
    run: list[Record] = [HEADER]
    for second, queries in enumerate((100, 150, 5, 25)):
        counters = {"Queries": queries, "Rows_sent": 2 * queries, "Uptime": 50 if queries >= 100 else 1}
        run += [
            Status(t_ns=second * SECOND, session="local", counters=counters, own={"Queries": second}),
            Sample(t_ns=second * SECOND + 1, session="local", mono_ns=1),
        ]
    rows = list(csv.DictReader(io.StringIO("".join(csv_lines(run, [0])))))
    assert [row["queries"] for row in rows] == ["100", "149", "153", "172"]
    assert [row["rows"] for row in rows] == ["200", "300", "310", "350"]


def test_a_cut_of_a_run_as_long_as_a_number_can_be_is_whole(tmp_path: Path) -> None:
    last = (1 << 63) - 1
    write(tmp_path / "a.kmlrec", [Mark(t_ns=5, note="x"), Mark(t_ns=last, note="y")])
    cut(tmp_path / "a.kmlrec", tmp_path / "b.kmlrec", 0)
    assert read(tmp_path / "b.kmlrec")[-1] == End(
        t_ns=last, status="stopped", reason=read(tmp_path / "b.kmlrec")[-1].reason
    )


def test_a_cut_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.kmlrec", a_run(20))

    def fail(_share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut(tmp_path / "a.kmlrec", tmp_path / "b.kmlrec", 0, progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.kmlrec"]
