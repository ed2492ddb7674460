# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens the screen on a live run, a recording or a stream, and says what is left to say after it closes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kmltui.cli import common
from kmltui.cli.common import DONE, RUN_FAILED, fail, say

if TYPE_CHECKING:
    from kmltui.recording import Reader
    from kmltui.runner.registry import RunEntry
    from kmltui.tui.controls import QueryPlan, ViewerResult


class RunControls:
    """What a viewer can request of the live run behind a control socket."""

    can_stop = True
    can_mark = True
    can_explain = True

    def __init__(self, entry: RunEntry) -> None:
        self._entry = entry

    async def stop(self) -> None:
        from kmltui.runner import control

        await control.request(self._entry.socket, "stop")

    async def mark(self, note: str) -> None:
        from kmltui.paths import user_name
        from kmltui.runner import control

        await control.request(self._entry.socket, "mark", note=note, author=user_name())

    async def explain(self, digest: str, schema: str) -> QueryPlan:
        import msgspec

        from kmltui.runner import control
        from kmltui.tui.controls import QueryPlan

        answer = await control.request(self._entry.socket, "explain", timeout_s=15.0, digest=digest, schema=schema)
        return msgspec.convert(answer, QueryPlan)


def opened(path: Path) -> Reader:
    """A reader of ``path``. Raises :class:`Failure`."""
    from kmltui.recording import Reader, RecordingError

    try:
        return Reader.open(path)
    except RecordingError as error:
        fail(str(error))


def _entry_of(path: Path) -> RunEntry | None:
    """The live run that is writing ``path``, if it belongs to this user."""
    from kmltui.runner import registry

    resolved = path.resolve()
    for entry in registry.entries():
        if entry.alive and Path(entry.recording).resolve() == resolved:
            return entry
    return None


def watch_run(entry: RunEntry, *, fps: float | None = None) -> int:
    """Show the screen on a live run; afterwards say what became of the run."""
    result = _watch(entry, fps)
    return _farewell(Path(entry.recording), entry, result)


def watch_passing_run(entry: RunEntry) -> int:
    """Show the screen on a run that exists only to be watched: it ends with its terminal, and its recording is deleted.

    Both stay only if the user chooses to leave the run running.
    """
    from kmltui.recording import library
    from kmltui.runner import control, registry
    from kmltui.tui.controls import ViewerResult

    result = _watch(entry, None)
    if result is ViewerResult.TERMINAL_GONE:
        with contextlib.suppress(control.ControlError):
            asyncio.run(control.request(entry.socket, "stop"))
            common.wait_for_end(entry)
    path = Path(entry.recording)
    state = library.entry(path)
    if state.state == "live":
        return _farewell(path, entry, result)
    library.remove(path)
    registry.forget(entry.name)
    if state.state in ("done", "stopped"):
        return DONE
    say(f"{state.state}: {state.detail}".rstrip(": "), file=sys.stderr)
    return RUN_FAILED


def _watch(entry: RunEntry, fps: float | None) -> ViewerResult:
    from kmltui.tui.app import run_viewer
    from kmltui.tui.controls import ViewerResult

    with opened(Path(entry.recording)) as reader:
        result = run_viewer(reader, RunControls(entry), mode="live", fps=fps)
    if result is ViewerResult.STOP:
        common.wait_for_end(entry)
    return result


def _farewell(path: Path, entry: RunEntry | None, result: ViewerResult) -> int:
    """The line that stays on the terminal, and the exit status."""
    from kmltui.recording import library
    from kmltui.tui.controls import ViewerResult

    state = library.entry(path)
    name = entry.name if entry else str(path)
    if state.state == "live":
        if result is not ViewerResult.TERMINAL_GONE:
            say(f"the run goes on: 'kmltui watch {name}' shows it, 'kmltui stop {name}' ends it")
        return DONE
    if state.state == "done":
        say(f"recorded: {path}\n'kmltui report {name}' prints its tables, 'kmltui replay {name}' shows it again")
        return DONE
    say(f"{state.state}: {state.detail or path}".rstrip(), file=sys.stderr)
    return DONE if state.state == "stopped" else RUN_FAILED


def watch_path(path: Path, *, fps: float | None = None) -> int:
    """Show the screen on a recording: live if its run is live, otherwise as a replay."""
    common.need_terminal()
    entry = _entry_of(path)
    if entry is not None:
        return watch_run(entry, fps=fps)
    return replay(path, fps=fps)


def watch_stream(*, fps: float | None = None) -> int:
    """Show the screen on a stream from standard input; keys are read from the terminal itself."""
    from kmltui.recording import RecordingError, spooled
    from kmltui.tui.app import run_viewer

    if sys.stdin.isatty():
        fail("watch -: expects a stream on standard input: ssh HOST kmltui stream RUN | kmltui watch -")
    if not common.can_draw():
        common.need_terminal()
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        fail("watch -: there is no terminal to draw on and to read keys from")
    data = os.dup(0)
    os.dup2(terminal, 0)
    os.close(terminal)
    try:
        with spooled(data, timeout_s=30.0) as path, opened(path) as reader:
            run_viewer(reader, None, mode="watch", fps=fps)
    except RecordingError as error:
        fail(str(error))
    return DONE


def watch_beside(left: str, right: str, *, fps: float | None = None) -> int:
    """Show the screen on two recordings or streams side by side."""
    from kmltui.recording import RecordingError
    from kmltui.recording.beside import Beside
    from kmltui.tui.app import run_viewer

    common.need_terminal()
    try:
        with ExitStack() as stack:
            parts = [_part(text) for text in (left, right)]
            piped = any(path.is_fifo() for path, _ in parts)
            first, second = (stack.enter_context(opened(_recording(path, stack))) for path, _ in parts)
            source = Beside(first, second, (parts[0][1], parts[1][1]))
            run_viewer(source, None, mode="watch" if piped else "live" if source.live else "replay", fps=fps)
    except RecordingError as error:
        fail(str(error))
    return DONE


def _part(text: str) -> tuple[Path, str | None]:
    """``RUN`` or ``RUN:SESSION``: the recording, and which session of it."""
    run, colon, session = text.rpartition(":")
    if not colon or "/" in session or Path(text).exists():
        return common.find_recording(text), None
    return common.find_recording(run), session


def _recording(path: Path, stack: ExitStack) -> Path:
    """Return a file that a reader can open; a pipe is copied into one while ``stack`` is open."""
    from kmltui.recording import spooled

    if not path.is_fifo():
        return path
    return stack.enter_context(spooled(os.open(path, os.O_RDONLY), timeout_s=30.0))


def replay(
    path: Path, *, at_ns: int | None = None, speed: float = 1.0, fps: float | None = None, tour: bool = False
) -> int:
    """Show the screen on a finished recording, from ``at_ns`` or from a moment before its work begins."""
    from kmltui.tui.app import run_viewer

    common.need_terminal()
    with opened(path) as reader:
        run_viewer(reader, None, mode="tour" if tour else "replay", at_ns=at_ns, speed=speed, fps=fps)
    return DONE
