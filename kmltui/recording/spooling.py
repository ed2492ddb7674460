# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording that comes through a pipe, kept in a file while it is watched, so that one can go back in it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kmltui.recording import locking
from kmltui.recording.errors import RecordingError
from kmltui.recording.header import HeaderFinder

_PIECE_BYTES = 1 << 16
_GLANCE_S = 0.05


MAX_BYTES = 1 << 30
"""What a stream may bring: more than a day's run."""


@contextmanager
def spooled(source: int, timeout_s: float, max_bytes: int = MAX_BYTES) -> Iterator[Path]:
    """A temporary recording that grows with what comes from the file descriptor ``source``, which it takes over.

    Entered once the header has come. Readers see it as live until the stream ends. The file has no name, so whatever
    becomes of this process, nothing is left of it; the path leads to it from this process alone.

    Raises RecordingError: the stream ends before the header or is no recording, or ``timeout_s`` have passed; on
    leaving, that it was longer than ``max_bytes`` or than half of what the disk had left, and was cut off there.
    """
    with tempfile.TemporaryFile(buffering=0) as file:
        path = Path(f"/proc/self/fd/{file.fileno()}")
        status = os.fstatvfs(file.fileno())
        limit = min(max_bytes, status.f_bavail * status.f_frsize // 2)
        # The writer's lock is what tells a reader that more may come.
        locking.hold(file)
        ended = threading.Event()
        cut = threading.Event()

        def copy() -> None:
            left = limit
            try:
                while piece := os.read(source, _PIECE_BYTES):
                    file.write(piece[:left])
                    left -= len(piece)
                    if left < 0:
                        cut.set()
                        break
            except (OSError, ValueError):
                pass  # the viewer has left and closed the file, or the disk is full: the stream ends here
            finally:
                os.close(source)
                ended.set()
                with suppress(OSError, ValueError):  # closed by now, or at this moment
                    locking.release(file)

        threading.Thread(target=copy, name="spool", daemon=True).start()
        _wait_for_header(path, ended, time.monotonic() + timeout_s)
        yield path
        if cut.is_set():
            raise RecordingError(f"the stream was longer than {limit >> 20} MiB and was cut off there")


def _wait_for_header(path: Path, ended: threading.Event, deadline: float) -> None:
    finder = HeaderFinder("the stream")
    with path.open("rb", buffering=0) as file:
        while True:
            over = ended.is_set()
            while finder.header is None and (piece := file.read(_PIECE_BYTES)):
                finder.feed(piece)
            if finder.header is not None:
                return
            if over and path.stat().st_size == 0:
                raise RecordingError("the stream ended before it began: is there such a run at its source?")
            if over:
                raise finder.missing()
            if time.monotonic() > deadline:
                raise RecordingError("no recording came through the stream in time")
            time.sleep(_GLANCE_S)
