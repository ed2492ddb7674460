# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions of two recordings as one run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from made_up_run import S, header, run
from msgspec.structs import replace
from recording_samples import write

from kmltui.figures.card import card
from kmltui.figures.summarise import summarise
from kmltui.live.store import Store
from kmltui.model import START, End, Header, Record, Sample
from kmltui.recording import Reader, RecordingError, Writer
from kmltui.recording.beside import Beside
from kmltui.tui.draw import judging


def recorded(path: Path, start: float, seconds: float = 20, name: str = "a", workload: str = "wisconsin") -> Path:
    own = header()
    own = replace(own, run=name, workload=replace(own.workload, name=workload))
    records = [*run(seconds, start=start, finish=True)]
    last = max(record.t_ns for record in records if not isinstance(record, Header))
    records = [record for record in records if not isinstance(record, End)]
    write(path, [*records, End(t_ns=last + 1, status="done")], own)
    return path


def drained(source: Beside) -> list[Record]:
    found: list[Record] = []
    while records := source.poll():
        found += records
    return found


def starts(records: Sequence[Record]) -> dict[str, int]:
    return {r.session: r.t_ns for r in records if isinstance(r, Sample) and r.mark == START}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Reader, Reader]:
    left = recorded(tmp_path / "a.kmlrec", 6)
    right = recorded(tmp_path / "b.kmlrec", 31, name="b")
    return Reader.open(left), Reader.open(right)


def test_their_workloads_begin_at_the_same_moment(pair: tuple[Reader, Reader]) -> None:
    records = drained(Beside(*pair))
    assert set(starts(records)) == {"stock", "kml"}
    assert len(set(starts(records).values())) == 1
    times = [record.t_ns for record in records if not isinstance(record, Header)]
    assert all(later - earlier > -2 * S for earlier, later in itertools.pairwise(times))


def test_each_side_brings_one_session_and_all_of_it(pair: tuple[Reader, Reader]) -> None:
    source = Beside(*pair)
    samples = [record for record in drained(source) if isinstance(record, Sample)]
    for name, reader in zip(("stock", "kml"), pair, strict=True):
        own = [r for r in reader.records() if isinstance(r, Sample) and r.session == name]
        assert [r.mono_ns for r in samples if r.session == name] == [r.mono_ns for r in own]
    assert [spec.name for spec in source.header.sessions] == ["stock", "kml"]
    assert source.ended and source.header.run == "a | b"


def test_sessions_of_one_name_are_told_apart(pair: tuple[Reader, Reader]) -> None:
    source = Beside(*pair, ("kml", "kml"))
    assert [spec.name for spec in source.header.sessions] == ["kml-left", "kml-right"]
    assert {r.session for r in drained(source) if isinstance(r, Sample)} == {"kml-left", "kml-right"}


def test_what_is_read_again_is_what_was_told(pair: tuple[Reader, Reader]) -> None:
    source = Beside(*pair)
    told = drained(source)
    assert sorted(map(repr, source.records())) == sorted(map(repr, told))
    part = [r for r in source.records(35 * S, 40 * S) if not isinstance(r, Header)]
    assert part and all(35 * S <= r.t_ns < 40 * S for r in part)
    marks = [r for r in source.landmarks() if isinstance(r, Sample) and r.mark == START]
    assert starts(marks) == starts(told)


def test_a_screen_can_ask_for_any_time_of_it(pair: tuple[Reader, Reader]) -> None:
    source = Beside(*pair)
    store = Store(source.header, source)
    for record in drained(source):
        store.add(record)
    view = store.at(45 * S)
    assert view.pair is not None
    assert all(session.query_rate and session.cpu for session in view.pair)
    assert store.at().status == "done"


def test_a_session_that_is_not_there_is_named_with_those_that_are(pair: tuple[Reader, Reader]) -> None:
    with pytest.raises(RecordingError, match="no session 'x'; it has: stock, kml"):
        Beside(*pair, ("x", None))


def test_different_workloads_are_said_to_be(tmp_path: Path) -> None:
    left, right = (recorded(tmp_path / f"{name}.kmlrec", 6, workload=name) for name in ("oltp", "wisconsin"))
    source = Beside(Reader.open(left), Reader.open(right))
    assert source.header.workload.name == "oltp | wisconsin" and source.header.title == "different workloads"
    assert "oltp and wisconsin" in said(source)


def said(source: Beside) -> str:
    """The verdict on sessions that did different work: nothing about them is compared."""
    summary = summarise(source.records())
    assert summary.comparisons == {} and "not compared" in summary.verdict
    assert summary.estimate is None and not summary.run.command
    assert [line.kind for line in card(summary) if line.kind in ("measured", "article")] == []
    store = Store(source.header)
    store.extend(drained(source))
    assert judging.unequal_work(store.at()) and not judging.times(store.at())
    return summary.verdict


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"loops": 7}, "loops"),
        ({"options": {"engine": "innodb"}}, "engine"),
        ({"loops": None, "duration_s": 9}, "duration"),
    ],
)
def test_a_workload_with_other_settings_is_different_work(
    pair: tuple[Reader, Reader], tmp_path: Path, changes: dict[str, object], difference: str
) -> None:
    left, _ = pair
    own = left.header
    write(tmp_path / "c.kmlrec", list(left.records())[1:], replace(own, workload=replace(own.workload, **changes)))
    assert difference in said(Beside(left, Reader.open(tmp_path / "c.kmlrec")))


def test_two_servers_that_were_only_watched_did_different_work(pair: tuple[Reader, Reader], tmp_path: Path) -> None:
    left, _ = pair
    write(tmp_path / "c.kmlrec", list(left.records())[1:], replace(left.header, kind="monitor"))
    assert "watched" in said(Beside(*(Reader.open(tmp_path / "c.kmlrec") for _ in range(2))))


def test_the_same_work_is_compared(pair: tuple[Reader, Reader]) -> None:
    left, right = pair
    assert summarise(Beside(left, right).records()).comparisons["kml"]["cpu_s.total"].saved is not None


class TestLive:
    def test_the_one_that_is_ahead_waits_for_the_other(self, tmp_path: Path) -> None:
        left = Reader.open(recorded(tmp_path / "a.kmlrec", 6))
        own = [record for record in run(20, start=12) if not isinstance(record, Header | End)]
        writer = Writer.create(tmp_path / "b.kmlrec", header())
        with Reader.open(tmp_path / "b.kmlrec") as right:
            source = Beside(left, right)
            assert [type(record) for record in drained(source)] == [Header], "where it belongs is not known yet"
            for record in own:
                if record.t_ns <= 20 * S:
                    writer.append(record)
            writer.flush()
            told = drained(source)
            assert len(set(starts(told).values())) == 1
            assert max(record.t_ns for record in told if not isinstance(record, Header)) <= 20 * S + S
            assert source.live and not source.ended
            for record in own:
                if record.t_ns > 20 * S:
                    writer.append(record)
            writer.append(End(t_ns=own[-1].t_ns + 1, status="done"))
            writer.close()
            rest = drained(source)
            assert isinstance(rest[-1], End) and source.ended and not source.live
