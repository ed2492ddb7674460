# SPDX-License-Identifier: GPL-2.0-or-later
"""Chunks: stretches of about a minute in which records are stored as differences from one another.

While a run is live, a chunk is a START frame followed by one ROW frame per record, so that nothing waits in memory.
When the recording is closed, the same records are stored again as one CHUNK frame: by columns, compressed with
Zstandard.

In both forms integers are delta-of-delta coded: each one is predicted from the two rows of the same shape before it in
the chunk (the last value plus the last difference; the first row is absolute, the second predicted to be the first),
and only the error of the prediction is stored. Steadily growing counters, and clocks, then cost a byte or two.
"""

from __future__ import annotations

import io
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import zstandard

from kmltui.recording import shapes
from kmltui.recording.errors import Damage
from kmltui.recording.shapes import Leaves, Shape

MAX_RAW_BYTES = 8 << 20
"""A chunk that decompresses to more is damage (or a bomb)."""

MAX_VOLUME = 2 << 20
"""The maximal sum of the sizes of the shapes of a chunk's records. It bounds the number of values, each of which takes
at least a byte, and so the memory and time that reading a chunk can need."""

FULL_RECORDS = 512
FULL_BYTES = 256 << 10
"""When a chunk is ended early: this is what a seek has to decode, and what damage can cost. No writer has ever put more
records into one, so a reader takes a chunk that claims more for damage: equal records compress to nearly nothing, and a
few bytes would otherwise cost their reader many thousands of them.
"""

MAX_RECORD_BYTES = 1 << 20
"""A larger record is refused, so that no chunk grows beyond what a reader accepts."""

LEVEL = 12
"""Zstandard's level: the highest that still gains anything on these columns."""

LANDMARKS = 1
"""Flag of a chunk: it contains landmarks, which readers want without reading everything (see Reader.landmarks)."""

_LINK = struct.Struct("<QqB")
_CHUNK = struct.Struct("<qII")
_FLOAT = struct.Struct("<d")
_PLANE_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}


@dataclass(frozen=True, slots=True)
class Link:
    """The beginning of START and CHUNK frames: the way back to the previous chunk."""

    previous: int
    """Offset of the previous START or CHUNK frame; 0 if there is none."""
    first_ns: int
    """Time of the chunk's first record."""
    previous_flags: int
    """Flags of the previous chunk (a live chunk's own are not known when it begins)."""

    def pack(self) -> bytes:
        return _LINK.pack(self.previous, self.first_ns, self.previous_flags)

    @staticmethod
    def unpack(payload: bytes) -> Link | None:
        """The link at the beginning of a payload; None if that is too short."""
        return Link(*_LINK.unpack_from(payload)) if len(payload) >= _LINK.size else None


LINK_BYTES = _LINK.size


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _put(out: bytearray, value: int) -> None:
    """Append an unsigned varint: seven bits per byte, least significant first; the high bit means that more follow."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


class _Cursor:
    """Reads varints and byte strings; missing bytes raise Damage."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def varint(self) -> int:
        value = shift = 0
        try:
            while True:
                byte = self.data[self.position]
                self.position += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    return value
                shift += 7
                if shift > 70:
                    raise Damage("a number has too many bytes")
        except IndexError:
            raise Damage("a chunk ends in the middle of a number") from None

    def varints(self, count: int) -> list[int]:
        small = self.data[self.position : self.position + count]
        if len(small) == count and small.isascii():  # all of them are single bytes
            self.position += count
            return list(small)
        return [self.varint() for _ in range(count)]

    def byte(self) -> int:
        if self.position >= len(self.data):
            raise Damage("a chunk is shorter than it says")
        self.position += 1
        return self.data[self.position - 1]

    def skip(self, size: int) -> None:
        self.position += size
        if self.position > len(self.data):
            raise Damage("a chunk is shorter than it says")

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise Damage("a chunk is shorter than it says")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def floats(self, count: int) -> list[float]:
        return [value for (value,) in _FLOAT.iter_unpack(self.take(count * _FLOAT.size))]


def _combine(values: list[int], last: list[list[int]], sign: int) -> list[int]:
    """``values`` plus (``sign`` 1) or minus (-1) what the rows before them, at most two, predict."""
    if not last:
        return values
    if len(last) == 1:
        return [value + sign * a for value, a in zip(values, last[0], strict=True)]
    return [value + sign * (2 * b - a) for value, b, a in zip(values, last[1], last[0], strict=True)]


_parse_cached = lru_cache(maxsize=256)(shapes.parse)


def _shape(data: bytes) -> Shape:
    # A chunk's shapes recur in the next one, except large ones (long texts), which would fill the memory.
    return _parse_cached(data) if len(data) <= 4096 else shapes.parse(data)


