"""A recording that comes through a pipe, kept in a file while it is watched, so that one can go back in it."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmltui.recording.errors import RecordingError
from kmltui.recording.header import HeaderFinder
from kmltui.recording.library import SUFFIX

_PIECE_BYTES = 1 << 16
_GLANCE_S = 0.05


@contextmanager
def spooled(source: int, timeout_s: float) -> Iterator[Path]:
    """A temporary recording that grows with what comes from the file descriptor ``source``, which it takes over.

    Entered once the header has come. Readers see it as live until the stream ends.

    Raises RecordingError: the stream ends before the header or is no recording, or ``timeout_s`` have passed.
    """
    with tempfile.TemporaryDirectory(prefix="kmltui-") as directory:
        path = Path(directory) / f"stream{SUFFIX}"
        # The writer's lock is what tells a reader that more may come.
        with path.open("wb", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            ended = threading.Event()

            def copy() -> None:
                try:
                    while piece := os.read(source, _PIECE_BYTES):
                        file.write(piece)
                except (OSError, ValueError):
                    pass  # the viewer has left and closed the file, or the disk is full: the stream ends here
                finally:
                    os.close(source)
                    ended.set()
                    if not file.closed:
                        fcntl.flock(file, fcntl.LOCK_UN)

            threading.Thread(target=copy, name="spool", daemon=True).start()
            _wait_for_header(path, ended, time.monotonic() + timeout_s)
            yield path


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
