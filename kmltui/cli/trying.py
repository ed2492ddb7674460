# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``try``: any program in both rings, and the result on one card."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path

from kmltui.cli import bench, common, screen
from kmltui.cli.common import fail, say
from kmltui.cli.options import RECORDING, GuestOptions, Json, Put, RecordingOptions, WatchingOptions, WorkloadOptions


def try_(
    *command: str,
    pairs: int | None = None,
    put: Put = (),
    svg: Path | None = None,
    image: str = "",
    memory: str | None = None,
    recording: RecordingOptions = RECORDING,
    as_json: Json = False,
) -> int:
    """Run any program in ring 3 and in ring 0, and show the result on one card.

    A stock and a KML guest run it in turn, every instruction is counted, and everything is recorded:
    ``kmltui report`` has the details.

    Parameters
    ----------
    command:
        After ``--``: a program of this machine by its path, or one of the guest image by its name, and its arguments.
    pairs:
        How often each side runs it (default: 5).
    image:
        The guest image, as listed by ``kmltui guest info`` (default: the one for this machine).
    memory:
        Memory of each guest, e.g. 512M or 2G (default: 1G, or what the image needs).
    as_json:
        Print the card as JSON; what else there is to say goes to standard error.
    svg:
        Also write the card to this file as a picture.
    """
    from kmltui.figures.program import program_card
    from kmltui.figures.summarise import summarise
    from kmltui.report import program
    from kmltui.runner import registry

    if not command:
        fail("which program? Write it after two dashes: kmltui try -- ./prog arguments")
    if svg is not None and svg.exists():
        fail(f"--svg {svg}: exists already")
    if recording.out is None and recording.name is None:
        recording = replace(recording, name=registry.new_name("try"))
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        status = bench.bench(
            *command,
            workload=WorkloadOptions(put=put),
            pairs=pairs,
            exact=True,
            guest=GuestOptions(image=image, memory=memory),
            recording=recording,
            watching=WatchingOptions(headless=True),
        )
    if svg is None and not as_json:
        return status
    with screen.opened(recording.out or common.find_recording(recording.name)) as reader:
        card = program_card(summarise(reader.records()))
    if as_json:
        common.print_json(card)
    if svg is not None:
        with common.output(svg) as write:
            write(program.as_svg(card))
        say(f"picture: {svg}", file=sys.stderr)
    return status