@dataclass(slots=True)
class _Series:
    """The rows of one shape in a chunk, as written so far."""

    template: bytes
    rows: list[Leaves] = field(default_factory=list)

    def errors(self, ints: list[int]) -> list[int]:
        """What the prediction misses for a next row of ``ints``."""
        return _combine(ints, [leaves.ints for leaves in self.rows[-2:]], -1)


class ChunkBuilder:
    """Writes a chunk: gives each record's ROW payload at once and the CHUNK payload at the end."""

    def __init__(self) -> None:
        self._series: dict[bytes, _Series] = {}
        self._ids: dict[bytes, int] = {}
        self._order: list[int] = []
        self.raw_bytes = 0
        """Approximate size of the chunk so far, uncompressed."""
        self.volume = 0
        """Sum of the sizes of its records' shapes; a reader accepts :data:`MAX_VOLUME`."""

    def __len__(self) -> int:
        return len(self._order)

    @property
    def full(self) -> bool:
        """Whether the next record should go into another chunk."""
        return len(self) >= FULL_RECORDS or self.raw_bytes >= FULL_BYTES or self.volume >= MAX_VOLUME // 2

    def add(self, value: dict[str, Any]) -> bytes:
        """The payload of the ROW frame of a record given as builtins. Raises ValueError if it cannot be stored."""
        template, leaves = shapes.split(value)
        if len(template) + 10 * len(leaves.ints) + sum(map(len, leaves.blobs)) > MAX_RECORD_BYTES:
            raise ValueError(f"a record of type {value.get('type')} is too large")
        payload = bytearray()
        _put(payload, len(self._order))
        if template in self._ids:
            number = self._ids[template]
            _put(payload, number)
        else:
            number = len(self._ids)
            self._ids[template] = number
            self._series[template] = _Series(template)
            _put(payload, number)
            _put(payload, len(template))
            payload += template
        series = self._series[template]
        for error in series.errors(leaves.ints):
            _put(payload, _zigzag(error))
        for value_ in leaves.floats:
            payload += _FLOAT.pack(value_)
        for blob in leaves.blobs:
            _put(payload, len(blob))
            payload += blob
        series.rows.append(leaves)
        self._order.append(number)
        self.raw_bytes += len(payload)
        self.volume += len(template)
        return bytes(payload)

    def compact(self) -> bytes:
        """The same records by columns, compressed: what follows the link in a CHUNK frame, without its times."""
        raw = bytearray()
        _put(raw, len(self._series))
        for series in self._series.values():
            _put(raw, len(series.template))
            raw += series.template
            _put(raw, len(series.rows))
        for number in self._order:
            _put(raw, number)
        for series in self._series.values():
            _put_columns(raw, series.rows)
        packed = zstandard.ZstdCompressor(level=LEVEL, write_content_size=False).compress(bytes(raw))
        return struct.pack("<II", len(self._order), len(raw)) + packed


def _put_columns(raw: bytearray, rows: list[Leaves]) -> None:
    for value in rows[0].ints:
        _put(raw, _zigzag(value))
    if len(rows) > 1:
        for column in zip(*(leaves.ints for leaves in rows), strict=True):
            steps = [b - a for a, b in pairwise(column)]
            errors = steps[:1] + [b - a for a, b in pairwise(steps)]
            _put_planes(raw, [_zigzag(error) for error in errors])
    for floats in zip(*(leaves.floats for leaves in rows), strict=True):
        raw += struct.pack(f"<{len(floats)}d", *floats)
    for blobs in zip(*(leaves.blobs for leaves in rows), strict=True):
        for blob in blobs:
            _put(raw, len(blob))
        raw += b"".join(blobs)


def _put_planes(raw: bytearray, values: list[int]) -> None:
    """A column of unsigned numbers as a byte-stream split: bytes per number, lowest bytes, second-lowest bytes, …"""
    width = (max(values).bit_length() + 7) // 8
    raw.append(width)
    for plane in range(width):
        shift = 8 * plane
        raw += bytes([value >> shift & 0xFF for value in values])


