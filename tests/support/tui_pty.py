# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal around a viewer in a process of its own: what it sends, and what a person would see of it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from fcntl import ioctl
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent.parent

VIEWER = """
import sys
from pathlib import Path
from kmltui.recording import Reader
from kmltui.tui.app import run_viewer
mode, at = sys.argv[2], int(float(sys.argv[3]) * 1e9) if sys.argv[3] else None
result = run_viewer(Reader.open(sys.argv[1]), mode=mode, at_ns=at, fps=float(sys.argv[4]))
Path(sys.argv[5]).write_text(result.value)
"""


class Terminal:
    """Runs a viewer of ``recording``; its output is fed into an emulator when :meth:`read` is called, not before."""

    def __init__(
        self,
        recording: Path,
        result: Path,
        *,
        size: tuple[int, int] = (80, 24),
        mode: str = "watch",
        at_s: float | None = None,
        fps: float = 4.0,
        environ: dict[str, str] | None = None,
        told_size: bool = True,
        command: Sequence[str] = (),
    ) -> None:
        """Without ``told_size`` the terminal says that it has no rows and no columns, as those of cron do.

        ``command`` is run in the viewer's place.
        """
        self.output = b""
        self._result = result
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        arguments = [str(recording), mode, "" if at_s is None else str(at_s), str(fps), str(result)]
        child = {**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})}
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            time.sleep(0.1)  # until the size is set
            with contextlib.suppress(BaseException):
                words = list(command) or [sys.executable, "-c", VIEWER, *arguments]
                os.execvpe(words[0], words, child)
            os._exit(127)
        if told_size:
            self.resize(*size)

    def resize(self, width: int, height: int) -> None:
        ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.resize(height, width)

    def read(self, seconds: float = 0.0, *, until: Callable[[Terminal], bool] | None = None) -> None:
        """Take what is sent, for some seconds or until something is seen; fails when it is not seen."""
        end = time.monotonic() + (45.0 if until else seconds)
        while time.monotonic() < end:
            if until is not None and until(self):
                return
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    break
                self.output += data
                self._stream.feed(data)
        if until is not None and not until(self):
            seen = "\n".join(self.screen.display).strip() or repr(self.output[:2000])
            raise AssertionError(f"never seen on the screen:\n{seen}")

    def shows(self, text: str) -> bool:
        return any(text in line for line in self.screen.display)

    def wait_for(self, text: str) -> None:
        self.read(until=lambda terminal: terminal.shows(text))

    def send(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait(self, limit: float = 15.0) -> str:
        """Until it has ended; returns the viewer's result."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                self.pid = 0
                return self._result.read_text() if self._result.exists() else ""
            if self.master >= 0:
                self.read(0.05)
            else:
                time.sleep(0.05)
        raise AssertionError("the viewer does not end")

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@contextlib.contextmanager
def opened(terminal: Terminal) -> Iterator[Terminal]:
    try:
        yield terminal
    finally:
        terminal.close()
