# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns frames into records, for readers of files and of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kmltui.model import End, Gap
from kmltui.recording import frames, schema
from kmltui.recording.chunks import ChunkHead, RowReader, read_chunk
from kmltui.recording.errors import Damage
from kmltui.recording.frames import Broken, Frame
from kmltui.recording.landmarks import Allowance, is_landmark
from kmltui.recording.schema import Timed
from kmltui.recording.shapes import Shape


class Decoder:
    """Decodes frames in the order of the file. Unreadable stretches become one Gap before the next good record.

    In compacted chunks, records before ``since_ns``, those from ``until_ns`` on, and those whose shape is not
    ``wanted`` are left out.
    """

    def __init__(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        wanted: Callable[[Shape], bool] | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._allowance = allowance or Allowance()
        self._since_ns = since_ns
        self._until_ns = until_ns
        self._wanted = wanted
        self._bounded = since_ns is not None or until_ns is not None or wanted is not None
        self.last_ns = 0
        """Latest time of a record so far."""
        self.end: End | None = None
        """The End record, once it was seen."""
        self.skipped = 0
        """Records of types, or with fields, that this version does not know."""
        self.damaged = False
        self.digest: list[bytes] = []
        """The payloads of LANDMARKS frames so far."""
        self._rows: RowReader | None = None
        self._lost_bytes = 0
        self._lost_ns = 0
        self._reason = ""

    def feed(self, item: Frame | Broken) -> Iterator[Timed]:
        """The records of one frame."""
        if isinstance(item, Broken):
            self._lose(item.length, "damaged bytes")
            return
        try:
            values = self._values(item)
        except Damage as damage:
            self._lose(frames.HEAD_BYTES + len(item.payload), str(damage))
            return
        for value in values:
            record = schema.from_builtins(value)
            if record is None:
                self.skipped += 1
                continue
            if is_landmark(record) and not self._allowance.covers(record):
                self._lose(1, "more events than a run has")
                continue
            yield from self.finish()
            self.last_ns = max(self.last_ns, record.t_ns)
            if isinstance(record, End):
                self.end = record
            yield record
        if self._bounded and item.kind == frames.CHUNK:  # those left out count, too
            self.last_ns = max(self.last_ns, ChunkHead.unpack(item.payload).last_ns)

    def finish(self) -> Iterator[Timed]:
        """The pending gap, if any."""
        if self._lost_bytes:
            yield Gap(t_ns=self._lost_ns, lost_bytes=self._lost_bytes, reason=self._reason)
            self._lost_bytes = 0

    def _values(self, frame: Frame) -> Iterable[dict[str, object]]:
        match frame.kind:
            case frames.START:
                self._rows = RowReader()
            case frames.ROW:
                if self._rows is None:
                    raise Damage("rows without the beginning of their chunk")
                try:
                    return [self._rows.read(frame.payload)]
                except Damage:
                    self._rows = None
                    raise
            case frames.LANDMARKS:
                self.digest.append(frame.payload)
            case frames.CHUNK:
                self._rows = None
                return read_chunk(frame.payload, self._since_ns, self._until_ns, self._wanted)
        return []

    def _lose(self, length: int, reason: str) -> None:
        self.damaged = True
        if not self._lost_bytes:
            self._lost_ns, self._reason = self.last_ns, reason
        self._lost_bytes += length
