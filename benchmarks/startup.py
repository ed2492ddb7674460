# SPDX-License-Identifier: GPL-2.0-or-later
"""How long it takes until something can be seen, and whether samples come on time.

    python benchmarks/startup.py [--image-build]

Prints a table with the figure, what it is compared with, and the target. ``--image-build`` adds a build of the guest
image in a new cache (downloads are not counted). Everything is measured now, on this machine; if it is busy, the
figures show it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kmltui.build.builder import ensure_image
from kmltui.images import store
from kmltui.images.progress import Progress
from kmltui.images.spec import make_spec
from kmltui.model import Arm, ClockKind, Record, Sample, SessionSpec
from kmltui.runner.server import Server
from kmltui.sessions.guest import GuestSession
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command

ARMS: tuple[Arm, ...] = ("stock", "kml")
PERIOD_NS = 500_000_000
BUSY_S = 20.0
DOWNLOADS = ("asking the mirror for packages", "fetching packages")


def command_ms(*arguments: str, runs: int = 15) -> float:
    """The median wall time of a command, milliseconds."""
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True)
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


async def first_query_s(arm: Arm, clock: ClockKind = "wall") -> float:
    """Seconds from nothing to a MariaDB that answers. A guest whose clock counts instructions may have been kept."""
    journal = Journal.begin(lambda record: None)
    session = GuestSession(SessionSpec(name=arm, arm=arm, clock=clock), PERIOD_NS)
    try:
        await session.start(journal)
        server = Server(session, journal)
        await server.start()
        taken = journal.now() / 1e9
        await server.stop()
        return taken
    finally:
        await session.stop()


async def both_s() -> float:
    """The same of both guests that a run starts, at once."""
    return max(await asyncio.gather(*(first_query_s(arm, "instructions") for arm in ARMS)))


async def lateness() -> dict[Arm, float]:
    """The largest deviation of the time between samples from the period, in periods, while two busy guests run."""
    records: dict[Arm, list[Record]] = {arm: [] for arm in ARMS}
    sessions = [GuestSession(SessionSpec(name=arm, arm=arm), PERIOD_NS) for arm in ARMS]
    try:
        await asyncio.gather(*(s.start(Journal.begin(records[s.spec.arm].append)) for s in sessions))
        busy = ["/bin/busybox", "sh", "-c", "while :; do :; done"]
        for session in sessions:
            await session.spawn(Command(busy))
            records[session.spec.arm].clear()
        await asyncio.sleep(BUSY_S)
    finally:
        await asyncio.gather(*(session.stop() for session in sessions))
    worst: dict[Arm, float] = {}
    for name, found in records.items():
        times = [record.mono_ns for record in found if isinstance(record, Sample)]
        steps = [b - a for a, b in itertools.pairwise(times)]
        worst[name] = max(abs(step - PERIOD_NS) for step in steps) / PERIOD_NS
    return worst


def build_s() -> float:
    """Seconds to build an image from nothing in a new cache, downloads not counted."""
    taken: list[float] = []

    def report(progress: Progress) -> None:
        if progress.ended and progress.step not in DOWNLOADS:
            taken.append(progress.elapsed_s)

    before = os.environ.get("KMLTUI_HOME")
    with tempfile.TemporaryDirectory(dir=Path.home()) as home:
        os.environ["KMLTUI_HOME"] = home
        try:
            ensure_image(make_spec(), report)
        finally:
            os.environ.pop("KMLTUI_HOME")
            if before is not None:
                os.environ["KMLTUI_HOME"] = before
    return sum(taken)


def row(what: str, figure: str, target: str, note: str = "") -> None:
    print(f"{what:<34} {figure:>12}   {target:<12} {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-build", action="store_true", help="also build an image in a new cache")
    arguments = parser.parse_args()
    row("", "measured", "target")
    python = command_ms(sys.executable, "-c", "pass")
    version = command_ms(sys.executable, "-m", "kmltui", "--version")
    row("kmltui --version", f"{version:.0f} ms", "≤ 150 ms", f"{version / python:.1f} × python -c pass")
    ensure_image(make_spec())
    for arm in ARMS:
        row(f"boot to the first query, {arm}", f"{asyncio.run(first_query_s(arm)):.1f} s", "≤ 8 s (TCG)")
    with tempfile.TemporaryDirectory() as booted:
        store.booted_dir = lambda: Path(booted)
        row("both at once, the first time", f"{asyncio.run(both_s()):.1f} s", "", "each is saved after its boot")
        row("both at once, the second time", f"{asyncio.run(both_s()):.1f} s", "≤ 7 s")
    for arm, worst in asyncio.run(lateness()).items():
        row(f"worst sample, {arm}, both busy", f"{worst * 100:.1f} %", "< 20 %", "of the period of 0.5 s")
    if arguments.image_build:
        row("image build after downloads", f"{build_s():.0f} s", "≤ 60 s")


if __name__ == "__main__":
    main()
