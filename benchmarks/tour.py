# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the recording of ``kmltui tour``: a demonstration, with notes at the points that they explain.

python benchmarks/tour.py FILE
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kmltui.model import Phase, Progress, Record, State
from kmltui.recording import Reader
from kmltui.runner import control, registry

NAME = "tour"
LIMIT_S = 900.0


def _phase(name: str) -> Callable[[Record], bool]:
    return lambda record: isinstance(record, Phase) and record.event == "begin" and record.name == name


def _done(fraction: float) -> Callable[[Record], bool]:
    return lambda record: isinstance(record, Progress) and (record.fraction or 0.0) >= fraction


NOTES: tuple[tuple[Callable[[Record], bool], str], ...] = (
    (
        lambda record: isinstance(record, State) and record.state == "booting",
        "Two virtual machines boot the same Debian kernel. On the left stock Linux; on the right the same kernel with "
        "one module more.",
    ),
    (
        _phase("dd"),
        "First, dd copies single bytes: two system calls for each, and hardly anything else. There is no program that "
        "gains more.",
    ),
    (
        _phase("calls"),
        "Then single system calls. By trap the processor changes from ring 3 to ring 0 and back; by direct call it "
        "jumps. The numbers are instructions for one call.",
    ),
    (
        _done(0.24),
        "The shorter the call, the more of it was the trap. A pipe between two processes is mostly scheduling, and "
        "hardly gains.",
    ),
    (
        _phase("select"),
        "Now a real database: MariaDB answers the ten selects of the article's benchmark. Left, every system call is a "
        "trap. Right, the server and its client run in ring 0.",
    ),
    (
        _done(0.6),
        "Both do the same queries. A second is a billion executed instructions, so it does not matter how busy this "
        "machine is.",
    ),
    (
        _done(0.85),
        "Below: the CPU time so far, at the same number of queries on both sides, and what of it was saved.",
    ),
    (
        _phase("change"),
        "The end card says what was measured, by which clock, and what it would mean on this machine's own processor.",
    ),
)


def main(file: Path) -> int:
    command = [sys.executable, "-m", "kmltui", "run", "--detach", "--workload", "demo", "--name", NAME]
    subprocess.run([*command, "--out", str(file), "--title", "The demonstration, with notes"], check=True)
    left = list(NOTES)
    deadline = time.monotonic() + LIMIT_S
    with Reader.open(file) as reader:
        while not reader.ended and time.monotonic() < deadline:
            for record in reader.poll():
                if left and left[0][0](record):
                    entry = next(entry for entry in registry.entries() if entry.name == NAME)
                    asyncio.run(control.request(entry.socket, "mark", note=left.pop(0)[1], author="kmltui"))
            time.sleep(0.05)
        end = reader.end
    if left or end is None or end.status != "done":
        print(f"{file}: {len(left)} notes were not put in; {end.reason if end else 'no end'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