class RowReader:
    """Reads the ROW frames of one live chunk, in order."""

    def __init__(self) -> None:
        self._known: list[tuple[Shape, list[list[int]]]] = []
        self._next = 0

    def read(self, payload: bytes) -> dict[str, Any]:
        """The record, as builtins. Raises Damage if a row is missing before this one: nothing after it can be read."""
        cursor = _Cursor(payload)
        if cursor.varint() != self._next:
            raise Damage("a row of this chunk is missing")
        number = cursor.varint()
        if number == len(self._known):
            self._known.append((_shape(cursor.take(cursor.varint())), []))
        elif number > len(self._known):
            raise Damage("a row refers to an unknown shape")
        shape, last = self._known[number]
        errors = [_unzigzag(cursor.varint()) for _ in range(shape.ints)]
        ints = _combine(errors, last, 1)
        _check_range(ints)
        self._known[number] = (shape, [*last[-1:], ints])
        self._next += 1
        floats = cursor.floats(shape.floats)
        blobs = [cursor.take(cursor.varint()) for _ in range(shape.blobs)]
        return shapes.join(shape, Leaves(ints, floats, blobs))


@dataclass(frozen=True, slots=True)
class ChunkHead:
    """The fixed part of a CHUNK frame."""

    link: Link
    last_ns: int
    records: int
    raw_bytes: int

    @staticmethod
    def unpack(payload: bytes) -> ChunkHead:
        """Raises Damage."""
        link = Link.unpack(payload)
        if link is None or len(payload) < CHUNK_HEAD_BYTES:
            raise Damage("a chunk without its head")
        return ChunkHead(link, *_CHUNK.unpack_from(payload, _LINK.size))


CHUNK_HEAD_BYTES = _LINK.size + _CHUNK.size


def chunk_payload(link: Link, last_ns: int, compacted: bytes) -> bytes:
    """The payload of a CHUNK frame. ``compacted`` comes from :meth:`ChunkBuilder.compact`."""
    return link.pack() + struct.pack("<q", last_ns) + compacted


def read_chunk(
    payload: bytes,
    since_ns: int | None = None,
    until_ns: int | None = None,
    wanted: Callable[[Shape], bool] | None = None,
) -> Iterator[dict[str, Any]]:
    """The records of a CHUNK frame with ``since_ns <= t_ns < until_ns``, as builtins, in the order in which they were
    written; one without a time is never left out.

    With ``wanted``, only those of wanted shapes; the others' columns are not decoded.

    Raises Damage immediately, not while iterating. Records are built on demand, so that looking for one in the middle
    costs little more than decoding the columns.
    """
    chunk = _chunk(payload)
    series = [rows if wanted is None or wanted(rows.shape) else None for rows in chunk.series]
    for rows in series:
        if rows is not None:
            rows.decode()
    since = shapes.INT_MIN if since_ns is None else since_ns
    until = shapes.INT_MAX + 1 if until_ns is None else until_ns
    return _in_order(chunk.order, series, since, until)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk, decompressed: its shapes' rows, and for each record, in order, which of the shapes it has."""

    series: list[_Rows]
    order: list[int]


@lru_cache(maxsize=2)
def _chunk(payload: bytes) -> _Chunk:
    """Take a CHUNK frame apart. The last ones are kept: a jump reads the same chunk for several purposes.

    Raises Damage.
    """
    head = ChunkHead.unpack(payload)
    if head.records > FULL_RECORDS:
        raise Damage("a chunk claims to hold too many records")
    cursor = _Cursor(decompress(payload[CHUNK_HEAD_BYTES:], head.raw_bytes))
    claims: list[tuple[Shape, int]] = []
    volume = 0
    for _ in range(min(cursor.varint(), head.records)):
        template, rows = cursor.take(cursor.varint()), cursor.varint()
        volume += rows * len(template)
        if rows == 0 or volume > MAX_VOLUME:
            raise Damage("a chunk claims to hold too much")
        claims.append((_shape(template), rows))
    order = cursor.varints(head.records)
    if Counter(order) != {number: rows for number, (_, rows) in enumerate(claims)}:
        raise Damage("a chunk's order does not fit its rows")
    return _Chunk([_Rows(cursor, shape, rows) for shape, rows in claims], order)


def _in_order(order: list[int], series: list[_Rows | None], since_ns: int, until_ns: int) -> Iterator[dict[str, Any]]:
    numbers = [0] * len(series)
    for which in order:
        rows = series[which]
        if rows is not None:
            number = numbers[which]
            numbers[which] = number + 1
            time = rows.time(number)
            if time is None or since_ns <= time < until_ns:
                yield rows.record(number)


