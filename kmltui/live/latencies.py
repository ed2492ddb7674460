# SPDX-License-Identifier: GPL-2.0-or-later
"""Latencies of many intervals as one histogram.

Reads HdrHistogram's V2 wire format (https://github.com/HdrHistogram/HdrHistogram, ``encodeIntoCompressedByteBuffer``)
into counts by value. The format's own library fills an array of every bucket for each interval; a run of a day has
hundreds of thousands of intervals with a few hundred occupied buckets each, so only those are kept here.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import sub

_COMPRESSED = 0x1C849304
_PLAIN = 0x1C849303
_COOKIE_MASK = 0xFFFFFF0F
"""The cookies carry the word size in bits 4 to 7."""
_HEADER = struct.Struct(">IIIIQQd")
_MOST_BYTES = 1 << 22
"""A payload that says it is longer is refused: a histogram of three digits over a day in microseconds takes 200 KB."""


class Latencies:
    """Counts of latencies by value, microseconds. Histograms are merged; percentiles are never averaged."""

    __slots__ = ("_counts", "_packed", "count")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._packed: bytes | None = None
        """Compressed, instead of ``_counts``: all values as differences, then the count of each."""
        self.count = 0

    def add(self, encoded: bytes, total: Latencies | None = None) -> None:
        """Merge one interval's histogram, into ``total`` as well. Raises ValueError when ``encoded`` is not one."""
        pairs = _decode(encoded)
        if (self.count + sum(count for _, count in pairs)) >> 63:
            raise ValueError("a histogram counts more than 63 bits hold")
        self._take(pairs)
        if total is not None:
            total._take(pairs)

    def counts(self) -> Iterable[tuple[int, int]]:
        """Each value, microseconds, with how often it occurred."""
        return self._unpacked().items()

    def merge(self, other: Latencies) -> None:
        self._take(other._unpacked().items())

    def _take(self, pairs: Iterable[tuple[int, int]]) -> None:
        counts = self._unpacked()
        total = 0
        for value, count in pairs:
            counts[value] = counts.get(value, 0) + count
            total += count
        self.count += total

    def percentiles(self, wanted: Sequence[float]) -> tuple[int, ...] | None:
        """The values (µs) below which ``wanted`` per cent (ascending) of the latencies lie; None without any."""
        if not self.count:
            return None
        counts = self._unpacked()
        values = sorted(counts)
        seen = list(accumulate(map(counts.__getitem__, values)))
        ranks = (min(max(1, round(self.count * percent / 100 + 0.49)), self.count) for percent in wanted)
        return tuple(values[bisect_left(seen, rank)] for rank in ranks)

    @property
    def largest(self) -> int | None:
        """The highest latency seen, µs, to the histogram's resolution."""
        return max(self._unpacked(), default=None)

    def copy(self) -> Latencies:
        """An independent copy. It takes a fiftieth of the memory until it is used, because many copies are kept."""
        other = Latencies()
        other.count = self.count
        other._packed = self._packed
        if self._packed is None:
            values = sorted(self._counts)
            steps = map(sub, values, [0, *values[:-1]])
            numbers = array("Q", [*steps, *map(self._counts.__getitem__, values)])
            other._packed = zlib.compress(numbers.tobytes(), 1)
        return other

    @property
    def packed_bytes(self) -> int:
        """About what a copy takes in memory until it is used."""
        return 250 + len(self._packed or b"")

    def _unpacked(self) -> dict[int, int]:
        if self._packed is not None:
            numbers: array[int] = array("Q", zlib.decompress(self._packed))
            half = len(numbers) // 2
            self._counts = dict(zip(accumulate(numbers[:half]), numbers[half:], strict=True))
            self._packed = None
        return self._counts


def _decode(encoded: bytes) -> list[tuple[int, int]]:
    """Pairs of (highest value of the bucket in µs, count) of every occupied bucket."""
    try:
        if encoded[:1] == b"H":  # base64 of the compressed cookie's first byte, 0x1c
            encoded = base64.b64decode(encoded, validate=True)
        cookie, length = struct.unpack_from(">II", encoded)
        if cookie & _COOKIE_MASK == _COMPRESSED & _COOKIE_MASK:
            encoded = zlib.decompressobj().decompress(encoded[8 : 8 + length], _MOST_BYTES)
        cookie, length, _, digits, lowest, _, _ = _HEADER.unpack_from(encoded)
    except (struct.error, zlib.error, binascii.Error) as error:
        raise ValueError(f"not a histogram in HdrHistogram's V2 encoding: {error}") from None
    if cookie & _COOKIE_MASK != _PLAIN & _COOKIE_MASK or not 1 <= digits <= 5:
        raise ValueError("not a histogram in HdrHistogram's V2 encoding")
    payload = encoded[_HEADER.size : _HEADER.size + length]

    half_bits = max((2 * 10**digits - 1).bit_length(), 1) - 1
    half, unit_bits = 1 << half_bits, max(lowest.bit_length() - 1, 0)
    result: list[tuple[int, int]] = []
    index = 0
    for word in _zigzag(payload):
        if word < 0:  # a run of empty buckets
            index -= word
            continue
        if word:
            bucket, sub = (index >> half_bits) - 1, (index & (half - 1)) + half
            if bucket < 0:
                bucket, sub = 0, sub - half
            shift = bucket + unit_bits
            if shift > 63 or ((sub + 1) << shift) > 1 << 63:
                raise ValueError("a histogram's bucket lies beyond 64 bits")
            result.append((((sub + 1) << shift) - 1, word))
        index += 1
    return result


def _zigzag(data: bytes) -> Iterator[int]:
    """Decode ZigZag LEB128 numbers: 7 bits per byte, at most 9 bytes, all 8 bits of the ninth."""
    value = shift = 0
    for byte in data:
        if byte & 0x80 and shift < 56:
            value |= (byte & 0x7F) << shift
            shift += 7
        else:
            value |= byte << shift
            yield (value >> 1) ^ -(value & 1)
            value = shift = 0
    if shift:
        raise ValueError("a histogram ends in the middle of a number")
