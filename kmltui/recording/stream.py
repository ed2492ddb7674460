"""A recording that comes through a pipe, and one that goes into a pipe."""

from __future__ import annotations

import os
import select
import time
from typing import IO

from kmltui.model import End, Header, Record
from kmltui.recording.decoder import Decoder
from kmltui.recording.errors import RecordingError
from kmltui.recording.frames import PREAMBLE_BYTES, FrameParser
from kmltui.recording.header import HeaderFinder
from kmltui.recording.index import BLOCK_BYTES


class StreamReader:
    """Reads a recording from a file descriptor that cannot seek, such as standard input. Never blocks after it began.

    The constructor waits for the header; it raises RecordingError when the stream ends before it, when it is no
    recording, or when ``timeout_s`` has passed.
    """

    def __init__(self, source: int | IO[bytes], timeout_s: float | None = None, name: str = "the stream") -> None:
        self._source = source
        self._fd = source if isinstance(source, int) else source.fileno()
        self._name = name
        self._eof = False
        self._parser = FrameParser(PREAMBLE_BYTES)
        self._decoder = Decoder()
        self._found: list[Record] = []
        self._behind = b""
        self.header = self._wait_for_header(timeout_s)
        self._found.append(self.header)

    @property
    def end(self) -> End | None:
        """The last record of a run that ended in order, once it has come."""
        return self._decoder.end

    @property
    def ended(self) -> bool:
        """Whether the run ended in order. Not ended and not :attr:`live`: the connection or the run was lost."""
        return self.end is not None

    @property
    def duration_ns(self) -> int:
        """Time of the last record so far."""
        return self._decoder.last_ns

    @property
    def live(self) -> bool:
        """Whether more may come."""
        return not self._eof

    def poll(self, limit: int = 4096) -> list[Record]:
        """New complete records since the last poll, the header first of all; empty if there are none yet."""
        found, self._found = self._found, []
        while len(found) < limit:
            data = self._behind or self._read(0)
            self._behind = b""
            if not data:
                break
            for item in self._parser.feed(data):
                found += self._decoder.feed(item)
        if self._eof:
            for item in self._parser.finish():
                found += self._decoder.feed(item)
            found += self._decoder.finish()
        return found

    def _wait_for_header(self, timeout_s: float | None) -> Header:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        finder = HeaderFinder(self._name)
        seen = bytearray()
        while finder.header is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            data = self._read(left)
            if self._eof:
                raise finder.missing()
            if not data:
                raise RecordingError(f"{self._name} has sent no recording in {timeout_s:g} s")
            finder.feed(data)
            seen += data
        self._behind = bytes(seen[PREAMBLE_BYTES:])
        return finder.header

    def _read(self, timeout_s: float | None) -> bytes:
        """What is there, after waiting for it for so long; empty if nothing has come or the stream has ended."""
        if self._eof:
            return b""
        readable, _, _ = select.select([self._fd], [], [], timeout_s)
        if not readable:
            return b""
        try:
            data = os.read(self._fd, BLOCK_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            # A terminal or connection that has gone away reads as an error (EIO): for a reader that is the end.
            data = b""
        self._eof = not data
        return data
