# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording as a screencast in asciicast v2, which every player reads, or v3, which is asciinema's own by now.

See https://docs.asciinema.org/manual/asciicast/v2/ and v3/. After the header, one JSON array per line: ``[seconds, "o",
output to the terminal]``. The frames are the viewer's, the output is its driver's: only differences, so that a minute
takes a few dozen kilobytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from io import StringIO
from typing import Literal

from rich.console import Console

from kmltui.printable import printable
from kmltui.tui.offscreen import Offscreen, offscreen
from kmltui.tui.player import Source
from kmltui.tui.terminal import Screen

Progress = Callable[[float], None]
Version = Literal[2, 3]


def asciicast(
    source: Source,
    write: Callable[[str], object],
    *,
    size: tuple[int, int] = (120, 40),
    speed: float = 1.0,
    fps: float = 2.0,
    theme: str = "",
    start_ns: int = 0,
    end_ns: int | None = None,
    progress: Progress = lambda _: None,
    version: Version = 2,
) -> None:
    """Pass the file's lines, with newlines, to ``write``.

    ``fps``: frames per second of the cast; ``speed``: of the recording; ``progress`` is called with the fraction that
    is done. Raises ValueError for a speed or rate that is not positive, or an impossible size.
    """
    if speed <= 0 or fps <= 0:
        raise ValueError("a screencast needs a speed and a frame rate above 0")
    screen = offscreen(source, size, theme)

    async def record() -> OSError | None:
        before_s = 0.0
        async with aclosing(_frames(screen, speed, fps, start_ns, end_ns, progress)) as events:
            async for at_s, data in events:
                # Version 2 counts time from the beginning, version 3 from the event before.
                time_s = at_s if version == 2 else at_s - before_s
                before_s = at_s
                try:
                    write(json.dumps([round(time_s, 3), "o", data], ensure_ascii=False) + "\n")
                except OSError as error:  # nobody reads it any more: let the app exit cleanly first
                    return error
        return None

    write(_header(source, size, version))
    if error := asyncio.run(record()):
        raise error


def _header(source: Source, size: tuple[int, int], version: Version) -> str:
    header = source.header
    width, height = size
    terminal: dict[str, object] = (
        {"width": width, "height": height, "env": {"TERM": "xterm-256color"}}
        if version == 2
        else {"term": {"cols": width, "rows": height, "type": "xterm-256color"}}
    )
    about = {
        "timestamp": header.created_unix_ns // 1_000_000_000,
        "title": printable(header.title or f"kmltui: {header.workload.name}"),
    }
    return json.dumps({"version": version, **terminal, **about}, ensure_ascii=False) + "\n"


async def _frames(
    screen: Offscreen, speed: float, fps: float, start_ns: int, end_ns: int | None, progress: Progress
) -> AsyncGenerator[tuple[float, str], None]:
    """What is sent to the terminal, and when, in seconds from the beginning."""
    console = Console(file=StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False)
    terminal = Screen(*screen.size)
    terminal.write("\x1b[?1049h\x1b[?25l")
    async with screen.shown():
        end = screen.duration_ns if end_ns is None else min(end_ns, screen.duration_ns)
        step = int(1e9 / fps * speed)
        t_ns, shown_s = start_ns, 0.0
        while True:
            await screen.show(min(t_ns, end))
            terminal.write(screen.ansi(console))
            if data := terminal.take():
                yield shown_s, data
            progress(min((t_ns - start_ns) / max(end - start_ns, 1), 1.0))
            if t_ns >= end:
                break
            t_ns += step
            shown_s += 1 / fps
    terminal.write("\x1b[?1049l\x1b[?25h")
    yield shown_s + 1, terminal.take()
