# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture of the screen at one moment of a recording, as SVG. ``python -m kmltui.tui.screenshot --help``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from kmltui.tui.offscreen import offscreen
from kmltui.tui.player import Source


def screenshot(
    source: Source,
    *,
    at_ns: int | None = None,
    size: tuple[int, int] = (120, 40),
    theme: str = "",
    keys: Sequence[str] = (),
    title: str = "kmltui",
) -> str:
    """The screen at ``at_ns`` (None: the end), after pressing ``keys``. The same recording gives the same picture."""

    async def take() -> str:
        async with offscreen(source, size, theme).shown() as screen:
            await screen.show(screen.duration_ns if at_ns is None else at_ns)
            await screen.press(*keys)
            return screen.svg(title)

    return asyncio.run(take())


def main() -> None:
    from kmltui.recording import Reader  # noqa: PLC0415  (only this command opens files)

    parser = argparse.ArgumentParser(description="Save a picture of the screen at one moment of a recording.")
    parser.add_argument("recording", type=Path)
    parser.add_argument("out", type=Path, help="the SVG file to write")
    parser.add_argument("--at", type=float, metavar="SECONDS", help="default: the end")
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--theme", default="")
    parser.add_argument("--keys", nargs="*", default=[], help="keys to press first, e.g. t for the table of calls")
    options = parser.parse_args()
    width, height = (int(number) for number in options.size.split("x"))
    with Reader.open(options.recording) as reader:
        picture = screenshot(
            reader,
            at_ns=None if options.at is None else int(options.at * 1e9),
            size=(width, height),
            theme=options.theme,
            keys=options.keys,
        )
    options.out.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