class _Rows:
    """The rows of one shape in a chunk. They are stored by columns, which are decoded when they are wanted."""

    __slots__ = ("_bases", "_blobs", "_data", "_floats", "_places", "_rows", "count", "shape")

    def __init__(self, cursor: _Cursor, shape: Shape, count: int) -> None:
        """Pass over them in the decompressed chunk. Raises Damage."""
        self.shape = shape
        self.count = count
        self._data = cursor.data
        self._bases = [_unzigzag(number) for number in cursor.varints(shape.ints)]
        self._places: list[tuple[int, int]] = []
        """Of each column of integers, where it begins, and how many bytes each of its numbers takes."""
        for _ in range(shape.ints if count > 1 else 0):
            width = cursor.byte()
            self._places.append((cursor.position, width))
            cursor.skip(width * (count - 1))
        self._floats = [cursor.floats(count) for _ in range(shape.floats)]
        self._blobs: list[list[bytes]] = []
        for _ in range(shape.blobs):
            sizes = cursor.varints(count)
            self._blobs.append([cursor.take(size) for size in sizes])
        self._rows: list[tuple[int, ...]] | None = None
        """The integers of each row, once they are decoded."""

    def decode(self) -> None:
        """Decode the integers. Raises Damage."""
        if self._rows is None:
            _check_range(self._bases)
            self._rows = list(zip(*self._columns(), strict=True)) or [()] * self.count

    def record(self, row: int) -> dict[str, Any]:
        """One row as a record, in builtins."""
        assert self._rows is not None
        record: dict[str, Any] = self.shape.build(
            iter(self._rows[row]),
            iter([column[row] for column in self._floats]),
            iter([column[row] for column in self._blobs]),
        )
        return record

    def time(self, row: int) -> int | None:
        """The row's ``t_ns``, if it has one."""
        assert self._rows is not None
        return None if self.shape.time is None else self._rows[row][self.shape.time]

    def _columns(self) -> list[list[int]]:
        if self.count == 1:
            return [[base] for base in self._bases]
        misses = self.count - 1
        by_width: dict[int, list[int]] = {}
        for index, (_, width) in enumerate(self._places):
            by_width.setdefault(width, []).append(index)
        columns: list[list[int]] = [[]] * len(self._places)
        for width, indices in by_width.items():
            begins = [self._places[index][0] for index in indices]
            errors = _signed(self._data, begins, misses, width)
            for nth, index in enumerate(indices):
                base = self._bases[index]
                if width == 0:
                    columns[index] = [base] * self.count
                    continue
                steps = accumulate(errors[nth * misses : (nth + 1) * misses])
                column = list(accumulate(steps, initial=base))
                if abs(base) + (self.count**2 << 8 * width) > shapes.INT_MAX:
                    _check_range(column)
                columns[index] = column
        return columns


def _signed(data: bytes, begins: list[int], count: int, width: int) -> Sequence[int]:
    """The numbers of columns that were written by :func:`_put_planes` with the same ``width``, ``count`` of each, one
    column after the other. The inverse of zigzag is part of it. Raises Damage.
    """
    if width == 0:
        return ()
    if width > 9:
        raise Damage("a column is too wide")
    size = next((size for size in _PLANE_CODES if size >= width), 8)
    joined = bytearray(len(begins) * count * size)
    for plane in range(min(width, size)):
        offset = plane * count
        joined[plane::size] = b"".join([data[begin + offset : begin + offset + count] for begin in begins])
    if width > size:
        lows = (int.from_bytes(joined[at : at + 8], "little") for at in range(0, len(joined), 8))
        highs = b"".join([data[begin + 8 * count : begin + 9 * count] for begin in begins])
        return [_unzigzag(low | high << 64) for low, high in zip(lows, highs, strict=True)]
    # All numbers at once, as one long integer with a lane for each: a loop over them takes ten times as long.
    ones = int.from_bytes((b"\x01" + bytes(size - 1)) * (len(joined) // size), "little")
    lanes = int.from_bytes(joined, "little")
    signs = lanes & ones
    decoded = ((lanes ^ signs) >> 1) ^ (signs * ((1 << 8 * size) - 1))
    numbers = array(_PLANE_CODES[size])
    numbers.frombytes(decoded.to_bytes(len(joined), "little"))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _check_range(values: list[int]) -> None:
    """Reject numbers that no writer can have written: sums of damaged differences, which Python does not bound."""
    if values and (min(values) < shapes.INT_MIN or max(values) > shapes.INT_MAX):
        raise Damage("a number is out of range")


def decompress(data: bytes, raw_bytes: int) -> bytes:
    """Decompress ``raw_bytes``. Raises Damage."""
    if raw_bytes > MAX_RAW_BYTES:
        raise Damage("a chunk claims to be too large")
    # Streaming, so that memory is allocated as the head allows, and not as the compressed data claim.
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_RAW_BYTES)
    try:
        with decompressor.stream_reader(io.BytesIO(data)) as stream:
            raw = stream.read(raw_bytes + 1)
    except zstandard.ZstdError as error:
        raise Damage(f"a chunk cannot be decompressed: {error}") from error
    if len(raw) != raw_bytes:
        raise Damage("a chunk has not the length it claims")
    return raw
