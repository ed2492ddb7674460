# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the chunks of a recording from its end, without reading all of it.

Every chunk names the one before it. So the last chunk is found by searching backwards from the end, and the others
follow link by link: about 1,500 small reads for a day of recording. Where damage has broken the chain, the search
starts again.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from io import FileIO

from kmltui.recording import frames
from kmltui.recording.chunks import LANDMARKS, LINK_BYTES, Link

BLOCK_BYTES = 256 << 10
"""How much is read at once."""

MAX_CHUNKS = 1 << 18
"""At a minute each, half a year; a file with nothing but beginnings of chunks must not fill the memory."""

_SPAN = frames.HEAD_BYTES + LINK_BYTES


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    first_ns: int
    previous: int
    """Offset of the chunk before."""
    previous_landmarks: bool


class ChunkTable:
    """Offsets and first times of the chunks in a file, in order; grows with it."""

    def __init__(self, file: FileIO, data_start: int) -> None:
        self._file = file
        self._data_start = data_start
        self._entries: list[_Entry] = []
        self._starts: list[int] = []
        self._block = b""
        self._block_start = 0
        self._size = -1

    @property
    def last_offset(self) -> int:
        """Where the last chunk begins; where the frames begin if there is none."""
        return self._entries[-1].offset if self._entries else self._data_start

    @property
    def previous_offset(self) -> int:
        """Where the chunk before the last begins; where the frames begin if there is none."""
        return self._entries[-2].offset if len(self._entries) > 1 else self._data_start

    def refresh(self, size: int) -> None:
        """Add the chunks that were appended since, in a file that now has ``size`` bytes."""
        if size == self._size:
            return
        self._size = size
        known = self.last_offset if self._entries else -1
        found: list[_Entry] = []
        # The file grows: a block kept from before may lack what is there now.
        self._block = b""
        entry = self._search(size, max(known, self._data_start - 1))
        while entry is not None and len(found) < MAX_CHUNKS:
            found.append(entry)
            if known < entry.previous < entry.offset and (before := self._at(entry.previous)):
                entry = before
            elif entry.previous == known:
                break
            else:
                entry = self._search(entry.offset, max(known, self._data_start - 1))
        self._entries += reversed(found)
        del self._entries[:-MAX_CHUNKS]
        # Damage may have put the times out of order, and bisection needs them in order.
        self._starts = []
        latest = -(1 << 63)
        for known_entry in self._entries:
            latest = max(latest, known_entry.first_ns)
            self._starts.append(latest)

    def offset_before(self, t_ns: int) -> int:
        """Where to begin reading to see everything from ``t_ns`` on."""
        index = bisect_right(self._starts, t_ns) - 1
        return self._entries[index].offset if index >= 0 else self._data_start

    def with_landmarks(self) -> list[tuple[int, int | None]]:
        """Begin and end offsets of the stretches that contain, or may contain, landmarks."""
        stretches: list[tuple[int, int | None]] = []
        first = self._entries[0].offset if self._entries else None
        if first is None or first > self._data_start:
            stretches.append((self._data_start, first))
        for entry, following in zip(self._entries, self._entries[1:], strict=False):
            # Only a neighbour that links to this very chunk knows what is in it.
            if following.previous != entry.offset or following.previous_landmarks:
                stretches.append((entry.offset, following.offset))
        if self._entries:
            stretches.append((self._entries[-1].offset, None))
        return stretches

    def _at(self, offset: int) -> _Entry | None:
        """The chunk that begins at ``offset``, if one does."""
        if offset < self._data_start:
            return None
        data = self._read(offset)
        head = frames.parse_head(data)
        link = Link.unpack(data[frames.HEAD_BYTES :])
        if head is None or link is None or head[0] not in (frames.START, frames.CHUNK):
            return None
        return _Entry(offset, link.first_ns, link.previous, bool(link.previous_flags & LANDMARKS))

    def _search(self, before: int, after: int) -> _Entry | None:
        """The last chunk that begins between ``after`` and ``before``, both exclusive."""
        high = before
        while high > after + 1:
            low = max(after + 1, high - BLOCK_BYTES)
            # A little more than the stretch, for chunks that begin in it and extend beyond.
            block = self._read_block(low, high - low + _SPAN)
            position = block.rfind(frames.SYNC)
            while position >= 0:
                if low + position < before and (entry := self._at(low + position)):
                    return entry
                position = block.rfind(frames.SYNC, 0, position + len(frames.SYNC) - 1)
            high = low
        return None

    def _read_block(self, offset: int, size: int) -> bytes:
        begin = offset - self._block_start
        if not 0 <= begin <= begin + size <= len(self._block):
            self._block_start, begin = offset, 0
            self._block = os.pread(self._file.fileno(), size, offset)
        return self._block[begin : begin + size]

    def _read(self, offset: int) -> bytes:
        """The beginning of what may be a chunk: from the block searched last, or by a small read of its own."""
        begin = offset - self._block_start
        if 0 <= begin <= len(self._block) - _SPAN:
            return self._block[begin : begin + _SPAN]
        return os.pread(self._file.fileno(), _SPAN, offset)
