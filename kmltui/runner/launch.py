"""Start a run in a process of its own, so that it outlives the terminal it was started from."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kmltui import paths
from kmltui.runner import control, registry

START_LIMIT_S = 20.0


class LaunchError(Exception):
    """The run's process ended before the run began; the text is what it had to say. ``status`` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def log_path(name: str) -> Path:
    """What a detached runner printed."""
    return paths.state_dir() / "logs" / f"{name}.log"


async def launch(name: str, arguments: Sequence[str], command: str = "run", secret: bytes = b"") -> registry.RunEntry:
    """Start ``kmltui COMMAND --headless --name NAME ARGUMENTS`` detached; return once its recording has begun.

    ``secret`` is what it reads on its standard input, where nobody else can see it.

    Raises:
        LaunchError: it did not come that far.
    """
    path = log_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "kmltui", command, "--headless", "--name", name, *arguments]
    with path.open("wb") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(secret)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            await control.request(registry.socket_path(name), "ping", timeout_s=1.0)
            return registry.find(name)
        except (control.ControlError, LookupError):
            pass
        status = process.poll()
        if status is not None:
            # A run may be over before we look; then it is in the register and its recording tells the rest.
            if status in (0, 1):
                try:
                    return registry.find(name)
                except LookupError:
                    pass
            text = path.read_text(errors="replace").strip()
            raise LaunchError(text or f"the runner ended with status {status}", status)
        await asyncio.sleep(0.05)
    process.terminate()
    raise LaunchError(f"the runner did not begin within {START_LIMIT_S:.0f} s; its output is in {path}", 1)
