# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged, hostile and foreign bytes: a result or a RecordingError, nothing else; and only the damage is lost."""

from __future__ import annotations

import io
import json
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import HEADER, a_run, write

from kmltui.model import Gap, Header, Log, Mark, Record, SessionSpec
from kmltui.recording import Reader, RecordingError, Writer, frames, library, schema
from kmltui.recording.chunks import FULL_RECORDS, MAX_VOLUME, Link, read_chunk
from kmltui.recording.digest import read_digest
from kmltui.recording.frames import Broken, Frame, FrameParser
from kmltui.recording.landmarks import MAX_BYTES
from kmltui.runner import listing

RUN = a_run(75)
WHOLE = [HEADER, *RUN]


@pytest.fixture(scope="module", params=["live", "closed"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording of several chunks, killed or closed."""
    path = tmp_path_factory.mktemp("r") / "a.kmlrec"
    writer = write(path, RUN, close=request.param == "closed")
    content = path.read_bytes()
    writer.close()
    return content


def result(path: Path, content: bytes) -> list[Record]:
    """Everything a user can ask of a recording; returns the records."""
    path.write_bytes(content)
    library.entry(path)
    with Reader.open(path) as reader:
        reader.landmarks()
        list(reader.records(60 * 10**9, 61 * 10**9))
        while reader.poll(100):
            pass
        assert reader.duration_ns >= 0
        return list(reader.records())


def in_order(found: list[Record], whole: list[Record]) -> bool:
    """Whether ``found`` is ``whole`` with some left out."""
    rest = iter(whole)
    return all(any(record == other for other in rest) for record in found)


@pytest.mark.slow
def test_cut_at_any_byte_what_is_before_it_is_read(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.kmlrec"
    complete = result(path, data)
    assert complete == WHOLE
    # Every byte of the beginning and of the end, and a sample of those between.
    places = {*range(64), *range(len(data) - 70, len(data)), *range(64, len(data), 1499)}
    lengths = {}
    for size in sorted(places):
        try:
            found = result(path, data[:size])
        except RecordingError as error:
            assert "a.kmlrec" in str(error)
            continue
        good = [record for record in found if not isinstance(record, Gap)]
        assert good == complete[: len(good)]
        lengths[size] = len(good)
        assert len(found) - len(good) <= 1, "the torn end is one gap"
    assert list(lengths.values()) == sorted(lengths.values())
    assert lengths[max(lengths)] >= 1


@pytest.mark.slow
def test_killed_at_any_byte_loses_only_the_last_record(tmp_path: Path) -> None:
    path = tmp_path / "a.kmlrec"
    writer = write(path, [], close=False)
    ends = []
    for record in RUN[:60]:
        writer.append(record)
        ends.append(path.stat().st_size)
    content = path.read_bytes()
    writer.close()
    for size in range(ends[40], ends[42]):
        appended = sum(end <= size for end in ends)
        found = result(tmp_path / "b.kmlrec", content[:size])
        assert [r for r in found if not isinstance(r, Gap)] == WHOLE[: appended + 1]


@settings(max_examples=30)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_its_own_part_alone(data: bytes, place: float, bit: int, tmp_path_factory) -> None:
    damaged = bytearray(data)
    damaged[int(place * len(data))] ^= 1 << bit
    try:
        found = result(tmp_path_factory.mktemp("r") / "a.kmlrec", bytes(damaged))
    except RecordingError:
        assert place * len(data) < frames.PREAMBLE_BYTES, "only a damaged beginning makes a recording unreadable"
        return
    good = [record for record in found if not isinstance(record, Gap)]
    assert in_order(good, WHOLE), "nothing is invented"
    minute = max(sum(1 for r in RUN if 60 * k * 10**9 <= r.t_ns < 60 * (k + 1) * 10**9 + 10**9) for k in range(3))
    assert len(WHOLE) - len(good) <= minute


@settings(max_examples=30)
@given(begin=st.floats(0, 1), length=st.integers(1, 3000), filling=st.sampled_from([None, 0, 255]))
def test_a_hole_is_shown_as_a_gap(
    data: bytes, begin: float, length: int, filling: int | None, tmp_path_factory
) -> None:
    """A stretch that is missing, or overwritten with zeros as after a crash of the machine."""
    head = len(_beginning())
    start = head + int(begin * (len(data) - head - 500))  # behind the headers, before the end
    length = min(length, len(data) - 300 - start)
    middle = b"" if filling is None else bytes([filling]) * length
    found = result(tmp_path_factory.mktemp("r") / "a.kmlrec", data[:start] + middle + data[start + length :])
    good = [record for record in found if not isinstance(record, Gap)]
    assert in_order(good, WHOLE)
    if len(good) < len(WHOLE):
        assert any(isinstance(record, Gap) and record.lost_bytes > 0 for record in found)
    assert good[-1] == WHOLE[-1], "what comes after the damage is found again"


@pytest.mark.parametrize("closed", [False, True], ids=["live", "closed"])
def test_a_gap_has_the_same_time_in_every_stretch_that_is_read(closed: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.kmlrec"
    run = a_run(300)
    writer = write(path, run, close=closed)
    content = bytearray(path.read_bytes())
    writer.close()
    chunks = [
        item
        for item in FrameParser(frames.PREAMBLE_BYTES).feed(bytes(content[frames.PREAMBLE_BYTES :]))
        if isinstance(item, Frame) and item.kind in (frames.CHUNK, frames.START)
    ]
    third = chunks[2]
    content[third.offset + frames.HEAD_BYTES + 4] ^= 1
    path.write_bytes(content)
    with Reader.open(path) as reader:
        whole = list(reader.records())
        (gap,) = (record for record in whole if isinstance(record, Gap))
        for begin_ns in range(gap.t_ns - 5 * 10**9, gap.t_ns + 5 * 10**9, 10**9 // 2):
            for end_ns in (begin_ns + 10**9 // 2, begin_ns + 3 * 10**9):
                expected = [r for r in whole if not isinstance(r, Header) and begin_ns <= r.t_ns < end_ns]
                assert list(reader.records(begin_ns, end_ns)) == expected


@settings(max_examples=100)
@given(content=st.binary(max_size=400), head=st.sampled_from(["", "magic", "header"]))
def test_any_bytes_give_a_result_or_a_recording_error(content: bytes, head: str, tmp_path_factory) -> None:
    beginning = {"": b"", "magic": frames.preamble(), "header": _beginning()}[head]
    try:
        found = result(tmp_path_factory.mktemp("r") / "a.kmlrec", beginning + content)
    except RecordingError:
        return
    assert isinstance(found[0], Header)


@settings(max_examples=100)
@given(
    payloads=st.lists(
        st.tuples(st.sampled_from(b"HSRCX"), st.binary(max_size=80), st.binary(max_size=120)), min_size=1, max_size=6
    )
)
def test_undamaged_frames_of_any_content_give_a_result(
    payloads: list[tuple[int, bytes, bytes]], tmp_path_factory
) -> None:
    """Bytes that pass every checksum and yet were written by nobody who means well."""
    content = _beginning()
    for kind, payload, inner in payloads:
        content += frames.pack_frame(kind, _chunk(inner) if kind == frames.CHUNK else payload)
    found = result(tmp_path_factory.mktemp("r") / "a.kmlrec", content)
    assert found[0] == HEADER


def _beginning() -> bytes:
    return frames.preamble() + frames.pack_frame(frames.HEADER, schema.encode_header(HEADER))


def _chunk(raw: bytes, records: int = 1, claimed: int | None = None) -> bytes:
    size = len(raw) if claimed is None else claimed
    packed = zstandard.ZstdCompressor(level=1).compress(raw)
    return Link(0, 0, 0).pack() + struct.pack("<qII", 0, records, size) + packed


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


_MARK = b"\x82\xa4type\xa4mark\xa4t_ns\x00"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(_chunk(b"\0" * (256 << 20), claimed=4000), id="decompresses to more than it says"),
        pytest.param(_chunk(b"\0" * (256 << 20)), id="says that it is huge"),
        pytest.param(_chunk(b"\x01\x0c" + _MARK + b"\xff\xff\x7f" + b"\0" * 5_000_000), id="a million rows of zeros"),
        pytest.param(_chunk(b"\x01\x0c" + _MARK + b"\x01\0", 1 << 31), id="two billion records"),
        pytest.param(_chunk(b"\xff\xff\xff\xff\x0f"), id="billions of shapes"),
        pytest.param(_chunk(b"\x01\x83\x80\x04" + b"\x91" * 65_539 + b"\x01"), id="nested without end"),
        pytest.param(_chunk(b"\x01\xff\xff\xff\xff\x07" + _MARK), id="a shape longer than the chunk"),
    ],
)
def test_bombs_cost_neither_memory_nor_time(payload: bytes, tmp_path: Path) -> None:
    content = _beginning() + frames.pack_frame(frames.CHUNK, payload) * 20
    tracemalloc.start()
    try:
        found = result(tmp_path / "a.kmlrec", content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [type(record) for record in found] == [Header, Gap]
    assert peak < 64 << 20


@pytest.mark.slow
def test_the_most_that_a_chunk_may_hold_stays_within_bounds() -> None:
    """The worst chunk that is still accepted: as many values as the volume allows, every one of them a number."""
    numbers = MAX_VOLUME // FULL_RECORDS - 32
    shape = b"\x82\xa4type\xa4mark\xa4t_ns\xdc" + struct.pack(">H", numbers) + b"\0" * numbers
    size, rows = _varint(len(shape)), FULL_RECORDS
    columns = b"\0" * numbers + (b"\x01" + b"\x02" * (rows - 1)) * numbers
    raw = b"\x01" + size + shape + _varint(rows) + b"\0" * rows + columns
    tracemalloc.start()
    try:
        found = list(read_chunk(_chunk(raw, rows)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == rows and found[1]["t_ns"] == [1] * numbers
    assert peak < 200 << 20


def test_a_few_bytes_cannot_claim_more_records_than_any_writer_puts_into_a_chunk(tmp_path: Path) -> None:
    """A hundred thousand equal records compress to less than a hundred bytes, and each costs its reader time."""
    for rows, expected in ((FULL_RECORDS, [Mark] * FULL_RECORDS), (FULL_RECORDS + 1, [Gap])):
        raw = b"\x01" + _varint(len(_MARK)) + _MARK + _varint(rows) + b"\0" * rows + b"\0\0"
        found = result(tmp_path / "a.kmlrec", _beginning() + frames.pack_frame(frames.CHUNK, _chunk(raw, rows)))
        assert [type(record) for record in found] == [Header, *expected]


def test_landmarks_beyond_what_readers_keep_are_left_out_and_said_to_be(tmp_path: Path) -> None:
    """Notes of 100 kB compress to a hundred bytes each; 20 MB of them are more than any run has."""
    path = tmp_path / "a.kmlrec"
    with Writer.create(path, HEADER) as writer:
        for second in range(200):
            writer.append(Mark(t_ns=second * 10**9, note=chr(97 + second % 20) * 100_000))
        writer.append(Log(t_ns=200 * 10**9, session="", source="runner", text="after them"))
    assert path.stat().st_size < 100_000
    with Reader.open(path) as reader:
        found = list(reader.records())
        kept = [record for record in found if isinstance(record, Mark)]
        assert 100 < len(kept) < 200
        assert sum(len(mark.note) for mark in kept) <= MAX_BYTES
        assert [record.reason for record in found if isinstance(record, Gap)] == ["more events than a run has"]
        assert isinstance(found[-1], Log), "everything else is read"
        assert [record for record in reader.landmarks() if isinstance(record, Mark)] == kept


def test_a_copy_of_the_landmarks_that_no_writer_made_is_not_believed() -> None:
    """A piece has at most 512, and all of them together no more than readers keep."""
    mark = msgspec.msgpack.encode(schema.to_builtins(Mark(t_ns=0)))

    def payload(records: int, number: int = 0, count: int = 1) -> bytes:
        raw = b"\xdd" + struct.pack(">I", records) + mark * records
        return struct.pack("<III", number, count, len(raw)) + zstandard.compress(raw)

    assert len(read_digest([payload(512)]) or []) == 512
    assert read_digest([payload(513)]) is None
    count = MAX_BYTES // (512 * len(mark)) + 1
    assert read_digest([payload(512, number, count) for number in range(count)]) is None


def test_bytes_that_look_like_frames_without_end_are_read_once_or_twice(tmp_path: Path) -> None:
    """Valid heads, each of a frame of megabytes with a wrong checksum, in every sixteen bytes."""
    head = frames.pack_frame(ord("R"), b"\0" * (4 << 20))[: frames.HEAD_BYTES]
    checked = 0
    parser = FrameParser()
    real = frames.crc32

    def counting(data: bytes) -> int:
        nonlocal checked
        checked += len(data)
        return real(data)

    content = head * ((12 << 20) // len(head))
    frames.crc32 = counting  # type: ignore[attr-defined]
    try:
        for start in range(0, len(content), 1 << 20):
            for _ in parser.feed(content[start : start + (1 << 20)]):
                pass
    finally:
        frames.crc32 = real  # type: ignore[attr-defined]
    assert checked < 10 * len(content)


def test_chunks_whose_links_lead_nowhere_are_found_all_the_same(tmp_path: Path) -> None:
    content = _beginning()
    for number in range(2000):
        content += frames.pack_frame(frames.START, Link(random.Random(number).getrandbits(40), number, 0).pack())
    found = result(tmp_path / "a.kmlrec", content)
    assert found == [HEADER]


@given(pieces=st.lists(st.binary(max_size=60)), sizes=st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_the_same_however_the_bytes_arrive(pieces: list[bytes], sizes: list[int]) -> None:
    content = b"".join(frames.pack_frame(ord("R"), p) if i % 2 else p for i, p in enumerate(pieces))
    whole = FrameParser()
    expected = [*whole.feed(content), *whole.finish()]
    parser, stream, found = FrameParser(), io.BytesIO(content), []
    step = 0
    while data := stream.read(sizes[step % len(sizes)]):
        found += parser.feed(data)
        step += 1
    found += parser.finish()
    assert [item for item in found if isinstance(item, Frame)] == [item for item in expected if isinstance(item, Frame)]
    assert sum(b.length for b in found if isinstance(b, Broken)) == sum(
        b.length for b in expected if isinstance(b, Broken)
    )
    framed = [p for i, p in enumerate(pieces) if i % 2]
    assert [item.payload for item in expected if isinstance(item, Frame)][-len(framed) :] == framed or not framed


@pytest.mark.parametrize(
    "change",
    [
        {"created_unix_ns": 1 << 70},
        {"created_unix_ns": -1},
        {"created_unix_ns": 10**1000},
        {"sample_period_ns": 0},
        {"sessions": []},
        {"sessions": [SessionSpec(name="s", vcpus=1 << 31)]},
    ],
    ids=str,
)
def test_a_header_that_no_run_has_is_damage_and_keeps_no_list_from_being_shown(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "a"
    payload = schema.encode_header(HEADER)
    content = msgspec.json.decode(payload)
    content["header"] |= msgspec.to_builtins(change)
    frame = frames.pack_frame(frames.HEADER, json.dumps(content).encode())
    path.write_bytes(frames.preamble() + frame + frame)
    with pytest.raises(RecordingError, match=r"header.*damaged"):
        Reader.open(path)
    assert "unreadable" in listing.table([library.entry(path)])
