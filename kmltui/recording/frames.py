# SPDX-License-Identifier: GPL-2.0-or-later
"""The outer layer of a recording: a preamble, then frames that can be found again after damage.

A frame is a 16-byte head and a payload, all numbers little-endian::

    offset  size
    0       4     sync: FF 4B 4D 46 (FF never occurs in UTF-8, so no text can imitate a frame)
    4       1     kind, an ASCII letter
    5       1     flags, 0
    6       2     head check: the low 16 bits of the CRC-32 of bytes 0–5 and 8–11
    8       4     length of the payload
    12      4     CRC-32 of the payload
    16      …     payload

The head has a check of its own so that a damaged length is noticed before it is trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

MAGIC = b"\x89KMLREC\n"
"""First bytes of every recording. Not text (89), not mangled by a transfer that rewrites line ends (0A)."""

FILE_VERSION = 1
"""Version of framing and chunk encoding."""

SYNC = b"\xffKMF"
HEADER = ord("H")
START = ord("S")
ROW = ord("R")
CHUNK = ord("C")
LANDMARKS = ord("L")

MAX_PAYLOAD_BYTES = 8 << 20
"""A longer frame is damage: it bounds what a reader buffers."""

_PREAMBLE = struct.Struct("<8sHH")
_HEAD = struct.Struct("<4sBBHII")

PREAMBLE_BYTES = _PREAMBLE.size
HEAD_BYTES = _HEAD.size


@dataclass(frozen=True, slots=True)
class Frame:
    """One undamaged frame. ``offset`` counts from the start of the file or stream."""

    offset: int
    kind: int
    payload: bytes

    @property
    def end(self) -> int:
        """Offset of the first byte after the frame."""
        return self.offset + HEAD_BYTES + len(self.payload)


@dataclass(frozen=True, slots=True)
class Broken:
    """``length`` bytes at ``offset`` that belong to no undamaged frame."""

    offset: int
    length: int


def preamble() -> bytes:
    """The bytes that begin a recording."""
    return _PREAMBLE.pack(MAGIC, FILE_VERSION, 0)


def parse_preamble(data: bytes) -> int | None:
    """The file version that a preamble names, or None if this is no recording of kmltui."""
    if len(data) < PREAMBLE_BYTES:
        return None
    magic, version, _flags = _PREAMBLE.unpack_from(data)
    return int(version) if magic == MAGIC else None


def _head_check(kind: int, flags: int, length: int) -> int:
    return crc32(struct.pack("<4sBBI", SYNC, kind, flags, length)) & 0xFFFF


def pack_frame(kind: int, payload: bytes) -> bytes:
    """A frame, ready to be written. Raises ValueError if the payload is longer than a reader accepts."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes is longer than {MAX_PAYLOAD_BYTES}")
    head = _HEAD.pack(SYNC, kind, 0, _head_check(kind, 0, len(payload)), len(payload), crc32(payload))
    return head + payload


def parse_head(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[int, int, int] | None:
    """``(kind, payload length, payload CRC)`` of the head at ``offset``, or None if no undamaged head is there."""
    if len(data) - offset < HEAD_BYTES:
        return None
    sync, kind, flags, check, length, crc = _HEAD.unpack_from(data, offset)
    if sync != SYNC or length > MAX_PAYLOAD_BYTES or check != _head_check(kind, flags, length):
        return None
    return kind, length, crc


class FrameParser:
    """Turns bytes, in pieces of any size, into frames; skips what is damaged and says how much that was.

    It buffers one frame at most (:data:`MAX_PAYLOAD_BYTES`) beyond what was fed last.
    """

    def __init__(self, offset: int = 0) -> None:
        self._buffer = bytearray()
        self._offset = offset
        self._broken_from: int | None = None
        self._fed = 0
        self._wasted = 0

    @property
    def offset(self) -> int:
        """Where parsing goes on: everything before it was given out."""
        return self._offset

    @property
    def pending_bytes(self) -> int:
        """Bytes held back because they may be the beginning of a frame that is still being written."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame | Broken]:
        """Take more bytes; yields what is complete. Must be exhausted before the next call."""
        self._buffer += data
        self._fed += len(data)
        yield from self._parse()

    def finish(self) -> Iterator[Frame | Broken]:
        """The input has ended: what is held back will never be complete, but may hide frames behind a damaged head."""
        while self._buffer:
            skipped = self._skip(0)
            del self._buffer[:skipped]
            self._offset += skipped
            yield from self._parse()
        yield from self._end_of_damage(self._offset)

    def _parse(self) -> Iterator[Frame | Broken]:
        position = 0
        while True:
            step = self._step(position)
            if step is None:
                break
            item, length = step
            if item is not None:
                yield from self._end_of_damage(item.offset)
                yield item
            position += length
        # One deletion for all frames: deleting after each would move the rest of the buffer each time.
        del self._buffer[:position]
        self._offset += position

    def _end_of_damage(self, until: int) -> Iterator[Broken]:
        if self._broken_from is not None:
            yield Broken(self._broken_from, until - self._broken_from)
            self._broken_from = None

    def _step(self, position: int) -> tuple[Frame | None, int] | None:
        """What is at ``position``: a frame and its length, or damage to skip; None if more bytes are needed."""
        buffer = self._buffer
        available = len(buffer) - position
        if not buffer.startswith(SYNC[: min(available, len(SYNC))], position):
            return None, self._skip(position)
        if available < HEAD_BYTES:  # also when nothing is left
            return None
        head = parse_head(buffer, position)
        if head is None:
            return None, self._skip(position)
        kind, length, crc = head
        if available < HEAD_BYTES + length:
            return None
        start = position + HEAD_BYTES
        payload = bytes(memoryview(buffer)[start : start + length])
        if crc32(payload) != crc:
            # Frames may survive inside the damaged stretch; but bytes made to waste time are not checked over and over.
            self._wasted += length
            inside = self._wasted <= self._fed + MAX_PAYLOAD_BYTES
            return None, self._skip(position, 1 if inside else HEAD_BYTES + length)
        return Frame(self._offset + position, kind, payload), HEAD_BYTES + length

    def _skip(self, position: int, least: int = 1) -> int:
        """How many bytes, at least ``least``, to the next place where a frame may begin."""
        if self._broken_from is None:
            self._broken_from = self._offset + position
        found = self._buffer.find(SYNC, position + least)
        if found >= 0:
            return found - position
        # The last bytes may be the beginning of a sync that is not complete yet.
        tail = next((n for n in range(len(SYNC) - 1, 0, -1) if self._buffer.endswith(SYNC[:n])), 0)
        return max(least, len(self._buffer) - tail - position)
