# SPDX-License-Identifier: GPL-2.0-or-later
"""The beginning of a recording: is it one, and what does its header say."""

from __future__ import annotations

from kmltui.model import Header
from kmltui.recording import frames, schema
from kmltui.recording.errors import RecordingError
from kmltui.recording.frames import FrameParser

_WITHIN_BYTES = 4 << 20
"""A header that has not come by then does not come."""


class HeaderFinder:
    """Takes the first bytes of what should be a recording until it has found the header."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = bytearray()
        self._parser = FrameParser(frames.PREAMBLE_BYTES)
        self._version: int | None = None
        self._seen = 0
        self.header: Header | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises RecordingError as soon as it is certain that this is nothing to read."""
        self._seen += len(data)
        if self._version is None:
            self._start += data
            missing = frames.MAGIC[: len(self._start)] != self._start[: len(frames.MAGIC)]
            if missing:
                raise RecordingError(f"{self._name} is not a recording of kmltui")
            self._version = frames.parse_preamble(bytes(self._start))
            if self._version is None:
                return
            data = bytes(self._start[frames.PREAMBLE_BYTES :])
        for item in self._parser.feed(data):
            if isinstance(item, frames.Frame) and item.kind == frames.HEADER and self.header is None:
                self.header = schema.decode_header(item.payload)
        if self.header is None and self._seen > _WITHIN_BYTES:
            raise self.missing()

    @property
    def version(self) -> int:
        """Version of the file's format; 0 until it is known."""
        return self._version or 0

    def missing(self) -> RecordingError:
        """Why there is no header, once there are no more bytes to come."""
        if self._seen == 0:
            return RecordingError(f"{self._name} is empty: there is no run in it")
        if self._version is None:
            return RecordingError(f"{self._name} ends within its first bytes: there is no run in it")
        if self._version > frames.FILE_VERSION:
            return RecordingError(
                f"{self._name} was made by a newer kmltui (format {self._version}; this one reads up to"
                f" {frames.FILE_VERSION}): update kmltui to open it"
            )
        return RecordingError(f"the header of {self._name} is missing or damaged: without it nothing can be read")
