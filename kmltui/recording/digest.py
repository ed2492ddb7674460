# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of a recording's landmarks before its last chunk, for readers that have not read everything yet.

Without them a reader looks for landmarks in every chunk that is flagged as containing some. That is quick as long as
these are few; in a run with a mark every half minute it is the whole file.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import zstandard

from kmltui.recording.chunks import LEVEL, MAX_RAW_BYTES, decompress
from kmltui.recording.errors import Damage
from kmltui.recording.landmarks import MAX_BYTES
from kmltui.recording.schema import Timed
from kmltui.recording.shapes import encodable

_HEAD = struct.Struct("<III")
_PIECE_RECORDS = 512

_decoder = msgspec.msgpack.Decoder(Annotated[list[Timed], msgspec.Meta(max_length=_PIECE_RECORDS)])


class DigestBuilder:
    """Collects landmarks, compressed as they come."""

    def __init__(self) -> None:
        self._values: list[dict[str, Any]] = []
        self._pieces: list[tuple[int, bytes]] = []
        self._useless = False

    def add(self, value: dict[str, Any]) -> None:
        """Take a record given as builtins."""
        self._values.append(value)
        if len(self._values) >= _PIECE_RECORDS:
            self._end_piece()

    def payloads(self) -> list[bytes]:
        """The payloads of the LANDMARKS frames, in their order; none if there is nothing that a reader would accept."""
        self._end_piece()
        count = len(self._pieces)
        return [
            _HEAD.pack(number, count, size) + packed
            for number, (size, packed) in enumerate(self._pieces)
            if not self._useless
        ]

    def _end_piece(self) -> None:
        values, self._values = self._values, []
        if not values or self._useless:
            return
        try:
            raw = msgspec.msgpack.encode(values)
        except UnicodeEncodeError:
            raw = msgspec.msgpack.encode(encodable(values))
        if len(raw) > MAX_RAW_BYTES:
            self._useless = True
            return
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=False)
        self._pieces.append((len(raw), compressor.compress(raw)))


def read_digest(payloads: Sequence[bytes]) -> list[Timed] | None:
    """The landmarks in the LANDMARKS frames of a recording; None if they are not complete, or not understood here."""
    found: list[Timed] = []
    try:
        heads = [_HEAD.unpack_from(payload) for payload in payloads]
        if not heads or [head[:2] for head in heads] != [(number, len(heads)) for number in range(len(heads))]:
            return None
        if sum(size for _, _, size in heads) > MAX_BYTES:
            return None  # longer than any writer's: the chunks tell
        for (_, _, size), payload in zip(heads, payloads, strict=True):
            found += _decoder.decode(decompress(payload[_HEAD.size :], size))
    except (struct.error, Damage, msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return None
    return found
