# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a recording, whether finished, live, lost or damaged, from the beginning or from anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from kmltui.model import End, Gap, Header, Record
from kmltui.recording import frames, locking
from kmltui.recording.chunks import Link
from kmltui.recording.decoder import Decoder
from kmltui.recording.digest import read_digest
from kmltui.recording.errors import RecordingError
from kmltui.recording.frames import Frame, FrameParser
from kmltui.recording.header import HeaderFinder
from kmltui.recording.index import BLOCK_BYTES, ChunkTable
from kmltui.recording.landmarks import Allowance, are_landmarks, is_landmark
from kmltui.recording.schema import Timed
from kmltui.recording.shapes import of_type

DISORDER_NS = 2_000_000_000
"""How much earlier than a record before it a record may be: sessions report with different delays."""

_DATA_START = frames.PREAMBLE_BYTES


class Reader:
    """A recording in a file. Any number of readers may read it while one writer writes.

    Memory is bounded by a chunk (about a minute), whatever the length of the recording.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self.header, self.version = _read_header(path, file)
        self._table = ChunkTable(file, _DATA_START)
        self._tail = Decoder()
        self._table.refresh(self.size_bytes)
        for _ in self._decode(self._table.last_offset, self._tail):
            pass
        self._parser = FrameParser(_DATA_START)
        self._decoder = Decoder()
        self._incoming: Iterator[Timed] = iter(())
        self._told_header = False

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Reader:
        """Open a recording. Raises RecordingError if the file is not a recording or cannot be read."""
        target = Path(path)
        try:
            file = FileIO(os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "r")
        except FileNotFoundError:
            raise RecordingError(f"there is no recording {target}") from None
        except OSError as error:
            raise RecordingError(f"cannot open the recording {target}: {error.strerror}") from error
        try:
            return cls(target, file)
        except OSError as error:
            file.close()
            raise RecordingError(f"cannot read the recording {target}: {error.strerror}") from error
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        self._file.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Size of the file now."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def end(self) -> End | None:
        """The last record of a run that ended cleanly, as far as it has been read."""
        return self._tail.end or self._decoder.end

    @property
    def ended(self) -> bool:
        """Whether the run ended cleanly. If neither this nor :attr:`live`, the run was lost."""
        return self.end is not None

    @property
    def duration_ns(self) -> int:
        """Time of the last record known: as of opening, or later by what :meth:`poll` has brought."""
        return max(self._tail.last_ns, self._decoder.last_ns)

    @property
    def live(self) -> bool:
        """Whether a writer is writing it now (it holds a lock on the file)."""
        return locking.is_held(self._file)

    @property
    def damaged(self) -> bool:
        """Whether anything read so far was damaged; :class:`kmltui.model.Gap` records say where."""
        return self._tail.damaged or self._decoder.damaged

    def records(
        self, start_ns: int = 0, end_ns: int | None = None, only: type[Record] | None = None
    ) -> Iterator[Record]:
        """The records with ``start_ns <= t_ns < end_ns`` in the order of the file; the header first if from 0.

        With ``only``, just those of one type and gaps, which is much less work.

        Reads what is there now; see :meth:`poll` for what is still to come. Damage appears as Gap records.
        """
        if start_ns <= 0:
            yield self.header
            offset = _DATA_START
        else:
            self._table.refresh(self.size_bytes)
            offset = self._table.offset_before(start_ns - DISORDER_NS)
        until = None if end_ns is None else end_ns + DISORDER_NS
        wanted = None if only is None else of_type(only)
        decoder = Decoder(start_ns if start_ns > 0 else None, end_ns, wanted)
        for record in self._decode(offset, decoder, until):
            asked_for = only is None or isinstance(record, only | Gap)
            if asked_for and record.t_ns >= start_ns and (end_ns is None or record.t_ns < end_ns):
                yield record

    def landmarks(self, before_offset: int | None = None) -> list[Timed]:
        """The landmarks of the whole run: environments, phases, marks, states, proofs, repetitions, boundary samples,
        the end. Quick: a closed recording has them in one place; of others only the chunks with landmarks are read.

        With ``before_offset``, an offset where a chunk begins, only those of the chunks before it.
        """
        self._table.refresh(self.size_bytes)
        stretches = self._table.with_landmarks()
        found: list[Timed] = []
        if before_offset is None and (digest := self._digest()) is not None:
            found, stretches = digest, stretches[-1:]
        allowance = Allowance()
        for offset, next_offset in stretches:
            if before_offset is not None and offset >= before_offset:
                break
            decoder = Decoder(wanted=are_landmarks, allowance=allowance)
            found += [record for record in self._decode(offset, decoder, stop=next_offset) if is_landmark(record)]
        return found

    def _digest(self) -> list[Timed] | None:
        """The landmarks of all chunks but the last, if they are stored before that one."""
        decoder = Decoder(wanted=lambda _: False)
        for _ in self._decode(self._table.previous_offset, decoder, stop=self._table.last_offset):
            pass
        return read_digest(decoder.digest)

    def poll(self, limit: int = 512) -> list[Record]:
        """New complete records since the last poll, the header first of all; empty if there are none yet.

        Returns at most ``limit`` of them, a few milliseconds' work: call it again until it returns nothing. Never
        blocks.
        """
        found: list[Record] = []
        if not self._told_header:
            self._told_header = True
            found.append(self.header)
        while len(found) < limit:
            if (record := next(self._incoming, None)) is not None:
                found.append(record)
            elif data := self._pread(BLOCK_BYTES, self._parser.offset + self._parser.pending_bytes):
                self._incoming = self._parse(data)
            else:
                break
        return found

    def _parse(self, data: bytes) -> Iterator[Timed]:
        for item in self._parser.feed(data):
            yield from self._decoder.feed(item)

    @property
    def last_chunk_offset(self) -> int:
        """Where in the file its last chunk begins, now."""
        self._table.refresh(self.size_bytes)
        return self._table.last_offset

    def raw(self, offset: int) -> bytes:
        """Some bytes of the file from ``offset``; empty at its end."""
        return self._pread(BLOCK_BYTES, offset)

    def _decode(
        self, offset: int, decoder: Decoder, until_ns: int | None = None, stop: int | None = None
    ) -> Iterator[Timed]:
        # Only what is there now: a file that grows faster than it is read would otherwise never come to an end. Whether
        # more may come is asked first, so that a frame that is still being written is not taken for damage.
        live, size = self.live, self.size_bytes
        parser = FrameParser(offset)
        position = offset
        while position < size and (data := self._pread(min(BLOCK_BYTES, size - position), position)):
            position += len(data)
            for item in parser.feed(data):
                if stop is not None and item.offset >= stop:
                    return
                if until_ns is not None and isinstance(item, Frame) and _begins_after(item, until_ns):
                    yield from decoder.finish()
                    return
                yield from decoder.feed(item)
        # In a live recording the last frame may be incomplete for an instant; in any other it stays incomplete.
        if parser.pending_bytes and not live:
            for item in parser.finish():
                yield from decoder.feed(item)
        yield from decoder.finish()

    def _pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise RecordingError(f"cannot read the recording {self.path}: {error.strerror}") from error


def _begins_after(frame: Frame, until_ns: int) -> bool:
    """Whether the frame begins a chunk that lies wholly after a time."""
    if frame.kind not in (frames.START, frames.CHUNK):
        return False
    link = Link.unpack(frame.payload)
    return link is not None and link.first_ns >= until_ns


def _read_header(path: Path, file: FileIO) -> tuple[Header, int]:
    """The header and the file version. Raises RecordingError."""
    finder = HeaderFinder(str(path))
    offset = 0
    while finder.header is None:
        data = os.pread(file.fileno(), BLOCK_BYTES, offset)
        if not data:
            raise finder.missing()
        finder.feed(data)
        offset += len(data)
    return finder.header, finder.version
