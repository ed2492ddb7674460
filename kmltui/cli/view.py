"""Commands about recordings: replay, report, export, cut, rename, remove."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kmltui.cli import common, screen
from kmltui.cli.common import DONE, RUN_FAILED, fail


def pick() -> int:
    """The run picker; without a terminal, the help of the command line."""
    if not common.on_terminal():
        from kmltui.cli import app

        app.help_print([])
        return DONE
    return screen.pick()


def replay(file: str | None = None, *, at: str | None = None, speed: float = 1.0, fps: float | None = None) -> int:
    """Show a recording on the screen it was made for.

    Parameters
    ----------
    file:
        A recording or a run's name (default: the sample that came with kmltui).
    at:
        Where to begin, e.g. 90s or 1:30.
    speed:
        0.25 to 64 times the run's own.
    fps:
        Pictures a second at most (default: adapts itself to the terminal).
    """
    if not 0.25 <= speed <= 64:
        fail(f"--speed {speed}: must be between 0.25 and 64")
    at_ns = round(common.seconds(at) * 1e9) if at is not None else None
    path = common.find_recording(file, shipped=file is None)
    return screen.replay(path, at_ns=at_ns, speed=speed, fps=fps)


def report(
    file: str | None = None,
    *,
    format: Literal["text", "markdown", "json", "html"] = "text",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """The article's tables for a run: what was saved, where each figure comes from, how far it can be believed.

    Parameters
    ----------
    file:
        A recording or a run's name (default: the newest run).
    format:
        text, markdown, json or html (one file that needs nothing else).
    out:
        Write to this file instead of standard output.
    as_json:
        The same as ``--format json``.
    """
    from kmltui.analysis.report import render
    from kmltui.analysis.summary import summarise
    from kmltui.recording import Reader, RecordingError

    path = common.find_recording(file)
    try:
        with Reader.open(path) as reader:
            summary = summarise(reader.records())
    except RecordingError as error:
        fail(str(error))
    text = render(summary, "json" if as_json else format)
    if out is None:
        sys.stdout.write(text)
    else:
        try:
            out.write_text(text)
        except OSError as error:
            fail(f"{out}: {error.strerror}", RUN_FAILED)
    return DONE
