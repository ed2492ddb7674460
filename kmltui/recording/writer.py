# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing a recording: one writer, append-only while the run lives, compacted when it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from io import FileIO
from pathlib import Path
from typing import IO

import msgspec

from kmltui import files
from kmltui.model import End, Header, Log, Record
from kmltui.recording import frames, locking, schema
from kmltui.recording.chunks import LANDMARKS, ChunkBuilder, Link, chunk_payload
from kmltui.recording.digest import DigestBuilder
from kmltui.recording.errors import RecordingError, RecordingFull
from kmltui.recording.landmarks import is_landmark
from kmltui.recording.reserve import Reserve
from kmltui.recording.schema import Timed

CHUNK_NS = 60_000_000_000
"""A chunk spans at most this time: what a seek has to decode and what damage can cost."""

MAX_TEXT = 32 << 10
"""A longer log line is cut (characters)."""

LANDMARK_BYTES = 48 << 10
END_BYTES = 16 << 10
"""Room that is kept for what happens after the disk is full: for what reports rest on, and after that for the end."""

MAX_REASON = 3000
"""Of the end of a run on a full disk (characters)."""

_RESERVE_BYTES = (128 << 10, 32 << 10, 8 << 10)
"""What the compacted form gives back on a disk that fills up: the most that there is room for."""

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class Writer:
    """The only writer of one recording. Not thread-safe.

    Every record is in the file when :meth:`append` returns (in the kernel's hands, not necessarily on the disk), so
    killing the process loses nothing but a record that is being written.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self.full = False
        """No room was left: periodic records are dropped from here on."""
        self._file = file
        # The compacted form grows beside the live one in an unnamed file, and doubles as the reserve that is given
        # back to a full disk so that the end of the run can still be written.
        self._spare: IO[bytes] | None = None
        self._offset = 0
        self._builder: ChunkBuilder | None = None
        self._link = Link(0, 0, 0)
        # Where the last chunk begins in each of the two forms: what the next one links to.
        self._previous = 0
        self._spare_previous = 0
        self._spare_offset = 0
        self._last_ns = 0
        self._flags = 0
        self._reserve = Reserve(file)
        self._digest = DigestBuilder()

    @classmethod
    def create(cls, path: str | os.PathLike[str], header: Header) -> Writer:
        """Start a recording at ``path``, which must not exist yet. Raises RecordingError."""
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(f"cannot create the directory {target.parent}: {error.strerror}") from error
        try:
            file = FileIO(os.open(target, _NEW, files.PRIVATE), "r+")
        except FileExistsError:
            raise RecordingError(f"{target} exists already: choose another name or remove it first") from None
        except OSError as error:
            raise RecordingError(f"cannot create the recording {target}: {error.strerror}") from error
        try:
            locking.hold(file)
            writer = cls(target, file)
            writer._begin(header)
        except OSError as error:
            file.close()
            target.unlink(missing_ok=True)
            raise RecordingError(f"cannot write the recording {target}: {error.strerror}") from error
        return writer

    def append(self, record: Record) -> None:
        """Write one record.

        Raises RecordingFull, once, when there is no more room (see :attr:`full`), and ValueError for a record that
        cannot be stored (a number beyond 64 bits, larger than a recording's reader accepts).
        """
        if isinstance(record, Header):
            raise ValueError("a recording has one header, given to Writer.create")
        if self._file.closed or (self.full and not is_landmark(record)):
            return
        if isinstance(record, Log) and len(record.text) > MAX_TEXT:
            left_out = len(record.text) - MAX_TEXT
            record = msgspec.structs.replace(record, text=f"{record.text[:MAX_TEXT]} … ({left_out} characters cut)")
        if self.full:
            record = _shortened(record)
        try:
            self._append(record)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise RecordingError(f"cannot write the recording {self.path}: {error.strerror}") from error
            self._become_full(record, error)

    def flush(self) -> None:
        """Bring everything to the disk (``fdatasync``); without it, only a crash of the machine can lose records."""
        if not self._file.closed:
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """End writing and replace the file by its compacted form. Idempotent.

        If that cannot be written, for lack of room say, the file stays as it is: larger, and complete.
        """
        if self._file.closed:
            return
        try:
            if self._spare is not None:
                self._end_chunk()
                if self._spare is not None:
                    self._replace(self._spare)
        except OSError:
            pass  # The live form is complete; compaction saves room and nothing else.
        finally:
            self._drop_spare()
            with contextlib.suppress(OSError):
                self._file.truncate()  # gives back what was reserved
            self._file.close()

    def abandon(self) -> None:
        """End writing and remove the recording: it will not become what it was to be. Idempotent."""
        self._drop_spare()
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, header: Header) -> None:
        # The header is there twice: damage to one copy does not cost the recording.
        start = frames.preamble() + 2 * frames.pack_frame(frames.HEADER, schema.encode_header(header))
        # No recording is begun whose end would not fit.
        self._write(start, LANDMARK_BYTES + END_BYTES)
        self._spare = _spare_file(self.path.parent)
        if self._spare is not None:
            self._spare.write(start)
            self._spare_offset = len(start)

    def _append(self, record: Timed) -> None:
        t_ns = record.t_ns
        value = schema.to_builtins(record)
        keep = 0 if isinstance(record, End) else END_BYTES if is_landmark(record) else END_BYTES + LANDMARK_BYTES
        builder = self._builder
        if builder is None or (
            t_ns - self._link.first_ns >= CHUNK_NS
            or builder.full
            or isinstance(record, End)  # alone in its chunk, so that listing many recordings reads little
        ):
            self._end_chunk()
            if isinstance(record, End):
                self._write_digest()
            builder = self._begin_chunk(t_ns, keep)
        self._write(frames.pack_frame(frames.ROW, builder.add(value)), keep)
        self._last_ns = max(self._last_ns, t_ns)
        if is_landmark(record):
            self._flags |= LANDMARKS
            self._digest.add(value)

    def _begin_chunk(self, t_ns: int, keep: int) -> ChunkBuilder:
        link = Link(self._previous, t_ns, self._flags)
        offset = self._offset
        self._write(frames.pack_frame(frames.START, link.pack()), keep)
        self._link = link
        self._previous = offset
        self._flags = 0
        self._builder = ChunkBuilder()
        return self._builder

    def _end_chunk(self) -> None:
        """Store the chunk that ends here in its compacted form as well."""
        builder, self._builder = self._builder, None
        if builder is None or self._spare is None:
            return
        link = Link(self._spare_previous, self._link.first_ns, self._link.previous_flags)
        frame = frames.pack_frame(frames.CHUNK, chunk_payload(link, self._last_ns, builder.compact()))
        try:
            self._spare.write(frame)
            self._spare.flush()
        except OSError:
            self._drop_spare()
            return
        self._spare_previous = self._spare_offset
        self._spare_offset += len(frame)

    def _write_digest(self) -> None:
        """Store the landmarks once more, before the last chunk of the compacted form."""
        if self._spare is None:
            return
        digest = b"".join(frames.pack_frame(frames.LANDMARKS, payload) for payload in self._digest.payloads())
        try:
            self._spare.write(digest)
            self._spare.flush()
        except OSError:
            self._drop_spare()
            return
        self._spare_offset += len(digest)

    def _write(self, data: bytes, keep: int) -> None:
        """Write all of it or, if there is no room for it and for ``keep`` bytes more, none of it."""
        written = 0
        try:
            self._reserve.ensure(self._offset + len(data) + keep)
            while written < len(data):
                written += self._file.write(data[written:]) or 0
        except OSError:
            self._file.truncate(self._offset)
            self._file.seek(self._offset)
            raise
        self._offset += written

    def _become_full(self, record: Timed, error: OSError) -> None:
        first = not self.full
        self.full = True
        # What is being built lacks the record that did not fit: rows after it need a chunk of their own.
        self._builder = None
        self._drop_spare()
        reason = f"no more room for the recording {self.path}: {error.strerror}"
        if not first:
            return
        text = f"{reason}; the recording ends here, the run goes on"
        note = Log(t_ns=self._last_ns, session="", source="runner", level="warning", text=text)
        for late in (note, _shortened(record)) if is_landmark(record) else (note,):
            try:
                self._append(late)
            except OSError:
                self._builder = None
        raise RecordingFull(f"{reason} (free some room before the next run)") from error

    def _drop_spare(self) -> None:
        if self._spare is not None:
            spare, self._spare = self._spare, None
            # Its last buffer did not fit either, perhaps; the file is gone all the same.
            with contextlib.suppress(OSError):
                spare.close()

    def _replace(self, spare: IO[bytes]) -> None:
        """Put the compacted form in the place of the live one, in one step."""
        spare.truncate(self._spare_offset)
        spare.seek(0)
        with files.replacing(self.path) as target:
            shutil.copyfileobj(spare, target, 1 << 20)
            os.fchmod(target.fileno(), os.fstat(self._file.fileno()).st_mode & 0o777)


def _shortened(record: Timed) -> Timed:
    """The end fits into the room that is kept for it, however much there is to say about it."""
    if isinstance(record, End):
        return msgspec.structs.replace(record, reason=record.reason[:MAX_REASON])
    return record


def _spare_file(directory: Path) -> IO[bytes] | None:
    """An unnamed file beside the recording, with room reserved; None if there is not even room for that."""
    try:
        spare: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
    except OSError:
        return None
    for size in _RESERVE_BYTES:
        try:
            os.posix_fallocate(spare.fileno(), 0, size)
        except OSError:
            spare.truncate(0)  # what was reserved before it failed
            continue
        return spare
    spare.close()
    return None
