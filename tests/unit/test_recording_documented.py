# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/recording.md is enough to read a recording: a reader written from that page alone reads what was written."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from recording_samples import HEADER, a_run, write

from kmltui.model import Latency
from kmltui.recording import Reader, schema


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def zigzag(self) -> int:
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value + 1) // 2


def frames(data: bytes) -> Iterator[tuple[str, bytes, int]]:
    assert data[:8] == b"\x89KMLREC\n" and data[8:12] == b"\1\0\0\0"
    at = 12
    while at < len(data):
        sync, kind, flags, check, length, crc = struct.unpack_from("<4s1sBHII", data, at)
        assert sync == b"\xffKMF" and flags == 0
        assert check == zlib.crc32(data[at : at + 6] + data[at + 8 : at + 12]) & 0xFFFF
        payload = data[at + 16 : at + 16 + length]
        assert zlib.crc32(payload) == crc
        yield kind.decode(), payload, at
        at += 16 + length


def leaves(shape: Any, kind: type) -> int:
    if isinstance(shape, dict):
        return sum(leaves(item, kind) for item in shape.values())
    if isinstance(shape, list):
        return sum(leaves(item, kind) for item in shape)
    return int(type(shape) is kind)


def fill(shape: Any, numbers: dict[type, Iterator[Any]]) -> Any:
    if isinstance(shape, dict):
        return {key: fill(item, numbers) for key, item in shape.items()}
    if isinstance(shape, list):
        return [fill(item, numbers) for item in shape]
    return next(numbers[type(shape)]) if type(shape) in numbers else shape


def predicted(column: list[int]) -> int:
    match column:
        case []:
            return 0
        case [only]:
            return only
        case [*_, before, last]:
            return 2 * last - before


def compacted(payload: bytes) -> Iterator[Any]:
    _previous, _first, _flags, _last, records, size = struct.unpack_from("<QqBqII", payload)
    raw = Bytes(zstandard.ZstdDecompressor().decompressobj().decompress(payload[33:]))
    assert len(raw.data) == size
    shapes = [(msgspec.msgpack.decode(raw.take(raw.varint())), raw.varint()) for _ in range(raw.varint())]
    order = [raw.varint() for _ in range(records)]
    queues = []
    for shape, rows in shapes:
        integers = [[raw.zigzag()] for _ in range(leaves(shape, int))]
        for column in integers if rows > 1 else []:
            width = raw.take(1)[0]
            planes = [raw.take(rows - 1) for _ in range(width)]
            for row in range(rows - 1):
                value = sum(plane[row] << 8 * index for index, plane in enumerate(planes))
                column.append(predicted(column) + (value // 2 if value % 2 == 0 else -(value + 1) // 2))
        floats = [struct.unpack(f"<{rows}d", raw.take(8 * rows)) for _ in range(leaves(shape, float))]
        blobs = []
        for _ in range(leaves(shape, bytes)):
            sizes = [raw.varint() for _ in range(rows)]
            blobs.append([raw.take(size) for size in sizes])
        by_kind = {int: integers, float: floats, bytes: blobs}
        filled = [
            fill(shape, {kind: iter([column[row] for column in columns]) for kind, columns in by_kind.items()})
            for row in range(rows)
        ]
        queues.append(iter(filled))
    assert raw.at == len(raw.data)
    for number in order:
        yield next(queues[number])


def read(data: bytes) -> tuple[dict[str, Any], list[Any]]:
    header: dict[str, Any] = {}
    records: list[Any] = []
    shapes: list[tuple[Any, list[list[int]]]] = []
    links = []
    rows = 0
    for kind, payload, at in frames(data):
        if kind == "H":
            header = json.loads(payload)
        elif kind == "C":
            links.append((at, struct.unpack_from("<Q", payload)[0]))
            records += compacted(payload)
        elif kind == "S":
            links.append((at, struct.unpack_from("<Q", payload)[0]))
            shapes, rows = [], 0
        elif kind == "R":
            row = Bytes(payload)
            assert row.varint() == rows
            rows += 1
            number = row.varint()
            if number == len(shapes):
                shape = msgspec.msgpack.decode(row.take(row.varint()))
                shapes.append((shape, [[] for _ in range(leaves(shape, int))]))
            shape, columns = shapes[number]
            for column in columns:
                column.append(predicted(column) + row.zigzag())
            floats = [struct.unpack("<d", row.take(8))[0] for _ in range(leaves(shape, float))]
            blobs = [row.take(row.varint()) for _ in range(leaves(shape, bytes))]
            numbers = {int: iter([c[-1] for c in columns]), float: iter(floats), bytes: iter(blobs)}
            records.append(fill(shape, numbers))
            assert row.at == len(payload)
    assert [previous for _, previous in links] == [0, *(at for at, _ in links[:-1])]
    return header, records


@pytest.mark.parametrize("closed", [False, True])
def test_a_reader_made_from_the_description_reads_everything(closed: bool, tmp_path: Path) -> None:
    run = [*a_run(150, end=False), Latency(t_ns=1, session="kml", hdr=b"\0\1\2"), *a_run(3)]
    writer = write(tmp_path / "a.kmlrec", run, close=closed)
    header, records = read((tmp_path / "a.kmlrec").read_bytes())
    writer.close()
    assert header["header"]["run"] == HEADER.run
    assert [msgspec.to_builtins(record, builtin_types=(bytes,)) for record in run] == records
    with Reader.open(tmp_path / "a.kmlrec") as reader:
        assert [schema.from_builtins(record) for record in records] == list(reader.records())[1:]


def test_the_schema_in_the_header_names_every_field(tmp_path: Path) -> None:
    write(tmp_path / "a.kmlrec", a_run(5))
    header, records = read((tmp_path / "a.kmlrec").read_bytes())
    described = header["schema"]["records"]
    for record in records:
        assert record.keys() - {"type"} <= described[record["type"]].keys()
    assert list(header["schema"]["arrays"]["CpuTicks"])[:3] == ["user", "nice", "system"]
    assert "WorkloadSpec" in header["schema"]["maps"]
