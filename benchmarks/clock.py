# SPDX-License-Identifier: GPL-2.0-or-later
"""What the clock that counts instructions costs an emulated guest, and how slowly inserts are emulated.

    python benchmarks/clock.py [--loops N] [--rounds N]

Runs Wisconsin, from its inserts on, in one stock guest with either clock in turn. Prints two ratios: selects per second
of the host's CPU, with the instruction clock to plain emulation (the target is at least 0.7); and, with the instruction
clock, instructions per second of the host's CPU, inserts to selects. Only the time that the guest's vCPU thread ran is
counted, so a busy host matters little.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

from kmltui import workloads
from kmltui.model import ClockKind, Phase, Record, Sample, SessionSpec
from kmltui.recording import Reader
from kmltui.runner.launch import make_run
from kmltui.runner.plan import Plan

CLOCKS: tuple[ClockKind, ...] = ("wall", "instructions")


def seconds(records: list[Record], phase: str) -> tuple[float, float]:
    """What a phase took: seconds that the guest's CPU ran on the host, and seconds of the guest's own clock."""
    names = [record.name for record in records if isinstance(record, Phase) and record.event == "begin"]
    following = names[names.index(phase) + 1 :]
    begin, end = (f"phase:{phase}", f"phase:{following[0]}" if following else "end")
    found = {record.mark: record for record in records if isinstance(record, Sample) and record.mark in (begin, end)}
    a, b = found[begin], found[end]
    assert a.contention is not None and b.contention is not None, "this kernel keeps no scheduler statistics"
    return (b.contention.run_ns - a.contention.run_ns) / 1e9, (b.mono_ns - a.mono_ns) / 1e9


async def run(clock: ClockKind, loops: int) -> list[Record]:
    """The records of one run."""
    workload = workloads.get("wisconsin").spec(loops=loops, options={"client": "buffered"})
    session = SessionSpec(name="stock", accel="tcg", clock=clock)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "clock.kmlrec"
        outcome = await make_run(Plan(workload=workload, sessions=[session], out=path), sys.stderr).execute()
        if outcome.status != "done":
            raise SystemExit(f"the run {outcome.status}: {outcome.reason}")
        with Reader.open(path) as reader:
            return list(reader.records())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--loops", type=int, default=60)
    arguments.add_argument("--rounds", type=int, default=1)
    chosen = arguments.parse_args()
    speed: dict[ClockKind, list[float]] = {clock: [] for clock in CLOCKS}
    inserts = []
    for number in range(chosen.rounds):
        for clock in CLOCKS if number % 2 == 0 else reversed(CLOCKS):
            records = asyncio.run(run(clock, chosen.loops))
            host_s, own_s = seconds(records, "select")
            speed[clock].append(10 * chosen.loops / host_s)
            if clock == "instructions":
                insert_host_s, insert_own_s = seconds(records, "insert")
                inserts.append((insert_own_s / insert_host_s) / (own_s / host_s))
    for clock in CLOCKS:
        print(f"{clock:<14}{statistics.mean(speed[clock]):8.2f} selects per second of the host's CPU")
    print(f"ratio         {statistics.mean(speed['instructions']) / statistics.mean(speed['wall']):8.2f}")
    print(f"inserts       {statistics.mean(inserts):8.2f} of the selects' instructions per second")


if __name__ == "__main__":
    main()
