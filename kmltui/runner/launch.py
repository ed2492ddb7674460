# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts a run in a process of its own, so that it outlives the terminal it was started from.

The plan goes to that process over its standard input, as JSON, so that none of it is visible in an argument list, least
of all a login's password.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import msgspec

from kmltui import files
from kmltui.recording import RecordingError
from kmltui.runner import control, registry
from kmltui.runner.activity import activity_for
from kmltui.runner.expectation import PaceMeter, turns
from kmltui.runner.narrator import Narrator
from kmltui.runner.plan import Monitor, Plan
from kmltui.runner.run import Outcome, Run

START_LIMIT_S = 20.0


def make_run(plan: Plan, out: TextIO) -> Run:
    """The run itself, not yet begun, telling about itself on ``out``.

    Raises OSError: its counters cannot be served where the plan says.
    """
    listeners = [Narrator(out, turns(plan)).hear, PaceMeter().hear]
    if plan.prometheus:
        from kmltui.runner.exporter import Exporter  # noqa: PLC0415 (few runs need it, and it takes long)

        exporter = Exporter()
        exporter.serve(plan.prometheus)
        listeners.append(exporter.hear)
    return Run(plan, activity_for(plan), listeners)


class LaunchError(Exception):
    """The run's process ended before the run began; the text is its message. ``status`` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def encode(plan: Plan) -> bytes:
    """The plan as JSON; paths become absolute, since the runner may live elsewhere."""

    def hook(value: Any) -> str:
        if isinstance(value, Path):
            return str(value.absolute())
        raise NotImplementedError(f"{type(value)} in a plan")

    return msgspec.json.encode(plan, enc_hook=hook)


def decode(data: bytes) -> Plan:
    """The plan that :func:`encode` wrote. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=Plan, dec_hook=lambda kind, value: kind(value))


async def launch(plan: Plan) -> registry.RunEntry:
    """Start the run detached; return once its recording has begun.

    Raises LaunchError: it did not come that far.
    """
    name = plan.name
    path = registry.log_path(name)
    try:
        registry.reserve(name)
        files.private_dir(path.parent)
        path.unlink(missing_ok=True)  # of a run before that had the name
        log = files.open_new(path)
    except OSError as error:
        raise LaunchError(refusal(path, error), 1) from None
    with log:
        process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", "kmltui.runner"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Detached: the process is not awaited, so asyncio's subprocesses would only be in the way.
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(encode(plan))
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        status = process.poll()
        # Another run may have that name: ours belongs to this process.
        ours = (entry for entry in registry.entries() if entry.name == name and entry.pid == process.pid)
        entry = next(ours, None)
        if entry is not None:
            if status in (0, 1):  # over before we looked; its recording tells the rest
                return entry
            with contextlib.suppress(control.ControlError):
                await control.request(entry.socket, "ping", timeout_s=1.0)
                return entry
        if status is not None:
            silent = f"the runner ended with status {status} and wrote nothing to {path}; is that disk full?"
            text = path.read_text(errors="replace").strip() or silent
            path.unlink(missing_ok=True)
            raise LaunchError(text, status)
        await asyncio.sleep(0.05)
    process.terminate()
    raise LaunchError(f"the runner did not begin within {START_LIMIT_S:.0f} s; its output is in {path}", 1)


def refusal(path: Path, error: OSError | RecordingError) -> str:
    """Why a run could not begin, in words."""
    return str(error) if isinstance(error, RecordingError) else f"{error.filename or path}: {error.strerror or error}"


def succeeded(outcome: Outcome, plan: Plan) -> bool:
    """Return whether a run succeeded: a workload is done; watching also succeeds by being stopped."""
    return outcome.status == "done" or (isinstance(plan.how, Monitor) and outcome.status == "stopped")
