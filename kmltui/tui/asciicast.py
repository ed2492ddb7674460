# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording as a screencast in asciicast v2, which every player reads.

See https://docs.asciinema.org/manual/asciicast/v2/. After the header, one JSON array per line: ``[seconds since the
beginning, "o", output to the terminal]``. The frames are the viewer's, the output is its driver's: only differences, so
a minute takes a few dozen kilobytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from io import StringIO

from rich.console import Console

from kmltui.printable import printable
from kmltui.tui.offscreen import Offscreen, offscreen
from kmltui.tui.player import Source
from kmltui.tui.terminal import Screen

Progress = Callable[[float], None]


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
) -> None:
    """Pass the file's lines, with newlines, to ``write``.

    ``fps``: frames per second of the cast; ``speed``: of the recording; ``progress`` is called with the fraction that
    is done. Raises ValueError for a speed or rate that is not positive, or an impossible size.
    """
    if speed <= 0 or fps <= 0:
        raise ValueError("a screencast needs a speed and a frame rate above 0")
    screen = offscreen(source, size, theme)

    async def record() -> OSError | None:
        async with aclosing(_frames(screen, speed, fps, start_ns, end_ns, progress)) as lines:
            async for line in lines:
                try:
                    write(line)
                except OSError as error:  # nobody reads it any more: let the app exit cleanly first
                    return error
        return None

    write(_header(source, size))
    if error := asyncio.run(record()):
        raise error


def _header(source: Source, size: tuple[int, int]) -> str:
    header = source.header
    fields = {
        "version": 2,
        "width": size[0],
        "height": size[1],
        "env": {"TERM": "xterm-256color"},
        "timestamp": header.created_unix_ns // 1_000_000_000,
        "title": printable(header.title or f"kmltui: {header.workload.name}"),
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


async def _frames(
    screen: Offscreen, speed: float, fps: float, start_ns: int, end_ns: int | None, progress: Progress
) -> AsyncGenerator[str, None]:
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
                yield json.dumps([round(shown_s, 3), "o", data], ensure_ascii=False) + "\n"
            progress(min((t_ns - start_ns) / max(end - start_ns, 1), 1.0))
            if t_ns >= end:
                break
            t_ns += step
            shown_s += 1 / fps
    terminal.write("\x1b[?1049l\x1b[?25h")
    yield json.dumps([round(shown_s + 1, 3), "o", terminal.take()]) + "\n"
