# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording into a pipe: all of it, or from now on, for as long as the run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import IO

from kmltui.recording import frames, schema
from kmltui.recording.chunks import LANDMARKS, ChunkBuilder, Link, chunk_payload
from kmltui.recording.reader import Reader
from kmltui.recording.schema import Timed

PERIOD_S = 0.25
"""How often a live recording is looked at for more."""


def copy_stream(path: str | os.PathLike[str], out: IO[bytes], *, from_now: bool = False) -> None:
    """Write a recording to ``out`` as a stream, and what is appended to it while its run goes on; returns at its end.

    With ``from_now`` the past is left out but for what a viewer needs to know of it (see
    :meth:`kmltui.recording.Reader.landmarks`). Returns as well when nobody reads any more. Raises RecordingError.
    """
    with Reader.open(path) as reader:
        try:
            for piece in _pieces(reader, from_now):
                out.write(piece)
                out.flush()
        except BrokenPipeError:
            return


def _pieces(reader: Reader, from_now: bool) -> Iterator[bytes]:
    offset = 0
    if from_now:
        yield frames.preamble() + 2 * frames.pack_frame(frames.HEADER, schema.encode_header(reader.header))
        offset = reader.last_chunk_offset
        yield from pack(reader.landmarks(before_offset=offset))
    while True:
        # Asked before reading: what is written between the two is then read in the next round.
        live = reader.live
        while data := reader.raw(offset):
            offset += len(data)
            yield data
        if not live:
            return
        time.sleep(PERIOD_S)


def pack(records: Iterable[Timed]) -> Iterator[bytes]:
    """Records as CHUNK frames that belong to no file: their links lead nowhere."""
    builder = ChunkBuilder()
    first_ns = last_ns = 0
    for record in records:
        if builder.full:
            yield _frame(builder, first_ns, last_ns)
            builder = ChunkBuilder()
        if not builder:
            first_ns = record.t_ns
        builder.add(schema.to_builtins(record))
        last_ns = max(last_ns, record.t_ns)
    if builder:
        yield _frame(builder, first_ns, last_ns)


def _frame(builder: ChunkBuilder, first_ns: int, last_ns: int) -> bytes:
    return frames.pack_frame(frames.CHUNK, chunk_payload(Link(0, first_ns, LANDMARKS), last_ns, builder.compact()))
